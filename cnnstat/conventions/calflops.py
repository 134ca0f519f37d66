"""What calflops counts as FLOPs."""

from __future__ import annotations

import math
from collections.abc import Callable

from cnnstat.conventions.base import Cells, Convention, Remark, Weights
from cnnstat.conventions.remarks import (
    AREA,
    BACKWARD,
    MHA,
    SHARED,
    SOFTMAX,
    STEPS,
    TIED_CELLS,
    TRAINING,
)
from cnnstat.conventions.words import (
    EVERY_NEAREST,
    LRN,
    NOTHING,
    POOLING,
    READ,
    READ_TWICE,
    RESIZING,
    TWO,
    UNSEEN,
    by_ops,
    in_classes,
    of_rules,
    plain_elu,
    product,
    read_where,
    relu6,
)
from cnnstat.record import OpCall
from cnnstat.shapes import is_transposed


def _sizes(call: OpCall, name: str, default: int, dims: int) -> tuple[int, ...]:
    """An argument that is a number, or one for each dimension."""
    given = call.get(name, default)
    values = given if isinstance(given, tuple) else (given,)
    return tuple(values) * dims if len(values) == 1 else tuple(values)


def _twice(count: Callable[[OpCall], int]) -> Callable[[OpCall], int]:
    return lambda call: 2 * count(call)


def _convolution(call: OpCall) -> int:
    """As a plain convolution also where it is transposed: positions of the output, groups divided twice."""
    x, w, y = call.inputs[0].shape, call.inputs[1].shape, call.output.shape
    dims, bias = len(w) - 2, bool(call.get("bias"))
    transposed = is_transposed(call)
    same = call.get("padding") == "same"
    outputs = y[2:]
    if len(x) != dims + 2:
        raise ValueError("calflops refuses a convolution without a batch")
    if transposed or same:
        dilations = _sizes(call, "dilation", 1, dims)
        spans = [d * (k - 1) for d, k in zip(dilations, w[2:], strict=True)]
        strides = _sizes(call, "stride", 1, dims)
        padding = [n // 2 for n in spans] if same else _sizes(call, "padding", 0, dims)
        outputs = tuple(
            (size + 2 * pad - span - 1) // stride + 1
            for size, pad, span, stride in zip(x[2:], padding, spans, strides, strict=True)
        )
    if transposed:
        channels = w[1] // int(call.get("groups", 1))
        macs = x[0] * math.prod(x[2:]) * w[0] * channels * math.prod(w[2:])
        return 2 * macs + (w[1] * x[0] * math.prod(outputs) if bias else 0)
    positions = x[0] * math.prod(outputs)
    return positions * (2 * math.prod(w) + (w[0] if bias else 0))


def _resize(call: OpCall) -> int:
    """By a factor the elements read, to a size the positions of one channel."""
    size = call.get("output_size")
    return math.prod(size) if size else call.inputs[0].numel


def _to_a_square(call: OpCall) -> bool:
    size = call.get("output_size", ())
    return len(size) > 1 and len(set(size)) == 1


CONVENTION = Convention(
    name="calflops",
    title="calflops FLOPs",
    unit="FLOPs",
    tool="calflops",
    versions="calflops 0.3.2",
    includes="two a MAC, biases of convolutions, norms 2 to 5 an element, ReLU, GELU, "
    "SiLU, softmax, pooling and resizing 1; the MACs that it prints beside this are "
    "another figure",
    misses="no fused attention, biases of linear layers, ReLU6, hard swish, sigmoid or "
    "operators (a + b, q @ k); the record does not tell torch.add, or einsum without a sum, from "
    "a + b, nor x.relu(), or a function that was kept, from F.relu(x)",
    cells=Cells({"RNN": 1, "GRU": 7, "LSTM": 10}, element=2, gates=-1),
    rules={
        "convolution": Weights(macs=2, adds=1, call=_convolution),
        **of_rules("linear recurrent", TWO),
        "matmul": Weights(macs=2, call=_twice(product("aten.matmul", "aten.bmm"))),
        "addmm": Weights(macs=2, read=1),
        "batch_norm": READ_TWICE,
        "batch_norm.plain": READ,
        **of_rules("batch_norm.batch layer_norm group_norm instance_norm", Weights(read=5)),
        **of_rules(
            "batch_norm.batch.plain layer_norm.plain group_norm.plain instance_norm.plain",
            Weights(read=4),
        ),
        **of_rules(f"relu silu gelu softmax {POOLING}", READ),
        "elu": read_where(plain_elu),
        "hardtanh": read_where(relu6),
        "leaky_relu": read_where(
            by_ops("aten.leaky_relu", "aten.leaky_relu_", "aten.prelu", "aten._prelu_kernel")
        ),
        **of_rules(RESIZING, Weights(read=1, call=_resize), ".antialiased"),
        **of_rules("upsample_nearest", Weights(read=1, call=_resize), EVERY_NEAREST),
    },
    # Products of nn.MultiheadAttention are torch.bmm, which is no function that calflops replaces.
    modules={
        MHA: {"matmul": NOTHING},
        **in_classes("ReLU6 Hardtanh", {"hardtanh": NOTHING}),
        "LocalResponseNorm": LRN,
        **in_classes("TransformerEncoderLayer TransformerDecoderLayer", UNSEEN),
    },
    remarks=(
        Remark(
            "products of matrices: an operator (q @ k) and torch.bmm count nothing in calflops, and "
            "here as torch.matmul and einsum do; of an einsum it reads four digits",
            rules=("matmul",),
            outside=(MHA,),
            call=by_ops("aten.matmul", "aten.bmm"),
        ),
        SOFTMAX,
        AREA,
        Remark(
            "resizing to a square: a size that is one number counts as that number in calflops, and "
            "here as its square",
            rules=("upsample_*",),
            call=_to_a_square,
        ),
        STEPS,
        TIED_CELLS,
        SHARED,
        TRAINING,
        BACKWARD,
    ),
)
