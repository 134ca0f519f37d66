"""The pytest plugin: a test that holds a model to a budget.

    @pytest.mark.cnnstat_budget(macs="320 M", params="3.5 M")
    def test_it_stays_small(cnnstat):
        cnnstat.report(Net(), (1, 3, 224, 224))

pytest imports this module in every run of everyone who has cnnstat installed, so whatever takes time is
imported where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnstat.budgets.limits import Limit
    from cnnstat.report import Report

FIXTURE = "cnnstat"
"""Name of the fixture."""

MARKER = "cnnstat_budget"
"""Name of the marker."""

_DESCRIPTION = (
    f'{MARKER}(macs="320 M", params="3.5 M", uncounted=["mylib.op"]): hold each '
    f"`{FIXTURE}.report(model, inputs)` of the test to these limits."
)
_WIDTH = 90


@dataclass(frozen=True, slots=True)
class Budget:
    """What the markers of a test say together."""

    limits: tuple[Limit, ...]
    """What may not be exceeded."""
    uncounted: tuple[str, ...] = ()
    """Names of operations that may stay without a rule."""


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
        budget = _budget(self._item)
        if budget is not None:
            self.held = True
            broken = _broken(report, budget, self._item.name)
            if broken:
                raise AssertionError(broken)
        return report


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


def _budget(item: pytest.Item) -> Budget | None:
    """The markers of a test, its own before those of its class and module; `None`: it has none."""
    if item.get_closest_marker(MARKER) is None:
        return None
    limits: dict[str, Limit] = {}
    uncounted: list[str] = []
    for mark in item.iter_markers(MARKER):
        given = dict(mark.kwargs)
        uncounted += _operations(given.pop("uncounted", ()))
        if mark.args or not (given or "uncounted" in mark.kwargs):
            _wrong('expected limits by name, such as macs="320 M"')
        for limit in _limits(given):
            limits.setdefault(limit.metric.name, limit)
    if not limits:
        _wrong('holds nothing; give it a limit, such as macs="320 M"')
    return Budget(tuple(limits.values()), tuple(dict.fromkeys(uncounted)))


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


def _broken(report: Report, budget: Budget, name: str) -> str:
    """What is over the budget, by how much and in which layers; `""`: nothing is."""
    from cnnstat.budgets.budget import evaluate
    from cnnstat.budgets.outcome import Outcome
    from cnnstat.render.base import View, renderer
    from cnnstat.render.check import check_document
    from cnnstat.render.document import Document, Figure, Text
    from cnnstat.render.table import visible

    result = evaluate(report, budget.limits, uncounted=budget.uncounted, name=name)
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
