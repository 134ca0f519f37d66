"""Inception v4 and the Inception-ResNets (2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from cnnstat.zoo.blocks import (
    Branches,
    Layer,
    Residual,
    classifier,
    conv_bn,
    one_of,
    relu,
    sequence,
)

_DROPOUT = 0.2
"""Figures 9 and 15 print what is kept: 0.8."""

# Szegedy et al. 2016, table 1: k, l, m and n of Reduction-A.
_TABLE_1 = {
    "inception_v4": (192, 224, 256, 384),
    "inception_resnet_v1": (192, 192, 256, 384),
    "inception_resnet_v2": (256, 256, 384, 384),
}


def inception_v4(num_classes: int = 1000) -> nn.Sequential:
    """Inception v4: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact
    of Residual Connections on Learning", 2016, arXiv:1602.07261, figures 3 to 9. Input 3×299×299.

    The paper states no size; 42.68 M parameters and 12.3 G multiply–adds are those of the released
    network, which is this one.

    Deviations: 1×7 and 7×1, and 1×3 and 3×1, follow each other as in the released network, which no
    cost depends on. The softmax is left to the loss.
    """
    layers: dict[str, nn.Module] = {"stem": _stem_v4()}
    layers |= {f"inception_a{i}": _inception_a() for i in range(1, 5)}
    layers["reduction_a"] = _reduction_a(384, *_TABLE_1["inception_v4"])
    layers |= {f"inception_b{i}": _inception_b() for i in range(1, 8)}
    layers["reduction_b"] = Branches(
        {
            "pool": nn.MaxPool2d(3, 2),
            "conv3x3": _chain(1024, Conv(192), Conv(192, 3, 2)),
            "conv7x7": _chain(
                1024, Conv(256), Conv(256, (1, 7)), Conv(320, (7, 1)), Conv(320, 3, 2)
            ),
        }
    )
    layers |= {f"inception_c{i}": _inception_c() for i in range(1, 4)}
    return sequence(layers | classifier(1536, num_classes, dropout=_DROPOUT))


def inception_resnet_v1(num_classes: int = 1000) -> nn.Sequential:
    """Inception-ResNet v1: Szegedy, Ioffe, Vanhoucke, Alemi, 2016, arXiv:1602.07261, figures 7 and
    10 to 15 and table 1. Input 3×299×299.

    The paper states no size but "roughly the computational cost of Inception-v3".

    Deviations: the 24.0 M parameters often quoted are a version for faces, with a sixth
    Inception-ResNet-C and a layer of 512 units before the classes: here 22.8 M. The linear 1×1
    convolutions have a bias and no batch norm, as in the released v2. The softmax is left to the
    loss.
    """
    layers = {"stem": _stem_v1(), **_residual_body(256, _V1, (5, 10, 5))}
    return sequence(layers | classifier(1792, num_classes, dropout=_DROPOUT))


def inception_resnet_v2(version: str = "released", num_classes: int = 1000) -> nn.Sequential:
    """Inception-ResNet v2: Szegedy, Ioffe, Vanhoucke, Alemi, 2016, arXiv:1602.07261, figures 3, 7
    and 15 to 19 and table 1. Input 3×299×299.

    55.8 M parameters and 13.2 G multiply–adds (NASNet's table 2) are the network that the authors
    released, which is what its name means everywhere: `version` "released". It differs from the
    paper's, `version` "paper", in its stem, in 10, 20 and 10 modules in place of 5, 10 and 5, and
    in a 1×1 convolution to 1,536 channels before the classes.

    Deviations: figures 17 and 19 print 1,154 and 2,048 linear channels where the concatenations
    before them have 1,152 and 2,144, which the sum needs. The released network's last module has
    neither scale nor activation. The linear 1×1 convolutions have a bias and no batch norm, as
    released. The softmax is left to the loss.
    """
    one_of("version", version, ("released", "paper"))
    if version == "paper":
        layers = {"stem": _stem_v4(), **_residual_body(384, _V2, (5, 10, 5))}
        return sequence(layers | classifier(2144, num_classes, dropout=_DROPOUT))
    layers = {
        "stem": _stem_released(),
        **_residual_body(320, _V2, (10, 20, 10), last_linear=True),
        "conv": conv_bn(2080, 1536),
    }
    return sequence(layers | classifier(1536, num_classes, dropout=_DROPOUT))


class Conv(NamedTuple):
    """A convolution of the figures, without its inputs."""

    outputs: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    valid: bool = False
    """Not padded: a V in the figures. All of stride 2 are."""


@dataclass(frozen=True, slots=True)
class Widths:
    """What differs between the two Inception-ResNets: the branches of their modules."""

    a: tuple[tuple[Conv, ...], ...]
    """Figures 10 and 16."""
    reduction_a: tuple[int, int, int, int]
    """Table 1."""
    b: tuple[tuple[Conv, ...], ...]
    """Figures 11 and 17."""
    reduction_b: tuple[tuple[Conv, ...], ...]
    """Figures 12 and 18, without the pooling."""
    c: tuple[tuple[Conv, ...], ...]
    """Figures 13 and 19."""


_V1 = Widths(
    a=((Conv(32),), (Conv(32), Conv(32, 3)), (Conv(32), Conv(32, 3), Conv(32, 3))),
    reduction_a=_TABLE_1["inception_resnet_v1"],
    b=((Conv(128),), (Conv(128), Conv(128, (1, 7)), Conv(128, (7, 1)))),
    reduction_b=(
        (Conv(256), Conv(384, 3, 2)),
        (Conv(256), Conv(256, 3, 2)),
        (Conv(256), Conv(256, 3), Conv(256, 3, 2)),
    ),
    c=((Conv(192),), (Conv(192), Conv(192, (1, 3)), Conv(192, (3, 1)))),
)

_V2 = Widths(
    a=((Conv(32),), (Conv(32), Conv(32, 3)), (Conv(32), Conv(48, 3), Conv(64, 3))),
    reduction_a=_TABLE_1["inception_resnet_v2"],
    b=((Conv(192),), (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1)))),
    reduction_b=(
        (Conv(256), Conv(384, 3, 2)),
        (Conv(256), Conv(288, 3, 2)),
        (Conv(256), Conv(288, 3), Conv(320, 3, 2)),
    ),
    c=((Conv(192),), (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1)))),
)


class Scale(nn.Module):
    """x times a constant: the residuals are scaled down before the sum (section 3.3)."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        return x * self.factor


def _chain(inputs: int, *convs: Conv) -> nn.Sequential:
    layers: dict[str, nn.Module] = {}
    for number, conv in enumerate(convs, start=1):
        padding = 0 if conv.valid or conv.stride == 2 else None
        layers[f"conv{number}"] = conv_bn(
            inputs, conv.outputs, conv.kernel, conv.stride, padding=padding
        )
        inputs = conv.outputs
    return sequence(layers)


def _residual_body(
    channels: int, widths: Widths, counts: tuple[int, int, int], *, last_linear: bool = False
) -> dict[str, nn.Module]:
    """Figure 15 between stem and pooling: `counts` modules A, B and C, and the reductions.

    The scales are those of the released v2. `last_linear`: the last C is neither scaled nor activated.
    """
    layers: dict[str, nn.Module] = {}
    for i in range(1, counts[0] + 1):
        layers[f"inception_a{i}"] = _residual(channels, widths.a, 0.17)
    layers["reduction_a"] = _reduction_a(channels, *widths.reduction_a)
    channels += widths.reduction_a[2] + widths.reduction_a[3]
    for i in range(1, counts[1] + 1):
        layers[f"inception_b{i}"] = _residual(channels, widths.b, 0.1)
    layers["reduction_b"] = Branches(
        {"pool": nn.MaxPool2d(3, 2), **_branches(channels, widths.reduction_b)}
    )
    channels += sum(convs[-1].outputs for convs in widths.reduction_b)
    for i in range(1, counts[2] + 1):
        linear = last_linear and i == counts[2]
        scale, act = (1.0, None) if linear else (0.2, relu)
        layers[f"inception_c{i}"] = _residual(channels, widths.c, scale, act)
    return layers


def _residual(
    channels: int,
    branches: tuple[tuple[Conv, ...], ...],
    scale: float,
    act: Layer | None = relu,
) -> Residual:
    body: dict[str, nn.Module] = {
        "branches": Branches(_branches(channels, branches)),
        "linear": nn.Conv2d(sum(convs[-1].outputs for convs in branches), channels, 1),
        "scale": Scale(scale),
    }
    return Residual(sequence(body), act=act)


def _branches(inputs: int, branches: tuple[tuple[Conv, ...], ...]) -> dict[str, nn.Module]:
    return {f"branch{i}": _chain(inputs, *convs) for i, convs in enumerate(branches, start=1)}


def _stem_v4() -> nn.Sequential:
    """Figure 3: of Inception v4 and of the paper's Inception-ResNet v2, 384 channels of 35×35."""
    tall = Conv(64), Conv(64, (1, 7)), Conv(64, (7, 1)), Conv(96, 3, valid=True)
    return sequence(
        {
            "convs": _chain(3, Conv(32, 3, 2), Conv(32, 3, valid=True), Conv(64, 3)),
            "split1": Branches({"pool": nn.MaxPool2d(3, 2), "conv": _chain(64, Conv(96, 3, 2))}),
            "split2": Branches(_branches(160, ((Conv(64), Conv(96, 3, valid=True)), tall))),
            "split3": Branches({"conv": _chain(192, Conv(192, 3, 2)), "pool": nn.MaxPool2d(3, 2)}),
        }
    )


def _stem_v1() -> nn.Sequential:
    """Figure 14: 256 channels of 35×35."""
    return sequence(
        {
            "convs1": _chain(3, Conv(32, 3, 2), Conv(32, 3, valid=True), Conv(64, 3)),
            "pool": nn.MaxPool2d(3, 2),
            "convs2": _chain(64, Conv(80), Conv(192, 3, valid=True), Conv(256, 3, 2)),
        }
    )


def _stem_released() -> nn.Sequential:
    """The released Inception-ResNet v2's: Inception v3's, and one module to 320 channels of 35×35."""
    convs = ((Conv(96),), (Conv(48), Conv(64, 5)), (Conv(64), Conv(96, 3), Conv(96, 3)))
    return sequence(
        {
            "convs1": _chain(3, Conv(32, 3, 2), Conv(32, 3, valid=True), Conv(64, 3)),
            "pool1": nn.MaxPool2d(3, 2),
            "convs2": _chain(64, Conv(80), Conv(192, 3, valid=True)),
            "pool2": nn.MaxPool2d(3, 2),
            "mixed": Branches({**_branches(192, convs), "pool": _average(192, 64)}),
        }
    )


def _inception_a() -> Branches:
    """Figure 4: 384 channels of 35×35."""
    convs = ((Conv(96),), (Conv(64), Conv(96, 3)), (Conv(64), Conv(96, 3), Conv(96, 3)))
    return Branches({"pool": _average(384, 96), **_branches(384, convs)})


def _inception_b() -> Branches:
    """Figure 5: 1024 channels of 17×17."""
    convs = (
        (Conv(384),),
        (Conv(192), Conv(224, (1, 7)), Conv(256, (7, 1))),
        (Conv(192), Conv(192, (7, 1)), Conv(224, (1, 7)), Conv(224, (7, 1)), Conv(256, (1, 7))),
    )
    return Branches({"pool": _average(1024, 128), **_branches(1024, convs)})


def _inception_c() -> Branches:
    """Figure 6: 1536 channels of 8×8; two branches end in a 1×3 beside a 3×1."""
    return Branches(
        {
            "pool": _average(1536, 256),
            "conv1x1": _chain(1536, Conv(256)),
            "fork": sequence({"convs": _chain(1536, Conv(384)), "ends": _fork(384)}),
            "deep_fork": sequence(
                {
                    "convs": _chain(1536, Conv(384), Conv(448, (3, 1)), Conv(512, (1, 3))),
                    "ends": _fork(512),
                }
            ),
        }
    )


def _fork(inputs: int) -> Branches:
    return Branches(_branches(inputs, ((Conv(256, (1, 3)),), (Conv(256, (3, 1)),))))


def _reduction_a(inputs: int, k: int, el: int, m: int, n: int) -> Branches:
    """Figure 7 with the letters of table 1: from 35×35 to 17×17."""
    convs = ((Conv(n, 3, 2),), (Conv(k), Conv(el, 3), Conv(m, 3, 2)))
    return Branches({"pool": nn.MaxPool2d(3, 2), **_branches(inputs, convs)})


def _average(inputs: int, outputs: int) -> nn.Sequential:
    pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return sequence({"pool": pool, "conv": conv_bn(inputs, outputs)})
