"""OverFeat (2013): the fast and the accurate model."""

from __future__ import annotations

from torch import nn

from cnnstat.zoo.blocks import conv_relu, relu, sequence


def overfeat_fast() -> nn.Sequential:
    """OverFeat, fast: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated
    Recognition, Localization and Detection using Convolutional Networks", 2013, arXiv:1312.6229,
    tables 1 and 4. Input 3×231×231.

    145 M parameters (145,920,872, cut off) and 2,810 M connections.

    Deviations: the definition counts 2,801.4 M multiply–accumulates, 0.3 % fewer than the printed
    connections; biases, units and pooling do not explain the rest. The softmax is left to the loss.
    """
    return sequence(
        {
            "conv1": conv_relu(3, 96, 11, 4, padding=0),
            "pool1": nn.MaxPool2d(2),
            "conv2": conv_relu(96, 256, 5, padding=0),
            "pool2": nn.MaxPool2d(2),
            "conv3": conv_relu(256, 512, 3),
            "conv4": conv_relu(512, 1024, 3),
            "conv5": conv_relu(1024, 1024, 3),
            "pool5": nn.MaxPool2d(2),
            **_classifier(1024 * 6 * 6, 3072, first=6),
        }
    )


def overfeat_accurate() -> nn.Sequential:
    """OverFeat, accurate: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated
    Recognition, Localization and Detection using Convolutional Networks", 2013, arXiv:1312.6229,
    tables 3 and 4. Input 3×221×221.

    144 M parameters (144,656,488, cut off) and 5,369 M connections.

    Deviations: the definition counts 5,355.4 M multiply–accumulates, 0.3 % fewer than the printed
    connections; biases, units and pooling do not explain the rest. The softmax is left to the loss.
    """
    return sequence(
        {
            "conv1": conv_relu(3, 96, 7, 2, padding=0),
            "pool1": nn.MaxPool2d(3),
            "conv2": conv_relu(96, 256, 7, padding=0),
            "pool2": nn.MaxPool2d(2),
            "conv3": conv_relu(256, 512, 3),
            "conv4": conv_relu(512, 512, 3),
            "conv5": conv_relu(512, 1024, 3),
            "conv6": conv_relu(1024, 1024, 3),
            "pool6": nn.MaxPool2d(3),
            **_classifier(1024 * 5 * 5, 4096, first=7),
        }
    )


def _classifier(features: int, units: int, *, first: int) -> dict[str, nn.Module]:
    """Three fully connected layers, numbered from `first`, with dropout before the first two."""
    return {
        "flatten": nn.Flatten(),
        f"drop{first}": nn.Dropout(),
        f"fc{first}": nn.Linear(features, units),
        f"relu{first}": relu(),
        f"drop{first + 1}": nn.Dropout(),
        f"fc{first + 1}": nn.Linear(units, 4096),
        f"relu{first + 1}": relu(),
        f"fc{first + 2}": nn.Linear(4096, 1000),
    }
