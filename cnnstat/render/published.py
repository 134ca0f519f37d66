"""Published tables as documents: the paper's columns, computed ones beside each cost, and the reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cnnstat.published.computing import CostCell, FilledTable
from cnnstat.published.printed import SUFFIXES, as_printed, text_of
from cnnstat.published.tables import Network, PublishedTable, TableColumn
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.units import grouped

SCHEMA = 1
"""Version of the JSON form."""

_UNVERIFIED = "?"
_NONE = "–"
_WIDE = 14
_EXACT = ("macs", "params", "conv_macs", "weights")
_MARKS = {"conv_macs": "conv MACs", "macs": "MACs"}


def list_document(tables: Sequence[PublishedTable]) -> Document:
    """What there is: id, year, rows, title and paper."""
    columns = (
        Column(key="id", title="id"),
        Column(key="year", title="year", numeric=True, priority=20),
        Column(key="rows", title="rows", numeric=True, priority=10),
        Column(key="title", title="title, paper", prose=True),
    )
    lines = tuple(
        Line(cells=(t.id, t.text("year"), str(len(t.rows)), f"{t.text('title')} · {_source(t)}"))
        for t in tables
    )
    records = tuple(
        {
            "id": table.id,
            "title": table.text("title"),
            "paper": table.text("paper"),
            "table": table.text("table_no"),
            "year": table.about["year"],
            "kind": table.text("kind"),
            "rows": len(table.rows),
        }
        for table in tables
    )
    return Document(
        title=("published tables",),
        circumstances=(f"{len(tables)} tables",),
        blocks=(Figure(Table(columns=columns, lines=lines), key="tables"),),
        data={"schema": SCHEMA, "tables": list(records)},
        records=records,
    )


def table_document(filled: FilledTable, exact: bool = False) -> Document:
    """One table."""
    table = filled.table
    return Document(
        title=(visible(table.text("title")),),
        circumstances=(table.id,),
        blocks=tuple(_blocks(filled, exact)),
        data={"schema": SCHEMA, **_data(filled)},
        records=tuple(_records(filled)),
    )


def tables_document(filled: Sequence[FilledTable], title: str, exact: bool = False) -> Document:
    """Several tables, one after the other."""
    blocks: list[Text | Figure] = []
    for one in filled:
        blocks += _blocks(one, exact, title=f"{one.table.text('title')} · {one.table.id}")
    return Document(
        title=(title,),
        circumstances=(f"{len(filled)} tables",),
        blocks=tuple(blocks),
        data={"schema": SCHEMA, "tables": [_data(one) for one in filled]},
        records=tuple(record for one in filled for record in _records(one)),
    )


def _source(table: PublishedTable) -> str:
    where = f", {table.text('table_no')}" if table.text("table_no") else ""
    paper, year = table.text("paper"), f" ({table.text('year')})"
    return visible(f"{paper}{'' if paper.endswith(year) else year}{where}")


def _blocks(filled: FilledTable, exact: bool, title: str = "") -> Iterator[Text | Figure]:
    table = filled.table
    yield Figure(_table(filled, exact), title=visible(title), tells=True, key=table.id)
    yield Text(_source(table), "quiet")
    units = [text for column in table.columns if (text := _legend(filled, column))]
    if units:
        yield Text("; ".join(units), "quiet")
    if any(not row.verified(c.key) for row in table.rows for c in table.columns):
        yield Text(
            f"{_UNVERIFIED} published figure not verified: from memory, or read off a chart",
            "quiet",
        )
    if any(cell.shown is None for cell in filled.cells.values()):
        yield Text(f"{_NONE} not computed: the footnote says why", "quiet")
    for number, text in enumerate(filled.footnotes, 1):
        yield Text(f"[{number}] {visible(text)}")
    if table.text("convention"):
        yield Text(f"convention: {visible(table.text('convention'))}", "quiet")
    for note in table.about.get("notes", ()):
        yield Text(f"note: {visible(note)}", "quiet")


def _table(filled: FilledTable, exact: bool) -> Table:
    """What is passed through leaves first, then differences, then costs with their counts but the first."""
    table = filled.table
    columns: list[Column] = []
    texts: list[list[str]] = []

    def add(column: Column, cells: list[str]) -> None:
        # The first names the rows.
        named = Column(key=column.key, title=column.title, elastic=True)
        columns.append(column if columns else named)
        texts.append(cells)

    def count(key: str, title: str, cells: list[str], late: int) -> None:
        add(Column(key=key, title=title, numeric=True, late=late), cells)

    numbers = range(1, len(table.rows) + 1)
    late = 0
    # Exact counts were asked for, so that other costs than the first leave before them.
    step = len(_EXACT) if exact else 0
    for place, column in enumerate(table.columns):
        key, title = column.key, _title(filled, column)
        shown = [_published(table, n, key) for n in numbers]
        cells = [filled.cells.get((n, key)) for n in numbers]
        numeric = _numeric(table, key)
        if not any(cells):
            add(Column(key=key, title=title, numeric=numeric, priority=50 - place), shown)
            continue
        add(Column(key=key, title=title, numeric=numeric, late=late), shown)
        count(f"{key}:computed", "counted", [_computed(cell) for cell in cells], late)
        differences = [_difference(cell) for cell in cells]
        key = f"{key}:difference"
        add(Column(key=key, title="Δ", numeric=True, priority=90 - place, late=late), differences)
        late = (late or step) + 1
    for rule in table.computed_only:
        cells = [filled.cells.get((n, rule.column)) for n in numbers]
        count(rule.column, rule.label, [_computed(cell) for cell in cells], late)
        late = (late or step) + 1
    for place, name in enumerate(_EXACT if exact else (), 1):
        counts = [one[name] if one else None for one in filled.exact]
        found = ["" if number is None else grouped(number) for number in counts]
        count(f"exact:{name}", _MARKS.get(name, name), found, place)
    lines = (Line(cells=cells) for cells in zip(*texts, strict=True))
    return Table(columns=tuple(columns), lines=tuple(lines))


def _title(filled: FilledTable, column: TableColumn) -> str:
    """The label, or where it is wider than figures are the key, which the legend explains."""
    table = filled.table
    twice = sum(other.label == column.label for other in table.columns) > 1
    wide = twice or (len(column.label) > _WIDE and len(column.key) < len(column.label))
    figures = _numeric(table, column.key) or column.key in table.costs
    return visible(column.key if wide and figures else column.label)


def _legend(filled: FilledTable, column: TableColumn) -> str:
    title, label = _title(filled, column), visible(column.label)
    unit = "" if column.unit in ("times", "as item", "count") else visible(column.unit)
    if title != label:
        return f"{title}: {label}" + (f", {unit}" if unit else "")
    return f"{label} in {unit}" if unit else ""


def _numeric(table: PublishedTable, key: str) -> bool:
    values = [row.published[key] for row in table.rows if key in row.published]
    return bool(values) and all(isinstance(value, int | Decimal) for value in values)


def _published(table: PublishedTable, number: int, key: str) -> str:
    row = table.rows[number - 1]
    rule, value = table.rule(number, key), row.published.get(key)
    if rule and rule.step and rule.step < 1 and isinstance(value, int | Decimal):
        value = as_printed(Decimal(value), rule.step, "nearest")  # 7.6 where the paper has 7.60
    text = visible(text_of(value))
    # What a row is called is no figure; all else of an unverified row is.
    named = key == table.columns[0].key and isinstance(row.published.get(key), str)
    return text + _UNVERIFIED if text and not named and not row.verified(key) else text


def _computed(cell: CostCell | None) -> str:
    """The number, or a dash; the footnotes beside it."""
    if cell is None:
        return ""
    number = _NONE if cell.shown is None else _like(cell, cell.shown, "")
    return " ".join([number, *(f"[{n}]" for n in cell.notes)])


def _difference(cell: CostCell | None) -> str:
    if cell is None or cell.difference is None:
        return ""
    return _like(cell, cell.difference, "+") if cell.difference else "0"


def _like(cell: CostCell, number: Decimal, sign: str) -> str:
    """The number in the unit of the printed one: `235K` beside `235K`."""
    suffix = cell.published.suffix if cell.published else ""
    scaled = number / 10 ** SUFFIXES[suffix] if suffix else number
    return f"{scaled:{sign},f}{suffix}"


# ---- as data


def _data(filled: FilledTable) -> dict[str, Any]:
    table = filled.table
    return {
        "id": table.id,
        **{key: _plain(table.about[key]) for key in table.about if key != "id"},
        "columns": [
            {
                "key": column.key,
                "label": column.label,
                "unit": column.unit,
                "cost": column.key in table.costs,
                "published": True,
            }
            for column in table.columns
        ]
        + [
            {"key": rule.column, "label": rule.label, "unit": "", "cost": True, "published": False}
            for rule in table.computed_only
        ],
        "rows": [_row(filled, number) for number in range(1, len(table.rows) + 1)],
        "footnotes": list(filled.footnotes),
    }


def _row(filled: FilledTable, number: int) -> dict[str, Any]:
    row = filled.table.rows[number - 1]
    cells = [cell for (n, _), cell in filled.cells.items() if n == number]
    own = row.networks.get("") or next(iter(row.networks.values()), None)
    return {
        "published": {key: _plain(value) for key, value in row.published.items()},
        "computed": {c.column: _plain(c.computed) for c in cells if c.computed is not None},
        "rounded": {c.column: _plain(c.shown) for c in cells if c.shown is not None},
        "exact": filled.exact[number - 1],
        "spec": own.spec if own else None,
        "input": list(own.input) if own and own.input else None,
        "networks": {name: _network(one) for name, one in row.networks.items() if name},
        "not_computed": {cell.column: cell.reason for cell in cells if cell.reason},
        "differences": [
            {
                "column": cell.column,
                "difference": _plain(cell.difference),
                "within_rounding": cell.within,
                "count": cell.exact,
                "footnotes": list(cell.notes),
            }
            for cell in cells
            if cell.within is not None
        ],
    }


def _network(network: Network) -> dict[str, Any]:
    return {"spec": network.spec, "input": list(network.input) if network.input else None}


def _records(filled: FilledTable) -> Iterator[Mapping[str, object]]:
    """A line for each published value and each computed one."""
    table = filled.table
    keys: Iterable[str] = (
        *(column.key for column in table.columns),
        *(rule.column for rule in table.computed_only),
    )
    units = {column.key: column.unit for column in table.columns}
    for number, row in enumerate(table.rows, 1):
        name = text_of(row.published.get(table.columns[0].key))
        for key in keys:
            cell = filled.cells.get((number, key))
            if cell is None and key not in row.published:
                continue
            yield {
                "table": table.id,
                "row": number,
                "name": name,
                "column": key,
                "unit": units.get(key, ""),
                "published": text_of(row.published.get(key)).replace(",", ""),
                "verified": row.verified(key) if key in row.published else None,
                "computed": _plain(cell.computed) if cell else None,
                "rounded": _plain(cell.shown) if cell else None,
                "exact": cell.exact if cell else None,
                "difference": _plain(cell.difference) if cell else None,
                "within_rounding": cell.within if cell else None,
                "reason": "; ".join(filled.footnotes[n - 1] for n in cell.notes) if cell else "",
            }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
