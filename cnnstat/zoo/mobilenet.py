"""MobileNet v1 (2017), v2 (2018) and v3 (2019): depthwise separable convolutions, inverted residuals.

Of the first paper's other tables: 10 is `mobilenet_v1?num_classes=120`, and 12 leaves the classifier out.
PlaNet (11), the detectors (13) and the distilled FaceNet (14) cannot be built from the paper, which gives
neither their number of outputs nor the layers around the network.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from cnnstat.sources.torchvision_operators import importable_torchvision
from cnnstat.zoo.blocks import Layers, conv_bn, make_divisible, one_of, positive, sequence

# Howard et al. 2017, table 1: output channels and stride of each depthwise separable convolution.
_V1 = (
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

# Howard et al. 2019, tables 1 and 2, a row for each bneck: input channels, kernel, expansion size, output
# channels, squeeze-and-excitation, nonlinearity, stride.
_V3Row = tuple[int, int, int, int, bool, str, int]
_V3_LARGE: tuple[_V3Row, ...] = (
    (16, 3, 16, 16, False, "RE", 1),
    (16, 3, 64, 24, False, "RE", 2),
    (24, 3, 72, 24, False, "RE", 1),
    (24, 5, 72, 40, True, "RE", 2),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2),
    (80, 3, 200, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 480, 112, True, "HS", 1),
    (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2),
    (160, 5, 960, 160, True, "HS", 1),
    (160, 5, 960, 160, True, "HS", 1),
)
_V3_SMALL: tuple[_V3Row, ...] = (
    (16, 3, 16, 16, True, "RE", 2),
    (16, 3, 72, 24, False, "RE", 2),
    (24, 3, 88, 24, False, "RE", 1),
    (24, 5, 96, 40, True, "HS", 2),
    (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 120, 48, True, "HS", 1),
    (48, 5, 144, 48, True, "HS", 1),
    (48, 5, 288, 96, True, "HS", 2),
    (96, 5, 576, 96, True, "HS", 1),
    (96, 5, 576, 96, True, "HS", 1),
)


def mobilenet_v1(width: float = 1.0, num_classes: int = 1000) -> nn.Sequential:
    """MobileNet: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile
    Vision Applications", 2017, arXiv:1704.04861, table 1. Input 3×224×224.

    569 M multiply–adds and 4.2 M parameters at `width` (the paper's α) 1; tables 6 and 7 give other
    widths and resolutions.

    Deviations: the last depthwise convolution has stride 1, where table 1 prints "s2" beside an
    output that is not halved; the softmax, which table 1 lists, is left to the loss.
    """
    return _v1(_V1, width, num_classes)


def mobilenet_v1_shallow(width: float = 1.0, num_classes: int = 1000) -> nn.Sequential:
    """MobileNet without its five separable layers of 512 channels on 14×14: Howard et al. 2017,
    section 4.1 and table 5. Input 3×224×224.

    307 M multiply–adds and 2.9 M parameters, about as many as `mobilenet_v1?width=0.75`.

    Deviations: as of `mobilenet_v1`.
    """
    return _v1([row for row in _V1 if row != (512, 1)], width, num_classes)


def mobilenet_v1_conv(width: float = 1.0, num_classes: int = 1000) -> nn.Sequential:
    """MobileNet with a full 3×3 convolution for each separable one: Howard et al. 2017, section 4.1
    and table 4. Input 3×224×224.

    4866 M multiply–adds, which unlike the 569 M beside it leave the fully connected layer out, and
    29.3 M parameters.

    Deviations: as of `mobilenet_v1`.
    """
    return _v1(_V1, width, num_classes, separable=False)


def mobilenet_v2(width: float = 1.0, num_classes: int = 1000) -> nn.Module:
    """MobileNetV2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018,
    arXiv:1801.04381, table 2. Input 3×224×224.

    300 M multiply–adds and 3.4 M parameters; 585 M at `width` 1.4. Below 1 the last convolution keeps
    its 1280 channels.

    Deviations: none from the authors' code, with torchvision's definition; there and here the block with
    t = 1 has no expansion, and channels are rounded to multiples of 8. For width 1.4 table 4 prints 6.9 M
    parameters; the authors' page says 6.06 M. Table 2 has 17 bottlenecks, where the text says 19.
    """
    one_of("width", width, (0.35, 0.5, 0.75, 1.0, 1.3, 1.4))
    positive(num_classes=num_classes)
    with importable_torchvision():
        from torchvision.models import MobileNetV2
    model: nn.Module = MobileNetV2(num_classes, width_mult=width)
    return model


def mobilenet_v3_large(width: float = 1.0, num_classes: int = 1000) -> nn.Module:
    """MobileNetV3-Large: Howard et al., "Searching for MobileNetV3", 2019, arXiv:1905.02244, table 1. Input
    3×224×224.

    5.4 M parameters and 219 M multiply–adds (217 M on the authors' page, 216.6 M counted); at `width` 0.75
    155 M and 4.0 M. The width scales all but the layer of 1280 channels, and the expansion in proportion.

    Deviations: none, with torchvision's layers. The first arXiv version has another table 1 (expansion 672
    in the last stage, whose stride comes one block later), which with 246 M and 5.1 M is not the network of
    its own table 3 (219 M, 5.4 M): that is this one.
    """
    return _v3(_V3_LARGE, width, 1280, num_classes)


def mobilenet_v3_small(width: float = 1.0, last: int = 1024, num_classes: int = 1000) -> nn.Module:
    """MobileNetV3-Small: Howard et al. 2019, table 2. Input 3×224×224.

    2.5 M parameters and 56 M multiply–adds; at `width` 0.75 2.0 M and 44 M. With `last=1280` as in the
    first arXiv version 2.9 M and 2.4 M parameters.

    Deviations: 44 M is what `last=1280` makes (43.8); with 1024 there are 43.4. Table 2 ticks
    squeeze-and-excitation in the row of the last 1×1 convolution, which with it would not have 2.5 M
    parameters, and which no released model has there. The 66 M of the first arXiv version cannot be had: a
    last layer of 1280 makes 56.9 M.
    """
    one_of("last", last, (1024, 1280))
    return _v3(_V3_SMALL, width, last, num_classes)


def _v1(
    rows: Iterable[tuple[int, int]], width: float, num_classes: int, separable: bool = True
) -> nn.Sequential:
    _check_alpha(width)
    positive(num_classes=num_classes)
    channels = _scaled(32, width)
    layers: Layers = {"conv": conv_bn(3, channels, 3, 2)}
    for number, (out, stride) in enumerate(rows, start=1):
        out = _scaled(out, width)
        if separable:
            depthwise = conv_bn(channels, channels, 3, stride, groups=channels)
            pointwise = conv_bn(channels, out)
            parts = {"depthwise": depthwise, "pointwise": pointwise}
            layers[f"separable{number}"] = sequence(parts)
        else:
            layers[f"conv{number}"] = conv_bn(channels, out, 3, stride)
        channels = out
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(channels, num_classes)
    return sequence(layers)


def _check_alpha(width: object) -> None:
    if not isinstance(width, int | float) or not 0 < width <= 1:
        raise ValueError(f"width is {width!r}; expected more than 0 and at most 1")


def _scaled(channels: int, width: float) -> int:
    return max(1, int(channels * width))


def _v3(rows: Iterable[_V3Row], width: float, last: int, num_classes: int) -> nn.Module:
    one_of("width", width, (0.75, 1.0))
    positive(num_classes=num_classes)
    with importable_torchvision():
        from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
    settings = []
    for inputs, kernel, expanded, outputs, excited, nonlinearity, stride in rows:
        narrow = make_divisible(inputs * width)
        settings.append(
            InvertedResidualConfig(
                narrow,
                kernel,
                make_divisible(narrow * expanded / inputs),
                make_divisible(outputs * width),
                excited,
                nonlinearity,
                stride,
                dilation=1,
                width_mult=1.0,
            )
        )
    model: nn.Module = MobileNetV3(settings, last, num_classes=num_classes)
    return model
