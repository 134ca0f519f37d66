"""Checks are measured, held against the baseline, and the baseline is updated. Whoever calls measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cnnstat.budgets.baseline import Baseline, Entry, read_baseline
from cnnstat.budgets.budget import CheckResult, cannot_tell, evaluate_check
from cnnstat.budgets.config import Config
from cnnstat.budgets.limits import Check, Growth
from cnnstat.budgets.locking import locked
from cnnstat.budgets.outcome import Outcome, Update
from cnnstat.budgets.target import Room
from cnnstat.devices.device import Device
from cnnstat.errors import CnnstatError, ConfigError
from cnnstat.render.base import check_writable, clear_leftovers, write
from cnnstat.report import Report


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a check's model."""

    report: Report
    """What it costs, with what was estimated beside."""
    rooms: tuple[Room, ...] = ()
    """What it needs on the device that it must fit."""
    floors: Mapping[str, int] = field(default_factory=dict)
    """What is not known, but is at least this: by the name of the metric."""


Measure = Callable[[Check], Measured]
"""Measures the model of a check, or raises a `CnnstatError`."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be checked."""

    checks: tuple[Check, ...]
    """In this order."""
    config: Config | None = None
    """Where they come from; `None`: from the command line."""
    all: bool = False
    """Whether these are all checks of the configuration."""
    devices: Mapping[str, Device] = field(default_factory=dict)
    """Those that the checks name, by that name."""


def hold(order: Order, measure: Measure, strict: bool = False, exit_zero: bool = False) -> Outcome:
    """Measure each check and hold it against its limits and the baseline. Raises `ConfigError`."""
    old = _baseline(order)
    results = tuple(_result(check, measure, old) for check in order.checks)
    return _outcome(order, results, old, strict, exit_zero)


def update(
    order: Order,
    measure: Measure,
    strict: bool = False,
    exit_zero: bool = False,
    *,
    allow_increase: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """The same, and then write what was measured as the baseline.

    Nothing is written where a number would rise, unless that is allowed, nor where a check cannot be
    told. What is accepted by writing it is no longer held against the limits of growth. Several may do
    this at once: each holds what it measured against the file as the others have left it; `tell` is told
    where one waits for another.
    """
    if order.config is None or any(check.place is None for check in order.checks):
        raise ConfigError(
            "--update: only checks of a configuration have a baseline",
            hint="write the check into [[tool.cnnstat.check]] of pyproject.toml",
        )
    path, shown = order.config.baseline, order.config.baseline_shown
    check_writable(path)
    first = _baseline(order) or Baseline()
    again = _once(measure)
    for check in order.checks:  # before the lock: it may take minutes
        _result(check, again, first, updating=True)
    with locked(path, shown, tell):
        old = _baseline(order) or Baseline()
        results = tuple(_result(check, again, old, updating=True) for check in order.checks)
        new, done = _updated(order, results, first, old, allow_increase)
        if done.fate == "written":
            clear_leftovers(path)
            write({path: new.text()})
            results = tuple(_accepted(result) for result in results)
    return _outcome(order, results, old, strict, exit_zero, done)


def _once(measure: Measure) -> Measure:
    """Measures each check the first time, and answers the same from then on."""
    known: dict[str, Measured | BaseException] = {}

    def measured(check: Check) -> Measured:
        if check.name not in known:
            try:
                known[check.name] = measure(check)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # as a model's code may raise
                known[check.name] = error
        found = known[check.name]
        if isinstance(found, BaseException):
            raise found
        return found

    return measured


def _baseline(order: Order) -> Baseline | None:
    config = order.config
    return read_baseline(config.baseline, config.baseline_shown) if config else None


def _result(
    check: Check, measure: Measure, baseline: Baseline | None, *, updating: bool = False
) -> CheckResult:
    entry = baseline.entries.get(check.name) if baseline and check.place else None
    if check.level == "off":
        return CheckResult(check=check, entry=entry)
    try:
        measured = measure(check)
        report, rooms, floors = measured.report, measured.rooms, measured.floors
        return evaluate_check(check, report, entry, rooms, floors, updating=updating)
    except CnnstatError as error:
        return cannot_tell(check, error.message.rstrip("."), error.hint, entry)
    except SystemExit as error:
        return cannot_tell(check, f"the model's code ended the program: sys.exit({error.code!r})")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # pytest.skip and its like are no Exception
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return cannot_tell(check, f"the model's code raised {told}", entry=entry)


def _accepted(result: CheckResult) -> CheckResult:
    """The result without what only the old baseline forbade."""
    findings = (
        replace(finding, bounds=tuple(b for b in finding.bounds if not isinstance(b.rule, Growth)))
        for finding in result.findings
    )
    return replace(result, findings=tuple(findings))


def _updated(
    order: Order,
    results: tuple[CheckResult, ...],
    first: Baseline,
    old: Baseline,
    allow_increase: bool,
) -> tuple[Baseline, Update]:
    """The baseline as it would be, and what becomes of it; `first` is what it was before measuring."""
    assert order.config is not None  # `update` looked.
    if any(result.status == "unknown" for result in results):
        return old, Update(fate="impossible")
    names = {check.name for check in order.config.checks}
    # What has come since is of a check that another process knows, and this one's configuration does not.
    gone = first.entries.keys() - names if order.all else frozenset()
    entries = {name: entry for name, entry in old.entries.items() if name not in gone}
    dropped = tuple(name for name in old.entries if name not in entries)
    for result in results:
        if result.report is not None:
            entries[result.name] = Entry.of(result.report, result.check.metrics)
    new = Baseline(entries)
    done = Update(
        fate="written",
        changes=tuple(old.changes(new)),
        added=tuple(name for name in entries if name not in old.entries),
        dropped=dropped,
    )
    if done.rises and not allow_increase:
        return old, replace(done, fate="refused")
    if order.config.baseline.exists() and new.text() == old.text():
        return old, replace(done, fate="unchanged")
    return new, done


def _outcome(
    order: Order,
    results: tuple[CheckResult, ...],
    old: Baseline | None,
    strict: bool,
    exit_zero: bool,
    done: Update | None = None,
) -> Outcome:
    config = order.config
    named = {check.name for check in config.checks} if config else set()
    # Where growth could not be held, the result says so itself.
    measured = [r for r in results if r.report is not None and not (r.unheld or r.reason)]
    return Outcome(
        results=results,
        strict=strict,
        exit_zero=exit_zero,
        config=config.shown if config else "",
        baseline=config.baseline_shown if config else "",
        missing=tuple(r.name for r in measured if r.check.place is not None and r.entry is None),
        vanished=tuple(name for name in (old.entries if old else ()) if name not in named),
        update=done,
    )
