"""What came of checks as JUnit XML, which GitLab, Jenkins and Azure show: a case for each metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from cnnstat.budgets.budget import CheckResult, Finding
from cnnstat.budgets.outcome import Outcome
from cnnstat.render.table import visible

_TAGS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class Case:
    """One `<testcase>`."""

    check: str
    """Whose."""
    name: str
    """The metric."""
    attributes: dict[str, str] = field(default_factory=dict)
    """`file` and `line`."""
    tag: str = ""
    """`"failure"`, `"error"`, `"skipped"` or `"system-out"`; `""`: it passed."""
    lines: tuple[str, ...] = ()
    """What is in it."""


def check_junit(outcome: Outcome) -> str:
    """One suite."""
    cases = [case for result in outcome.results for case in _cases(outcome, result)]
    if outcome.update is not None and outcome.update.fate in ("refused", "impossible"):
        cases.append(Case("baseline", "update", {}, "failure", tuple(outcome.notes())))
    counts = {name: sum(case.tag == tag for case in cases) for tag, name in _TAGS.items()}
    suite = _attributes({"name": "cnnstat check", "tests": len(cases), **counts})
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<testsuites>",
        f" <testsuite{suite}>",
        *(line for case in cases for line in _case(case)),
        *_notes(outcome),
        " </testsuite>",
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def _notes(outcome: Outcome) -> Iterator[str]:
    """What is to be known of the baseline, as the output of the suite: last, where the schema has it."""
    notes = "\n".join(map(_xml, outcome.notes()))
    if notes:
        yield f"  <system-out>{notes}</system-out>"


def _cases(outcome: Outcome, result: CheckResult) -> Iterator[Case]:
    place = result.check.place
    attributes = {"file": place.file, "line": str(place.line)} if place else {}
    if result.status == "off":
        yield Case(result.name, "off", attributes, "skipped")
        return
    # A warning fails nothing here either; it can be read in the output of its case.
    fails = outcome.level(result) == "error"
    for finding in result.findings:
        yield _of_finding(result, finding, attributes, fails)
    if not result.findings:
        tag = "error" if fails else "system-out"
        yield Case(result.name, "measure", attributes, tag, result.explain())


def _of_finding(
    result: CheckResult, finding: Finding, attributes: dict[str, str], fails: bool
) -> Case:
    if result.status == "unknown":
        tag, lines = "error" if fails else "system-out", result.explain()
    elif finding.exceeded:
        tag = "failure" if fails else "system-out"
        lines = (*finding.explain(), *result.movement_of([finding]), *result.notes)
    else:
        lines = (*result.movement_of([finding]), *result.notes)
        tag = "system-out" if lines else ""
    if finding.exceeded and finding.broken[0].rule.place:
        attributes = {**attributes, "line": str(finding.broken[0].rule.place.line)}
    return Case(result.name, finding.metric.label, attributes, tag, lines)


def _case(case: Case) -> Iterator[str]:
    names = {"classname": f"cnnstat.{case.check}", "name": case.name, **case.attributes}
    start = f"  <testcase{_attributes(names)}"
    if not case.tag:
        yield f"{start}/>"
        return
    body = "\n".join(_xml(line) for line in case.lines)
    message = case.lines[0] if case.lines and case.tag != "system-out" else ""
    inner = _attributes({"message": message} if message else {})
    yield f"{start}>"
    yield f"   <{case.tag}{inner}>{body}</{case.tag}>"
    yield "  </testcase>"


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(f' {name}="{_xml(str(value))}"' for name, value in values.items())


def _xml(text: str) -> str:
    """The text as it may stand anywhere; what XML cannot hold, control characters, as escapes."""
    return escape(visible(text), {'"': "&quot;"})
