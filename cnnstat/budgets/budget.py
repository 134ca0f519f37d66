"""The verdict: a report held against limits, and a baseline where there is one. Pure.

>>> from cnnstat.budgets.budget import evaluate
>>> result = evaluate(report, {"macs": "320 M", "params": "3.5 M"})
>>> result.failed, result.explain()
(True, ('params over by 4,872 (3,504,872 > 3,500,000): max.params 3.5 M', …))

The verdict compares integers; texts show as many digits as it takes to see why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cnnstat.budgets.baseline import Entry
from cnnstat.budgets.limits import Check, Fits, Growth, Level, Limit, Metric, Missing
from cnnstat.budgets.movement import LayerChange, heaviest, largest, largest_changes, story
from cnnstat.budgets.since import UPDATE, changes, comparable, told, unheld
from cnnstat.budgets.slack import lower
from cnnstat.budgets.target import FITTED, Room, dtype_of_metric
from cnnstat.report import Report
from cnnstat.units import percent

Status = Literal["passed", "exceeded", "unknown", "off"]

_NAMED = 3
"""Layers that are named for each metric."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that applied, with what it came to."""

    rule: Limit | Growth | Fits
    """As it was written."""
    allowed: int
    """The most that passes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric of one check."""

    metric: Metric
    """What was measured."""
    measured: int
    """How much there is."""
    bounds: tuple[Bound, ...] = ()
    """What applies to it."""
    before: int | None = None
    """How much the baseline has; `None`: it does not say."""
    at_least: bool = False
    """Whether something is missing from the measure: operations without a rule, a figure of the device."""
    room: Room | None = None
    """The memory of a device that it is about; `None`: it is about none."""
    dtype: str = ""
    """The number format that it is about, where it was estimated for one."""

    @property
    def title(self) -> str:
        """`arena (fp16)`: what stands beside each other need not be of one number format."""
        return f"{self.metric.label} ({self.dtype})" if self.dtype else self.metric.label

    @property
    def broken(self) -> tuple[Bound, ...]:
        """The bounds that are exceeded."""
        return tuple(bound for bound in self.bounds if self.measured > bound.allowed)

    @property
    def exceeded(self) -> bool:
        """Whether any bound is."""
        return bool(self.broken)

    @property
    def change(self) -> str:
        """`+17.63 M (+5.9 %)`; `""` without a baseline."""
        if self.before is None:
            return ""
        change = self.metric.change(self.before, self.measured)
        if self.before in (0, self.measured):
            return change
        share = percent(abs(self.measured - self.before), self.before)
        return f"{change} ({share if share[0] == '<' else change[0] + share})"

    def explain(self) -> Iterator[str]:
        """A line for each broken bound."""
        full = self.metric.full
        for bound in self.broken:
            over = full(self.measured - bound.allowed)
            least = "at least " if self.at_least else ""
            place = f" at {bound.rule.place}" if bound.rule.place else ""
            measured, whose = full(self.measured), ""
            if self.room and isinstance(bound.rule, Fits):
                measured, whose = self.room.sum(bound.rule), f" of {self.room.device}"
            rule = f"{bound.rule.rule} {bound.rule.given}".rstrip()
            yield (
                f"{self.metric.label} over by {least}{over} "
                f"({measured} > {full(bound.allowed)}{whose}): {rule}{place}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What came of one check."""

    check: Check
    """What was asked."""
    findings: tuple[Finding, ...] = ()
    """One for each metric that has a limit, also where the verdict is that nobody can tell."""
    reason: str = ""
    """Why nobody can tell; `""`: one can."""
    hint: str = ""
    """What to do about that."""
    report: Report | None = None
    """What was measured; `None`: nothing was."""
    entry: Entry | None = None
    """What the baseline says of it."""
    changes: tuple[LayerChange, ...] = ()
    """The layers that moved since the baseline."""
    unheld: tuple[str, ...] = ()
    """The rules of growth that pass though the baseline says nothing of them."""
    notes: tuple[str, ...] = ()
    """What the reader should know."""

    @property
    def name(self) -> str:
        """The check's."""
        return self.check.name

    @property
    def level(self) -> Level:
        """The check's."""
        return self.check.level

    @property
    def status(self) -> Status:
        """Nobody can tell, exceeded, or passed; `off` was not looked at."""
        if self.level == "off":
            return "off"
        if self.reason:
            return "unknown"
        return "exceeded" if any(finding.exceeded for finding in self.findings) else "passed"

    @property
    def failed(self) -> bool:
        """Whether it did not pass: a budget is exceeded, or nobody can tell. Its level says no more."""
        return self.status in ("exceeded", "unknown")

    @property
    def exceeded(self) -> tuple[Finding, ...]:
        """The metrics that are over a limit."""
        return tuple(finding for finding in self.findings if finding.exceeded)

    @property
    def lack(self) -> tuple[str, ...]:
        """Lines that say why nobody can tell and what to do; none if one can."""
        return tuple(filter(None, (self.reason and f"cannot tell: {self.reason}", self.hint)))

    @property
    def why(self) -> tuple[str, ...]:
        """Lines that say why nobody can tell, and what is exceeded and by how much; none if it passed."""
        return (*self.lack, *(line for finding in self.findings for line in finding.explain()))

    @property
    def movement(self) -> tuple[str, ...]:
        """Lines that say which layers did it."""
        return self.movement_of(self.exceeded or self.findings)

    def movement_of(self, findings: Sequence[Finding]) -> tuple[str, ...]:
        """The same for some metrics."""
        return tuple(_layers(self, findings))

    def explain(self) -> tuple[str, ...]:
        """All lines: why, which layers did it, and what to know."""
        return (*self.why, *self.movement, *self.notes)


def evaluate(
    report: Report,
    limits: Mapping[str, str | int] | Iterable[Limit] = (),
    *,
    growth: Mapping[str, str] | Iterable[Growth] = (),
    baseline: Entry | None = None,
    uncounted: Iterable[str] = (),
    level: Level = "error",
    missing_baseline: Missing = "fail",
    name: str = "",
) -> CheckResult:
    """Hold a report against limits: `{"macs": "320 M"}`, or as `cnnstat.budgets.limits` has them.

    `growth`, `{"macs": "1%"}`, is held against `baseline`; where that says nothing of it, the verdict is
    unknown, unless `missing_baseline` is `"pass"`. `uncounted` names operations that may stay without a
    rule; any other one makes the verdict unknown. Raises `ValueError` for a limit that cannot be read.
    """
    maxima = (
        tuple(Limit.of(key, given) for key, given in limits.items())
        if isinstance(limits, Mapping)
        else tuple(limits)
    )
    rises = (
        tuple(Growth.of(key, given) for key, given in growth.items())
        if isinstance(growth, Mapping)
        else tuple(growth)
    )
    check = Check(
        name=name or report.name,
        model=str(report.subject.get("spec") or report.name),
        limits=maxima,
        growth=rises,
        level=level,
        uncounted=tuple(uncounted),
        missing_baseline='missing_baseline="pass"' if missing_baseline == "pass" else "",
    )
    return evaluate_check(check, report, baseline)


def evaluate_check(
    check: Check,
    report: Report,
    entry: Entry | None = None,
    rooms: Sequence[Room] = (),
    floors: Mapping[str, int] | None = None,
    *,
    updating: bool = False,
) -> CheckResult:
    """Hold a report against a check, and what the baseline says of it; `rooms` are those of its device.

    `floors` has, by the name of a metric that is not known, what it is at least: enough to exceed a
    limit, and never to pass one. `updating` says that the baseline is about to be written: then there is
    nothing to say of what it lacks.
    """
    found = (_finding(metric, check, report, entry, floors or {}) for metric in check.metrics)
    findings = tuple(finding for finding in found if finding)
    settled = {f.metric for f in findings if f.exceeded or f.metric.known(report)}
    lacking = tuple(metric for metric in check.metrics if metric not in settled)
    moved: tuple[LayerChange, ...] = ()
    if entry is not None and entry.layers:
        moved = largest_changes(entry.layers, report, entry.metrics)
    if check.fits:
        dtype = str(report.meta.get("dtype") or "")
        findings += tuple(_fitting(room, check.fits, dtype) for room in rooms)
    exceeded = [finding.metric for finding in findings if finding.exceeded]
    lacks = {} if updating else unheld(check, report, entry, exceeded)
    waived = lacks if check.missing_baseline else {}
    reason, hint = _lack(check, report, rooms, lacking)
    if not reason:
        reason, hint = _gap(check, report)
    if not reason and lacks and not waived:
        reason, hint = told(lacks), UPDATE
    notes = _notes(check, report, findings, lacking)
    since = changes(check, report, entry, bool(moved)) if entry else ()
    passed = [f"{check.missing_baseline}: {told(waived)}; {UPDATE}"] if waived else []
    return CheckResult(
        check=check,
        findings=findings,
        reason=reason,
        hint=hint,
        report=report,
        entry=entry,
        changes=moved,
        unheld=tuple(waived),
        notes=(*passed, *notes, *since),
    )


def cannot_tell(
    check: Check, reason: str, hint: str = "", entry: Entry | None = None
) -> CheckResult:
    """The result of a check whose model could not be measured."""
    return CheckResult(check=check, reason=reason, hint=hint, entry=entry)


def _finding(
    metric: Metric,
    check: Check,
    report: Report,
    entry: Entry | None,
    floors: Mapping[str, int],
) -> Finding | None:
    """What there is of a metric; `None`: nothing is known of it."""
    dtype = dtype_of_metric(metric, report)
    if not metric.known(report):
        if metric.name not in floors:
            return None
        # A baseline says how the whole of it may grow, which a part cannot be held against.
        limits = tuple(Bound(rule, rule.value) for rule in check.limits if rule.metric == metric)
        return Finding(metric, floors[metric.name], limits, at_least=True, dtype=dtype)
    before = _before(metric, report, entry)
    bounds = []
    for rule in check.rules:
        allowed = rule.allowed(before) if rule.metric == metric else None
        if allowed is not None:
            bounds.append(Bound(rule, allowed))
    at_least = metric.of_work and not report.complete
    return Finding(metric, metric.of(report), tuple(bounds), before, at_least, dtype=dtype)


def _fitting(room: Room, fits: Fits, dtype: str) -> Finding:
    bound = Bound(fits, room.available)
    return Finding(room.metric(fits), room.taken(fits), (bound,), room=room, dtype=dtype)


def _before(metric: Metric, report: Report, entry: Entry | None) -> int | None:
    if entry is None:
        return None
    return entry.numbers.get(metric.name) if metric in comparable(report, entry) else None


def _lack(
    check: Check, report: Report, rooms: Sequence[Room], lacking: Sequence[Metric]
) -> tuple[str, str]:
    """What was not estimated and why, and what to do."""
    labels = {metric.name: metric.label for metric in lacking}
    if check.fits and not rooms:
        labels[FITTED] = f"whether it fits {check.target.device}"
    for name, label in labels.items():
        # Whoever tried to estimate it has left a note on why it could not.
        for note in report.notes:
            if note.kind == name:
                return note.text, note.hint
        save = "save it with cnnstat summary MODEL --memory -o FILE.json, or "
        return (
            f"{label} is not in {check.model}",
            f"{save if name == 'peak-memory' else ''}give the model's specification, not a report",
        )
    return "", ""


def _gap(check: Check, report: Report) -> tuple[str, str]:
    """Why operations without a rule keep us from a verdict, and what to do."""
    counts = _uncounted(report)
    gaps = {op: places for op, places in counts.items() if not _allowed(check, op)}
    if not gaps:
        return "", ""
    total = sum(count for places in gaps.values() for count in places.values())
    have = "operation has" if total == 1 else "operations have"
    named = "; ".join(
        f"{op} ×{sum(places.values())} in {_few([path or '(root)' for path in places])}"
        for op, places in list(gaps.items())[:_NAMED]
    )
    more = f" and {len(gaps) - _NAMED} more" if len(gaps) > _NAMED else ""
    listed = ", ".join(f'"{op}"' for op in [*check.uncounted, *gaps])
    return (
        f"{total} {have} no rule, so the numbers are lower bounds: {named}{more}",
        f"give it a rule (cnnstat.counts), or leave it out knowingly: uncounted = [{listed}]",
    )


def _allowed(check: Check, op: str) -> bool:
    """Whether it may stay without a rule: `mylib.fused`, or as torch spells it, `mylib::fused`."""
    return op.replace("::", ".") in {name.replace("::", ".") for name in check.uncounted}


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _uncounted(report: Report) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for item in report.uncounted:
        places = counts.setdefault(item.op, {})
        places[item.layer] = places.get(item.layer, 0) + item.count
    return counts


def _notes(
    check: Check, report: Report, findings: Sequence[Finding], lacking: Sequence[Metric]
) -> Iterator[str]:
    for op, places in _uncounted(report).items():
        if _allowed(check, op):
            yield f"without a rule, as allowed: {op} ×{sum(places.values())}"
    options = [limit.option for limit in check.limits if limit.option]
    options += [check.fits.option] if check.fits and check.fits.option else []
    if check.place is not None and options:
        yield (
            f"{', '.join(options)} of the command line, with the rest of the check {check.name} "
            f"at {check.place}, at level {check.level}"
        )
    for metric in check.metrics:
        if metric.extra and metric not in lacking:
            yield from (note.text for note in report.notes if note.kind == metric.name)
    if check.fits:
        yield from (note.text for note in report.notes if note.kind == FITTED)
    for finding in findings:
        # What is missing from a number may be what brings it near its limit.
        if not (finding.exceeded or finding.at_least):
            limits = (bound.rule for bound in finding.bounds if isinstance(bound.rule, Limit))
            yield from filter(None, (lower(limit, finding.measured) for limit in limits))


# Which layers


def _layers(result: CheckResult, findings: Sequence[Finding]) -> Iterator[str]:
    """Which layers moved; where a metric is exceeded and none did, which are heaviest."""
    moved = [finding for finding in findings if finding.before not in (None, finding.measured)]
    most = max(_NAMED + 1 - len(moved), 1) if result.failed else 1
    for finding in findings:
        if finding in moved:
            yield from largest(result.changes, finding.metric, most)
        elif finding.exceeded and result.report is not None:
            yield from heaviest(result.report, finding.metric, _NAMED)
    yield from story(result.changes)
