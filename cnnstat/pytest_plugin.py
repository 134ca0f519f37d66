"""The pytest plugin: a test that holds a model to a budget.

    @pytest.mark.cnnstat_budget(macs="320 M", params="3.5 M")
    def test_it_stays_small(cnnstat):
        cnnstat.report(Net(), (1, 3, 224, 224))

A model is measured in the process of the test, since what the test hands over lives there: one that ends the
process ends the run of the tests. `cnnstat check` measures each model in a child process.

pytest imports this module in every run of everyone who has cnnstat installed, so whatever takes time is
imported where it is used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnstat.budgets.checking import Measured
    from cnnstat.budgets.limits import Check, Limit
    from cnnstat.devices.device import Device
    from cnnstat.report import Report

FIXTURE = "cnnstat"
"""Name of the fixture."""

MARKER = "cnnstat_budget"
"""Name of the marker."""

_DESCRIPTION = (
    f'{MARKER}(macs="320 M", params="3.5 M", uncounted=["mylib.op"]): hold each '
    f"`{FIXTURE}.report(model, inputs)` of the test to these limits."
)
_TARGET = ("device", "dtype", "runtime")
_WIDTH = 90


class Measuring:
    """The fixture `cnnstat`: measures models and holds them to the budget of the test."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self.held = False
        """Whether a report was held to the budget."""

    def report(
        self,
        model: Any,
        inputs: Any = None,
        *,
        batch: int | None = None,
        train: bool = False,
        backward: bool = False,
        convention: str = "macs",
        engine: str = "auto",
    ) -> Report:
        """What a model costs, as `cnnstat.analyze` says it.

        Raises `AssertionError` where it is over the test's budget, or where nobody can tell.
        """
        __tracebackhide__ = True
        from cnnstat.analysis import analyze
        from cnnstat.errors import CnnstatError

        try:
            report = analyze(
                model,
                inputs,
                batch=batch,
                train=train,
                backward=backward,
                convention=convention,
                engine=engine,
            )
        except CnnstatError as error:
            # It says where in the model; where in cnnstat is of no use to whoever wrote the test.
            raise error.with_traceback(None) from error.__cause__
        # Now, and not when the fixture was made: a test may apply a marker while it runs.
        budget = _budget(self._item, train or backward)
        if budget is None:
            return report
        self.held = True
        try:
            measured = _extended(self._item, budget, report, model, inputs, batch)
        except CnnstatError as error:
            raise error.with_traceback(None) from error.__cause__
        broken = _broken(measured, budget)
        if broken:
            raise AssertionError(broken)
        return measured.report


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, also to `--strict-markers`."""
    config.addinivalue_line("markers", _DESCRIPTION)


@pytest.fixture(name=FIXTURE)
def _measuring(request: pytest.FixtureRequest) -> Measuring:
    """Measure models: `cnnstat.report(model, inputs)`; with a marker, hold them to a budget."""
    _budget(request.node)  # What is wrong with it is an error of the set-up.
    return Measuring(request.node)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a budget that nothing would be held to."""
    if item.get_closest_marker(MARKER) and FIXTURE not in getattr(item, "fixturenames", ()):
        _wrong(f"the test needs the fixture: def {getattr(item, 'originalname', '…')}({FIXTURE})")


# After the test itself, which has passed then.
@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Refuse a budget that nothing was held to."""
    if item.get_closest_marker(MARKER):
        measuring = getattr(item, "funcargs", {}).get(FIXTURE)
        if isinstance(measuring, Measuring) and not measuring.held:
            _wrong(f"the test measured nothing; call {FIXTURE}.report(model, inputs)")


def _budget(item: pytest.Item, trains: bool = False) -> Check | None:
    """The markers of a test, its own before those of its class and module; `None`: it has none."""
    if item.get_closest_marker(MARKER) is None:
        return None
    limits: dict[str, Limit] = {}
    uncounted: list[str] = []
    about: dict[str, Any] = {}
    for mark in item.iter_markers(MARKER):
        given = dict(mark.kwargs)
        uncounted += _operations(given.pop("uncounted", ()))
        about = {n: given.pop(n) for n in (*_TARGET, "fits") if n in given} | about
        if mark.args or not mark.kwargs:
            _wrong('expected limits by name, such as macs="320 M"')
        for limit in _limits(given):
            limits.setdefault(limit.metric.name, limit)
    if not limits and not about.get("fits"):
        _wrong('holds nothing; give it a limit, such as macs="320 M"')
    return _check(item, tuple(limits.values()), uncounted, about, trains)


def _check(
    item: pytest.Item,
    limits: tuple[Limit, ...],
    uncounted: list[str],
    about: dict[str, Any],
    trains: bool,
) -> Check:
    """What the markers say together, if it goes together."""
    from cnnstat.budgets.limits import Check, Fits, Target
    from cnnstat.budgets.target import verify
    from cnnstat.errors import ConfigError

    fits = about.pop("fits", False)
    if not isinstance(fits, bool) and fits != "tight":
        _wrong(f"fits={fits!r:.60}: expected True, or 'tight' where a tight fit passes too")
    for name, given in about.items():
        if not isinstance(given, str) or not given.strip():
            _wrong(f"{name}={given!r:.60}: expected a name")
    check = Check(
        name=item.name,
        model="the model",
        train=trains,
        limits=limits,
        fits=Fits(fits == "tight", option=f"{MARKER} fits") if fits else None,
        target=Target(**about, said={name: name for name in about}),
        uncounted=tuple(dict.fromkeys(uncounted)),
    )
    reason = ""
    try:
        verify(check)
        _devices(item, check)
    except ConfigError as error:
        reason = f"{error.message} ({error.hint})"
    if reason:
        _wrong(reason)
    return check


def _devices(item: pytest.Item, check: Check) -> dict[str, Device]:
    """The device of a budget by its name, built in or of the project's configuration."""
    if not check.target.device:
        return {}
    from cnnstat.devices.catalogue import all_devices
    from cnnstat.devices.target import devices_of

    return devices_of([check], all_devices(folder=item.config.rootpath))


def _extended(
    item: pytest.Item, check: Check, report: Report, model: Any, inputs: Any, batch: int | None
) -> Measured:
    """The report with what the budget needs beside the counts."""
    from cnnstat.budgets.checking import Measured
    from cnnstat.budgets.target import estimates

    if not estimates(check):
        return Measured(report)
    from cnnstat.analysis import prepare
    from cnnstat.extras import extended

    device = _devices(item, check).get(check.target.device)
    return extended(check, report, device, lambda: prepare(model, inputs, batch))


def _limits(given: dict[str, Any]) -> Iterator[Limit]:
    from cnnstat.budgets.limits import Limit

    for name, value in given.items():
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        reason = ""
        try:
            yield Limit.of(name, number, option=f"{MARKER} {name}")
        except ValueError as error:
            reason = str(error)
        if reason:
            _wrong(f"{name}: {reason}")


def _operations(given: Any) -> list[str]:
    listed = isinstance(given, list | tuple | set | frozenset)
    if not listed or not all(isinstance(name, str) for name in given):
        _wrong(f'uncounted={given!r:.60}: expected a list of names such as ["mylib.op"]')
    return list(given)


def _wrong(reason: str) -> NoReturn:
    pytest.fail(f"{MARKER}: {reason}", pytrace=False)


def _broken(measured: Measured, budget: Check) -> str:
    """What is over the budget, by how much and in which layers; `""`: nothing is."""
    from cnnstat.budgets.budget import evaluate_check
    from cnnstat.budgets.outcome import Outcome
    from cnnstat.render.base import View, renderer
    from cnnstat.render.check import check_document
    from cnnstat.render.document import Document, Figure, Text
    from cnnstat.render.table import visible

    report = measured.report
    check = replace(budget, model=str(report.subject.get("spec") or report.name))
    result = evaluate_check(check, report, rooms=measured.rooms, floors=measured.floors)
    if not result.failed:
        return ""
    whole = check_document(Outcome(results=(result,)), _WIDTH)
    figures = (Figure(block.table) for block in whole.blocks if isinstance(block, Figure))
    layers = (Text(visible(line)) for line in (*result.movement, *result.notes))
    details = Document(
        title=(visible(result.check.model),),
        circumstances=whole.circumstances,
        blocks=(*figures, *layers),
    )
    # What is wrong stands first: of a failed test pytest's summary shows the first line alone.
    lines = [*map(visible, result.why), "", renderer("table").draw(details, View(width=_WIDTH))]
    return "\n".join(lines).rstrip()
