"""What ptflops counts with its default backend."""

from __future__ import annotations

import math

from cnnstat.conventions.base import Cells, Convention, Remark, Weights, batch_of
from cnnstat.conventions.remarks import (
    AREA,
    BACKWARD,
    MHA,
    NO_BATCH,
    SAME_NAMES,
    SHARED,
    SOFTMAX,
    STEPS,
    TIED_CELLS,
    TRAINING,
)
from cnnstat.conventions.words import (
    ADAPTIVE,
    EVERY_NEAREST,
    LRN,
    MAC_AND_BIAS,
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
from cnnstat.report import Layer, Report


def _same_for_all(call: OpCall) -> bool:
    """Whether the first argument is that of one sample."""
    return "add" in call.op or len(call.inputs[0].shape) < len(call.inputs[1].shape)


def _by_a_fraction(call: OpCall) -> bool:
    factors = call.get("scale_factors")
    return bool(factors) and call.inputs[0].numel * math.prod(factors) != call.output.numel


def _other_attention(layer: Layer) -> bool:
    """Without biases, or of keys and values that are as wide as they like."""
    return bool(layer.tied_to) or set(layer.weights) != {"in_proj_weight", "in_proj_bias"}


def _batched(report: Report) -> bool:
    return batch_of(report.layers) > 1


CONVENTION = Convention(
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
        "matmul": Weights(macs=1, call=product("aten.matmul", "aten.mm", "aten.bmm")),
        "addmm": Weights(macs=1, read=1),
        **of_rules(f"relu gelu silu softmax {POOLING}", READ),
        "elu": read_where(plain_elu),
        "hardtanh": read_where(relu6),
        "leaky_relu": read_where(by_ops("aten.prelu", "aten._prelu_kernel")),
        **of_rules(RESIZING, Weights(written=1), ".antialiased"),
        **of_rules("upsample_nearest", Weights(written=1), EVERY_NEAREST),
    },
    modules={
        **in_classes("Conv# ConvTranspose#", {"convolution": MAC_AND_BIAS}),
        "Linear": {"linear": MAC_AND_BIAS},
        # Queries are scaled, and a softmax is one an element; unfused, products and softmax are
        # functions that it counts again.
        "MultiheadAttention": {
            "linear": MAC_AND_BIAS,
            "attention": Weights(macs=1, read=1, compares=1),
            "product": READ,
            "matmul": TWO,
            "addmm": Weights(macs=2, read=1),
            "softmax": READ_TWICE,
        },
        **in_classes("RNN LSTM GRU", {"recurrent": MAC_AND_BIAS}),
        **in_classes(
            "BatchNorm# InstanceNorm# GroupNorm",
            {
                **of_rules("batch_norm batch_norm.batch instance_norm group_norm", READ_TWICE),
                **of_rules(
                    "batch_norm.plain batch_norm.batch.plain instance_norm.plain group_norm.plain",
                    READ,
                ),
            },
        ),
        "LayerNorm": of_rules("layer_norm", READ, ".plain"),
        "ReLU": {"relu": READ_TWICE},
        "ReLU6": of_rules("relu hardtanh", READ),
        "Hardtanh": {"hardtanh": NOTHING},
        "LocalResponseNorm": LRN,
        **in_classes("TransformerEncoderLayer TransformerDecoderLayer", UNSEEN),
        "ELU": {"elu": READ_TWICE},
        **in_classes("SELU CELU", {"elu": NOTHING}),
        "GELU": {"gelu": READ_TWICE},
        "PReLU": {"leaky_relu": READ_TWICE},
        "LeakyReLU": {"leaky_relu": READ},
        **in_classes("MaxPool# AvgPool#", of_rules("max_pool avg_pool", READ_TWICE)),
        **in_classes("AdaptiveMaxPool# AdaptiveAvgPool#", of_rules(ADAPTIVE, READ_TWICE)),
        "Upsample": {
            **of_rules(RESIZING, Weights(written=2), ".antialiased"),
            **of_rules("upsample_nearest", Weights(written=2), EVERY_NEAREST),
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
            outside=(MHA,),
        ),
        SOFTMAX,
        AREA,
        Remark(
            "layers of a class Attention: timm's ptflops counts by itself, and leaves out the "
            "projections in it",
            layers=("Attention",),
        ),
        Remark(
            "nn.MultiheadAttention without biases, or of keys of another width: ptflops counts it "
            "as if it had them, and as if they were as wide",
            layers=(MHA,),
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
        STEPS,
        TIED_CELLS,
        NO_BATCH,
        SHARED,
        SAME_NAMES,
        TRAINING,
        BACKWARD,
    ),
)
