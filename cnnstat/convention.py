"""How papers and other tools quote a network: each a `Convention`, verified against the tool itself.

Weights of rules say what a tool counts wherever it runs; `modules` what it counts for a layer of a class
that it knows; `cells` for a recurrent one; `parameters` is for those that never look at operations. Numbers
are equal to the last unit, or `remarks` say what is not: tests/test_conventions_of_tools.py holds both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from cnnstat.errors import ReportError, SpecError
from cnnstat.quoting import (
    Cells,
    Convention,
    Remark,
    Rules,
    Uses,
    Weights,
    batch_of,
    outputs_of_calls,
    tied_parameters,
)
from cnnstat.record import OpCall
from cnnstat.report import Layer, Report

__all__ = ["CONVENTIONS", "Convention", "Weights", "convention_named", "requote"]


def _for(names: str, what: Weights, variants: str = "") -> Rules:
    """The same weights for several rules, and for those variants of each of them."""
    return {name + variant: what for name in names.split() for variant in ("", *variants.split())}


def _in(classes: str, rules: Rules) -> Mapping[str, Rules]:
    """The same rules in layers of several classes; a name with `#` stands for its 1d, 2d and 3d."""
    dims = [name.replace("#", f"{n}d") for name in classes.split() for n in (1, 2, 3)]
    return dict.fromkeys(dims, rules)


_NOTHING = Weights()
_MAC = Weights(macs=1)
_MAC_AND_BIAS = Weights(macs=1, adds=1)
_TWO = Weights(macs=2)
_READ = Weights(read=1)
_READ_TWICE = Weights(read=2)

_LRN = _for("product addition", Weights(written=1))
"""Local response norm, which torch writes with torch.mul and torch.add."""
_UNSEEN = _for("relu gelu", _NOTHING)
"""Functions that a layer holds since before the tool replaced them."""

_EVERY_NEAREST = ".exact .1d .3d .exact.1d .exact.3d"
_RESIZING = "upsample_linear upsample_bilinear upsample_bicubic upsample_trilinear"
_ADAPTIVE = "adaptive_max_pool adaptive_avg_pool adaptive_avg_pool.1d adaptive_avg_pool.3d"
_POOLING = f"max_pool avg_pool {_ADAPTIVE}"


# ---- what tools make of the arguments of a call


def _sizes(call: OpCall, name: str, default: int, dims: int) -> tuple[int, ...]:
    """An argument that is a number, or one for each dimension."""
    given = call.get(name, default)
    values = given if isinstance(given, tuple) else (given,)
    return tuple(values) * dims if len(values) == 1 else tuple(values)


def _conv_macs(call: OpCall) -> int:
    """Each element of the weight at each position, of the input where it is transposed."""
    x, w, y = call.inputs[0].shape, call.inputs[1], call.output.shape
    dims = len(w.shape) - 2
    positions = (x if _transposed(call) else y)[-dims:]
    return math.prod(y[: -(dims + 1)]) * math.prod(positions) * w.numel


def _transposed(call: OpCall) -> bool:
    return bool(call.get("transposed", "transpose" in call.op))


def _product(*ops: str) -> Callable[[OpCall], int]:
    """Products by these operations: elements of the left operand times the last size of the right one,
    also where the left one is broadcast. Nothing for others."""

    def count(call: OpCall) -> int:
        if call.op not in ops:
            return 0
        return call.inputs[0].numel * call.inputs[1].shape[-1]

    return count


def _twice(count: Callable[[OpCall], int]) -> Callable[[OpCall], int]:
    return lambda call: 2 * count(call)


def _read_where(about: Callable[[OpCall], bool]) -> Weights:
    """One for an element that such operations of a rule read, nothing for its others."""
    return Weights(read=1, call=lambda call: call.inputs[0].numel if about(call) else 0)


def _op(*ops: str) -> Callable[[OpCall], bool]:
    return lambda call: call.op in ops


def _plain_elu(call: OpCall) -> bool:
    """Not SELU, which is an ELU with a scale, nor CELU."""
    return call.op in ("aten.elu", "aten.elu_") and call.get("scale", 1) == 1


def _relu6(call: OpCall) -> bool:
    return (call.get("min_val", -1), call.get("max_val", 1)) == (0, 6)


def _torch_product(call: OpCall) -> int:
    """FlopCounterMode has formulas for products of matrices, and none for those by a vector."""
    left, right = call.inputs[1:3] if "add" in call.op else call.inputs[:2]
    return 0 if len(right.shape) == 1 else 2 * call.output.numel * left.shape[-1]


def _fvcore_convolution(call: OpCall) -> int:
    """fvcore has no handle for a convolution whose padding is a word."""
    return 0 if isinstance(call.get("padding"), str) else _conv_macs(call)


def _fvcore_addmm(call: OpCall) -> int:
    """It has none for baddbmm and addmv either."""
    return call.output.numel * call.inputs[1].shape[-1] if call.op == "aten.addmm" else 0


def _thop_softmax(call: OpCall) -> int:
    """For a row of k, k exponentials, k − 1 additions and k divisions."""
    x = call.inputs[0]
    return 3 * x.numel - x.numel // (x.shape[int(call.get("dim", -1))] if x.shape else 1)


def _thop_adaptive_pool(call: OpCall) -> int:
    """Of the sizes' quotients as floats, rounded down at the end."""
    x, y = call.inputs[0].shape, call.output
    dims = int(call.op[-2])
    window = math.prod(a / b for a, b in zip(x[-dims:], y.shape[-dims:], strict=True))
    return int((window + 1) * y.numel)


def _calflops_convolution(call: OpCall) -> int:
    """As a plain convolution also where it is transposed: positions of the output, groups divided twice."""
    x, w, y = call.inputs[0].shape, call.inputs[1].shape, call.output.shape
    dims, bias = len(w) - 2, bool(call.get("bias"))
    transposed = _transposed(call)
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


def _calflops_resize(call: OpCall) -> int:
    """By a factor the elements read, to a size the positions of one channel."""
    size = call.get("output_size")
    return math.prod(size) if size else call.inputs[0].numel


# ---- what is not exact


def _of_four_digits(call: OpCall) -> bool:
    """Whether an einsum of that size is not what NumPy prints of it."""
    if call.op != "aten.bmm":
        return False
    flops = 2 * call.output.numel * call.inputs[0].shape[-1]
    return int(float(f"{flops + 1:.3e}")) // 2 != flops // 2


def _same_for_all(call: OpCall) -> bool:
    """Whether the first argument is that of one sample."""
    return "add" in call.op or len(call.inputs[0].shape) < len(call.inputs[1].shape)


def _by_a_fraction(call: OpCall) -> bool:
    factors = call.get("scale_factors")
    return bool(factors) and call.inputs[0].numel * math.prod(factors) != call.output.numel


def _to_a_square(call: OpCall) -> bool:
    size = call.get("output_size", ())
    return len(size) > 1 and len(set(size)) == 1


def _without_batch(call: OpCall) -> bool:
    return len(call.inputs[0].shape) < len(call.inputs[1].shape)


def _not_padded_steps(layer: Layer) -> bool:
    return bool(layer.inputs) and len(layer.inputs[0]) != (2 if layer.type.endswith("Cell") else 3)


def _not_projected(layer: Layer) -> bool:
    """Whether oneDNN has a kernel for the recurrent layer."""
    return not any(name.startswith("weight_hr") for name in layer.weights)


def _other_attention(layer: Layer) -> bool:
    """Without biases, or of keys and values that are as wide as they like."""
    return bool(layer.tied_to) or set(layer.weights) != {"in_proj_weight", "in_proj_bias"}


def _calls_not_seen(layer: Layer) -> bool:
    return bool(layer.weights) and not outputs_of_calls(layer)[1]


def _tied_not_seen(layer: Layer) -> bool:
    return layer.calls > 0 and len(layer.tied_to) != len(list(tied_parameters(layer)))


def _of_several_outputs(layer: Layer) -> bool:
    known = (*_RECURRENT, _MHA)  # their first output is what counts
    return bool(layer.weights) and len(layer.outputs) > 1 and layer.type not in known


def _pruned(layer: Layer) -> bool:
    return any(name.endswith("_orig") for name in layer.weights)


def _batched(report: Report) -> bool:
    return batch_of(report.layers) > 1


def _shared(report: Report) -> bool:
    return any(note.kind == "shared" for note in report.notes)


_RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
_ATTENTION = ("attention", "multi_head_attention", "transformer_encoder_layer")
_MHA = "MultiheadAttention"

_BACKWARD = Remark(
    "the backward pass is in this number, and the tool counts forward alone",
    report=lambda report: "backward" in report.meta.get("phases", ()),
)
_TRAINING = Remark(
    "the tool runs the network in evaluation mode, and this is a record of training mode",
    report=lambda report: report.meta.get("mode") == "train",
)
_SHARED = Remark(
    "modules under several names count here once, and in the tool once for each module that holds them",
    report=_shared,
)
_STEPS = Remark(
    "recurrent layers fed packed sequences, or one without a batch: the tool takes the first two sizes of "
    "the input for batch and steps",
    layers=_RECURRENT,
    layer=_not_padded_steps,
)
_TIED_CELLS = Remark(
    "recurrent layers whose weights are those of another layer count here what they compute, and in the "
    "tool operations of their cells too",
    layers=_RECURRENT,
    layer=lambda layer: bool(layer.tied_to),
)
_NO_BATCH = Remark(
    "convolutions without a batch: the tool takes the channels for a batch",
    rules=("convolution",),
    call=_without_batch,
)
_SAME_NAMES = Remark(
    "the tool knows classes of torch, not timm's of the same names (LayerNorm, GroupNorm, Linear, GELU, "
    "PReLU), which count nothing there and as torch's here",
    layers=("LayerNorm", "GroupNorm", "Linear", "GELU", "PReLU"),
    report=lambda report: report.subject.get("source") == "timm",
)
_AREA = Remark(
    "adaptive average pooling by a function: where it is F.interpolate by area, that counts in the tool too",
    rules=("adaptive_avg_pool*",),
    outside=("AdaptiveAvgPool?d",),
    call=lambda call: any(size != 1 for size in call.output.shape[2:]),
)
_SOFTMAX = Remark(
    "softmax: x.softmax() and torch.softmax() count nothing in the tool, and here as F.softmax does",
    rules=("softmax",),
    outside=("Softmax", "Softmax2d", _MHA),
)

CONVENTIONS: Mapping[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            name="macs",
            title="MACs",
            unit="MACs",
            includes="multiply–accumulates of convolutions, linear layers, matrix products, "
            "attention and recurrent cells, as papers and torchvision count",
            misses="no biases, norms, activations or pooling",
            default=_MAC,
        ),
        Convention(
            name="two-per-mac",
            title="2 × MACs",
            unit="FLOPs",
            includes="twice the MACs: a product and an addition each",
            misses="no biases, norms, activations or pooling",
            default=_TWO,
        ),
        Convention(
            name="conv",
            title="conv MACs",
            unit="MACs",
            includes="multiply–accumulates of convolutions alone, as some papers count",
            misses="no linear layers, matrix products, attention or recurrent cells",
            rules=_for(
                "convolution deformable_convolution quantized_convolution convolution_backward",
                _MAC,
            ),
        ),
        Convention(
            name="fvcore",
            title="fvcore flops",
            unit="mixed",
            tool="fvcore",
            versions="fvcore 0.1.5.post20221221",
            includes="MACs, batch norm 2 an element, layer and group norm 5, adaptive average "
            "pooling 1, bilinear resizing 4; attention as matrix products, as timm publishes in "
            "infer_gmacs",
            misses="not what fvcore itself prints where attention is fused: it sees nothing of it; no "
            "biases, activations, max pooling, recurrent layers or einsum without a sum",
            rules={
                **_for("linear attention", _MAC),
                "convolution": Weights(macs=1, call=_fvcore_convolution),
                "matmul": Weights(macs=1, call=_product("aten.matmul", "aten.mm", "aten.bmm")),
                "addmm": Weights(macs=1, call=_fvcore_addmm),
                "batch_norm": _READ_TWICE,
                "batch_norm.plain": _READ,
                "batch_norm.batch": Weights(read=5),
                "batch_norm.batch.plain": Weights(read=4),
                **_for("layer_norm group_norm instance_norm", Weights(read=5)),
                **_for("layer_norm.plain group_norm.plain instance_norm.plain", Weights(read=4)),
                "adaptive_avg_pool": _READ,
                "upsample_nearest": Weights(written=1),
                "upsample_bilinear": Weights(written=4),
                "grid_sample": Weights(written=4),
            },
            remarks=(
                Remark(
                    "fused attention: this is the number of timm's table, with its products counted; "
                    "fvcore itself prints less, without them",
                    rules=_ATTENTION,
                ),
                Remark(
                    "einsum: fvcore reads its count out of a text that has four digits of it, where "
                    "torch.bmm, which runs the same, counts as here",
                    rules=("matmul",),
                    outside=(_MHA,),
                    call=_of_four_digits,
                ),
                Remark(
                    "tensordot, chain_matmul and inner count nothing in fvcore, where torch.mm, which runs "
                    "the same, counts as here",
                    rules=("matmul",),
                    call=_op("aten.mm"),
                ),
                _BACKWARD,
            ),
        ),
        Convention(
            name="flop-counter",
            title="torch FLOPs",
            unit="FLOPs",
            tool="torch",
            versions="torch.utils.flop_counter of torch 2.13.0",
            includes="twice the MACs, as FlopCounterMode sums them over the operations that run",
            misses="the number of tensors on meta; elsewhere it prints less where it has no formula for "
            "the kernel that runs",
            rules={
                **_for("convolution linear attention recurrent convolution_backward", _TWO),
                **_for("matmul addmm", Weights(macs=2, call=_torch_product)),
            },
            remarks=(
                Remark(
                    "on the CPU fused attention counts nothing: there is no formula for its kernel there",
                    rules=_ATTENTION,
                ),
                Remark(
                    "without gradients nn.MultiheadAttention counts nothing where it is one "
                    "kernel, which has no formula: self-attention mostly is",
                    layers=(_MHA,),
                ),
                Remark(
                    "on the CPU an LSTM counts nothing, being one kernel without a formula",
                    rules=("recurrent", "mkldnn_rnn_layer"),
                    call=_op("aten.lstm", "aten.mkldnn_rnn_layer"),
                    layer=_not_projected,
                ),
                Remark(
                    "on a GPU recurrent layers count nothing: there is no formula for cuDNN's kernel",
                    rules=("recurrent", "mkldnn_rnn_layer"),
                ),
                Remark(
                    "with a backward pass the tool counts the products that its kernels run",
                    report=_BACKWARD.report,
                ),
            ),
        ),
        Convention(
            name="ptflops",
            title="ptflops MACs",
            unit="mixed",
            tool="ptflops",
            versions="ptflops 0.7.5, its default backend",
            includes="MACs and biases of layers, nn.MultiheadAttention among them, and one or two "
            "operations an element of norms, activations and pooling, for one sample",
            misses="ReLU, GELU and pooling layers count twice; F.linear, F.conv2d, other fused "
            "attention and operators (a + b, q @ k) not at all; the record does not tell torch.add from "
            "a + b, nor x.relu(), or a function that was kept, from F.relu(x); classes go by their names",
            per_sample=True,
            cells=Cells({"RNN": 1, "GRU": 7, "LSTM": 10}),
            rules={
                "matmul": Weights(macs=1, call=_product("aten.matmul", "aten.mm", "aten.bmm")),
                "addmm": Weights(macs=1, read=1),
                **_for(f"relu gelu silu softmax {_POOLING}", _READ),
                "elu": _read_where(_plain_elu),
                "hardtanh": _read_where(_relu6),
                "leaky_relu": _read_where(_op("aten.prelu", "aten._prelu_kernel")),
                **_for(_RESIZING, Weights(written=1), ".antialiased"),
                **_for("upsample_nearest", Weights(written=1), _EVERY_NEAREST),
            },
            modules={
                **_in("Conv# ConvTranspose#", {"convolution": _MAC_AND_BIAS}),
                "Linear": {"linear": _MAC_AND_BIAS},
                # Queries are scaled, and a softmax is one an element; unfused, products and softmax are
                # functions that it counts again.
                "MultiheadAttention": {
                    "linear": _MAC_AND_BIAS,
                    "attention": Weights(macs=1, read=1, compares=1),
                    "product": _READ,
                    "matmul": _TWO,
                    "addmm": Weights(macs=2, read=1),
                    "softmax": _READ_TWICE,
                },
                **_in("RNN LSTM GRU", {"recurrent": _MAC_AND_BIAS}),
                **_in(
                    "BatchNorm# InstanceNorm# GroupNorm",
                    {
                        **_for("batch_norm batch_norm.batch instance_norm group_norm", _READ_TWICE),
                        **_for(
                            "batch_norm.plain batch_norm.batch.plain instance_norm.plain "
                            "group_norm.plain",
                            _READ,
                        ),
                    },
                ),
                "LayerNorm": _for("layer_norm", _READ, ".plain"),
                "ReLU": {"relu": _READ_TWICE},
                "ReLU6": _for("relu hardtanh", _READ),
                "Hardtanh": {"hardtanh": _NOTHING},
                "LocalResponseNorm": _LRN,
                **_in("TransformerEncoderLayer TransformerDecoderLayer", _UNSEEN),
                "ELU": {"elu": _READ_TWICE},
                **_in("SELU CELU", {"elu": _NOTHING}),
                "GELU": {"gelu": _READ_TWICE},
                "PReLU": {"leaky_relu": _READ_TWICE},
                "LeakyReLU": {"leaky_relu": _READ},
                **_in("MaxPool# AvgPool#", _for("max_pool avg_pool", _READ_TWICE)),
                **_in("AdaptiveMaxPool# AdaptiveAvgPool#", _for(_ADAPTIVE, _READ_TWICE)),
                "Upsample": {
                    **_for(_RESIZING, Weights(written=2), ".antialiased"),
                    **_for("upsample_nearest", Weights(written=2), _EVERY_NEAREST),
                },
            },
            remarks=(
                Remark(
                    "this is for one sample, which ptflops runs by itself; of a batch that "
                    "input_constructor gives it, it divides what layers count, not what functions count",
                    report=_batched,
                ),
                Remark(
                    "of a batch ptflops does not divide what is the same for all samples: what addmm adds, "
                    "and a left operand without a batch; nor does it grow with the batch there",
                    rules=("matmul", "addmm"),
                    call=_same_for_all,
                    report=_batched,
                ),
                Remark(
                    "products of matrices: an operator (q @ k) and einsum count nothing in ptflops, and "
                    "here as torch.matmul and torch.bmm do",
                    rules=("matmul",),
                    outside=(_MHA,),
                ),
                _SOFTMAX,
                _AREA,
                Remark(
                    "layers of a class Attention: timm's ptflops counts by itself, and leaves out the "
                    "projections in it",
                    layers=("Attention",),
                ),
                Remark(
                    "nn.MultiheadAttention without biases, or of keys of another width: ptflops counts it "
                    "as if it had them, and as if they were as wide",
                    layers=(_MHA,),
                    layer=_other_attention,
                ),
                Remark(
                    "resizing by a factor: ptflops multiplies by it before the sizes are rounded down",
                    rules=("upsample_*",),
                    call=_by_a_fraction,
                ),
                Remark(
                    "deformable convolutions count nothing here, and in ptflops their products and 24 or "
                    "25 operations a sample",
                    rules=("deformable_convolution",),
                ),
                _STEPS,
                _TIED_CELLS,
                _NO_BATCH,
                _SHARED,
                _SAME_NAMES,
                _TRAINING,
                _BACKWARD,
            ),
        ),
        Convention(
            name="thop",
            title="thop MACs",
            unit="mixed",
            tool="thop",
            versions="thop 0.1.1.post2209072238",
            includes="MACs of nn.Conv, nn.Linear and recurrent layers, norms 4 an element (2 "
            "without weights), average pooling and resizing",
            misses="no attention nor its projections, no functions, group norm, biases or "
            "activations; transposed convolutions over their output positions; classes go by their names",
            cells=Cells({"RNN": 1, "GRU": 7, "LSTM": 8}, projections=False, first_way=False),
            modules={
                **_in("Conv#", {"convolution": _MAC}),
                "Linear": {"linear": _MAC},
                **_in("RNN LSTM GRU", {"recurrent": _MAC_AND_BIAS}),
                **_in(
                    "BatchNorm# InstanceNorm# SyncBatchNorm LayerNorm",
                    {
                        **_for(
                            "batch_norm batch_norm.batch instance_norm layer_norm", Weights(read=4)
                        ),
                        **_for(
                            "batch_norm.plain batch_norm.batch.plain instance_norm.plain "
                            "layer_norm.plain",
                            _READ_TWICE,
                        ),
                    },
                ),
                "PReLU": {"leaky_relu": _READ},
                "Softmax": {"softmax": Weights(read=3, call=_thop_softmax)},
                **_in("AvgPool#", {"avg_pool": Weights(written=1)}),
                **_in(
                    "AdaptiveAvgPool#",
                    _for(
                        "adaptive_avg_pool",
                        Weights(read=1, written=1, call=_thop_adaptive_pool),
                        ".1d .3d",
                    ),
                ),
                **_in(
                    "Upsample UpsamplingNearest2d UpsamplingBilinear2d",
                    {
                        **_for("upsample_nearest", Weights(written=1), ".1d .3d"),
                        "upsample_linear": Weights(written=5),
                        "upsample_bilinear": Weights(written=11),
                        "upsample_bicubic": Weights(written=259),
                    },
                ),
            },
            parameters=(Uses("positions", ("weight",), layers="ConvTranspose?d"),),
            remarks=(
                _STEPS,
                _TIED_CELLS,
                _NO_BATCH,
                _SHARED,
                _SAME_NAMES,
                Remark(
                    "transposed convolutions called several times count as in their first call",
                    layers=("ConvTranspose?d",),
                    layer=_calls_not_seen,
                ),
                _TRAINING,
                _BACKWARD,
            ),
        ),
        Convention(
            name="torchinfo",
            title="torchinfo mult-adds",
            unit="MACs",
            tool="torchinfo",
            versions="torchinfo 1.8.0",
            includes="parameters times their uses: a convolution's output positions, a recurrent "
            "layer's steps, for other layers the batch",
            misses="a linear layer over many tokens counts for one of them; no attention, nor "
            "anything else without parameters of its own",
            parameters=(
                Uses("positions", ("weight", "bias"), layers="*Conv*"),
                Uses("samples", ("weight", "bias")),
                Uses("steps", ("*weight*", "*bias*")),
            ),
            remarks=(
                Remark(
                    "layers called several times count here as in their first call, where their "
                    "operations do not show the others",
                    layer=_calls_not_seen,
                ),
                Remark(
                    "tied parameters count in torchinfo in each layer that holds them, and here where "
                    "the operations of the layer show them",
                    layer=_tied_not_seen,
                ),
                Remark(
                    "layers that put out several tensors count here by the first; of a dictionary "
                    "torchinfo takes the last",
                    layer=_of_several_outputs,
                ),
                Remark(
                    "pruned weights count in torchinfo by the ones in their masks, and here in full",
                    layer=_pruned,
                ),
                _TRAINING,
            ),
        ),
        Convention(
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
                "convolution": Weights(macs=2, adds=1, call=_calflops_convolution),
                **_for("linear recurrent", _TWO),
                "matmul": Weights(macs=2, call=_twice(_product("aten.matmul", "aten.bmm"))),
                "addmm": Weights(macs=2, read=1),
                "batch_norm": _READ_TWICE,
                "batch_norm.plain": _READ,
                **_for("batch_norm.batch layer_norm group_norm instance_norm", Weights(read=5)),
                **_for(
                    "batch_norm.batch.plain layer_norm.plain group_norm.plain instance_norm.plain",
                    Weights(read=4),
                ),
                **_for(f"relu silu gelu softmax {_POOLING}", _READ),
                "elu": _read_where(_plain_elu),
                "hardtanh": _read_where(_relu6),
                "leaky_relu": _read_where(
                    _op("aten.leaky_relu", "aten.leaky_relu_", "aten.prelu", "aten._prelu_kernel")
                ),
                **_for(_RESIZING, Weights(read=1, call=_calflops_resize), ".antialiased"),
                **_for("upsample_nearest", Weights(read=1, call=_calflops_resize), _EVERY_NEAREST),
            },
            # Products of nn.MultiheadAttention are torch.bmm, which is no function that calflops replaces.
            modules={
                _MHA: {"matmul": _NOTHING},
                **_in("ReLU6 Hardtanh", {"hardtanh": _NOTHING}),
                "LocalResponseNorm": _LRN,
                **_in("TransformerEncoderLayer TransformerDecoderLayer", _UNSEEN),
            },
            remarks=(
                Remark(
                    "products of matrices: an operator (q @ k) and torch.bmm count nothing in calflops, and "
                    "here as torch.matmul and einsum do; of an einsum it reads four digits",
                    rules=("matmul",),
                    outside=(_MHA,),
                    call=_op("aten.matmul", "aten.bmm"),
                ),
                _SOFTMAX,
                _AREA,
                Remark(
                    "resizing to a square: a size that is one number counts as that number in calflops, and "
                    "here as its square",
                    rules=("upsample_*",),
                    call=_to_a_square,
                ),
                _STEPS,
                _TIED_CELLS,
                _SHARED,
                _TRAINING,
                _BACKWARD,
            ),
        ),
    )
}
"""Every convention by name."""


def convention_named(name: str) -> Convention:
    """The convention of that name. Raises `SpecError`, listing the names."""
    if name not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise SpecError(f"unknown convention {name!r}", hint=f"one of: {known}")
    return CONVENTIONS[name]


def requote(report: Report, name: str) -> Report:
    """The same report under another convention.

    Raises `SpecError` for an unknown one, and `ReportError` for one that counts parameters where the
    report was saved without their shapes.
    """
    convention = convention_named(name)
    if convention.parameters and any(x.params and not x.weights for x in report.layers):
        raise ReportError(
            f"{report.name}: {name} counts parameters, and the report was saved without their shapes",
            hint="write it again with this version of cnnstat",
        )
    parents = {layer.path.rpartition(".")[0] for layer in report.layers if layer.path}
    layers = tuple(
        replace(layer, quoted=convention.quote(layer, layer.path not in parents))
        for layer in report.layers
    )
    return replace(report, convention=name, layers=convention.settle(layers))
