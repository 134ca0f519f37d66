"""Where the outcome of checks goes: the standard output, files, and the summary of a job on GitHub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnstat.cli.output import FAILED, colored, room, show, tell
from cnnstat.errors import OutputError

if TYPE_CHECKING:
    from cnnstat.budgets.outcome import Outcome
    from cnnstat.render.base import View


@dataclass(frozen=True, slots=True)
class CheckOutputs:
    """What is written where, settled before anything is measured."""

    stdout: str | None
    """Format of the standard output; `None`: nothing goes there."""
    files: Mapping[Path, str]
    """Format of each file."""

    @classmethod
    def plan(cls, paths: list[Path] | None, format: str | None, json: bool) -> CheckOutputs:
        """From the options. Raises `OutputError` for a wrong format, extension or path."""
        from cnnstat.render.base import check_writable
        from cnnstat.render.check_formats import format_for, format_named

        if json and format not in (None, "json"):
            raise OutputError(f"--json and --format {format} contradict each other")
        named = "json" if json else format_named(format) if format is not None else None
        files: dict[Path, str] = {}
        for path in paths or ():
            if str(path) == "-":
                continue
            if path.absolute().resolve() in {file.absolute().resolve() for file in files}:
                raise OutputError(f"--output {str(path)!r} is given twice")
            check_writable(path)
            files[path] = named or format_for(path)
        on_stdout = not paths or Path("-") in paths
        return cls((named or "table") if on_stdout else None, files)

    @property
    def formats(self) -> tuple[str, ...]:
        """All that are asked for."""
        return (*self.files.values(), *([self.stdout] if self.stdout else []))

    def emit(self, outcome: Outcome, view: View, *, color: str, quiet: bool) -> None:
        """Write the files, then the standard output."""
        from cnnstat.render.base import write
        from cnnstat.render.check_formats import carries_notes, check_text

        documents = {path: check_text(outcome, name, view) for path, name in self.files.items()}
        on_screen = replace(view, width=room(view.width), color=colored(color))
        printed = check_text(outcome, self.stdout, on_screen) if self.stdout else ""
        write(documents)
        if "github" in self.formats:
            _append_summary(outcome)
        show(printed)
        if outcome.code == FAILED:
            tell(f"cnnstat: error: {_unknown(outcome)}")
        elif self.stdout is None and (outcome.code or not quiet):
            tell(f"cnnstat: {outcome.verdict()}")
        if quiet:
            return
        if not any(map(carries_notes, self.formats)):
            _tell_notes(outcome)
        for path in documents:
            tell(f"wrote {path}")


def _unknown(outcome: Outcome) -> str:
    """The verdict, and why nobody can tell: of several checks, of the first."""
    verdict = outcome.verdict().removesuffix(".")
    unknown = [result for result in outcome.results if result.status == "unknown"]
    first = next(iter(outcome.failed("unknown") or unknown))
    whose = "" if len(outcome.results) == 1 else f"; {first.name}"
    return f"{verdict}{whose}: {'; '.join(filter(None, (first.reason, first.hint)))}"


def _tell_notes(outcome: Outcome) -> None:
    for result in outcome.results:
        for note in result.notes:
            tell(f"cnnstat: note: {result.name}: {note}")
    for note in outcome.notes():
        tell(f"cnnstat: note: {note}")


def _append_summary(outcome: Outcome) -> None:
    """Add the Markdown to what GitHub shows below a job; a verdict does not depend on that."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    from cnnstat.render.check_markdown import check_markdown

    try:
        with Path(summary).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(check_markdown(outcome))
    except (OSError, ValueError) as error:
        tell(f"cnnstat: note: GITHUB_STEP_SUMMARY: cannot write {summary!r}: {error}")
