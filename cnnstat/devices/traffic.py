"""What each operation of a report computes and moves, from its shapes; `roofline` says what is left out.

Not from the bytes that operations moved when they were recorded: those differ from engine to engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnnstat.record import OpCall, TensorSpec, tensors_in
from cnnstat.report import Layer, Report, Tally
from cnnstat.rules import rule_for
from cnnstat.rules.base import RULE_ERRORS

_WHOLE = ("int", "uint", "bool")
_NEEDS_ALL = frozenset(("softmax", "log_softmax"))
"""Activations that need a whole row before the first result: they are not applied in passing."""

BATCH_NORM, EMBEDDING = "batch_norm", "embedding"


@dataclass(frozen=True, slots=True)
class Step:
    """What has to be done before the next operation can start."""

    flops: int
    """Two for a multiply–accumulate, one for any other operation."""
    traffic: int
    """Bytes that go in and come out."""


def steps(layer: Layer, tally: Tally, bits: int) -> list[Step]:
    """A step for each operation of one of a layer's tallies; none for what is folded into weights."""
    if not tally.ops:
        return _unwritten(layer, tally, bits)
    flops = [_flops(call) for call in tally.ops]
    if sum(flops) != tally.work.flops:
        # A rule of the user's own that is gone, say: what each operation takes is not known.
        return [Step(tally.work.flops, sum(_traffic(call, bits) for call in tally.ops))]
    return [
        Step(work, _traffic(call, bits))
        for call, work in zip(tally.ops, flops, strict=True)
        if not _vanishes(call)
    ]


def weight_bytes(report: Report, bits: int) -> int:
    """Bytes of the parameters that some operation reads, each once, without tables of embeddings."""
    read: dict[str, int] = {}
    for layer in report.layers:
        for tally in layer.tallies:
            if not tally.ops and tally.work.flops and tally.rule != BATCH_NORM:
                read[f"{layer.path}:"] = layer.params  # no parameter's name has a colon
            for call in tally.ops:
                if _vanishes(call) or _family(call) == EMBEDDING:
                    continue
                for name, path in call.params:
                    value = call.args.get(name)
                    read[path] = value.numel if isinstance(value, TensorSpec) else 0
                read.update(_in_lists(layer, call))
    return sum(nbytes(elements, bits) for elements in read.values())


def _in_lists(layer: Layer, call: OpCall) -> dict[str, int]:
    """Elements of the layer's weights that an operation is given in a list, such as an LSTM's, by path.

    A call names only those of its parameters that are arguments by themselves; those in a list have the
    shapes of the layer's own.
    """
    lists = [value for value in call.args.values() if isinstance(value, tuple)]
    given = {spec.shape for value in lists for spec in tensors_in(value)}
    shapes = layer.weights.items() if given else ()
    return {f"{layer.path}.{name}".lstrip("."): math.prod(s) for name, s in shapes if s in given}


def io_bytes(report: Report, bits: int) -> int:
    """Bytes of what goes into the network and comes out of it."""
    root = next((layer for layer in report.layers if not layer.path), None)
    given = report.meta.get("inputs")
    shapes = [] if root is None else list(root.outputs)
    if given:
        shapes += [
            tuple(item["shape"])
            for item in given
            if not str(item.get("dtype", "")).startswith(_WHOLE)
        ]
    elif root is not None:
        shapes += root.inputs
    return sum(nbytes(math.prod(shape), bits) for shape in shapes)


def nbytes(elements: int, bits: int) -> int:
    """Bytes of a tensor whose elements are packed."""
    return -(-elements * bits // 8)


def _unwritten(layer: Layer, tally: Tally, bits: int) -> list[Step]:
    """Without its operations, the layer's own shapes stand for those of its heaviest tally."""
    flops = tally.work.flops
    if not flops or tally.rule == BATCH_NORM:
        return []
    heaviest = max(layer.tallies, key=lambda one: one.work.flops)
    if tally is not heaviest or tally.kind in ("activation", "dropout"):
        return [Step(flops, 0)]
    sizes = (layer.params, *(math.prod(shape) for shape in (*layer.inputs, *layer.outputs)))
    return [Step(flops, sum(nbytes(size, bits) for size in sizes) * max(layer.calls, 1))]


def _flops(call: OpCall) -> int:
    """What its rule counts; 0 where there is none any more, or none that knows it."""
    rule = rule_for(call.op)
    try:
        return rule.count(call).flops if rule is not None else 0
    except RULE_ERRORS:
        return 0


def _family(call: OpCall) -> str:
    rule = rule_for(call.op)
    return rule.family if rule is not None else ""


def _vanishes(call: OpCall) -> bool:
    """A batch norm whose statistics are fixed is part of the weights beside it."""
    rule = rule_for(call.op)
    if rule is None or rule.name != BATCH_NORM or call.phase != "forward":
        return False
    return not call.get("training", False)


def _in_passing(call: OpCall) -> bool:
    """Whether it is applied while another operation's result is written."""
    rule = rule_for(call.op)
    if rule is None or call.phase != "forward" or rule.name in _NEEDS_ALL:
        return False
    return rule.family in ("activation", "dropout")


def _traffic(call: OpCall, bits: int) -> int:
    if _vanishes(call) or _in_passing(call):
        return 0
    tensors = [*call.inputs, *call.outputs]
    if _family(call) == EMBEDDING and len(call.inputs) > 1:
        table, indices = call.inputs[:2]
        rows = min(table.shape[0], indices.numel) if table.shape else 0
        tensors[0] = TensorSpec((rows, *table.shape[1:]), table.dtype, table.itemsize)
    return sum(nbytes(s.numel, bits) for s in tensors if not s.dtype.startswith(_WHOLE))
