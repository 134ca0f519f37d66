"""What a runtime keeps beside the arena: weights as they are prepared, and constants. Standard library only.

A converter carries out beforehand what does not depend on the input, and keeps what the rest reads. So a
table that is indexed by constants alone gives way to the result; what is made of weights counts as weights,
anything else (a buffer of positions, a mask) as a constant. Each counts with its whole storage, also where
only a part of it is read. Tensors that are filled with one number are left out: a converter keeps the
number. Shapes and single numbers that it would put into operations count, at a few bytes each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cnnstat.memory.graph import Graph
from cnnstat.record import ModuleInfo, TensorSpec, Trace
from cnnstat.rules import VIEWS

BIAS_BYTES = 4
"""A bias stays a 32-bit number beside 8-bit weights: it is added to 32-bit sums."""

_FILLS = frozenset(
    f"aten.{name}"
    for name in """
        empty empty_like empty_strided fill fill_ full full_like new_empty new_empty_strided new_full
        new_ones new_zeros ones ones_like scalar_tensor zero_ zeros zeros_like
    """.split()
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Bytes that are the same for every input."""

    parameters: int
    """Of the weights and what is made of them."""
    constants: int
    """Of everything else."""

    @property
    def total(self) -> int:
        """Both."""
        return self.parameters + self.constants


def prepared_weights(trace: Trace, graph: Graph, itemsize: int | None = None) -> Prepared:
    """What a runtime keeps of a network for its plan, with `itemsize` bytes for each element."""
    weights = {p.storage for m in trace.modules for p in m.params if p.storage >= 0}
    filled, derived = _made(trace, weights)
    kept = graph.held - weights - filled
    sizes = {storage.id: storage.nbytes for storage in trace.storages}
    specs = {spec.storage: spec for call in trace.ops for spec in (*call.outputs, *call.inputs)}
    nbytes = {id: _constant_bytes(sizes[id], specs[id], itemsize) for id in kept}
    # Weights that were only read to make something are gone once that is made.
    gone = _read_for(trace, kept) & weights - graph.held
    return Prepared(
        prepared_bytes(trace.modules, itemsize, graph.absorbed, gone)
        + sum(nbytes[id] for id in kept & derived),
        sum(nbytes[id] for id in kept - derived),
    )


def prepared_bytes(
    modules: Iterable[ModuleInfo],
    itemsize: int | None = None,
    absorbed: Collection[str] = (),
    gone: Collection[int] = (),
) -> int:
    """Bytes of all parameters with `itemsize` bytes for each element (as they are by default).

    With one byte, vectors (biases, scales) keep four. A batch norm at a path in `absorbed` is folded into
    the layer before it and leaves it one bias a channel; so the figures agree with those that vendors print
    for their converters (MobileNet v1 in 8 bits: 4,209,088 weights and 11,944 biases of 4 bytes are ST's
    4157.09 KiB). Any other keeps scale and offset. `gone` are storages that are left out.
    """
    total = 0
    for module in modules:
        for param in module.params:
            scale = itemsize and param.name == "weight" and module.path in absorbed
            if param.tied_to or scale or (param.storage >= 0 and param.storage in gone):
                continue
            own_format = param.dtype.startswith("complex")  # no runtime has a shorter one
            total += param.numel * _width(
                param.itemsize, len(param.shape), None if own_format else itemsize
            )
    return total


def _width(own: int, dimensions: int, itemsize: int | None) -> int:
    width = itemsize or own
    return max(width, BIAS_BYTES) if dimensions < 2 and width == 1 else width


def _constant_bytes(nbytes: int, spec: TensorSpec, itemsize: int | None) -> int:
    if not spec.dtype.startswith(("float", "bfloat")):  # indices and masks keep their size
        return nbytes
    width = _width(spec.itemsize, len(spec.shape), None if spec.is_complex else itemsize)
    return nbytes // spec.itemsize * width


def _made(trace: Trace, weights: set[int]) -> tuple[set[int], set[int]]:
    """Storages that hold one number only, and those that are made of weights."""
    filled: set[int] = set()
    derived = set(weights)
    for call in trace.ops:
        made = {spec.storage for spec in call.outputs}
        if call.op in _FILLS:  # what they are given says no more than a shape
            filled |= made
            continue
        if call.op not in VIEWS:
            filled -= made
        if not derived.isdisjoint(spec.storage for spec in call.inputs):
            derived |= made
    return filled, derived - weights


def _read_for(trace: Trace, made: Collection[int]) -> set[int]:
    """Storages of which those of `made` are made, and they themselves."""
    wanted = set(made)
    for call in reversed(trace.ops):
        if not wanted.isdisjoint(spec.storage for spec in call.outputs):
            wanted.update(spec.storage for spec in call.inputs)
    return wanted
