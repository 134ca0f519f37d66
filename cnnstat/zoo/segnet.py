"""SegNet (2015): a decoder that puts values back where the encoder's pooling took them from."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from cnnstat.zoo.blocks import positive, relu, sequence

# Badrinarayanan et al. 2015: the convolutions of VGG-16, and the same in the other direction.
_ENCODER = (
    (3, 64, 64),
    (64, 128, 128),
    (128, 256, 256, 256),
    (256, 512, 512, 512),
    (512, 512, 512, 512),
)
_DECODER = (
    (512, 512, 512, 512),
    (512, 512, 512, 256),
    (256, 256, 256, 128),
    (128, 128, 64),
    (64, 64),
)


def segnet(num_classes: int = 19) -> SegNet:
    """SegNet: Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture
    for Image Segmentation", 2015, arXiv:1511.00561, figure 2. Input 3×360×640, ENet's.

    29.46 M parameters and 286.03 GFLOPs in ENet's table of hardware requirements, which does not say with how
    many classes; with Cityscapes' 19 there are 29.45 M. Two a multiply–add make 285.56 GFLOPs; with
    biases, norms (two), activations (one), pooling (four an output) and unpooling there are 286.03.

    Deviations: the classes, which are Cityscapes'; convolutions have a bias beside batch norm, as in the
    authors' Caffe model; the softmax is left to the loss.
    """
    return SegNet(num_classes)


class SegNet(nn.Module):
    """Encoder and decoder of five stages each."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        positive(num_classes=num_classes)
        self.encoder = nn.ModuleList(_stage(channels) for channels in _ENCODER)
        self.decoder = nn.ModuleList(_stage(channels) for channels in _DECODER)
        self.pool = nn.MaxPool2d(2, 2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2, 2)
        self.head = nn.Conv2d(64, num_classes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of each class at each pixel."""
        pooled = []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape
            x, indices = self.pool(x)
            pooled.append((indices, size))
        for stage, (indices, size) in zip(self.decoder, reversed(pooled), strict=True):
            x = stage(self.unpool(x, indices, size))
        scores: torch.Tensor = self.head(x)
        return scores


def _stage(channels: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(*(_conv(inputs, outputs) for inputs, outputs in pairwise(channels)))


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    return sequence({"conv": conv, "norm": nn.BatchNorm2d(outputs), "relu": relu()})
