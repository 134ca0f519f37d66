"""Which layer of one network is which of another: a sequence alignment of two reports.

Layers of equal path are paired first, in order, but for those in a numbered list that is aligned better
without its numbers. What is left between two such pairs is aligned by what the layers are
(`cnnstat.comparing.sequences`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Literal

from cnnstat.comparing.sequences import (
    Signature,
    anchored_alignment,
    best_alignment,
    worth,
)
from cnnstat.report import Layer, Report, Totals, total_of

Change = Literal["unchanged", "changed", "added", "removed"]
CHANGES: tuple[Change, ...] = ("added", "removed", "changed", "unchanged")
"""In the order in which they are told."""

_RELATED = 0.5
"""Share of common layers, of the smaller network, from which two networks are variants of one."""
_RELATED_CLASS = 0.25
"""The same where both are built by the same class."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer of the one network, the layer of the other that it corresponds to, or both."""

    before: Layer | None
    """In the first network; `None`: added."""
    after: Layer | None
    """In the second network; `None`: removed."""
    change: Change
    """Unchanged are layers that differ in nothing but their path."""


@dataclass(frozen=True)
class Alignment:
    """Every layer of two networks, side by side, in order."""

    pairs: tuple[Pair, ...]
    """Modules that only hold others are left out: parameters and work add up to both totals."""

    @cached_property
    def counts(self) -> Mapping[Change, int]:
        """How many layers were added, removed, changed and left unchanged."""
        counts: dict[Change, int] = dict.fromkeys(CHANGES, 0)
        for pair in self.pairs:
            counts[pair.change] += 1
        return counts

    @cached_property
    def totals(self) -> tuple[Totals, Totals]:
        """The sums over the layers of either network."""
        return totals_of(self.pairs)


def totals_of(pairs: Sequence[Pair]) -> tuple[Totals, Totals]:
    """Sums over some pairs: of the layers before, and of those after."""
    return (
        total_of(pair.before for pair in pairs if pair.before is not None),
        total_of(pair.after for pair in pairs if pair.after is not None),
    )


def related(
    before: Report, after: Report, alignment: Callable[[], Alignment] | None = None
) -> bool:
    """Whether two reports are of variants of one network: whether they share enough layers.

    Shared are layers with the same path and class, or those that the alignment leaves unchanged, whichever
    are more, as a share of the smaller network: half is enough, and a quarter where both networks are of
    one class. `alignment` gives what `align` would, where it is kept.
    """
    rows = _rows(before), _rows(after)
    smaller = min(map(len, rows))
    if not smaller:
        return False
    classes = [report.layers[0].type for report in (before, after)]
    least = smaller * (_RELATED_CLASS if classes[0] == classes[1] else _RELATED)
    names = ({(layer.path, layer.type) for layer in layers} for layers in rows)
    if len(set.intersection(*names)) >= least:
        return True
    # No more can be unchanged than have their like at all: most unlike networks need no alignment.
    one, two = map(Counter, _signatures(before, after, *rows))
    if (one & two).total() < least:
        return False
    found = alignment() if alignment is not None else align(before, after)
    return found.counts["unchanged"] >= least


def align(before: Report, after: Report) -> Alignment:
    """Pair the layers of two reports."""
    one, two = _rows(before), _rows(after)
    keys = _signatures(before, after, one, two)
    pairs = []
    for i, j in anchored_alignment(*keys, _same_paths(one, two, keys)):
        same = i is not None and j is not None and keys[0][i] == keys[1][j]
        layers = None if i is None else one[i], None if j is None else two[j]
        pairs.append(_pair(*layers, same))
    return Alignment(tuple(pairs))


def _pair(before: Layer | None, after: Layer | None, same: bool) -> Pair:
    if before is None or after is None:
        return Pair(before, after, "added" if before is None else "removed")
    return Pair(before, after, "unchanged" if same else "changed")


# Which layers, and what they are


def _parents(report: Report) -> set[str]:
    return {layer.path.rpartition(".")[0] for layer in report.layers if layer.path}


def _rows(report: Report) -> list[Layer]:
    """The layers that are compared: those without children, and those with work of their own."""
    parents, gaps = _parents(report), {item.layer for item in report.uncounted}
    return [
        layer
        for layer in report.layers
        if layer.path not in parents
        or layer.path in gaps
        or layer.params
        or layer.buffers
        or layer.quoted
        or any(tally.work.flops or tally.work.activations for tally in layer.tallies)
    ]


def _signatures(
    before: Report, after: Report, one: Sequence[Layer], two: Sequence[Layer]
) -> tuple[list[Signature], list[Signature]]:
    """What each layer is, but for its place: two layers are the same where these are equal."""
    # A report of an older version has no shapes of weights: then nobody can say that they differ.
    known = all(any(layer.weights for layer in layers) for layers in (one, two))
    return (
        [_signature(layer, gaps, known) for gaps in [_gaps(before)] for layer in one],
        [_signature(layer, gaps, known) for gaps in [_gaps(after)] for layer in two],
    )


def _gaps(report: Report) -> dict[str, list[Signature]]:
    """The operations without a rule of each layer."""
    gaps: dict[str, list[Signature]] = {}
    for item in report.uncounted:
        gaps.setdefault(item.layer, []).append((item.op, item.count, item.inputs, item.outputs))
    return gaps


def _signature(layer: Layer, gaps: Mapping[str, Sequence[Signature]], weights: bool) -> Signature:
    """Kind, class, kernel, output and input come first: they say how alike two layers are."""
    return (
        layer.kind,
        layer.type,
        tuple(sorted((key, str(value)) for key, value in layer.attrs.items())),
        layer.outputs,
        layer.inputs,
        tuple(sorted(layer.weights.items())) if weights else (),
        (layer.params, layer.param_bytes, layer.trainable_params, layer.buffers, layer.calls),
        tuple((t.rule, t.kind, t.calls, t.work) for t in layer.tallies),
        tuple(gaps.get(layer.path, ())),
    )


# Pairs by path


@dataclass(slots=True)
class _Module:
    """A module with what is compared below it."""

    row: int | None = None
    """Its own position."""
    rows: list[int] = field(default_factory=list)
    """Positions of all below it, and its own."""
    children: dict[str, _Module] = field(default_factory=dict)
    """By name."""


def _tree(layers: Sequence[Layer]) -> _Module:
    root = _Module()
    for n, layer in enumerate(layers):
        module = root
        module.rows.append(n)
        for name in layer.path.split(".") if layer.path else ():
            module = module.children.setdefault(name, _Module())
            module.rows.append(n)
        module.row = n
    return root


def _same_paths(
    one: Sequence[Layer], two: Sequence[Layer], keys: tuple[list[Signature], list[Signature]]
) -> list[tuple[int, int]]:
    """Positions of layers with the same path, as many as keep both orders."""
    found: list[tuple[int, int]] = []
    modules = [(_tree(one), _tree(two))]
    while modules:
        left, right = modules.pop()
        if left.row is not None and right.row is not None:
            found.append((left.row, right.row))
        named = left.children.keys() & right.children.keys()
        modules += [
            (left.children[name], right.children[name]) for name in named if not name.isdecimal()
        ]
        modules += _numbered(left, right, keys)
    return _increasing(sorted(found))


def _numbered(
    left: _Module, right: _Module, keys: tuple[list[Signature], list[Signature]]
) -> list[tuple[_Module, _Module]]:
    """Numbered children that belong together.

    Those of one number, unless the children aligned by what is in them score more: then one was put in
    or taken out before them, and the numbers no longer mean the same.
    """
    sides = [
        {name: child for name, child in module.children.items() if name.isdecimal()}
        for module in (left, right)
    ]
    names = [list(side) for side in sides]
    children = [list(side.values()) for side in sides]
    one, two = (
        [tuple(known[n] for n in child.rows) for child in side]
        for known, side in zip(keys, children, strict=True)
    )
    numbers = {name: m for m, name in enumerate(names[1])}
    anchors = _increasing([(n, numbers[x]) for n, x in enumerate(names[0]) if x in numbers])
    if len(anchors) < min(len(one), len(two)) or any(one[n] != two[m] for n, m in anchors):
        alike = cache(_blocks_alike)
        by_number = worth(anchored_alignment(one, two, anchors, alike), one, two, alike)
        steps = best_alignment(one, two, alike)
        pairs = [(n, m) for n, m in steps if n is not None and m is not None]
        # A number is worth a point a layer: blocks that are hardly more alike stay where they are.
        moved = sum(len(one[n]) for n, m in anchors if (n, m) not in pairs)
        if worth(steps, one, two, alike) > by_number + moved:
            anchors = pairs
    return [(children[0][n], children[1][m]) for n, m in anchors]


def _blocks_alike(one: Sequence[Signature], two: Sequence[Signature]) -> int | None:
    """What the layers of two blocks score, aligned by what they are."""
    score = 10 * len(one) if one == two else worth(best_alignment(one, two), one, two)
    return score if score > 0 else None


def _increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part in which the second numbers increase, as the first ones do."""
    ends: list[int] = []  # the least second number that ends a chain of each length
    chain: list[int] = []  # the pair that has it
    previous: list[int] = []
    for n, (_, m) in enumerate(pairs):
        length = bisect_left(ends, m)
        previous.append(chain[length - 1] if length else -1)
        ends[length : length + 1] = [m]
        chain[length : length + 1] = [n]
    found = []
    last = chain[-1] if chain else -1
    while last >= 0:
        found.append(pairs[last])
        last = previous[last]
    return found[::-1]
