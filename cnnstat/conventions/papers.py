"""How papers count."""

from __future__ import annotations

from cnnstat.conventions.base import Convention
from cnnstat.conventions.words import MAC, TWO, of_rules

MACS = Convention(
    name="macs",
    title="MACs",
    unit="MACs",
    includes="multiply–accumulates of convolutions, linear layers, matrix products, "
    "attention and recurrent cells, as papers and torchvision count",
    misses="no biases, norms, activations or pooling",
    default=MAC,
)

TWO_PER_MAC = Convention(
    name="two-per-mac",
    title="2 × MACs",
    unit="FLOPs",
    includes="twice the MACs: a product and an addition each",
    misses="no biases, norms, activations or pooling",
    default=TWO,
)

CONV = Convention(
    name="conv",
    title="conv MACs",
    unit="MACs",
    includes="multiply–accumulates of convolutions alone, as some papers count",
    misses="no linear layers, matrix products, attention or recurrent cells",
    rules=of_rules(
        "convolution deformable_convolution quantized_convolution convolution_backward",
        MAC,
    ),
)
