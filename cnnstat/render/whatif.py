"""A what-if as a document: each layer before and after, and the totals."""

from __future__ import annotations

from collections.abc import Iterator

from cnnstat.explaining.whatif import Changed, Cost, WhatIf
from cnnstat.render import summary
from cnnstat.render.base import View
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.layers import at_least
from cnnstat.render.rows import READABLE_ROWS
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.units import grouped, percent


def whatif_document(result: WhatIf, view: View) -> Document:
    """Totals, layers that change, and how many stay."""
    report = result.report
    shown = result.changed if view.all or view.top is not None else result.changed[:READABLE_ROWS]
    if view.top is not None:
        shown = tuple(sorted(shown, key=_saved, reverse=True)[: view.top])
    hidden = len(result.changed) - len(shown)
    kept = ", ".join(f"{count} {kind}" for kind, count in result.kept.items())
    blocks = (
        Text("An estimate of what it would cost, built like this and not trained:", "warning"),
        *(
            Text(f"{text}: {said}.")
            for text, said in zip(result.changes, result.described, strict=True)
        ),
        Figure(_totals(result), "Totals"),
        *(
            [
                Figure(
                    _layers(result, shown),
                    "Layers that change",
                    f"{hidden} more layers: --all" if hidden else "",
                )
            ]
            if result.changed
            else [Text("No layer is of the kind that this changes.", "warning")]
        ),
        *([Text(f"As they are: {kept} layers with MACs.", "quiet")] if kept else []),
    )
    return Document(
        title=(*summary.title(report), f"what if {' then '.join(result.changes)}"),
        circumstances=tuple(summary.circumstances(report)),
        blocks=blocks,
        notes=(summary.summary_sentence(report),) if report.uncounted else (),
        data=result.to_dict(),
        records=tuple(_records(result)),
    )


def _saved(row: Changed) -> int:
    return abs(row.before.macs - row.after.macs)


_QUANTITIES = {"params": "params", "macs": "MACs", "activations": "activations"}


def _totals(result: WhatIf) -> Table:
    columns = (
        Column(key="total", title=""),
        Column(key="before", title="before", numeric=True),
        Column(key="after", title="after", numeric=True),
        Column(key="of", title="of before", numeric=True),
    )
    bound = at_least(not result.report.complete)
    lines = []
    for name, title in _QUANTITIES.items():
        before, after = getattr(result.before, name), getattr(result.after, name)
        mark = "" if name == "params" else bound
        cells = (title, mark + grouped(before), mark + grouped(after), percent_of(after, before))
        lines.append(Line(cells=cells))
    return Table(columns=columns, lines=tuple(lines))


def percent_of(after: int, before: int) -> str:
    """`21.3 %`, also above a hundred."""
    return (
        percent(after, before)
        if after <= before
        else f"{100 * after / before:.1f} %"
        if before
        else "–"
    )


def _layers(result: WhatIf, shown: tuple[Changed, ...]) -> Table:
    columns = (
        Column(key="path", title="layer", elastic=True),
        Column(key="built", title="instead", priority=50),
        Column(key="params_before", title="params before", numeric=True, priority=40),
        Column(key="params_after", title="params after", numeric=True, priority=41),
        Column(key="macs_before", title="MACs before", numeric=True),
        Column(key="macs_after", title="MACs after", numeric=True),
        Column(key="of", title="of them", numeric=True, priority=30),
    )
    rows = [row for row in result.changed if row in shown]
    lines = [
        Line(
            cells=(
                visible(row.layer.path) or "(root)",
                visible(row.built),
                *_cells(row.before, row.after),
            ),
            keep=len(row.layer.name),
        )
        for row in rows
    ]
    before = sum((row.before for row in rows), Cost())
    after = sum((row.after for row in rows), Cost())
    rest_before, rest_after = result.before - before, result.after - after
    if rest_before != Cost() or rest_after != Cost():
        lines.append(
            Line(cells=("(all other layers)", "", *_cells(rest_before, rest_after)), role="rest")
        )
    lines.append(Line(cells=("total", "", *_cells(result.before, result.after)), role="total"))
    return Table(columns=columns, lines=tuple(lines))


def _cells(before: Cost, after: Cost) -> tuple[str, ...]:
    numbers = (before.params, after.params, before.macs, after.macs)
    return (*map(grouped, numbers), percent_of(after.macs, before.macs))


def _records(result: WhatIf) -> Iterator[dict[str, object]]:
    for row in result.changed:
        yield {
            "path": row.layer.path,
            "kind": row.layer.kind,
            "built": row.built,
            **{f"{name}_before": getattr(row.before, name) for name in _QUANTITIES},
            **{f"{name}_after": getattr(row.after, name) for name in _QUANTITIES},
        }
