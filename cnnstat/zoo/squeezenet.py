"""SqueezeNet (2016): fire modules, which squeeze and then expand."""

from __future__ import annotations

from torch import nn

from cnnstat.sources.torchvision_operators import importable_torchvision
from cnnstat.zoo.blocks import Branches, Layers, Residual, conv_relu, positive, relu, sequence

# Iandola et al. 2016, table 1: filters of squeeze 1×1; expand 1×1 and expand 3×3 have four times as many.
_TABLE_1 = {
    "fire2": 16,
    "fire3": 16,
    "fire4": 32,
    "fire5": 32,
    "fire6": 48,
    "fire7": 48,
    "fire8": 64,
    "fire9": 64,
}
_POOL_AFTER = ("fire4", "fire8")
_SAME_CHANNELS = ("fire3", "fire5", "fire7", "fire9")


def squeezenet1_0(num_classes: int = 1000) -> nn.Module:
    """SqueezeNet: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
    model size", 2016, arXiv:1602.07360, table 1. Input 3×227×227.

    1,248,424 parameters, 4.8 MB (in MiB). 833 M multiply–adds in ShuffleNet's table 6; MobileNet's table
    9 prints twice that, 1700 M.

    Deviation: none in the layers, which are torchvision's; table 1 prints an input of 224, whose first map
    without padding is 109 and not the printed 111.
    """
    positive(num_classes=num_classes)
    with importable_torchvision():
        from torchvision.models import squeezenet1_0 as build
    model: nn.Module = build(weights=None, num_classes=num_classes)
    return model


def squeezenet1_1(num_classes: int = 1000) -> nn.Module:
    """SqueezeNet 1.1: the authors' second release (github.com/forresti/SqueezeNet), not in the paper: a
    first convolution of 64 3×3 filters and earlier pooling. Input 3×224×224, torchvision's.

    1,235,496 parameters and 349 M multiply–adds, as torchvision publishes; the authors speak of 2.4 times
    less computation than 1.0.

    Deviation: none; this is torchvision's.
    """
    positive(num_classes=num_classes)
    with importable_torchvision():
        from torchvision.models import squeezenet1_1 as build
    model: nn.Module = build(weights=None, num_classes=num_classes)
    return model


def squeezenet_simple_bypass(num_classes: int = 1000) -> nn.Sequential:
    """SqueezeNet with simple bypass: Iandola et al. 2016, section 6, figure 2 (middle) and table 3: the
    input of fire 3, 5, 7 and 9 added to its output. Input 3×227×227.

    4.8 MB, as without: additions have no parameters.

    Deviation: as of `squeezenet1_0`, the input.
    """
    return _squeezenet(num_classes, complex_bypass=False)


def squeezenet_complex_bypass(num_classes: int = 1000) -> nn.Sequential:
    """SqueezeNet with complex bypass: Iandola et al. 2016, section 6, figure 2 (right) and table 3: as with
    simple bypass, and the input of fire 2, 4, 6 and 8 added through a 1×1 convolution. Input 3×227×227.

    Deviation: as of `squeezenet1_0`, the input. Table 3 prints 7.7 MB; the four convolutions of the text
    make 6.1 MB (in MiB: 1,589,672 parameters), and one around every fire module would make 7.9.
    """
    return _squeezenet(num_classes, complex_bypass=True)


def _squeezenet(num_classes: int, complex_bypass: bool) -> nn.Sequential:
    positive(num_classes=num_classes)
    layers: Layers = {
        "conv1": conv_relu(3, 96, 7, 2, padding=0),
        "pool1": nn.MaxPool2d(3, 2),
    }
    channels = 96
    for name, squeezed in _TABLE_1.items():
        fire = _fire(channels, squeezed)
        if name in _SAME_CHANNELS:
            layers[name] = Residual(fire, act=None)
        elif complex_bypass:
            layers[name] = Residual(fire, nn.Conv2d(channels, 8 * squeezed, 1), act=None)
        else:
            layers[name] = fire
        if name in _POOL_AFTER:
            layers[f"pool{name.removeprefix('fire')}"] = nn.MaxPool2d(3, 2)
        channels = 8 * squeezed
    layers |= {
        "dropout": nn.Dropout(),
        "conv10": nn.Conv2d(channels, num_classes, 1),
        "relu10": relu(),
        "pool10": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
    }
    return sequence(layers)


def _fire(inputs: int, squeezed: int) -> nn.Sequential:
    expanded = 4 * squeezed
    expand = {
        "expand1x1": conv_relu(squeezed, expanded),
        "expand3x3": conv_relu(squeezed, expanded, 3),
    }
    return sequence({"squeeze": conv_relu(inputs, squeezed), "expand": Branches(expand)})
