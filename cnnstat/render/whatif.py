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
    inside = f" in {visible(result.within)}" if result.within else ""
    blocks: list[Text | Figure] = [
        Text("An estimate of what it would cost, built like this and not trained:", "warning"),
        *(
            Text(f"{visible(text)}{inside}: {said}.")
            for text, said in zip(result.changes, result.described, strict=True)
        ),
        Figure(_totals(result), "Totals", key="totals"),
    ]
    if result.changed:
        more = f"{hidden} more layers" if hidden else ""
        hint = "--all" if hidden else ""
        blocks.append(Figure(_layers(result, shown), "Layers that change", more, hint, "layers"))
    else:
        blocks.append(Text(f"There is no layer{inside or ' in it'} that this changes.", "warning"))
    if result.kept:
        kept = ", ".join(f"{count} {visible(kind)}" for kind, count in result.kept.items())
        blocks.append(Text(f"Layers with MACs that stay as they are: {kept}.", "quiet"))
    return Document(
        title=(*summary.title(report), f"what if{inside} {visible(' then '.join(result.changes))}"),
        circumstances=tuple(summary.circumstances(report)),
        blocks=tuple(blocks),
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
    lines = []
    for name, title in _QUANTITIES.items():
        before, after = getattr(result.before, name), getattr(result.after, name)
        partial = name != "params" and not result.report.complete
        bound = at_least(partial)
        share = _share(after, before, partial)
        lines.append(Line(cells=(title, bound + grouped(before), bound + grouped(after), share)))
    return Table(columns=columns, lines=tuple(lines))


def _share(after: int, before: int, partial: bool) -> str:
    """`21.3 %`, also above a hundred; of two lower bounds nothing is known."""
    if partial:
        return "?"
    if after <= before or not before:
        return percent(after, before)
    return f"{100 * after / before:.1f} %"


def _layers(result: WhatIf, shown: tuple[Changed, ...]) -> Table:
    columns = (
        Column(key="path", title="layer", elastic=True),
        Column(key="params_before", title="params before", numeric=True, priority=40),
        Column(key="params_after", title="params after", numeric=True, priority=41),
        Column(key="macs_before", title="MACs before", numeric=True),
        Column(key="macs_after", title="MACs after", numeric=True),
        Column(key="of", title="of them", numeric=True, priority=60),
        Column(key="built", title="instead", prose=True),
    )
    gaps = {item.layer for item in result.report.uncounted}
    rows = [row for row in result.changed if row in shown]
    lines = [
        Line(
            cells=(
                visible(row.layer.path) or "(root)",
                *_cells(row.before, row.after, row.layer.path in gaps),
                visible(row.built),
            ),
            keep=len(row.layer.name),
        )
        for row in rows
    ]
    before = sum((row.before for row in rows), Cost())
    after = sum((row.after for row in rows), Cost())
    rest = result.before - before, result.after - after
    others = bool(gaps - {row.layer.path for row in rows})
    if rest != (Cost(), Cost()) or others:
        cells = ("(all other layers)", *_cells(*rest, others), "")
        lines.append(Line(cells=cells, role="rest"))
    total = _cells(result.before, result.after, bool(gaps))
    lines.append(Line(cells=("total", *total, ""), role="total"))
    return Table(columns=columns, lines=tuple(lines))


def _cells(before: Cost, after: Cost, partial: bool) -> tuple[str, ...]:
    bound = at_least(partial)
    macs = (bound + grouped(value) for value in (before.macs, after.macs))
    share = _share(after.macs, before.macs, partial)
    return (grouped(before.params), grouped(after.params), *macs, share)


def _records(result: WhatIf) -> Iterator[dict[str, object]]:
    for row in result.changed:
        yield {
            "path": row.layer.path,
            "kind": row.layer.kind,
            "built": row.built,
            **{f"{name}_before": getattr(row.before, name) for name in _QUANTITIES},
            **{f"{name}_after": getattr(row.after, name) for name in _QUANTITIES},
        }
