"""Which layer of one network is which of another: a sequence alignment of two reports.

Layers of equal path are paired first, in order, but for those below a module that was renumbered. What is
left between two such pairs is aligned by what the layers are (`cnnstat.comparing.sequences`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from cnnstat.comparing.sequences import Signature, best_alignment
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


def related(before: Report, after: Report) -> bool:
    """Whether two reports are of variants of one network: whether enough layers have the same names.

    Counted are the innermost modules with the same path and class, as a share of the smaller network;
    half is enough, and a quarter where the networks themselves are of one class.
    """
    one, two = ({(layer.path, layer.type) for layer in _leaves(r)} for r in (before, after))
    smaller = min(len(one), len(two))
    if not smaller:
        return False
    classes = [report.layers[0].type for report in (before, after)]
    least = _RELATED_CLASS if classes[0] == classes[1] else _RELATED
    return len(one & two) >= least * smaller


def align(before: Report, after: Report) -> Alignment:
    """Pair the layers of two reports."""
    one, two = _rows(before), _rows(after)
    signatures = [_Signatures(before), _Signatures(after)]
    pairs: list[Pair] = []
    start, begin = 0, 0
    for n, m in [*_same_paths(before, after, one, two), (len(one), len(two))]:
        left, right = one[start:n], two[begin:m]
        keys = [signatures[0].of(layer) for layer in left], [signatures[1].of(r) for r in right]
        for i, j in best_alignment(*keys):
            layers = None if i is None else left[i], None if j is None else right[j]
            same = i is not None and j is not None and keys[0][i] == keys[1][j]
            pairs.append(_pair(*layers, same))
        if n < len(one):
            same = signatures[0].of(one[n]) == signatures[1].of(two[m])
            pairs.append(_pair(one[n], two[m], same))
        start, begin = n + 1, m + 1
    return Alignment(tuple(pairs))


def _pair(before: Layer | None, after: Layer | None, same: bool) -> Pair:
    if before is None or after is None:
        return Pair(before, after, "added" if before is None else "removed")
    return Pair(before, after, "unchanged" if same else "changed")


# Which layers, and what they are


def _parents(report: Report) -> set[str]:
    return {layer.path.rpartition(".")[0] for layer in report.layers if layer.path}


def _leaves(report: Report) -> list[Layer]:
    parents = _parents(report)
    return [layer for layer in report.layers if layer.path not in parents]


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


class _Signatures:
    """What a layer is, but for its place: two layers are the same where this is equal."""

    def __init__(self, report: Report) -> None:
        self.gaps: dict[str, list[Signature]] = {}
        for item in report.uncounted:
            gap = (item.op, item.count, item.inputs, item.outputs)
            self.gaps.setdefault(item.layer, []).append(gap)

    def of(self, layer: Layer) -> Signature:
        """Kind, class, kernel, output and input come first: they say how alike two layers are."""
        return (
            layer.kind,
            layer.type,
            tuple(sorted((key, str(value)) for key, value in layer.attrs.items())),
            layer.outputs,
            layer.inputs,
            tuple(sorted(layer.weights.items())),
            (layer.params, layer.param_bytes, layer.trainable_params, layer.buffers, layer.calls),
            tuple((t.rule, t.kind, t.calls, t.work) for t in layer.tallies),
            tuple(self.gaps.get(layer.path, ())),
        )


# Pairs by path


def _same_paths(
    before: Report, after: Report, one: list[Layer], two: list[Layer]
) -> list[tuple[int, int]]:
    """Positions of layers with the same path, as many as keep both orders."""
    renumbered = _renumbered(before, after)
    places = {layer.path: m for m, layer in enumerate(two)}
    common = [
        (n, places[layer.path])
        for n, layer in enumerate(one)
        if layer.path in places and not any(path in renumbered for path in _above(layer.path))
    ]
    return _increasing(common)


def _renumbered(before: Report, after: Report) -> set[str]:
    """Modules whose children have numbers for names that no longer mean the same layer.

    A `ReLU` at the number where the other has a `Conv2d`: one was put in or taken out before it.
    """
    leaves = {layer.path for report in (before, after) for layer in _leaves(report)}
    types = {layer.path: layer.type for layer in before.layers}
    return {
        layer.path.rpartition(".")[0]
        for layer in after.layers
        if layer.name.isdecimal()
        and layer.path in leaves
        and types.get(layer.path, layer.type) != layer.type
    }


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path


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
