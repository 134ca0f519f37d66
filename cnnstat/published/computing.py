"""Filling a table: each network is measured once, each cost cell gets its number or its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from cnnstat.errors import CnnstatError
from cnnstat.published.printed import Printed, as_printed
from cnnstat.published.quantities import check_parts, exact_counts, measured, whole
from cnnstat.published.tables import COSTS, CellRule, Network, PublishedTable, Row
from cnnstat.report import Report

Measure = Callable[[str, tuple[int, ...] | None], Report]
"""Makes the report of a specification and an input, or raises a `CnnstatError`."""

NOT_YET = "not computed yet"
UNEXPLAINED = "differs by more than the printed rounding; the reason is not known"

_PLACES = Decimal("1e-12")


@dataclass(frozen=True, slots=True)
class CostCell:
    """A cost in a table."""

    row: int
    """Number of its row, from 1."""
    column: str
    """Key of its column."""
    published: Printed | None
    """What the source prints; `None`: nothing, or no number."""
    computed: Decimal | None = None
    """What the convention gives, in the column's unit; `None`: not computed."""
    shown: Decimal | None = None
    """The same with as many digits as are printed."""
    exact: int | None = None
    """The same as a whole number, before unit and rounding; `None` for ratios and shares too."""
    within: bool | None = None
    """Whether it would be printed like the published one; `None`: nothing to compare."""
    reason: str = ""
    """Why it is not computed."""
    notes: tuple[int, ...] = ()
    """Numbers of its footnotes, from 1."""

    @property
    def difference(self) -> Decimal | None:
        """What is shown less what is printed; 0 within the rounding."""
        if self.published is None or self.shown is None:
            return None
        return Decimal(0) if self.within else self.published.difference(self.shown)


@dataclass(frozen=True, slots=True)
class FilledTable:
    """A table with what was computed."""

    table: PublishedTable
    """What was published."""
    cells: dict[tuple[int, str], CostCell]
    """Cost cells by row, from 1, and column."""
    exact: tuple[dict[str, int] | None, ...]
    """Whole numbers for each row that names a network."""
    footnotes: tuple[str, ...]
    """Their texts in the order of their numbers."""

    @property
    def owed(self) -> tuple[CostCell, ...]:
        """The cells that must have a number or a reason: none in a table of another kind."""
        if self.table.text("kind") not in COSTS:
            return ()
        return tuple(self.cells.values())


class Measured:
    """Reports of networks, each made once."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._reports: dict[tuple[str, tuple[int, ...] | None], Report | CnnstatError] = {}

    def report(self, network: Network) -> Report:
        """The report of a row's network. Raises what measuring it raised."""
        key = (network.spec, network.input)
        if key not in self._reports:
            try:
                self._reports[key] = self._measure(*key)
            except CnnstatError as error:
                self._reports[key] = error
        found = self._reports[key]
        if isinstance(found, CnnstatError):
            raise found
        return found


def fill(table: PublishedTable, reports: Measured) -> FilledTable:
    """The table with its cost cells. Networks that are not installed become reasons."""
    columns = (*table.costs, *(rule.column for rule in table.computed_only))
    texts: list[str] = []
    cells: dict[tuple[int, str], CostCell] = {}
    for number, row in enumerate(table.rows, 1):
        for column in columns:
            cell = _cell(table, number, row, column, reports)
            if cell is not None:
                cells[number, column] = _noted(table, cell, texts)
    return FilledTable(
        table, cells, tuple(_exact(row, reports) for row in table.rows), tuple(texts)
    )


def _cell(
    table: PublishedTable, number: int, row: Row, column: str, reports: Measured
) -> CostCell | None:
    rule = table.rule(number, column)
    value = row.published.get(column)
    printed = Printed.of(value, rule.step if rule else None)
    if rule is None or rule.why_not or row.why_not:
        if value in (None, ""):
            return None
        reason = (rule.why_not if rule else "") or row.why_not or NOT_YET
        return CostCell(number, column, printed, reason=reason)
    network = row.networks.get(rule.of)
    if network is None:
        return None if value in (None, "") else CostCell(number, column, printed, reason=NOT_YET)
    try:
        reports.report(network)
    except CnnstatError as error:
        return CostCell(number, column, printed, reason=error.message)
    computed, exact = _computed(table, number, network, rule, reports)
    step = rule.step or (printed.step if printed else Decimal(1))
    return CostCell(
        number,
        column,
        printed,
        computed=computed,
        shown=as_printed(computed, step, _rounding(rule, printed, computed)),
        exact=exact,
        within=printed.agrees(computed, rule.rounding) if printed else None,
    )


def _rounding(rule: CellRule, printed: Printed | None, computed: Decimal) -> str:
    """How the number is shown: of the two ways the one that gives the printed digits."""
    if rule.rounding == "either" and printed and printed.agrees(computed, "cut"):
        return "nearest" if printed.agrees(computed, "nearest") else "cut"
    return "nearest" if rule.rounding == "either" else rule.rounding


def _computed(
    table: PublishedTable, number: int, network: Network, rule: CellRule, reports: Measured
) -> tuple[Decimal, int | None]:
    """The value in the column's unit, and the whole number behind it where there is one."""
    report = reports.report(network)
    check_parts(report, network, f"{table.id}.toml: rows {number}")
    count = measured(report, network, rule)
    if rule.share:
        return _ratio(100 * count, whole(report, rule)), None
    if rule.over:
        other = table.rows[rule.over - 1].networks[rule.of]
        return _ratio(measured(reports.report(other), other, rule), count), None
    return Decimal(count) / rule.unit, count


def _ratio(part: int, other: int) -> Decimal:
    return (Decimal(part) / other).quantize(_PLACES) if other else Decimal(0)


def _noted(table: PublishedTable, cell: CostCell, texts: list[str]) -> CostCell:
    """The cell with the numbers of its footnotes, which are given out in reading order."""
    wanted = [note.text for note in table.footnotes if note.at(cell.row, cell.column)]
    if cell.reason:
        wanted = [cell.reason if cell.reason == NOT_YET else f"not computed: {cell.reason}"]
    elif not wanted and cell.within is not None:
        wanted = _said_by(cell, table)
    for text in wanted:
        if text not in texts:
            texts.append(text)
    return replace(cell, notes=tuple(texts.index(text) + 1 for text in wanted))


def _said_by(cell: CostCell, table: PublishedTable) -> list[str]:
    """What there is to say where nobody wrote a footnote: how the digits became those in print."""
    if not cell.within:
        return [UNEXPLAINED]
    rule = table.rule(cell.row, cell.column)
    plain = Printed.of(table.rows[cell.row - 1].published.get(cell.column))
    if rule is None or plain is None or cell.computed is None:
        return []
    if plain.agrees(cell.computed, "nearest"):
        return []
    if rule.step is None:
        return ["cut, not rounded, to the printed digits"]
    return [f"printed in steps of {rule.step:,f}"]


def _exact(row: Row, reports: Measured) -> dict[str, int] | None:
    network = row.networks.get("") or next(iter(row.networks.values()), None)
    if network is None:
        return None
    try:
        report = reports.report(network)
    except CnnstatError:
        return None
    return exact_counts(report, network)
