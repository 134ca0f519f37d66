"""SENet (2017): squeeze-and-excitation in ResNet, ResNeXt, MobileNet and SENet-154.

The paper's GFLOPs hold more than multiply–adds. With one for each output of a batch norm and a cut to
hundredths table 2 is met without excitation: ResNet-101 has 7.570 G multiply–adds and 7.586 with norms,
ResNeXt-101 7.970 and 7.991. With one for each output of a scaling too, the networks with excitation are
met, and SENet-154 in NASNet's table 2; SE-ResNet-101 alone, with 7.5996, is printed as 7.60. Table 3's
SE-MobileNet is MobileNet's own figure and what excitation adds, scalings included.

Not here: table 2's SE-VGG-16, SE-BN-Inception and SE-Inception-ResNet-v2, and table 3's SE-ShuffleNet, of
which 2.4 M parameters are printed: an excitation of each unit's output makes 2.6 M, of its residual
branch 2.5 M.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from cnnstat.zoo.blocks import (
    Layers,
    Residual,
    SqueezeExcitation,
    classifier,
    conv_bn,
    positive,
    sequence,
)
from cnnstat.zoo.mobilenet import mobilenet_v1
from cnnstat.zoo.resnet import REPEATS, WIDTHS, bottleneck, shortcut, stages, stem


def se_resnet50(reduction: int = 16, num_classes: int = 1000) -> nn.Sequential:
    """SE-ResNet-50: Hu et al., "Squeeze-and-Excitation Networks", 2017, arXiv:1709.01507, tables 1 and
    2. Input 3×224×224.

    3.87 GFLOPs, against 3.86 of ResNet-50 with the stride in the first 1×1 convolution. `reduction` is the
    paper's r: its 2/r · Σ N C² parameters are 2,514,944.

    Deviations: the two layers of an excitation are 1×1 convolutions, and have biases, 16,048 in all, as in
    the authors' published model; the paper's equation leaves them out.
    """
    return _se_resnet(50, reduction, num_classes)


def se_resnet101(reduction: int = 16, num_classes: int = 1000) -> nn.Sequential:
    """SE-ResNet-101: Hu et al. 2017, table 2, 7.60 GFLOPs. Input 3×224×224.

    Deviations: as of `se_resnet50`.
    """
    return _se_resnet(101, reduction, num_classes)


def se_resnet152(reduction: int = 16, num_classes: int = 1000) -> nn.Sequential:
    """SE-ResNet-152: Hu et al. 2017, table 2, 11.32 GFLOPs. Input 3×224×224.

    Deviations: as of `se_resnet50`.
    """
    return _se_resnet(152, reduction, num_classes)


def se_resnext50(reduction: int = 16, num_classes: int = 1000) -> nn.Sequential:
    """SE-ResNeXt-50 (32×4d): Hu et al. 2017, tables 1 and 2, 4.25 GFLOPs. Input 3×224×224.

    Deviations: as of `se_resnet50`.
    """
    return _se_resnext(50, reduction, num_classes)


def se_resnext101(reduction: int = 16, num_classes: int = 1000) -> nn.Sequential:
    """SE-ResNeXt-101 (32×4d): Hu et al. 2017, table 2, 8.00 GFLOPs. Input 3×224×224.

    Deviations: as of `se_resnet50`.
    """
    return _se_resnext(101, reduction, num_classes)


def se_mobilenet(reduction: int = 16, num_classes: int = 1000) -> nn.Sequential:
    """SE-MobileNet: Hu et al. 2017, table 3. Input 3×224×224.

    572 MFLOPs, scalings included, and 4.7 M parameters, against 569 and 4.2 of MobileNet. The paper does
    not say where the excitations stand: one after each depthwise separable convolution gives its figures.

    Deviations: as of `se_resnet50`.
    """
    positive(reduction=reduction, num_classes=num_classes)
    network = mobilenet_v1(num_classes=num_classes)
    for layer in network.children():
        convs = [part for part in layer.modules() if isinstance(part, nn.Conv2d)]
        if any(conv.groups > 1 for conv in convs):
            layer.add_module("se", _excitation(convs[-1].out_channels, reduction))
    return network


def senet154(reduction: int = 16, num_classes: int = 1000) -> nn.Sequential:
    """SENet-154: Hu et al. 2017, the appendix. Input 3×224×224.

    An SE-ResNeXt-152 (64×4d) with half the channels in the first convolution of a bottleneck, three 3×3
    convolutions for the 7×7, 3×3 convolutions to project where the size halves, and dropout. NASNet's
    table 2 prints 42.3 G multiply–adds at 320×320, which is so, and 145.8 M parameters, which is not: there
    are 115.1 M.

    Deviations: as of `se_resnet50`.
    """

    def block(inputs: int, width: int, stride: int) -> nn.Module:
        outputs = 4 * width
        body: Layers = {
            "conv1": conv_bn(inputs, 2 * width),
            "conv2": conv_bn(2 * width, outputs, 3, stride, groups=64),
            "conv3": conv_bn(outputs, outputs, act=None),
        }
        way = shortcut(inputs, outputs, stride)
        if stride > 1:
            way = conv_bn(inputs, outputs, 3, stride, act=None)
        return _excited(body, outputs, reduction, way)

    positive(reduction=reduction, num_classes=num_classes)
    return sequence(
        {
            "conv1": conv_bn(3, 64, 3, 2),
            "conv2": conv_bn(64, 64, 3),
            "conv3": conv_bn(64, 128, 3),
            "pool1": nn.MaxPool2d(3, 2, padding=1),
            **stages(block, 128, WIDTHS, REPEATS[152], 4),
            **classifier(4 * WIDTHS[-1], num_classes, dropout=0.2),
        }
    )


def _se_resnet(depth: int, reduction: int, num_classes: int) -> nn.Sequential:
    return _residual(depth, bottleneck, reduction, num_classes)


def _se_resnext(depth: int, reduction: int, num_classes: int) -> nn.Sequential:
    def body(inputs: int, width: int, stride: int) -> Layers:
        # 32×4d: half the width of the output, in 32 groups; the stride is in the 3×3 convolution.
        return {
            "conv1": conv_bn(inputs, 2 * width),
            "conv2": conv_bn(2 * width, 2 * width, 3, stride, groups=32),
            "conv3": conv_bn(2 * width, 4 * width, act=None),
        }

    return _residual(depth, body, reduction, num_classes)


def _residual(
    depth: int, body: Callable[[int, int, int], Layers], reduction: int, num_classes: int
) -> nn.Sequential:
    positive(reduction=reduction, num_classes=num_classes)

    def block(inputs: int, width: int, stride: int) -> nn.Module:
        outputs = 4 * width
        way = shortcut(inputs, outputs, stride)
        return _excited(body(inputs, width, stride), outputs, reduction, way)

    blocks = stages(block, 64, WIDTHS, REPEATS[depth], 4)
    return sequence({**stem(), **blocks, **classifier(4 * WIDTHS[-1], num_classes)})


def _excited(body: Layers, channels: int, reduction: int, shortcut: nn.Module | None) -> nn.Module:
    """A residual block with squeeze-and-excitation before the addition (figure 3)."""
    return Residual(sequence({**body, "se": _excitation(channels, reduction)}), shortcut)


def _excitation(channels: int, reduction: int) -> nn.Module:
    if channels < reduction:
        raise ValueError(
            f"reduction is {reduction}; expected at most {channels}, the narrowest block"
        )
    return SqueezeExcitation(channels, channels // reduction)
