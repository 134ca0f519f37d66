"""Mobile networks that were searched for: MnasNet (2018) and ProxylessNAS (2018)."""

from __future__ import annotations

from torch import nn

from cnnstat.sources.torchvision_operators import importable_torchvision
from cnnstat.zoo.blocks import (
    Layer,
    Layers,
    Residual,
    SqueezeExcitation,
    classifier,
    conv_bn,
    positive,
    relu,
    sequence,
)

# Tan et al. 2018, figure 7, after the first separable convolution: expansion, kernel, output channels,
# repeats, stride, squeeze-and-excitation.
_MNASNET_A1 = (
    (6, 3, 24, 2, 2, False),
    (3, 5, 40, 3, 2, True),
    (6, 3, 80, 4, 2, False),
    (6, 3, 112, 2, 1, True),
    (6, 5, 160, 3, 2, True),
    (6, 3, 320, 1, 1, False),
)

# Cai et al. 2018, figure 4, after the first separable convolution: output channels, stride, and
# expansion and kernel of each block; the blocks of the second stage that the search left out are not here.
_PROXYLESSNAS_MOBILE = (
    (32, 2, ((3, 5), (3, 3))),
    (40, 2, ((3, 7), (3, 3), (3, 5), (3, 5))),
    (80, 2, ((6, 7), (3, 5), (3, 5), (3, 5))),
    (96, 1, ((6, 5), (3, 5), (3, 5), (3, 5))),
    (192, 2, ((6, 7), (6, 7), (3, 7), (3, 7))),
    (320, 1, ((6, 7),)),
)


def mnasnet_b1(num_classes: int = 1000) -> nn.Module:
    """MnasNet-B1: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", 2018,
    arXiv:1807.11626; the network without squeeze-and-excitation in the authors' code. Input 3×224×224.

    4,383,312 parameters and 314 M multiply–adds.

    Deviation: none; this is torchvision's `mnasnet1_0`.
    """
    positive(num_classes=num_classes)
    with importable_torchvision():
        from torchvision.models import mnasnet1_0
    model: nn.Module = mnasnet1_0(weights=None, num_classes=num_classes)
    return model


def mnasnet_a1(num_classes: int = 1000) -> nn.Sequential:
    """MnasNet-A1: Tan et al. 2018, table 1 and figure 7, with squeeze-and-excitation. Input
    3×224×224.

    3.9 M parameters and 312 M multiply–adds (315 M in MobileNetV3's table 3).

    Deviations: none known. The paper's ratio 0.25 of squeeze-and-excitation is of the channels that enter
    the block, not of the expanded ones, as in the authors' code. Of A2 and A3 the paper gives no figure.
    """
    positive(num_classes=num_classes)
    layers = _begin(relu)
    channels = 16
    for stage, (expansion, kernel, outputs, repeats, stride, excited) in enumerate(_MNASNET_A1, 1):
        blocks: Layers = {}
        for number in range(1, repeats + 1):
            blocks[f"block{number}"] = _inverted_residual(
                channels,
                outputs,
                kernel,
                stride if number == 1 else 1,
                expansion,
                relu,
                squeezed=channels // 4 if excited else 0,
            )
            channels = outputs
        layers[f"stage{stage}"] = sequence(blocks)
    return sequence({**layers, "last": conv_bn(channels, 1280), **classifier(1280, num_classes)})


def proxylessnas_mobile(num_classes: int = 1000) -> nn.Sequential:
    """ProxylessNAS (mobile): Cai, Zhu, Han, "ProxylessNAS: Direct Neural Architecture Search on Target Task
    and Hardware", 2018, arXiv:1812.00332, figure 4. Input 3×224×224.

    4.0 M parameters and 320 M multiply–adds in MobileNetV3's table 3; the authors' model has 4,080,512,
    which is 4.1 M.

    Deviation: blocks that the search replaced by the identity are left out.
    """
    positive(num_classes=num_classes)
    layers = _begin(nn.ReLU6)
    channels = 16
    for stage, (outputs, stride, kinds) in enumerate(_PROXYLESSNAS_MOBILE, 1):
        blocks: Layers = {}
        for number, (expansion, kernel) in enumerate(kinds, 1):
            blocks[f"block{number}"] = _inverted_residual(
                channels, outputs, kernel, stride if number == 1 else 1, expansion, nn.ReLU6
            )
            channels = outputs
        layers[f"stage{stage}"] = sequence(blocks)
    last = conv_bn(channels, 1280, act=nn.ReLU6)
    return sequence({**layers, "last": last, **classifier(1280, num_classes)})


def _begin(act: Layer) -> Layers:
    """The first convolution and the separable one after it, which is a block without expansion."""
    return {
        "conv": conv_bn(3, 32, 3, 2, act=act),
        "separable": _inverted_residual(32, 16, 3, 1, 1, act),
    }


def _inverted_residual(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    expansion: int,
    act: Layer,
    squeezed: int = 0,
) -> nn.Module:
    """Expand, depthwise, squeeze and excite where `squeezed` says so, project without an activation."""
    expanded = inputs * expansion
    parts: Layers = {}
    if expansion > 1:
        parts["expand"] = conv_bn(inputs, expanded, act=act)
    parts["depthwise"] = conv_bn(expanded, expanded, kernel, stride, groups=expanded, act=act)
    if squeezed:
        parts["se"] = SqueezeExcitation(expanded, squeezed)
    parts["project"] = conv_bn(expanded, outputs, act=None)
    body = sequence(parts)
    return Residual(body, act=None) if stride == 1 and inputs == outputs else body
