"""What came of checks as Markdown, for a job summary or a comment that an action edits in place."""

from __future__ import annotations

import html
from collections.abc import Sequence

from cnnstat.budgets.budget import CheckResult, Finding
from cnnstat.budgets.outcome import Outcome
from cnnstat.render.check import WORDS, figures, heading
from cnnstat.render.markdown import escape, markdown_table
from cnnstat.render.table import Column, Line, Table, visible

MARKER = "<!-- cnnstat:check -->"
"""First line: by it an action finds its own comment."""

MOST_BYTES = 60_000
"""GitHub refuses a comment of more than 64 kB."""

_COLUMNS = (
    Column(key="check", title="check"),
    Column(key="metric", title="metric"),
    Column(key="measured", title="measured", numeric=True),
    Column(key="limit", title="limit", numeric=True),
    Column(key="may grow to", title="may grow to", numeric=True),
    Column(key="baseline", title="baseline", numeric=True),
    Column(key="change", title="change", numeric=True),
    Column(key="status", title=""),
)


def check_markdown(outcome: Outcome, most: int = MOST_BYTES) -> str:
    """At most `most` bytes: where there is more, details are left out, then rows, saying how many."""
    news, quiet = _rows(outcome)
    whys, moved = _whys(outcome), _movements(outcome)
    closed = (
        f"{len(moved)} lists of layers or notes and {len(quiet)} rows without news are left out"
    )
    shorter = (
        _text(outcome, news, [*whys, *moved], quiet),
        _text(outcome, news, [*whys, f"*{closed}*"]),
        _text(outcome, news, [f"*{closed}, and {len(whys)} explanations*"]),
    )
    for text in shorter:
        if _size(text) <= most:
            return text
    low, high = 0, len(news)
    while low < high:  # the most rows that fit
        middle = (low + high + 1) // 2
        fits = _size(_cut(outcome, news, middle, len(quiet))) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    text = _cut(outcome, news, low, len(quiet))
    if _size(text) > most:  # Names of any length may be too much for the sentences alone.
        text = text.encode("utf-8", "replace")[: most - 4].decode("utf-8", "ignore") + "…\n"
    return text


def _size(text: str) -> int:
    # What cannot be encoded is written as an escape, which is longer.
    return len(text.encode("utf-8", "backslashreplace"))


def _cut(outcome: Outcome, news: Sequence[Line], shown: int, quiet: int) -> str:
    left_out = f"*{len(news) - shown + quiet} more rows and all layers are left out*"
    return _text(outcome, news[:shown], [left_out])


def _text(
    outcome: Outcome, news: Sequence[Line], more: Sequence[str], quiet: Sequence[Line] = ()
) -> str:
    parts = [
        f"{MARKER}\n## {_sign(outcome)} {escape(visible(outcome.verdict()))}",
        _table(news) if news else "",
        *more,
        _details(f"{len(quiet)} without news", _table(quiet)) if quiet else "",
        "\n".join(f"- {escape(visible(note))}" for note in outcome.notes()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sign(outcome: Outcome) -> str:
    """How it went, whatever the exit code is told to be."""
    fate = outcome.update.fate if outcome.update else ""
    if outcome.status == "unknown" or fate == "impossible":
        return "⚠️"
    if outcome.status == "exceeded" or fate == "refused":
        return "❌"
    return "⚠️" if outcome.warned else "✅"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{html.escape(summary)}</summary>\n\n{body}\n\n</details>"


def _table(lines: Sequence[Line]) -> str:
    """The rows under the columns that any of them fills."""
    table = Table(columns=_COLUMNS, lines=tuple(lines))
    return markdown_table(
        table.only([c for n, c in enumerate(_COLUMNS) if any(line.cells[n] for line in lines)])
    )


def _rows(outcome: Outcome) -> tuple[list[Line], list[Line]]:
    """What did not pass or changed, the gravest first, and the rest."""
    news: list[tuple[int, Line]] = []
    quiet: list[Line] = []
    for result in outcome.results:
        for finding in result.findings or (None,):
            line = _row(outcome, result, finding)
            changed = finding is not None and finding.before not in (None, finding.measured)
            broken = result.status == "unknown" or (finding is not None and finding.exceeded)
            if broken or changed:
                news.append((0 if broken and outcome.level(result) == "error" else 1, line))
            else:
                quiet.append(line)
    return [line for _, line in sorted(news, key=lambda pair: pair[0])], quiet


def _row(outcome: Outcome, result: CheckResult, finding: Finding | None) -> Line:
    status = WORDS[result.status]
    if finding is not None and finding.exceeded:
        status = "over"  # also where another metric of the check cannot be told
    elif finding is not None and result.status == "exceeded":
        status = WORDS["passed"]
    if outcome.level(result) == "warn" and result.failed and status != WORDS["passed"]:
        status += " (a warning)"
    texts = {
        **(figures(finding) if finding else {}),
        "check": visible(result.name),
        "metric": finding.title if finding else "",
        "status": status,
    }
    return Line(cells=tuple(texts.get(column.key, "") for column in _COLUMNS))


def _whys(outcome: Outcome) -> list[str]:
    """Why a check did not pass, a section each."""
    return [
        f"### {escape(visible(heading(outcome, result)))}\n\n{_items(result.why)}"
        for result in outcome.results
        if result.why
    ]


def _movements(outcome: Outcome) -> list[str]:
    """Which layers did it and what to know, for each check in what can be opened."""
    made = []
    for result in outcome.results:
        parts = {"layers": result.movement, "notes": result.notes}
        held = " and ".join(name for name, lines in parts.items() if lines)
        if held:
            lines = (*result.movement, *result.notes)
            made.append(_details(f"{visible(result.name)}: {held}", _items(lines)))
    return made


def _items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape(visible(line))}" for line in lines)
