"""What thop counts."""

from __future__ import annotations

import math

from cnnstat.conventions.base import Cells, Convention, Remark, Uses, Weights
from cnnstat.conventions.remarks import (
    BACKWARD,
    NO_BATCH,
    SAME_NAMES,
    SHARED,
    STEPS,
    TIED_CELLS,
    TRAINING,
    calls_not_seen,
)
from cnnstat.conventions.words import MAC, MAC_AND_BIAS, READ, READ_TWICE, in_classes, of_rules
from cnnstat.record import OpCall


def _softmax(call: OpCall) -> int:
    """For a row of k, k exponentials, k − 1 additions and k divisions."""
    x = call.inputs[0]
    return 3 * x.numel - x.numel // (x.shape[int(call.get("dim", -1))] if x.shape else 1)


def _adaptive_pool(call: OpCall) -> int:
    """Of the sizes' quotients as floats, rounded down at the end."""
    x, y = call.inputs[0].shape, call.output
    dims = int(call.op[-2])
    window = math.prod(a / b for a, b in zip(x[-dims:], y.shape[-dims:], strict=True))
    return int((window + 1) * y.numel)


CONVENTION = Convention(
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
        **in_classes("Conv#", {"convolution": MAC}),
        "Linear": {"linear": MAC},
        **in_classes("RNN LSTM GRU", {"recurrent": MAC_AND_BIAS}),
        **in_classes(
            "BatchNorm# InstanceNorm# SyncBatchNorm LayerNorm",
            {
                **of_rules("batch_norm batch_norm.batch instance_norm layer_norm", Weights(read=4)),
                **of_rules(
                    "batch_norm.plain batch_norm.batch.plain instance_norm.plain layer_norm.plain",
                    READ_TWICE,
                ),
            },
        ),
        "PReLU": {"leaky_relu": READ},
        "Softmax": {"softmax": Weights(read=3, call=_softmax)},
        **in_classes("AvgPool#", {"avg_pool": Weights(written=1)}),
        **in_classes(
            "AdaptiveAvgPool#",
            of_rules(
                "adaptive_avg_pool",
                Weights(read=1, written=1, call=_adaptive_pool),
                ".1d .3d",
            ),
        ),
        **in_classes(
            "Upsample UpsamplingNearest2d UpsamplingBilinear2d",
            {
                **of_rules("upsample_nearest", Weights(written=1), ".1d .3d"),
                "upsample_linear": Weights(written=5),
                "upsample_bilinear": Weights(written=11),
                "upsample_bicubic": Weights(written=259),
            },
        ),
    },
    parameters=(Uses("positions", ("weight",), layers="ConvTranspose?d"),),
    remarks=(
        STEPS,
        TIED_CELLS,
        NO_BATCH,
        SHARED,
        SAME_NAMES,
        Remark(
            "transposed convolutions called several times count as in their first call",
            layers=("ConvTranspose?d",),
            layer=calls_not_seen,
        ),
        TRAINING,
        BACKWARD,
    ),
)
