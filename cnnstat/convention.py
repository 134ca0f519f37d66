"""How papers and other tools quote a network: each a `Convention`, verified against the tool itself.

Weights of rules say what a tool counts wherever it runs; `modules` what it counts for a layer of a class
that it knows; `parameters` is for those that never look at operations. Which numbers are equal to the
last unit, and where a tool differs from its own convention, is in tests/test_conventions_of_tools.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cnnstat.errors import ReportError, SpecError
from cnnstat.quoting import Convention, Rules, Uses, Weights
from cnnstat.report import Report

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

_EVERY_NEAREST = ".exact .1d .3d .exact.1d .exact.3d"
_RESIZING = "upsample_linear upsample_bilinear upsample_bicubic upsample_trilinear"
_ADAPTIVE = "adaptive_max_pool adaptive_avg_pool adaptive_avg_pool.1d adaptive_avg_pool.3d"
_POOLING = f"max_pool avg_pool {_ADAPTIVE}"

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
            misses="fused attention counts too, of which fvcore itself sees nothing; no biases, "
            "activations, max pooling or recurrent cells",
            rules={
                **_for("convolution linear matmul addmm attention", _MAC),
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
        ),
        Convention(
            name="flop-counter",
            title="torch FLOPs",
            unit="FLOPs",
            tool="torch",
            versions="torch.utils.flop_counter of torch 2.13.0",
            includes="twice the MACs, as FlopCounterMode sums them over the operations that run",
            misses="on the CPU it prints less: it has no formula for the kernels there of fused "
            "attention, of LSTMs and, without gradients, of nn.MultiheadAttention",
            rules=_for(
                "convolution linear matmul addmm attention recurrent convolution_backward", _TWO
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
            "attention and operators (a + b, q @ k) not at all",
            rules={
                **_for("matmul addmm", _MAC),
                **_for(f"relu elu gelu silu softmax {_POOLING}", _READ),
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
                    "softmax": _READ_TWICE,
                },
                # As many steps as a cell has additions; for an LSTM ptflops takes 2 a unit more.
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
            "activations; transposed convolutions over their output positions",
            modules={
                **_in("Conv#", {"convolution": _MAC}),
                "Linear": {"linear": _MAC},
                # The additions of a cell are as many as the steps that thop counts for it.
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
                "Softmax": {"softmax": Weights(read=3)},
                **_in("AvgPool#", {"avg_pool": Weights(written=1)}),
                **_in(
                    "AdaptiveAvgPool#",
                    _for("adaptive_avg_pool", Weights(read=1, written=1), ".1d .3d"),
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
            "operators (a + b, q @ k)",
            rules={
                "convolution": Weights(macs=2, adds=1),
                **_for("linear matmul addmm recurrent", _TWO),
                "batch_norm": _READ_TWICE,
                "batch_norm.plain": _READ,
                **_for("batch_norm.batch layer_norm group_norm instance_norm", Weights(read=5)),
                **_for(
                    "batch_norm.batch.plain layer_norm.plain group_norm.plain instance_norm.plain",
                    Weights(read=4),
                ),
                **_for(f"relu leaky_relu elu silu gelu softmax {_POOLING}", _READ),
                # Resizing by a factor; to a given size it counts the positions of one channel.
                **_for(_RESIZING, _READ, ".antialiased"),
                **_for("upsample_nearest", _READ, _EVERY_NEAREST),
            },
            modules=_in("SELU CELU", {"elu": _NOTHING}),
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
    return replace(report, convention=name, layers=layers)
