"""Network in Network (2013): 1×1 convolutions, and no fully connected layer."""

from __future__ import annotations

from torch import nn

from cnnstat.zoo.blocks import conv_relu, sequence


def nin_cifar10() -> nn.Sequential:
    """Network in Network for CIFAR-10: Lin, Chen, Yan, "Network In Network", 2013, arXiv:1312.4400,
    section 4 and figure 2. Input 3×32×32.

    10.41 % error without and 8.81 % with augmentation; the paper states no size. 966,986 parameters.

    Deviations: channels and kernels are those of the authors' published configuration, of which the
    paper gives the outline. The softmax is left to the loss.
    """
    return sequence(
        {
            **_mlpconv(1, 3, (192, 160, 96), 5, padding=2),
            "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
            "drop1": nn.Dropout(),
            **_mlpconv(2, 96, (192, 192, 192), 5, padding=2),
            "pool2": nn.AvgPool2d(3, 2, ceil_mode=True),
            "drop2": nn.Dropout(),
            **_mlpconv(3, 192, (192, 192, 10), 3, padding=1),
            "pool3": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
        }
    )


def nin_imagenet() -> nn.Sequential:
    """Network in Network for ImageNet: the authors' entry in Caffe's Model Zoo, for Lin, Chen, Yan,
    "Network In Network", 2013, arXiv:1312.4400. Input 3×224×224.

    The published file has 29 MB (of 2^20 bytes): 7,595,176 parameters.

    Deviations: the paper has no ImageNet network. The softmax is left to the loss.
    """
    return sequence(
        {
            **_mlpconv(1, 3, (96, 96, 96), 11, 4),
            "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
            **_mlpconv(2, 96, (256, 256, 256), 5, padding=2),
            "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
            **_mlpconv(3, 256, (384, 384, 384), 3, padding=1),
            "pool3": nn.MaxPool2d(3, 2, ceil_mode=True),
            "drop3": nn.Dropout(),
            **_mlpconv(4, 384, (1024, 1024, 1000), 3, padding=1),
            "pool4": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
        }
    )


def _mlpconv(
    number: int,
    inputs: int,
    widths: tuple[int, int, int],
    kernel: int,
    stride: int = 1,
    *,
    padding: int = 0,
) -> dict[str, nn.Module]:
    """A convolution and a perceptron of two layers at every position of its output."""
    conv, first, second = widths
    return {
        f"conv{number}": conv_relu(inputs, conv, kernel, stride, padding=padding),
        f"cccp{2 * number - 1}": conv_relu(conv, first),
        f"cccp{2 * number}": conv_relu(first, second),
    }
