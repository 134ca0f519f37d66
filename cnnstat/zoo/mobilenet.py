"""MobileNet v1 (2017): depthwise separable convolutions."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

# Howard et al. 2017, table 1: output channels and stride of each depthwise separable convolution.
_TABLE_1 = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


def mobilenet_v1(width: float = 1.0, num_classes: int = 1000) -> nn.Sequential:
    """MobileNet: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile
    Vision Applications", 2017, arXiv:1704.04861, table 1. Input 3×224×224.

    569 M multiply–adds and 4.2 M parameters at `width` (the paper's α) 1; tables 6 and 7 give other
    widths and resolutions.

    Deviations: the last depthwise convolution has stride 1, where table 1 prints "s2" beside an
    output that is not halved; the softmax, which table 1 lists, is left to the loss.
    """
    channels = _scaled(32, width)
    layers: list[tuple[str, nn.Module]] = [("conv", _conv(3, channels, kernel=3, stride=2))]
    for number, (out, stride) in enumerate(_TABLE_1, start=1):
        out = _scaled(out, width)
        depthwise = _conv(channels, channels, kernel=3, stride=stride, groups=channels)
        pointwise = _conv(channels, out, kernel=1)
        parts: dict[str, nn.Module] = {"depthwise": depthwise, "pointwise": pointwise}
        layers.append((f"separable{number}", nn.Sequential(OrderedDict(parts))))
        channels = out
    layers += [
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("classifier", nn.Linear(channels, num_classes)),
    ]
    return nn.Sequential(OrderedDict(layers))


def _conv(
    inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution without bias, batch norm and ReLU (section 3.2)."""
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(
        OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs), relu=nn.ReLU(inplace=True))
    )


def _scaled(channels: int, width: float) -> int:
    return max(1, int(channels * width))
