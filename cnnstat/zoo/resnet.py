"""ResNet on ImageNet (2015) as published, and the plain networks that it is compared with.

Of a bottleneck the first convolution has the stride (v1). torchvision's ResNets give it to the second
(v1.5), which costs a tenth more and has the same parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from cnnstat.zoo.blocks import (
    Layers,
    Residual,
    classifier,
    conv_bn,
    one_of,
    positive,
    relu,
    sequence,
)

Block = Callable[[int, int, int], nn.Module]
"""Makes a block from its input channels, its width and its stride."""

# He et al. 2015, table 1: blocks in conv2_x to conv5_x, and their width.
REPEATS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
WIDTHS = (64, 128, 256, 512)


def plain18(num_classes: int = 1000) -> nn.Sequential:
    """The plain 18-layer network: He et al., "Deep Residual Learning for Image Recognition", 2015,
    arXiv:1512.03385, tables 1 and 2. Input 3×224×224.

    1.8 G multiply–adds (table 1): ResNet-18 without its shortcuts.

    Deviations: none.
    """
    return _imagenet(18, _plain, num_classes)


def plain34(num_classes: int = 1000) -> nn.Sequential:
    """The plain 34-layer network: He et al. 2015, figure 3 and tables 1 and 2. Input 3×224×224.

    3.6 G multiply–adds, 18 % of VGG-19 (section 3.3): ResNet-34 without its shortcuts.

    Deviations: none.
    """
    return _imagenet(34, _plain, num_classes)


def resnet18_v1(option: str = "B", num_classes: int = 1000) -> nn.Sequential:
    """ResNet-18: He et al. 2015, table 1. Input 3×224×224.

    1.8 G multiply–adds. `option` says how shortcuts match dimensions (section 4.1): A by zeros, which
    have no parameters, as in table 2; B by projections, as torchvision's resnet18; C projects everywhere.

    Deviations: none.
    """
    return _residual(18, option, num_classes)


def resnet34_v1(option: str = "B", num_classes: int = 1000) -> nn.Sequential:
    """ResNet-34: He et al. 2015, figure 3, tables 1 and 3 (options A, B and C). Input 3×224×224.

    Table 1 prints 3.6 G multiply–adds, which is option A (3.64); B, torchvision's resnet34, has 3.66.

    Deviations: none.
    """
    return _residual(34, option, num_classes)


def resnet50_v1(option: str = "B", num_classes: int = 1000) -> nn.Sequential:
    """ResNet-50: He et al. 2015, table 1. Input 3×224×224. The paper's has option B.

    3.8 G multiply–adds in table 1, where 3.86 would round to 3.9; SENet's table 2 prints 3.86.

    Deviations: none.
    """
    return _residual(50, option, num_classes)


def resnet101_v1(option: str = "B", num_classes: int = 1000) -> nn.Sequential:
    """ResNet-101: He et al. 2015, table 1. Input 3×224×224. The paper's has option B.

    7.6 G multiply–adds.

    Deviations: none.
    """
    return _residual(101, option, num_classes)


def resnet152_v1(option: str = "B", num_classes: int = 1000) -> nn.Sequential:
    """ResNet-152: He et al. 2015, table 1. Input 3×224×224. The paper's has option B.

    11.3 G multiply–adds.

    Deviations: none.
    """
    return _residual(152, option, num_classes)


def _residual(depth: int, option: str, num_classes: int) -> nn.Sequential:
    one_of("option", option, "ABC")
    body, expansion = (basic, 1) if depth < 50 else (bottleneck, 4)

    def block(inputs: int, width: int, stride: int) -> nn.Module:
        way = shortcut(inputs, width * expansion, stride, option)
        return Residual(sequence(body(inputs, width, stride)), way)

    return _imagenet(depth, block, num_classes, expansion)


def _imagenet(depth: int, block: Block, num_classes: int, expansion: int = 1) -> nn.Sequential:
    positive(num_classes=num_classes)
    body = stages(block, 64, WIDTHS, REPEATS[depth], expansion)
    return sequence({**stem(), **body, **classifier(WIDTHS[-1] * expansion, num_classes)})


def stem() -> Layers:
    """conv1 of table 1 and the pooling that opens conv2_x: 3 channels to 64, a quarter of the size."""
    return {"conv1": conv_bn(3, 64, 7, 2), "pool1": nn.MaxPool2d(3, 2, padding=1)}


def stages(
    block: Block, inputs: int, widths: Sequence[int], repeats: Sequence[int], expansion: int = 1
) -> Layers:
    """conv2_x, conv3_x, …, each of `repeats` blocks; each but the first halves the size.

    A block of a width puts out `expansion` times as many channels.
    """
    layers: Layers = {}
    for stage, (width, repeat) in enumerate(zip(widths, repeats, strict=True), start=2):
        blocks: Layers = {}
        for number in range(1, repeat + 1):
            blocks[f"block{number}"] = block(inputs, width, 2 if stage > 2 and number == 1 else 1)
            inputs = width * expansion
        layers[f"conv{stage}_x"] = sequence(blocks)
    return layers


def basic(inputs: int, width: int, stride: int) -> Layers:
    """Two 3×3 convolutions (figure 5, left), up to the addition."""
    return {
        "conv1": conv_bn(inputs, width, 3, stride),
        "conv2": conv_bn(width, width, 3, act=None),
    }


def bottleneck(inputs: int, width: int, stride: int) -> Layers:
    """1×1, 3×3 and 1×1 convolutions, the last four times as wide (figure 5, right), up to the addition."""
    return {
        "conv1": conv_bn(inputs, width, 1, stride),
        "conv2": conv_bn(width, width, 3),
        "conv3": conv_bn(width, 4 * width, 1, act=None),
    }


def _plain(inputs: int, width: int, stride: int) -> nn.Module:
    return sequence({**basic(inputs, width, stride), "act": relu()})


def shortcut(inputs: int, outputs: int, stride: int, option: str = "B") -> nn.Module | None:
    """What joins the residual function: `None` for the identity (section 4.1 has the options)."""
    same = inputs == outputs and stride == 1
    if option == "C" or (option == "B" and not same):
        return conv_bn(inputs, outputs, 1, stride, act=None)
    return None if same else ZeroPadding(outputs - inputs, stride)


class ZeroPadding(nn.Module):
    """The input at every `stride`-th row and column, and `channels` of zeros: option A."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A shortcut without parameters."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.channels))
