"""VGG (2014): the six configurations of the paper's table 1, on torchvision's classes."""

from __future__ import annotations

from typing import Any

from torch import nn

from cnnstat.sources.torchvision_operators import importable_torchvision
from cnnstat.zoo.blocks import conv_relu, local_response_norm, sequence

# Table 1, column C: channels of each stage, and the kernel of its last convolution.
_C = (
    ((64, 64), 3),
    ((128, 128), 3),
    ((256, 256, 256), 1),
    ((512, 512, 512), 1),
    ((512, 512, 512), 1),
)


def vgg_a() -> nn.Module:
    """Configuration A, VGG-11: Simonyan, Zisserman, "Very Deep Convolutional Networks for
    Large-Scale Image Recognition", 2014, arXiv:1409.1556, tables 1 and 2. Input 3×224×224.

    133 M parameters.

    Deviations: torchvision's `vgg11`, which pools to 7×7 before the classifier: no change at 224.
    The softmax is left to the loss.
    """
    vgg = _torchvision()
    return _network(vgg.make_layers(vgg.cfgs["A"]))


def vgg_a_lrn() -> nn.Module:
    """Configuration A-LRN: Simonyan, Zisserman, 2014, arXiv:1409.1556, tables 1 and 2. A with local
    response normalization after the first convolution. Input 3×224×224.

    133 M parameters, as A: the normalization has none.

    Deviation: as in `vgg_a`.
    """
    vgg = _torchvision()
    conv, activation, *rest = vgg.make_layers(vgg.cfgs["A"])
    return _network(nn.Sequential(conv, activation, local_response_norm(), *rest))


def vgg_b() -> nn.Module:
    """Configuration B, VGG-13: Simonyan, Zisserman, 2014, arXiv:1409.1556, tables 1 and 2. Input
    3×224×224.

    133 M parameters.

    Deviation: torchvision's `vgg13`, as in `vgg_a`.
    """
    vgg = _torchvision()
    return _network(vgg.make_layers(vgg.cfgs["B"]))


def vgg_c() -> nn.Module:
    """Configuration C: Simonyan, Zisserman, 2014, arXiv:1409.1556, tables 1 and 2. 16 layers, three
    of them 1×1 convolutions, where D has 3×3. Input 3×224×224.

    134 M parameters.

    Deviation: as in `vgg_a`; torchvision has no such configuration.
    """
    layers: dict[str, nn.Module] = {}
    inputs = 3
    for stage, (widths, last_kernel) in enumerate(_C, start=1):
        for number, outputs in enumerate(widths, start=1):
            kernel = last_kernel if number == len(widths) else 3
            layers[f"conv{stage}_{number}"] = conv_relu(inputs, outputs, kernel)
            inputs = outputs
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    return _network(sequence(layers))


def vgg_d() -> nn.Module:
    """Configuration D, VGG-16: Simonyan, Zisserman, 2014, arXiv:1409.1556, tables 1 and 2. Input
    3×224×224.

    138 M parameters. 15.3 G multiply–adds, as later papers quote it, are the convolutions alone.

    Deviation: torchvision's `vgg16`, as in `vgg_a`.
    """
    vgg = _torchvision()
    return _network(vgg.make_layers(vgg.cfgs["D"]))


def vgg_e() -> nn.Module:
    """Configuration E, VGG-19: Simonyan, Zisserman, 2014, arXiv:1409.1556, tables 1 and 2. Input
    3×224×224.

    144 M parameters. 19.6 G multiply–adds (He et al. 2015) include the fully connected layers.

    Deviation: torchvision's `vgg19`, as in `vgg_a`.
    """
    vgg = _torchvision()
    return _network(vgg.make_layers(vgg.cfgs["E"]))


def _torchvision() -> Any:
    with importable_torchvision():
        from torchvision.models import vgg
    return vgg


def _network(features: nn.Sequential) -> nn.Module:
    """The convolutions and the three fully connected layers that all configurations share."""
    network: nn.Module = _torchvision().VGG(features, init_weights=False)
    return network
