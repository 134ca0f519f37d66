"""What came of checks as annotations of GitHub's: commands that point at the budget's line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnstat.budgets.budget import CheckResult
from cnnstat.budgets.limits import Place
from cnnstat.budgets.outcome import Outcome
from cnnstat.render.table import visible

MOST = 10
"""GitHub shows no more of a step."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One command."""

    kind: str
    """`"error"`, `"warning"` or `"notice"`."""
    title: str
    """Its heading."""
    lines: tuple[str, ...]
    """Its body."""
    place: Place | None = None
    """What it points at."""

    def __str__(self) -> str:
        properties = {}
        if self.place is not None:
            properties = {"file": _in_workspace(self.place), "line": str(self.place.line)}
        properties["title"] = visible(self.title)
        given = ",".join(f"{name}={_property(text)}" for name, text in properties.items())
        text = _data("\n".join(map(visible, self.lines)))
        return f"::{self.kind} {given}::{text}"


def check_github(outcome: Outcome) -> str:
    """At most ten annotations, the gravest first, and a line that counts them all."""
    ranks = ("error", "warning", "notice")
    found = sorted(_annotations(outcome), key=lambda annotation: ranks.index(annotation.kind))
    lines = [str(annotation) for annotation in found[:MOST]]
    # No name is printed on this line: whatever it held could be a command to GitHub.
    held = [result.status for result in outcome.results]
    counts = [f"{held.count(status)} {status}" for status in ("passed", "exceeded", "unknown")]
    unheld = sum(bool(result.unheld) for result in outcome.results)
    more = f"; growth not held for {unheld}, which the baseline does not know" if unheld else ""
    more += f"; {len(found) - MOST} more annotations left out" if len(found) > MOST else ""
    lines.append(f"cnnstat check: {', '.join(counts)}; exit code {outcome.code}{more}")
    return "\n".join(lines) + "\n"


def _annotations(outcome: Outcome) -> Iterator[Annotation]:
    for result in outcome.results:
        yield from _of_result(outcome, result)
    for note in outcome.notes():
        refused = outcome.update is not None and outcome.update.fate in ("refused", "impossible")
        yield Annotation("error" if refused else "notice", "cnnstat: baseline", (note,))


def _of_result(outcome: Outcome, result: CheckResult) -> Iterator[Annotation]:
    kind = "error" if outcome.level(result) == "error" else "warning"
    title = f"cnnstat: {result.name}"
    if result.status == "unknown":
        yield Annotation(kind, title, result.explain(), result.check.place)
        return
    if result.status == "passed" and (result.changes or result.notes):
        yield Annotation("notice", title, (*result.movement, *result.notes), result.check.place)
    for finding in result.exceeded if result.status == "exceeded" else ():
        place = finding.broken[0].rule.place
        lines = (*finding.explain(), *result.movement_of([finding]), *result.notes)
        yield Annotation(kind, f"{title} {finding.metric.label}", lines, place)


def _in_workspace(place: Place) -> str:
    """The file as GitHub knows it: from the root of the repository, wherever this runs."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if workspace:
        try:
            return Path(place.file).resolve().relative_to(Path(workspace).resolve()).as_posix()
        except (OSError, ValueError):
            pass
    return place.file


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
