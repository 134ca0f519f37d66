"""What came of checks, as a document for every format that draws documents, and as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cnnstat.budgets.budget import CheckResult, Finding
from cnnstat.budgets.limits import Growth, Metric
from cnnstat.budgets.movement import LayerChange
from cnnstat.budgets.outcome import Outcome
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.report import Report

SCHEMA = 1
"""Version of the JSON form."""

WORDS = {"passed": "passed", "exceeded": "exceeded", "unknown": "cannot tell", "off": "off"}
"""What a status is called."""

_PACKAGES = ("cnnstat", "torch", "torchvision", "timm")


def check_document(outcome: Outcome, width: int | None = None) -> Document:
    """A table for each check, why it did not pass, and last what it all comes to."""
    parts = ["check", *([outcome.config] if outcome.config else [])]
    return Document(
        title=tuple(map(visible, parts)),
        circumstances=tuple(_circumstances(outcome)),
        blocks=tuple(_blocks(outcome, width)),
        data=check_data(outcome),
        records=tuple(_records(outcome)),
    )


def _circumstances(outcome: Outcome) -> Iterator[str]:
    reports = [result.report for result in outcome.results if result.report]
    for package in _PACKAGES:
        found = {str(report.meta[package]) for report in reports if report.meta.get(package)}
        if found:
            yield visible(f"{package} {', '.join(sorted(found))}")
    if outcome.baseline and any(result.entry for result in outcome.results):
        yield visible(f"baseline {outcome.baseline}")


def _blocks(outcome: Outcome, width: int | None) -> Iterator[Text | Figure]:
    for result in outcome.results:
        yield from _result(outcome, result, width)
    for note in outcome.notes():
        yield Text(visible(note), "quiet")
    yield Text(visible(outcome.verdict()), "warning" if outcome.code else "plain")


def _result(outcome: Outcome, result: CheckResult, width: int | None) -> Iterator[Text | Figure]:
    title = visible(heading(outcome, result))
    tables = _tables(result.findings, width)
    for n, table in enumerate(tables):
        yield Figure(table, title if n == 0 else "")
    if not tables:
        yield Text(title)
    for line in result.why:
        yield Text(visible(line), "warning")
    for line in (*result.movement, *result.notes):
        yield Text(visible(line), "quiet")


def heading(outcome: Outcome, result: CheckResult) -> str:
    """`mobile · src/net.py:build · exceeded (a warning)`."""
    check = result.check
    parts = [check.name, *([check.model] if check.model != check.name else [])]
    warning = " (a warning)" if result.failed and outcome.level(result) == "warn" else ""
    return " · ".join([*parts, WORDS[result.status] + warning])


# The table: a column for each metric


def _tables(findings: tuple[Finding, ...], width: int | None) -> list[Table]:
    """As few tables as fit the width; a metric is never left out."""
    tables: list[Table] = []
    group: list[Finding] = []
    for finding in findings:
        wider = _table([*group, finding])
        if group and width is not None and sum(wider.widths()) + 2 * len(group) + 2 > width:
            tables.append(_table(group))
            group = []
        group.append(finding)
    return [*tables, *([_table(group)] if group else [])]


def _table(findings: list[Finding]) -> Table:
    cells = [figures(finding) for finding in findings]
    rows = [
        Line(cells=(row, *(column.get(row, "–") for column in cells)))
        for row in ("measured", "limit", "may grow to", "baseline", "change")
        if any(row in column for column in cells)
    ]
    columns = (
        Column(key="what", title=""),
        *(Column(key=f.metric.key, title=f.title, numeric=True) for f in findings),
    )
    return Table(columns=columns, lines=tuple(rows))


def figures(finding: Finding) -> dict[str, str]:
    """What there is to say of one metric, in digits that tell it all apart."""
    numbers = {"measured": finding.measured}
    for bound in finding.bounds:
        row = "may grow to" if isinstance(bound.rule, Growth) else "limit"
        numbers[row] = min(bound.allowed, numbers.get(row, bound.allowed))
    if finding.before is not None:
        numbers["baseline"] = finding.before
    texts = dict(zip(numbers, finding.metric.apart(list(numbers.values())), strict=True))
    if finding.at_least:
        texts["measured"] = f"≥ {texts['measured']}"
    return texts | ({"change": finding.change} if finding.change else {})


# As data


def check_data(outcome: Outcome) -> dict[str, Any]:
    """The JSON document, schema 1: exact integers, and `null` where there is no number.

    {"schema": 1, "status": "passed", "exceeded" or "unknown", "exit_code", "verdict", "config", "baseline",
     "checks": [{"name", "model", "level", "status", "reason", "hint", "file", "line",
                 "layers": [{"change", "before", "after"}], "explanation": [TEXT]}],
     "findings": [{"check", "metric", "unit", "dtype", "measured", "at_least", "exceeded", "baseline",
                   "bounds": [{"rule", "given", "allowed", "over", "file", "line"}],
                   "room": {"name", "device", "needed", "available", "over", "under"} of "fits-…"}],
     "reports": [{"check", "subject", "convention", "totals", "extra", "uncounted", "meta"}],
     "update": null or {"fate", "changes", "added", "dropped"},
     "notes": [TEXT]}

    A finding's numbers are all of its "unit": "count", "bytes" or "ns"; so are those of "extra", by metric.
    """
    return {
        "schema": SCHEMA,
        "status": outcome.status,
        "exit_code": outcome.code,
        "verdict": outcome.verdict(),
        "config": outcome.config or None,
        "baseline": outcome.baseline or None,
        "checks": [_check(outcome, result) for result in outcome.results],
        "findings": [_finding(r, finding) for r in outcome.results for finding in r.findings],
        "reports": [_report(r.name, r.report) for r in outcome.results if r.report],
        "update": _update(outcome),
        "notes": list(outcome.notes()),
    }


def _check(outcome: Outcome, result: CheckResult) -> dict[str, Any]:
    check = result.check
    return {
        "name": check.name,
        "model": check.model,
        "level": outcome.level(result),
        "status": result.status,
        "reason": result.reason or None,
        "hint": result.hint or None,
        "file": check.place.file if check.place else None,
        "line": check.place.line if check.place else None,
        "layers": [
            _change(change, [f.metric for f in result.findings]) for change in result.changes
        ],
        "explanation": list(result.explain()),
    }


def _report(name: str, report: Report) -> dict[str, Any]:
    """What was measured, without its layers."""
    return {
        "check": name,
        "subject": dict(report.subject),
        "convention": report.convention,
        "totals": asdict(report.totals),
        "extra": dict(report.extra),
        "uncounted": [
            {"op": item.op, "layer": item.layer, "count": item.count} for item in report.uncounted
        ],
        "meta": dict(report.meta),
    }


def _finding(result: CheckResult, finding: Finding) -> dict[str, Any]:
    return {
        "check": result.name,
        "metric": finding.metric.name,
        "unit": finding.metric.counted_in,
        "dtype": finding.dtype or None,
        "measured": finding.measured,
        "at_least": finding.at_least,
        "exceeded": finding.exceeded,
        "baseline": finding.before,
        "bounds": [
            {
                "rule": bound.rule.rule,
                "given": bound.rule.given,
                "allowed": bound.allowed,
                "over": max(finding.measured - bound.allowed, 0),
                "file": bound.rule.place.file if bound.rule.place else None,
                "line": bound.rule.place.line if bound.rule.place else None,
            }
            for bound in finding.bounds
        ],
        **({"room": asdict(finding.room)} if finding.room else {}),
    }


def _change(change: LayerChange, metrics: list[Metric]) -> dict[str, Any]:
    sides = {"before": change.before, "after": change.after}
    return {"change": change.change} | {
        side: {
            "path": layer.path,
            "type": layer.type,
            "kind": layer.kind,
            "output": list(layer.outputs[0]) if layer.outputs else None,
            **{metric.key: metric.of_layer(layer) for metric in metrics if not metric.extra},
        }
        if layer
        else None
        for side, layer in sides.items()
    }


def _update(outcome: Outcome) -> dict[str, Any] | None:
    done = outcome.update
    if done is None:
        return None
    return {
        "fate": done.fate,
        "changes": [
            {"check": c.check, "metric": c.metric.name, "before": c.before, "after": c.after}
            for c in done.changes
        ],
        "added": list(done.added),
        "dropped": list(done.dropped),
    }


def _records(outcome: Outcome) -> Iterator[dict[str, object]]:
    """One row for each metric of each check, and one for a check that has none."""
    for result in outcome.results:
        for finding in result.findings or (None,):
            limits = (
                [b for b in finding.bounds if not isinstance(b.rule, Growth)] if finding else []
            )
            grown = [b for b in finding.bounds if isinstance(b.rule, Growth)] if finding else []
            yield {
                "check": result.name,
                "model": result.check.model,
                "level": outcome.level(result),
                "status": result.status,
                "metric": finding.metric.name if finding else "",
                "measured": finding.measured if finding else "",
                "limit": min((b.allowed for b in limits), default=""),
                "may_grow_to": min((b.allowed for b in grown), default=""),
                "baseline": "" if finding is None or finding.before is None else finding.before,
                "exceeded": finding.exceeded if finding else "",
                "unit": finding.metric.counted_in if finding else "",
                "dtype": finding.dtype if finding else "",
            }
