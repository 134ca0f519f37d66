"""Comma-separated values for other programs: integers without separators, and no text around them.

A line holds a module's own work, so that each column adds up to the report's total; with a depth,
the line of a module that is not opened holds all below it. Operations without a rule stand in their
layer's line, in the columns `uncounted` (how many) and `uncounted_ops` (which, with shapes).
"""

from __future__ import annotations

import csv
from io import StringIO

from cnnstat.render.base import View
from cnnstat.render.document import Document
from cnnstat.render.rows import Row, own_rows, select
from cnnstat.render.table import Table
from cnnstat.report import Report, Shapes, Uncounted

COLUMNS = (
    "path",
    "type",
    "kind",
    "input",
    "output",
    "params",
    "trainable_params",
    "buffers",
    "param_bytes",
    "macs",
    "flops",
    "activations",
    "quoted",
    "calls",
    "group",
    "tied_to",
    "uncounted",
    "uncounted_ops",
    "estimated_flops",
)
"""Names of the columns. Shapes are written `1x64x112x112`; several things in a cell are set apart
by a semicolon."""


MEMORY_COLUMNS = ("output_bytes", "live_bytes")
"""Further columns of a report that has memory; neither is a sum, as each says what is there at one time."""


class CsvRenderer:
    """`-f csv`: every module, or the layers that the view picks."""

    name = "csv"
    extensions = (".csv",)
    carries_notes = False

    def render(self, report: Report, view: View) -> str:
        """A line of names and a line per module. The notes do not fit into it."""
        names = COLUMNS + MEMORY_COLUMNS * report.has_memory
        return csv_text([names, *(_cells(row)[: len(names)] for row in _rows(report, view))])

    def draw(self, document: Document, view: View) -> str:
        """The document's records under their names."""
        names = tuple(document.records[0]) if document.records else ()
        return csv_text([names, *(tuple(row.values()) for row in document.records)])


def csv_text(lines: list[tuple[object, ...]]) -> str:
    """The lines, quoted where they must be."""
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def table_csv(table: Table) -> str:
    """A table of texts, under the keys of its columns."""
    keys = tuple(column.key for column in table.columns)
    return csv_text([keys, *(line.cells for line in table.lines)])


def _rows(report: Report, view: View) -> list[Row]:
    if not view.listed:
        return list(own_rows(report) if view.depth is None else select(report, view).additive)
    rows = select(report, view).rows
    listed = [row for row in rows if row.layer is not None]
    # What a list leaves out is no layer, but an operation without a rule is never left out.
    gaps = {item.layer for row in rows if row.layer is None for item in row.uncounted}
    return listed + [row for row in own_rows(report) if row.layer and row.layer.path in gaps]


def _cells(row: Row) -> tuple[object, ...]:
    layer, totals = row.layer, row.totals
    assert layer is not None  # `_rows` leaves out what is no layer
    return (
        layer.path,
        layer.type,
        layer.kind,
        _shapes(layer.inputs),
        _shapes(layer.outputs),
        totals.params,
        totals.trainable_params,
        totals.buffers,
        totals.param_bytes,
        totals.macs,
        totals.flops,
        totals.activations,
        totals.quoted,
        layer.calls,
        layer.group,
        ";".join(layer.tied_to),
        sum(item.count for item in row.uncounted),
        ";".join(_operation(item, layer.path) for item in row.uncounted),
        totals.estimated_flops,
        layer.output_bytes,
        layer.live_bytes,
    )


def _shapes(shapes: Shapes) -> str:
    return ";".join("x".join(map(str, shape)) or "scalar" for shape in shapes)


def _operation(item: Uncounted, path: str) -> str:
    """`mylib.fused*2(1x64x56x56->1x64x56x56)`, with its layer where that is not the line's."""
    where = f"@{item.layer}" if item.layer != path else ""
    shapes = f"{_inner(item.inputs)}->{_inner(item.outputs)}"
    return f"{item.op}*{item.count}{where}({shapes})"


def _inner(shapes: Shapes) -> str:
    return _shapes(shapes).replace(";", ",")
