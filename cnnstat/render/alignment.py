"""Two variants of one network layer by layer: which rows are shown, and what stands in them.

Every pair of layers is behind exactly one row, so the rows add up to the totals, whatever is folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from cnnstat.comparing.alignment import CHANGES, Alignment, Change, Pair, totals_of
from cnnstat.comparing.comparison import Comparison
from cnnstat.render.document import Figure, Text
from cnnstat.render.layers import at_least, kernel, shape_text
from cnnstat.render.rows import READABLE_ROWS
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.report import Layer
from cnnstat.units import grouped


@dataclass(frozen=True, slots=True)
class Row:
    """Some pairs that are shown as one line."""

    pairs: tuple[Pair, ...]
    """What is behind it."""
    path: str = ""
    """Module that holds them all; `""`: a single pair, or what is not shown."""
    rest: str = ""
    """What the line is called where it is no module."""

    @property
    def change(self) -> Change:
        """What happened to all of it; different things are a change."""
        changes = {pair.change for pair in self.pairs}
        return changes.pop() if len(changes) == 1 else "changed"


def alignment_figure(comparison: Comparison, all: bool, top: int | None) -> list[Text | Figure]:
    """How many layers differ, and which."""
    alignment = comparison.alignment
    counts = ", ".join(f"{alignment.counts[change]:,} {change}" for change in CHANGES)
    names = [visible(comparison.baseline.label), visible(comparison.others[0].label)]
    title = f"{names[0]} (before) and {names[1]} (after), layer by layer: {counts}"
    rows = alignment_rows(alignment, all=all, top=top)
    folded = any(row.rest or len(row.pairs) > 1 for row in rows)
    hint = "every layer: --all" + (" in the place of --top" if top is not None else "")
    figure = Figure(
        _table(comparison, rows), title=title, key="layers", hint=hint if folded else ""
    )
    return [figure, *(Text(text, "quiet") for text in _elsewhere(comparison, rows))]


def _elsewhere(comparison: Comparison, rows: Sequence[Row]) -> Iterator[str]:
    """Where the parameters of a layer stand in another row than the work that is done with them."""
    shown = [row.pairs[0] for row in rows if len(row.pairs) == 1]
    places = [{pair.before.path for pair in shown if pair.before}]
    places += [{pair.after.path for pair in shown if pair.after}]
    held: dict[str, str] = {}
    for model, paths in zip((comparison.baseline, *comparison.others), places, strict=True):
        working = {layer.path for layer in model.report.layers if layer.macs}
        for layer in model.report.layers:
            above = layer.path.rpartition(".")[0]
            # What nothing runs with is of the kind never-called.
            used = layer.params and not layer.calls and layer.kind != "never-called"
            if used and above in working and paths & {layer.path, above}:
                held[layer.path] = above
    for path, above in list(held.items())[:1]:
        more = f", as in {len(held) - 1:,} more" if len(held) > 1 else ""
        yield (
            f"{visible(path)} has parameters and never runs itself: "
            f"{visible(above) or 'the root'} works with them, and the MACs stand there{more}"
        )


def alignment_rows(alignment: Alignment, *, all: bool, top: int | None) -> list[Row]:
    """The rows: every pair, or the largest differences, or as many as stay readable."""
    single = [Row((pair,)) for pair in alignment.pairs]
    if all:
        return single
    rows = _whole_modules(alignment)
    if top is not None:
        return _largest(rows, top)
    deepest = max((_path(row).count(".") + 1 for row in rows), default=1)
    for depth in range(deepest, 0, -1):
        folded = _without_unchanged(rows if depth == deepest else _to_depth(rows, depth))
        if len(folded) <= READABLE_ROWS:
            break
    return folded


def _whole_modules(alignment: Alignment) -> list[Row]:
    """A row for each pair, but one for each module that only one of the networks has."""
    inside: dict[tuple[str, str], int] = {}
    alone: dict[tuple[str, str], int] = {}
    for pair in alignment.pairs:
        for side, layer in (("before", pair.before), ("after", pair.after)):
            for path in _modules(layer):
                inside[side, path] = inside.get((side, path), 0) + 1
                if pair.before is None or pair.after is None:
                    alone[side, path] = alone.get((side, path), 0) + 1
    found: dict[object, list[Pair]] = {}
    for n, pair in enumerate(alignment.pairs):
        key: object = n
        if pair.before is None or pair.after is None:
            side, layer = ("after", pair.after) if pair.before is None else ("before", pair.before)
            key = next(
                (
                    place
                    for path in _modules(layer)
                    if alone[place := (side, path)] == inside[place]
                ),
                n,
            )
        found.setdefault(key, []).append(pair)
    return [
        Row(tuple(pairs), key[1] if isinstance(key, tuple) and len(pairs) > 1 else "")
        for key, pairs in found.items()
    ]


def _modules(layer: Layer | None) -> Iterator[str]:
    """The modules that hold a layer, from the outermost, and last the layer itself."""
    if layer is None:
        return
    parts = layer.path.split(".") if layer.path else []
    yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _largest(rows: list[Row], top: int) -> list[Row]:
    """The `top` rows with the largest differences, in order, and what is left."""
    differing = [row for row in rows if row.change != "unchanged"]
    kept = sorted(differing, key=_difference, reverse=True)[:top]
    shown = [row for row in differing if any(row is one for one in kept)]
    others = [row for row in differing if not any(row is one for one in kept)]
    for rest, word in (
        (others, "other differences"),
        ([row for row in rows if row.change == "unchanged"], "layers unchanged"),
    ):
        pairs = tuple(pair for row in rest for pair in row.pairs)
        if pairs:
            number = len(rest) if rest is others else len(pairs)
            word = word.replace("differences", "difference") if number == 1 else word
            word = word.replace("layers", "layer") if number == 1 else word
            shown.append(Row(pairs, rest=f"({number:,} {word})"))
    return shown


def _difference(row: Row) -> tuple[int, int, int]:
    before, after = totals_of(row.pairs)
    return (
        abs(after.macs - before.macs),
        abs(after.params - before.params),
        abs(after.flops - before.flops),
    )


def _to_depth(rows: Sequence[Row], depth: int) -> list[Row]:
    """Neighbours in one module at that depth become one row, unless nothing differs in it."""

    def module(row: Row) -> str:
        return ".".join(_path(row).split(".")[:depth])

    folded = []
    for path, members in groupby(rows, key=module):
        inside = list(members)
        if len(inside) == 1 or all(row.change == "unchanged" for row in inside):
            folded += inside
        else:
            folded.append(Row(tuple(pair for row in inside for pair in row.pairs), path))
    return folded


def _without_unchanged(rows: Sequence[Row]) -> list[Row]:
    """Runs of unchanged layers become one row each."""
    folded = []
    for unchanged, members in groupby(rows, key=lambda row: row.change == "unchanged"):
        run = list(members)
        pairs = tuple(pair for row in run for pair in row.pairs)
        if unchanged and len(pairs) > 1:
            folded.append(Row(pairs, rest=f"… {len(pairs):,} layers unchanged"))
        else:
            folded += run
    return folded


def _path(row: Row) -> str:
    layer = row.pairs[0].before or row.pairs[0].after
    assert layer is not None  # one of the two is there
    return row.path or layer.path


# The table


_COLUMNS = (
    Column(key="path", title="path", elastic=True),
    Column(key="change", title="change", priority=90),
    Column(key="kind", title="kind", priority=50),
    Column(key="kernel", title="kernel", priority=10),
    Column(key="output", title="output", priority=40),
    Column(key="params_before", title="params before", numeric=True, priority=55),
    Column(key="params_after", title="params after", numeric=True, priority=60),
    Column(key="params_difference", title="params diff", numeric=True, priority=70),
    Column(key="macs_before", title="MACs before", numeric=True),
    Column(key="macs_after", title="MACs after", numeric=True),
    Column(key="macs_difference", title="MACs diff", numeric=True),
)


_WORDS = ("kind", "kernel", "output")
"""Columns that leave where they are empty."""


def _table(comparison: Comparison, rows: Sequence[Row]) -> Table:
    sides = (comparison.baseline.report, comparison.others[0].report)
    gaps = [{item.layer for item in report.uncounted} for report in sides]
    lines = []
    for row in rows:
        values = {
            "path": row.rest or _label(row),
            "change": row.change if not row.rest or row.change != "unchanged" else "",
            **_description(row),
            **_numbers(row, gaps),
        }
        lines.append(
            Line(
                cells=tuple(values.get(column.key, "") for column in _COLUMNS),
                role="rest" if row.rest else "layer",
                keep=len(values["path"]) if row.rest else _keep(values["path"]),
                faint=row.change == "unchanged",
            )
        )
    total = {"path": "total", **_numbers(Row(comparison.alignment.pairs), gaps)}
    cells = tuple(total.get(column.key, "") for column in _COLUMNS)
    table = Table(columns=_COLUMNS, lines=(*lines, Line(cells=cells, role="total", keep=5)))
    return table.only([c for c in _COLUMNS if c.key not in _WORDS or any(table.column(c.key))])


def _label(row: Row) -> str:
    if row.path:
        return visible(row.path)
    pair = row.pairs[0]
    return _both(pair, lambda layer: visible(layer.path) or "(root)")


def _keep(label: str) -> int:
    return len(label) - len(label.rpartition(".")[0])


def _description(row: Row) -> dict[str, str]:
    if row.rest:
        return {}
    if len(row.pairs) > 1:
        differ = sum(pair.change != "unchanged" for pair in row.pairs)
        of = f"{differ:,} of " if differ < len(row.pairs) else ""
        return {"kind": f"{of}{len(row.pairs):,} layers"}
    pair = row.pairs[0]
    return {
        "kind": _both(pair, lambda layer: visible(layer.kind)),
        "kernel": _both(pair, kernel),
        "output": _both(pair, lambda x: shape_text(x.outputs[0]) if x.outputs else ""),
    }


def _both(pair: Pair, text: Callable[[Layer], str]) -> str:
    """What holds for both layers, or before and after."""
    texts = dict.fromkeys(text(layer) for layer in (pair.before, pair.after) if layer is not None)
    return " → ".join(one or "–" for one in texts) if len(texts) > 1 else next(iter(texts))


def _numbers(row: Row, gaps: Sequence[set[str]]) -> dict[str, str]:
    totals = totals_of(row.pairs)
    partial = [
        any(layer is not None and layer.path in places for layer in layers)
        for layers, places in zip(
            ([p.before for p in row.pairs], [p.after for p in row.pairs]), gaps, strict=True
        )
    ]
    cells = {}
    for name, bounds in (("params", [False, False]), ("macs", partial)):
        values = [getattr(total, name) for total in totals]
        for side, value, bound in zip(("before", "after"), values, bounds, strict=True):
            cells[f"{name}_{side}"] = at_least(bound) + grouped(value)
        cells[f"{name}_difference"] = "?" if any(bounds) else signed(values[1] - values[0])
    return cells


def signed(value: int) -> str:
    """`+1,234`, `−1,234` or `0`."""
    return f"{value:+,}".replace("-", "−") if value else "0"
