"""What a report has in common with the baseline: whether growth can be held, and what else has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cnnstat.budgets.baseline import Entry, circumstances_of
from cnnstat.budgets.limits import METRICS, Check, Growth, Metric
from cnnstat.report import Report

UPDATE = "run `cnnstat check --update` and commit the file"
"""What writes an entry."""


def comparable(report: Report, entry: Entry) -> tuple[Metric, ...]:
    """What the baseline has that means the same now: what two conventions quote does not."""
    now = circumstances_of(report)
    return tuple(metric for metric in entry.metrics if not entry.differs(now, metric))


def unheld(
    check: Check, report: Report, entry: Entry | None, exceeded: Sequence[Metric]
) -> dict[str, str]:
    """Why the baseline says nothing of a rule of growth, by the rule: `{"growth.macs": "…"}`."""
    known = (rule for rule in check.growth if rule.metric.known(report))
    found = ((rule.rule, _unheld(check.name, rule, report, entry, exceeded)) for rule in known)
    return {rule: reason for rule, reason in found if reason}


def _unheld(
    name: str, rule: Growth, report: Report, entry: Entry | None, exceeded: Sequence[Metric]
) -> str:
    metric, now = rule.metric, circumstances_of(report)
    if entry is None:
        return f"the baseline has no entry for {name}"
    if metric.name not in entry.numbers:
        return f"the baseline of {name} has no {metric.label}"
    other = entry.differs(now, metric)
    if other:
        return (
            f"the baseline of {name} has {metric.label} of another {other}, "
            f"{entry.circumstances[other]}, which cannot be compared with {now.get(other, 'none')}"
        )
    then = {what: entry.circumstances.get(what) for what in metric.moved_by}
    moved = next((what for what, before in then.items() if before not in (None, now.get(what))), "")
    if moved and metric not in exceeded:
        change = f"{then[moved]} → {now.get(moved, 'none')}"
        return f"the baseline of {name} has another {moved}, {change}, which may hide growth"
    return ""


def told(reasons: Mapping[str, str]) -> str:
    """`growth.params and growth.macs cannot be held: the baseline has no entry for net`."""
    rules: dict[str, list[str]] = {}
    for rule, reason in reasons.items():
        rules.setdefault(reason, []).append(rule)
    return "; ".join(f"{_and(names)} cannot be held: {why}" for why, names in rules.items())


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def changes(check: Check, report: Report, entry: Entry, moved: bool) -> Iterator[str]:
    """What is another than when the baseline was made, as the likely cause where a number moved.

    `moved` says whether any layer did.
    """
    now = Entry.of(report, check.metrics)
    differ = [
        METRICS[name]
        for name, before in entry.numbers.items()
        if now.numbers.get(name, before) != before
    ]
    movers = {what for metric in differ for what in (*metric.within, *metric.moved_by)}
    versions = {}
    if moved or set(differ) & set(comparable(report, entry)):
        movers |= {"model", "engine"}
        versions = {
            package: (entry.made_by[package], version)
            for package, version in now.made_by.items()
            if entry.made_by.get(package, version) != version
        }
    changed = _changed(entry, now.circumstances)
    causes = {what: pair for what, pair in changed.items() if what in movers} | versions
    for what, (before, after) in changed.items():
        if what not in causes:
            yield f"{what} is {after}, and was {before} when the baseline was made"
    if causes:
        named = ", ".join(f"{what} {before} → {after}" for what, (before, after) in causes.items())
        end = "" if "model" in causes else ", where the model itself did not change"
        yield f"{named} since the baseline: the likely cause{end}"


def _changed(entry: Entry, now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The circumstances that both have, and that differ: before and now."""
    then = entry.circumstances
    return {what: (then[what], text) for what, text in now.items() if then.get(what, text) != text}
