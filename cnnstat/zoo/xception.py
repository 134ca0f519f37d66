"""Xception (2016): depthwise separable convolutions with shortcuts."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from cnnstat.zoo.blocks import Layers, Residual, classifier, conv_bn, positive, sequence


def xception(num_classes: int = 1000) -> nn.Sequential:
    """Xception: Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2016,
    arXiv:1610.02357, figure 5 and table 3. Input 3×299×299.

    22,855,952 parameters. NASNet's table 2 prints 8.38 G multiply–adds where convolutions and the linear
    layer have 8.357; with one for each output of a batch norm there are 8.379.

    Deviations: the first two convolutions have no padding, as in the author's Keras code; figure 5 says
    neither. The fully connected layers that it calls optional, and dropout, are left out.
    """
    positive(num_classes=num_classes)
    entry: Layers = {
        "conv1": conv_bn(3, 32, 3, 2, padding=0),
        "conv2": conv_bn(32, 64, 3, padding=0),
        "block1": _halving(64, 128, 128, relu_first=False),
        "block2": _halving(128, 256, 256),
        "block3": _halving(256, 728, 728),
    }
    middle: Layers = {
        f"block{number}": Residual(_separables(728, 728, 728, 728), act=None)
        for number in range(1, 9)
    }
    exit_: Layers = {
        "block": _halving(728, 728, 1024),
        "separable1": _separable(1024, 1536),
        "relu1": nn.ReLU(),
        "separable2": _separable(1536, 2048),
        "relu2": nn.ReLU(),
    }
    return sequence(
        {
            "entry_flow": sequence(entry),
            "middle_flow": sequence(middle),
            "exit_flow": sequence(exit_),
            **classifier(2048, num_classes),
        }
    )


def _halving(inputs: int, middle: int, outputs: int, relu_first: bool = True) -> Residual:
    """Two separable convolutions and pooling, beside a projection with stride 2."""
    body = _separables(inputs, middle, outputs, relu_first=relu_first)
    body.append(nn.MaxPool2d(3, 2, padding=1))
    return Residual(body, conv_bn(inputs, outputs, 1, 2, act=None), act=None)


def _separables(*channels: int, relu_first: bool = True) -> nn.Sequential:
    """Separable convolutions, each after a ReLU; not in place, since the shortcut has the same input."""
    layers: Layers = {}
    for number, (inputs, outputs) in enumerate(pairwise(channels), start=1):
        if number > 1 or relu_first:
            layers[f"relu{number}"] = nn.ReLU()
        layers[f"separable{number}"] = _separable(inputs, outputs)
    return sequence(layers)


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    """A depthwise 3×3 and a pointwise convolution with nothing between them, and batch norm."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return sequence({"depthwise": depthwise, "pointwise": conv_bn(inputs, outputs, act=None)})
