"""What came of several checks: their results, the baseline's fate, the exit code and the last line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cnnstat.budgets.baseline import Rise
from cnnstat.budgets.budget import CheckResult
from cnnstat.budgets.limits import Fits, Growth, Level

PASSED, EXCEEDED, UNKNOWN = 0, 1, 2
"""Exit codes: all hold, a budget is exceeded, nobody can tell."""

Status = Literal["passed", "exceeded", "unknown"]
Fate = Literal["written", "unchanged", "refused", "impossible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What became of the baseline when it was to be updated."""

    fate: Fate
    """Written, the same already, refused because a number would rise, impossible to tell."""
    changes: tuple[Rise, ...] = ()
    """The numbers that differ."""
    added: tuple[str, ...] = ()
    """Checks that were not in it."""
    dropped: tuple[str, ...] = ()
    """Checks that no longer exist."""

    @property
    def rises(self) -> tuple[Rise, ...]:
        """The numbers that would go up."""
        return tuple(change for change in self.changes if change.after > change.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The results of all checks."""

    results: tuple[CheckResult, ...]
    """One for each check, in order."""
    strict: bool = False
    """Whether a warning counts as an error."""
    exit_zero: bool = False
    """Whether an exceeded budget is reported without failing."""
    config: str = ""
    """The configuration's file; `""`: there is none."""
    baseline: str = ""
    """The baseline's file; `""`: there is none to look at."""
    missing: tuple[str, ...] = ()
    """Checks that are not in the baseline."""
    vanished: tuple[str, ...] = ()
    """Checks of the baseline that no longer exist."""
    update: Update | None = None
    """What became of the baseline; `None`: nothing was to."""

    def level(self, result: CheckResult) -> Level:
        """As what a result counts here."""
        return "error" if self.strict and result.level == "warn" else result.level

    @property
    def status(self) -> Status:
        """What the checks at level error say together."""
        states = {r.status for r in self.results if self.level(r) == "error"}
        return (
            "unknown" if "unknown" in states else "exceeded" if "exceeded" in states else "passed"
        )

    @property
    def code(self) -> int:
        """The exit code."""
        fate = self.update.fate if self.update else ""
        if self.status == "unknown" or fate == "impossible":
            return UNKNOWN
        if fate == "refused":
            return EXCEEDED
        return EXCEEDED if self.status == "exceeded" and not self.exit_zero else PASSED

    @property
    def warned(self) -> tuple[CheckResult, ...]:
        """Results that did not pass and that fail nothing."""
        return tuple(r for r in self.results if r.failed and self.level(r) == "warn")

    def failed(self, status: str) -> tuple[CheckResult, ...]:
        """Results at level error with a status."""
        return tuple(r for r in self.results if r.status == status and self.level(r) == "error")

    def notes(self) -> Iterator[str]:
        """What is to be known of the baseline, a sentence each."""
        if self.missing and (self.update is None or self.update.fate != "written"):
            yield (
                f"no baseline for {_few(self.missing)}; run `cnnstat check --update` "
                "and commit the file"
            )
        if self.vanished and self.update is None:
            yield (
                f"gone: the baseline has {_few(self.vanished)}, and no check is called that any more; "
                "`cnnstat check --update` drops it"
            )
        if self.update is not None:
            yield from self._updated(self.update)

    def _updated(self, update: Update) -> Iterator[str]:
        if update.fate == "written":
            yield from (change.describe() for change in update.changes)
            yield from (f"{name}: new in the baseline" for name in update.added)
            yield from (f"{name}: dropped from the baseline" for name in update.dropped)
            yield f"wrote {self.baseline}; commit it"
        elif update.fate == "unchanged":
            yield f"{self.baseline} is up to date"
        elif update.fate == "impossible":
            unknown = _few([r.name for r in self.results if r.status == "unknown"])
            yield f"{self.baseline} was not written: {unknown} cannot be told"
        else:
            yield from (f"would rise: {change.describe()}" for change in update.rises)
            yield (
                f"{self.baseline} was not written, because it would rise; "
                "accept that with `cnnstat check --update --allow-increase`"
            )

    def verdict(self) -> str:
        """The last line: how many of how many, which, and what to do."""
        held = [result for result in self.results if result.status != "off"]
        parts = []
        exceeded, unknown = self.failed("exceeded"), self.failed("unknown")
        if exceeded:
            parts.append(f"{len(exceeded)} of {_checks(len(held))} failed: {_named(exceeded)}")
        if unknown:
            parts.append(
                f"{len(unknown)} of {_checks(len(held))} cannot be told: {_named(unknown)}"
            )
        if not parts:
            passed = len(held) - len(self.warned)
            parts.append(f"{_checks(passed)} passed" if passed or not self.warned else "no failure")
        if self.warned:
            parts.append(f"{_count(len(self.warned), 'warning')}: {_named(self.warned)}")
        unheld = [result.name for result in self.results if result.unheld]
        if unheld:
            parts.append(f"growth is not held for {_few(unheld)}, which the baseline does not know")
        off = len(self.results) - len(held)
        if off:
            parts.append(f"{off} off")
        if self.update is not None and self.update.fate in ("refused", "impossible"):
            parts.append("the baseline was not written")
        advice = _advice(exceeded) if exceeded and not unknown else ""
        return "; ".join(parts) + "." + (f" {advice}" if advice else "")


def _checks(count: int) -> str:
    return _count(count, "check")


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _named(results: tuple[CheckResult, ...]) -> str:
    """`mobile params, MACs and FLOPs, tiny`; `mobile (params exceeded)` where another cannot be told."""
    texts = []
    for result in results:
        labels = _and([finding.metric.label for finding in result.exceeded])
        told = labels if result.status == "exceeded" else labels and f"({labels} exceeded)"
        texts.append(f"{result.name} {told}".rstrip())
    return _few(texts)


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _few(names: tuple[str, ...] | list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _advice(exceeded: tuple[CheckResult, ...]) -> str:
    broken = [bound.rule for result in exceeded for f in result.exceeded for bound in f.broken]
    rule = next((rule for rule in broken if not isinstance(rule, Growth)), None)
    if isinstance(rule, Fits):
        return "Shrink the model, or choose another device or dtype."
    if rule is None:
        return (
            "Shrink the model, or accept it with `cnnstat check --update --allow-increase` "
            "and commit the file."
        )
    if rule.place is None:
        return f"Raise {rule.rule}, or shrink the model." if rule.option else ""
    return f"Raise `{rule.rule}` at {rule.place}, or shrink the model."
