"""Operations on sparse tensors, counted by the elements that they hold.

A product of an m×k matrix that holds s elements and a dense k×n one takes s·n multiply–accumulates; of a
dense one by a sparse one, m·s. What works on each element works on those held. How many those are is a value:
where a record was made without values, nothing is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Work

_PRODUCTS = frozenset("bmm dot hspmm linear matmul mm mv smm _sparse_mm".split())
"""Of their first two tensors."""

_ADDED = frozenset("addmm addmv baddbmm _sparse_addmm sspaddmm sparse_sampled_addmm".split())
"""Of their second and third tensors, added to the first."""


def of_nonzeros(formal: Callable[[OpCall], Work], call: OpCall) -> Work:
    """The work of a call, by a rule that is written for dense tensors.

    Raises `ValueError` where it depends on values that are not known.
    """
    if any(spec.nonzeros == -1 for spec in (*call.inputs, *call.outputs)):
        raise ValueError("how many elements are not zero is not known without values")
    name = call.op.rpartition(".")[2].removesuffix("_")
    if name == "sparse_sampled_addmm":
        return sampled(call)
    if name in _PRODUCTS:
        work = product(call.inputs[0], call.inputs[1], transposed=name == "linear")
        return work + Work(adds=call.output.numel if call.get("bias") else 0)
    if name in _ADDED:
        work = product(call.inputs[1], call.inputs[2], transposed=False)
        added = call.args.get("beta", 1) != 0
        return work + Work(adds=_held(call.output) if added else 0)
    return formal(_of_held(call))


def product(left: TensorSpec, right: TensorSpec, transposed: bool) -> Work:
    """left·right, or left·rightᵀ."""
    if left.nonzeros is not None and right.nonzeros is not None:
        raise ValueError("a product of two sparse matrices depends on where their elements are")
    if left.nonzeros is not None:
        columns = 1 if len(right.shape) == 1 else right.shape[-2 if transposed else -1]
        return Work(macs=left.nonzeros * columns, activations=_rows(left) * columns)
    assert right.nonzeros is not None
    rows = _rows(left)
    width = right.shape[-2 if transposed else -1] if len(right.shape) > 1 else 1
    return Work(macs=rows * right.nonzeros, activations=rows * width)


def sampled(call: OpCall) -> Work:
    """A dense product where a sparse matrix holds elements, and added to them."""
    pattern, left = call.inputs[:2]
    held = _held(pattern)
    return Work(macs=held * left.shape[-1], adds=held, activations=held)


def _rows(spec: TensorSpec) -> int:
    rows = 1
    for size in spec.shape[:-1]:
        rows *= size
    return rows


def _held(spec: TensorSpec) -> int:
    return spec.numel if spec.nonzeros is None else spec.nonzeros


def _of_held(call: OpCall) -> OpCall:
    """The call as one of vectors of the elements held; dense tensors beside them are met at those places."""
    held = max(s.nonzeros for s in (*call.inputs, *call.outputs) if s.nonzeros is not None)

    def vector(spec: TensorSpec) -> TensorSpec:
        if spec.nonzeros is not None:
            return replace(spec, shape=(spec.nonzeros,), nonzeros=None)
        return replace(spec, shape=(min(spec.numel, held),)) if spec.shape else spec

    args = {
        name: vector(value) if isinstance(value, TensorSpec) else value
        for name, value in call.args.items()
    }
    return replace(call, args=args, outputs=tuple(map(vector, call.outputs)))
