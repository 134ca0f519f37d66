"""What came of checks as JUnit XML, which GitLab, Jenkins and Azure show: a case for each metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
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


def _cases(outcome: Outcome, result: CheckResult) -> list[Case]:
    place = result.check.place
    attributes = {"file": place.file, "line": str(place.line)} if place else {}
    if result.status == "off":
        return [Case(result.name, "off", attributes, "skipped")]
    # A warning fails nothing here either; it can be read in the output of its case.
    fails = outcome.level(result) == "error"
    cases = [_of_finding(result, finding, attributes, fails) for finding in result.findings]
    if result.status == "unknown" and all(finding.exceeded for finding in result.findings):
        tag = "error" if fails else "system-out"
        cases.append(Case(result.name, "measure", attributes, tag, result.lack))
    if result.notes:
        # They are of the whole check, so they stand once: where it failed, if it did.
        failed = [n for n, case in enumerate(cases) if case.tag in _TAGS]
        first = failed[0] if failed else 0
        case = cases[first]
        lines = (*case.lines, *result.notes)
        cases[first] = replace(case, tag=case.tag or "system-out", lines=lines)
    return cases


def _of_finding(
    result: CheckResult, finding: Finding, attributes: dict[str, str], fails: bool
) -> Case:
    moved = result.movement_of([finding])
    if finding.exceeded:  # also where another metric of the check cannot be told
        tag, lines = "failure" if fails else "system-out", (*finding.explain(), *moved)
    elif result.status == "unknown":
        tag, lines = "error" if fails else "system-out", (*result.lack, *moved)
    else:
        tag, lines = "system-out" if moved else "", moved
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
