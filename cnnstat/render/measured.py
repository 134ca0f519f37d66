"""Published times and memory as a document, beside the least that is possible on those devices."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from cnnstat.devices.measured import MemoryRow, TimedRow
from cnnstat.published.tables import read_table
from cnnstat.render.devices import SCHEMA
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.figures import NONE, numeric, sign_of
from cnnstat.render.table import Column, Line, Table, visible


def measured_document(
    columns: Sequence[Sequence[TimedRow]], memory: Sequence[MemoryRow] = ()
) -> Document:
    """Published times beside the least time, a table for each column of times; then published memory."""
    blocks: list[Text | Figure] = [
        Text(
            "bound: no run is faster on that device; through memory: the same, where every layer reads "
            "and writes its tensors there. Neither is a prediction; a ratio counts all that they leave "
            "out."
        )
    ]
    for rows in filter(None, columns):
        timing = rows[0].timing
        table = read_table(timing.table)
        label = next(c.label for c in table.columns if c.key == timing.column)
        title = f"{table.text('title')} · {label} · {timing.table}"
        blocks.append(
            Figure(_times(rows), title=visible(title), key=f"{timing.table}-{timing.column}")
        )
        marks = next((row.roofline.marks for row in rows if row.roofline), {})
        known = "; ".join(f"{name} {mark}" for name, mark in marks.items())
        blocks.append(Text(f"{timing.device}, {timing.dtype}: {timing.assumes}", "quiet"))
        blocks += [Text(f"its figures: {visible(known)}", "quiet")] if known else []
        reasons = dict.fromkeys(row.reason for row in rows if row.reason)
        blocks += [Text(f"{NONE} {visible(reason)}", "quiet") for reason in reasons]
    every = [row for rows in columns for row in rows]
    if any(sign == "~" for sign in map(_sign, every)):
        blocks.append(Text("~ made of figures that were not read in a source", "quiet"))
    if memory:
        blocks.append(
            Figure(_memory(memory), title="Memory on microcontrollers, 8 bits", key="mcunet")
        )
        blocks.append(
            Text(
                "bound: the tensors alive at once, depthwise convolutions in place: no plan needs less",
                "quiet",
            )
        )
        blocks += [
            Text(f"{row.figure.name}: {visible(row.figure.source)}", "quiet") for row in memory
        ]
    records = tuple(map(_timed, every))
    return Document(
        title=("published times beside their bounds",),
        circumstances=(f"{len(every)} times",),
        blocks=tuple(blocks),
        data={
            "schema": SCHEMA,
            "measured": list(records),
            "memory": [
                {
                    "spec": row.figure.spec,
                    "resolution": row.figure.resolution,
                    "published_bytes": row.figure.published_kb * 1024,
                    "bound_bytes": row.bound_bytes,
                    "ratio": row.ratio,
                    "source": row.figure.source,
                }
                for row in memory
            ],
        },
        records=tuple({**r, "input": "x".join(map(str, r["input"] or ()))} for r in records),
    )


def _memory(rows: Sequence[MemoryRow]) -> Table:
    """Kilobytes of 1,024 bytes, as the papers print them."""
    return Table(
        columns=(
            Column(key="network", title="network", elastic=True),
            Column(key="resolution", title="image", numeric=True),
            Column(key="published", title="published kB", numeric=True),
            Column(key="bound", title="bound kB", numeric=True),
            Column(key="ratio", title="ratio", numeric=True),
        ),
        lines=tuple(
            Line(
                cells=(
                    row.figure.name,
                    str(row.figure.resolution),
                    f"{row.figure.published_kb:,}",
                    f"{row.bound_bytes / 1024:,.1f}",
                    f"{row.ratio:.3f}",
                )
            )
            for row in rows
        ),
    )


def _times(rows: Sequence[TimedRow]) -> Table:
    columns = (
        Column(key="name", title="network", elastic=True),
        numeric("published", "published ms"),
        numeric("bound", "bound ms"),
        numeric("ratio", "ratio"),
        numeric("layered", "through memory ms", 20),
        Column(key="limit", title="limit", priority=10),
    )
    limits = {True: "memory", False: "arithmetic", None: ""}
    lines = (
        Line(
            cells=(
                visible(row.name),
                f"{row.published_ms:,f}" + ("" if row.verified else "?"),
                _sign(row) + _ms(row.bound_ms),
                f"{row.ratio:.1f}" if row.ratio is not None else NONE,
                _sign(row) + _ms(row.layered_ms),
                limits[row.roofline.memory_bound if row.roofline else None],
            )
        )
        for row in rows
    )
    return Table(columns=columns, lines=tuple(lines))


def _sign(row: TimedRow) -> str:
    return sign_of(row.roofline) if row.roofline and row.bound_ms is not None else ""


def _ms(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}"


def _timed(row: TimedRow) -> dict[str, Any]:
    bound = row.roofline
    return {
        "table": row.timing.table,
        "column": row.timing.column,
        "row": row.row,
        "name": row.name,
        "input": list(row.input) if row.input else None,
        "device": row.timing.device,
        "dtype": row.timing.dtype,
        "published_ms": _number(row.published_ms),
        "verified": row.verified,
        "bound_ms": row.bound_ms,
        "layered_ms": row.layered_ms,
        "ratio": row.ratio,
        "memory_bound": bound.memory_bound if bound else None,
        "bound_verified": _sign(row) == "" if bound else None,
        "assumes": row.timing.assumes,
        "reason": row.reason,
    }


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
