"""Which rows of a report a view shows, and their numbers: exact, and adding up to the totals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from cnnstat.conventions import CONVENTIONS
from cnnstat.errors import OutputError
from cnnstat.kinds import KINDS
from cnnstat.render.base import View
from cnnstat.report import Layer, Report, Totals, Uncounted, total_of

READABLE_ROWS = 45
"""A tree is opened as far as it stays within this many rows, unless the view says otherwise."""

OWN = "(own operations)"
"""Stands for what a module ran itself, outside its children."""

Role = Literal["layer", "folded", "open", "own", "rest"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line about a layer, about a module with all below it, or about what is not listed."""

    role: Role
    """`layer`: a module without children, or one in a list; `folded`: a module and all below it;
    `open`: the same, where its children follow as rows of their own; `own`: what an open module
    ran itself; `rest`: what a list leaves out. All but `open` add up to the totals."""
    layer: Layer | None
    """The module; `None` for the rest."""
    totals: Totals
    """The row's numbers."""
    uncounted: tuple[Uncounted, ...] = ()
    """Operations without a rule behind the row's numbers."""
    indent: int = 0
    """Levels below the first one shown."""
    label: str = ""
    """What stands in the place of the path for a row that is no module."""
    called: bool = True
    """Whether anything in it ran."""

    @property
    def additive(self) -> bool:
        """Whether the row takes part in the sum."""
        return self.role != "open"


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows of a view."""

    rows: tuple[Row, ...]
    """In the order in which they are shown."""
    more: str = ""
    """How many rows are folded away and what shows them; `""`: none."""

    @property
    def additive(self) -> tuple[Row, ...]:
        """The rows that add up to the report's totals."""
        return tuple(row for row in self.rows if row.additive)


def select(report: Report, view: View) -> Selection:
    """The rows that `view` shows. Raises `OutputError` for a kind that does not exist."""
    return _list(report, view) if view.listed else _tree(report, view)


def own_rows(report: Report) -> tuple[Row, ...]:
    """Every module with its own work, in definition order."""
    return tuple(
        Row("layer", layer, total_of([layer]), _in_layer(report, layer), called=layer.calls > 0)
        for layer in report.layers
    )


# The tree


def _tree(report: Report, view: View) -> Selection:
    tree = _Tree(report)
    deepest = max((layer.depth for layer in report.layers), default=0)
    if view.all:
        return Selection(tuple(tree.rows(deepest)))
    depth = view.depth
    if depth is None:
        readable = (d for d in range(deepest, 1, -1) if len(tree.rows(d)) <= READABLE_ROWS)
        depth = next(readable, min(deepest, 1))
    rows = tree.rows(depth)
    hidden = len(tree.rows(deepest)) - len(rows)
    if not hidden:
        return Selection(tuple(rows))
    plural = "s" if hidden > 1 else ""
    deeper = f"--depth {depth + 1} or " if depth + 1 < deepest else ""
    return Selection(tuple(rows), f"{hidden} more row{plural}: {deeper}--all")


class _Tree:
    """A report's modules with the sums over all that is below each."""

    def __init__(self, report: Report) -> None:
        self.layers = report.layers
        self.parents: set[str] = set()
        below: dict[str, list[Totals]] = {}
        self.called: set[str] = set()
        self.uncounted: dict[str, list[Uncounted]] = {}
        self.own = {layer.path: total_of([layer]) for layer in report.layers}
        for layer in report.layers:
            own = self.own[layer.path]
            ancestors = list(_ancestors(layer.path))
            self.parents.update(ancestors)
            for path in (layer.path, *ancestors):
                below.setdefault(path, []).append(own)
                if layer.calls:
                    self.called.add(path)
        for item in report.uncounted:
            for path in (item.layer, *_ancestors(item.layer)):
                self.uncounted.setdefault(path, []).append(item)
        self.totals = {path: add(parts) for path, parts in below.items()}

    def rows(self, depth: int) -> list[Row]:
        rows: list[Row] = []
        for layer in self.layers:
            if layer.depth > depth:
                continue
            role: Role = "layer"
            if layer.path in self.parents:
                role = "folded" if layer.depth == depth else "open"
            inside = tuple(self.uncounted.get(layer.path, ()))
            called, indent = layer.path in self.called, max(layer.depth - 1, 0)
            # The open root is the whole table: its row would repeat the totals.
            if layer.path or role != "open":
                everything = self.totals[layer.path]
                rows.append(Row(role, layer, everything, inside, indent, called=called))
            own = tuple(item for item in inside if item.layer == layer.path)
            if role == "open" and (own or _is_work(self.own[layer.path])):
                rows.append(Row("own", layer, self.own[layer.path], own, layer.depth, OWN))
        return rows


def _ancestors(path: str) -> Iterable[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path


def _is_work(own: Totals) -> bool:
    return bool(own.params or own.macs or own.flops or own.activations or own.quoted)


# The list


def _list(report: Report, view: View) -> Selection:
    parents = {path for layer in report.layers for path in _ancestors(layer.path)}
    candidates = [
        _listed(layer, _in_layer(report, layer), parents)
        for layer in report.layers
        if layer.path not in parents or _is_work(total_of([layer])) or _in_layer(report, layer)
    ]
    matching = candidates
    if view.kinds:
        _check_kinds(report, view.kinds)
        kinds = frozenset(view.kinds)
        parts = ((layer, _part(report, layer, kinds, parents)) for layer in report.layers)
        matching = [
            _listed(part, _in_layer(report, layer), parents) for layer, part in parts if part
        ]
    by = view.by or ("macs" if view.top is not None else None)
    if by is not None:
        # Stable, so equal layers keep the order of definition.
        matching = sorted(matching, key=_RANKS[by])
    shown = matching[: view.top]
    rest = subtract(report.totals, add(row.totals for row in shown))
    listed = {row.layer.path for row in shown if row.layer is not None}
    # A part of a layer may be shown and the other part not; such a layer is not "other".
    others = sum(row.layer is not None and row.layer.path not in listed for row in candidates)
    missing = tuple(
        item for item in report.uncounted if not any(item in row.uncounted for row in shown)
    )
    if others or missing or _is_work(rest):
        label = f"({others} other layer{'' if others == 1 else 's'})" if others else "(other work)"
        shown.append(Row("rest", None, rest, missing, label=label))
    return Selection(tuple(shown))


def _check_kinds(report: Report, kinds: tuple[str, ...]) -> None:
    known = dict.fromkeys(
        (*KINDS, "uncounted", *report.kinds, *(layer.kind for layer in report.layers))
    )
    for kind in kinds:
        if kind not in known:
            raise OutputError(f"unknown kind {kind!r}", hint=f"expected one of {', '.join(known)}")


def _listed(layer: Layer, uncounted: tuple[Uncounted, ...], parents: set[str]) -> Row:
    own = layer.path in parents
    return Row(
        "own" if own else "layer",
        layer,
        total_of([layer]),
        uncounted,
        label=OWN if own else "",
        called=own or layer.calls > 0,
    )


def _part(report: Report, layer: Layer, kinds: frozenset[str], parents: set[str]) -> Layer | None:
    """What of a layer is of these kinds, or `None`: parameters and work as in `Report.kinds`."""
    belongs = ("squeeze-excitation" if layer.group else layer.kind) in kinds
    tallies = tuple(tally for tally in layer.tallies if tally.kind in kinds)
    gap = "uncounted" in kinds and any(item.layer == layer.path for item in report.uncounted)
    if not (belongs or tallies or gap):
        return None
    part = layer if belongs else _work_alone(layer, tallies[0].kind if tallies else "uncounted")
    if len(tallies) == len(layer.tallies):
        return part
    convention = CONVENTIONS.get(report.convention)
    part = replace(part, tallies=tallies)
    leaf = belongs and layer.path not in parents
    if convention is None:
        return replace(part, quoted=0)
    quoted = convention.quote(part, leaf) // convention.batch_of(report.layers)
    return replace(part, quoted=quoted)


def _work_alone(layer: Layer, kind: str) -> Layer:
    """The layer without its parameters, which count under another kind."""
    return replace(
        layer, kind=kind, params=0, trainable_params=0, buffers=0, param_bytes=0, buffer_bytes=0
    )


def _in_layer(report: Report, layer: Layer) -> tuple[Uncounted, ...]:
    return tuple(item for item in report.uncounted if item.layer == layer.path)


def _numel(row: Row) -> int:
    count = 1
    for size in row.layer.outputs[0] if row.layer and row.layer.outputs else (0,):
        count *= size
    return count


_RANKS: dict[str, Callable[[Row], Any]] = {
    "macs": lambda row: -row.totals.macs,
    "params": lambda row: -row.totals.params,
    "flops": lambda row: -row.totals.flops,
    "activations": lambda row: -row.totals.activations,
    "quoted": lambda row: -row.totals.quoted,
    "calls": lambda row: -row.layer.calls if row.layer else 0,
    "path": lambda row: row.layer.path if row.layer else "",
    "type": lambda row: row.layer.type if row.layer else "",
    "kind": lambda row: row.layer.kind if row.layer else "",
    "output": lambda row: -_numel(row),
}


# Sums


def add(parts: Iterable[Totals]) -> Totals:
    """The sum, field by field."""
    rows = list(parts)
    return Totals(**{f.name: sum(getattr(row, f.name) for row in rows) for f in fields(Totals)})


def subtract(whole: Totals, part: Totals) -> Totals:
    """The difference, field by field."""
    return Totals(
        **{f.name: getattr(whole, f.name) - getattr(part, f.name) for f in fields(Totals)}
    )
