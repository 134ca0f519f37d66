"""ShuffleNet v1 (2017): grouped pointwise convolutions and channel shuffle."""

from __future__ import annotations

from torch import nn

from cnnstat.zoo.blocks import (
    Branches,
    ChannelShuffle,
    Layers,
    Residual,
    SqueezeExcitation,
    classifier,
    conv_bn,
    one_of,
    positive,
    relu,
    sequence,
)

# Zhang et al. 2017, table 1: output channels of stage 2 by groups; stages 3 and 4 double them.
_STAGE_2 = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
_UNITS = {"stage2": 4, "stage3": 8, "stage4": 4}
_STEM = {0.25: 12, 0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48}
# With 8 groups, what 12 channels leave of the first unit's outputs cannot be grouped.
_STEM_OF_8_GROUPS = {0.25: 8, 0.5: 16}


def shufflenet_v1(
    groups: int = 3, width: float = 1.0, se: bool = False, num_classes: int = 1000
) -> nn.Sequential:
    """ShuffleNet: Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
    Devices", 2017, arXiv:1707.01083, table 1 and figure 2. Input 3×224×224.

    143, 140, 137, 133 and 137 M multiply–adds for `groups` (the paper's g) of 1, 2, 3, 4 and 8; with g = 3
    and `width` (its s×) 2 524 M, 527 M with squeeze-and-excitation (`se`), with 1.5 292 M. Up to 1× the
    printed figures hold convolutions alone, from 1.5× on the linear layer too. The 140, 38 and 13 M of
    table 2 stand for five networks each, which have 133 to 143, 37 to 40 and 12 to 13 M, and are those
    of g = 2.

    Deviations: the paper has 24 channels in the first convolution; the figures ask for 12 up to 0.5× and
    48 at 2×, as the authors' code has (github.com/megvii-model/ShuffleNet-Series), and for g = 8 for 16 at
    0.5×, and here 8 at 0.25×. Where g does not divide a bottleneck (g = 2 and 4, not at 1× or 2×) it is
    rounded to the nearest multiple of g. The paper does not say where squeeze-and-excitation stands or how
    narrow it is; before the addition, after the concatenation and with r = 16, the 527 M come out.
    """
    one_of("groups", groups, _STAGE_2)
    one_of("width", width, _STEM)
    one_of("se", se, (False, True))
    positive(num_classes=num_classes)
    stem = {**_STEM, **_STEM_OF_8_GROUPS} if groups == 8 else _STEM
    channels = stem[width]
    layers: Layers = {
        "conv1": conv_bn(3, channels, 3, 2),
        "pool1": nn.MaxPool2d(3, 2, padding=1),
    }
    outputs = int(_STAGE_2[groups] * width)
    for name, repeats in _UNITS.items():
        units: Layers = {}
        for number in range(1, repeats + 1):
            # Stage 2 begins with too few channels to be grouped.
            first = 1 if name == "stage2" and number == 1 else groups
            units[f"unit{number}"] = _unit(channels, outputs, groups, first, se, halve=number == 1)
            channels = outputs
        layers[name] = sequence(units)
        outputs *= 2
    return sequence({**layers, **classifier(channels, num_classes)})


def _unit(
    inputs: int, outputs: int, groups: int, first_groups: int, se: bool, halve: bool
) -> nn.Module:
    """Figure 2 (b), or (c) where it halves the size: beside pooling, which brings the first channels."""
    middle = int(outputs / 4 / groups + 0.5) * groups
    branch = outputs - inputs if halve else outputs
    parts: Layers = {
        "reduce": conv_bn(inputs, middle, groups=first_groups),
        "shuffle": ChannelShuffle(groups),
        "depthwise": conv_bn(middle, middle, 3, 2 if halve else 1, groups=middle, act=None),
        "expand": conv_bn(middle, branch, groups=groups, act=None),
    }
    unit: nn.Module = sequence(parts)
    if halve:
        unit = Branches({"pool": nn.AvgPool2d(3, 2, padding=1), "branch": unit})
    if se:
        unit = sequence({"unit": unit, "se": SqueezeExcitation(outputs, outputs // 16)})
    return sequence({"concat": unit, "relu": relu()}) if halve else Residual(unit)
