"""ENet (2016): semantic segmentation with narrow bottlenecks and a short decoder."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from cnnstat.zoo.blocks import Layer, Layers, Residual, conv_bn, positive, relu, sequence

# Paszke et al. 2016, table 1, after the bottleneck that halves the size: "regular", "asymmetric" or a
# dilation. Sections 2 and 3 are the same.
_SECTION_1 = ("regular",) * 4
_SECTIONS_2_AND_3 = ("regular", 2, "asymmetric", 4, "regular", 8, "asymmetric", 16) * 2


def enet(num_classes: int = 20) -> ENet:
    """ENet: Paszke et al., "ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation",
    2016, arXiv:1606.02147, table 1 and figure 2. Input 3×360×640.

    0.37 M parameters (0.7 MB in 16 bits) and 3.83 GFLOPs. Two a multiply–add make 3.64, and with one for
    every other operation there are 3.77; what the authors added is not known.

    Deviations: the paper does not say with how many classes; Cityscapes' 19 and "unlabelled" are in the
    authors' code (github.com/e-lab/ENet-training). The last full convolution is 3×3, as in most ports;
    the authors' code has 2×2, and with these classes 0.36 M parameters. The softmax is left to the loss, and
    spatial dropout, which costs nothing, is left out.
    """
    return ENet(num_classes)


class ENet(nn.Module):
    """Sections 1 to 3 are the encoder, 4 and 5 the decoder."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        positive(num_classes=num_classes)
        self.initial = Initial()
        self.down1 = Downsampling(16, 64)
        self.section1 = _bottlenecks(64, _SECTION_1)
        self.down2 = Downsampling(64, 128)
        self.section2and3 = _bottlenecks(128, _SECTIONS_2_AND_3)
        self.up4 = Upsampling(128, 64)
        self.section4 = _bottlenecks(64, ("regular",) * 2, decoder=True)
        self.up5 = Upsampling(64, 16)
        self.section5 = _bottlenecks(16, ("regular",), decoder=True)
        self.fullconv = nn.ConvTranspose2d(16, num_classes, 3, 2, padding=1, output_padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of each class at each pixel."""
        x, places1 = self.down1(self.initial(x))
        x, places2 = self.down2(self.section1(x))
        x = self.section4(self.up4(self.section2and3(x), places2))
        scores: torch.Tensor = self.fullconv(self.section5(self.up5(x, places1)))
        return scores


class Initial(nn.Module):
    """Figure 2 (a): 13 maps of a convolution beside the 3 of the pooled input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 13, 3, 2, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.norm = nn.BatchNorm2d(16)
        self.act = nn.PReLU(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Half the size."""
        y: torch.Tensor = self.act(self.norm(torch.cat([self.conv(x), self.pool(x)], dim=1)))
        return y


class Downsampling(nn.Module):
    """A bottleneck that halves the size; its main branch is pooled and padded with channels of zeros."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        narrow = outputs // 4
        self.pool = nn.MaxPool2d(2, 2, return_indices=True)
        self.extra = outputs - inputs
        act = _prelu(narrow)
        reduce = conv_bn(inputs, narrow, 2, 2, padding=0, act=act)
        self.branch = sequence({"reduce": reduce, **_middle_and_expand(outputs, "regular", act)})
        self.act = nn.PReLU(outputs)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum, and where the pooled values stood."""
        main, places = self.pool(x)
        main = F.pad(main, (0, 0, 0, 0, 0, self.extra))
        return self.act(main + self.branch(x)), places


class Upsampling(nn.Module):
    """A bottleneck that doubles the size; its main branch puts values back where they stood."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        narrow = outputs // 4
        self.main = conv_bn(inputs, outputs, act=None)
        self.unpool = nn.MaxUnpool2d(2, 2)
        self.branch = sequence(
            {
                "reduce": conv_bn(inputs, narrow),
                "fullconv": nn.ConvTranspose2d(narrow, narrow, 3, 2, padding=1, output_padding=1),
                "norm": nn.BatchNorm2d(narrow),
                "act": relu(),
                "expand": conv_bn(narrow, outputs, act=None),
            }
        )
        self.act = relu()

    def forward(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The sum, activated."""
        y: torch.Tensor = self.act(self.unpool(self.main(x), places) + self.branch(x))
        return y


def _bottlenecks(
    channels: int, kinds: tuple[str | int, ...], decoder: bool = False
) -> nn.Sequential:
    """Bottlenecks of one size: with PReLU in the encoder, with ReLU in the decoder."""
    narrow = channels // 4
    act, narrow_act = (relu, relu) if decoder else (_prelu(channels), _prelu(narrow))
    blocks: Layers = {}
    for number, kind in enumerate(kinds, start=1):
        reduce = conv_bn(channels, narrow, act=narrow_act)
        body = sequence({"reduce": reduce, **_middle_and_expand(channels, kind, narrow_act)})
        blocks[f"bottleneck{number}"] = Residual(body, act=act)
    return sequence(blocks)


def _middle_and_expand(channels: int, kind: str | int, act: Layer) -> Layers:
    """Figure 2 (b) after the projection. Projections have no bias (section 3), the convolution here has."""
    narrow = channels // 4
    layers: Layers = {}
    if kind == "asymmetric":
        layers["conv5x1"] = nn.Conv2d(narrow, narrow, (5, 1), padding=(2, 0), bias=False)
        layers["conv1x5"] = nn.Conv2d(narrow, narrow, (1, 5), padding=(0, 2))
    else:
        dilation = kind if isinstance(kind, int) else 1
        layers["conv"] = nn.Conv2d(narrow, narrow, 3, padding=dilation, dilation=dilation)
    expand = conv_bn(narrow, channels, act=None)
    return layers | {"norm": nn.BatchNorm2d(narrow), "act": act(), "expand": expand}


def _prelu(channels: int) -> Layer:
    return partial(nn.PReLU, channels)
