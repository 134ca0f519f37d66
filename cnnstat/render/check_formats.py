"""The formats of checks: three of their own, and those that draw any document."""

from __future__ import annotations

from pathlib import Path

from cnnstat.budgets.outcome import Outcome
from cnnstat.errors import OutputError
from cnnstat.render.base import FORMATS, View, renderer, renderer_for
from cnnstat.render.check import check_document

CHECK_FORMATS = (*FORMATS, "github", "junit")
"""Names of all formats."""


def format_named(name: str) -> str:
    """The name, if there is such a format. Raises `OutputError`, listing the names."""
    if name not in CHECK_FORMATS:
        known = ", ".join(CHECK_FORMATS)
        raise OutputError(f"unknown format {name!r}", hint=f"expected one of {known}")
    return name


def format_for(path: Path) -> str:
    """The format that the file's extension means. Raises `OutputError`."""
    return "junit" if path.suffix.lower() == ".xml" else renderer_for(path).name


def carries_notes(name: str) -> bool:
    """Whether the format holds what is to be known of the baseline and of each check."""
    return name in ("github", "junit") or renderer(name).carries_notes


def check_text(outcome: Outcome, name: str, view: View) -> str:
    """What came of the checks in a format, with a final newline."""
    # Each is imported alone: the terminal's brings rich.
    if name == "github":
        from cnnstat.render.check_github import check_github

        return check_github(outcome)
    if name == "junit":
        from cnnstat.render.check_junit import check_junit

        return check_junit(outcome)
    if name == "markdown":
        from cnnstat.render.check_markdown import check_markdown

        return check_markdown(outcome)
    return renderer(name).draw(check_document(outcome, view.width), view)
