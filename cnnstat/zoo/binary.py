"""XNOR-Net and Binary-Weight-Networks (2016): AlexNet and ResNet-18 with binary convolutions.

These are the networks as inference runs them, binary but for the first and the last layer. cnnstat counts a
binary multiply–add as a multiply–add, and a weight as 32 bits: the 32 or 64 times smaller model and the 58
times faster convolution of the paper are not in its numbers.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from cnnstat.zoo.blocks import Layers, Residual, classifier, conv_bn, positive, relu, sequence

# He et al. 2015, table 1: channels of the four stages of ResNet-18, each of two blocks.
_RESNET18 = (64, 128, 256, 512)


def alexnet_bwn(num_classes: int = 1000) -> nn.Sequential:
    """AlexNet as a Binary-Weight-Network: Rastegari et al., "XNOR-Net: ImageNet Classification Using Binary
    Convolutional Neural Networks", 2016, arXiv:1603.05279, table 1. Input 3×224×224.

    The weights of figure 4a, 475 MB with 64 bits each (in MiB) and 7.4 MB with one, are the 62,378,344 of
    the AlexNet without groups; batch norm comes on top.

    Deviations: layers as in the authors' code (github.com/allenai/XNOR-Net): fully connected ones are
    convolutions, batch norm stands in for local response normalisation, and dropout is left out.
    """
    positive(num_classes=num_classes)
    return sequence(
        {
            "conv1": _normed(nn.Conv2d(3, 96, 11, 4, padding=2)),
            "pool1": nn.MaxPool2d(3, 2),
            "conv2": _normed(BinaryConv2d(96, 256, 5, padding=2)),
            "pool2": nn.MaxPool2d(3, 2),
            "conv3": _normed(BinaryConv2d(256, 384, 3, padding=1)),
            "conv4": _normed(BinaryConv2d(384, 384, 3, padding=1)),
            "conv5": _normed(BinaryConv2d(384, 256, 3, padding=1)),
            "pool5": nn.MaxPool2d(3, 2),
            "fc6": _normed(BinaryConv2d(256, 4096, 6)),
            "fc7": _normed(BinaryConv2d(4096, 4096, 1)),
            "fc8": nn.Conv2d(4096, num_classes, 1),
            "flatten": nn.Flatten(),
        }
    )


def alexnet_xnor(num_classes: int = 1000) -> nn.Sequential:
    """AlexNet as an XNOR-Net: Rastegari et al. 2016, figure 3 and table 1: batch norm, binary activation,
    binary convolution, pooling. Input 3×224×224.

    As many weights as `alexnet_bwn`.

    Deviations: as of `alexnet_bwn`; the input is scaled by K, as in the paper's equation 11, which the
    authors' code leaves out.
    """
    positive(num_classes=num_classes)
    return sequence(
        {
            "conv1": _normed(nn.Conv2d(3, 96, 11, 4, padding=2)),
            "pool1": nn.MaxPool2d(3, 2),
            "conv2": _xnor(96, 256, 5, padding=2),
            "pool2": nn.MaxPool2d(3, 2),
            "conv3": _xnor(256, 384, 3, padding=1),
            "conv4": _xnor(384, 384, 3, padding=1),
            "conv5": _xnor(384, 256, 3, padding=1),
            "pool5": nn.MaxPool2d(3, 2),
            "fc6": _xnor(256, 4096, 6),
            "fc7": _xnor(4096, 4096, 1),
            "norm8": nn.BatchNorm2d(4096),
            "relu8": relu(),
            "fc8": nn.Conv2d(4096, num_classes, 1),
            "flatten": nn.Flatten(),
        }
    )


def resnet18_bwn(num_classes: int = 1000) -> nn.Sequential:
    """ResNet-18 as a Binary-Weight-Network: Rastegari et al. 2016, table 2, with shortcuts of type B. Input
    3×224×224.

    11,689,512 parameters, as without binary weights.

    Deviation: the projections of shortcuts are binary too, since the paper excepts the first and the last
    layer alone; it gives no code for this network.
    """
    return _resnet18(num_classes, xnor=False)


def resnet18_xnor(num_classes: int = 1000) -> nn.Sequential:
    """ResNet-18 as an XNOR-Net: Rastegari et al. 2016, figure 3 and table 2. Input 3×224×224.

    Deviations: as of `resnet18_bwn`; batch norm stands before each convolution, as figure 3 has it, and
    before the last ReLU.
    """
    return _resnet18(num_classes, xnor=True)


class BinaryConv2d(nn.Conv2d):
    """A convolution whose weights are ±1, times α: the mean magnitude of the weights that they stand for.

    With `binary_input` the input is its sign, and the result is also scaled by K: the mean magnitude of
    the input below each position of the kernel (the paper's equations 6 and 11).
    """

    alpha: torch.Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        bias: bool = True,
        binary_input: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, bias=bias)
        self.k = nn.AvgPool2d(kernel, stride, padding) if binary_input else None
        with torch.no_grad():
            self.register_buffer("alpha", self.weight.abs().mean((1, 2, 3))[:, None, None])
            self.weight.sign_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution, scaled."""
        signs = x if self.k is None else x.sign()
        y = F.conv2d(signs, self.weight, None, self.stride, self.padding) * self.alpha
        if self.k is not None:
            y = y * self.k(x.abs().mean(1, keepdim=True))
        return y if self.bias is None else y + self.bias[:, None, None]


def _normed(conv: nn.Conv2d) -> nn.Sequential:
    """A convolution, batch norm and ReLU."""
    return sequence({"conv": conv, "norm": nn.BatchNorm2d(conv.out_channels), "relu": relu()})


def _xnor(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, bias: bool = True
) -> nn.Sequential:
    """Figure 3: batch norm, and a convolution with binary weights and input."""
    conv = BinaryConv2d(inputs, outputs, kernel, stride, padding, bias=bias, binary_input=True)
    return sequence({"norm": nn.BatchNorm2d(inputs), "conv": conv})


def _resnet18(num_classes: int, xnor: bool) -> nn.Sequential:
    positive(num_classes=num_classes)
    layers: Layers = {"conv1": conv_bn(3, 64, 7, 2), "pool1": nn.MaxPool2d(3, 2, padding=1)}
    channels = 64
    for stage, outputs in enumerate(_RESNET18, start=2):
        for number in (1, 2):
            stride = 2 if outputs != channels else 1
            block = _xnor_block if xnor else _bwn_block
            layers[f"conv{stage}_{number}"] = block(channels, outputs, stride)
            channels = outputs
    if xnor:
        layers |= {"norm": nn.BatchNorm2d(channels), "relu": relu()}
    return sequence({**layers, **classifier(channels, num_classes)})


def _bwn_block(inputs: int, outputs: int, stride: int) -> Residual:
    def conv_norm(c: int, kernel: int, stride: int) -> Layers:
        conv = BinaryConv2d(c, outputs, kernel, stride, kernel // 2, bias=False)
        return {"conv": conv, "norm": nn.BatchNorm2d(outputs)}

    first = sequence({**conv_norm(inputs, 3, stride), "relu": relu()})
    body = sequence({"first": first, "second": sequence(conv_norm(outputs, 3, 1))})
    return Residual(body, sequence(conv_norm(inputs, 1, stride)) if stride == 2 else None)


def _xnor_block(inputs: int, outputs: int, stride: int) -> Residual:
    first = _xnor(inputs, outputs, 3, stride, padding=1, bias=False)
    body = sequence({"first": first, "second": _xnor(outputs, outputs, 3, padding=1, bias=False)})
    shortcut = _xnor(inputs, outputs, 1, stride, bias=False) if stride == 2 else None
    return Residual(body, shortcut, act=None)
