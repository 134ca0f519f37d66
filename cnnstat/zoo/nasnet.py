"""NASNet-A (2017): cells that were searched for, of separable convolutions and pooling."""

from __future__ import annotations

import torch
from torch import nn

from cnnstat.zoo.blocks import Layers, classifier, conv_bn, positive, sequence

# Zoph et al. 2017, figure 4. A node is the sum of two operations; "h" is the cell's input, "p" that of the
# cell before, both through 1×1 convolutions, and the letters b are earlier nodes.
_Node = tuple[tuple[str, str], tuple[str, str]]
_NORMAL: dict[str, _Node] = {
    "b0": (("sep5", "h"), ("sep3", "p")),
    "b1": (("sep5", "p"), ("sep3", "p")),
    "b2": (("avg3", "h"), ("identity", "p")),
    "b3": (("avg3", "p"), ("avg3", "p")),
    "b4": (("sep3", "h"), ("identity", "h")),
}
_REDUCTION: dict[str, _Node] = {
    "b0": (("sep5", "h"), ("sep7", "p")),
    "b1": (("max3", "h"), ("sep7", "p")),
    "b2": (("avg3", "h"), ("sep5", "p")),
    "b3": (("identity", "b1"), ("avg3", "b0")),
    "b4": (("sep3", "b0"), ("max3", "h")),
}
_NORMAL_OUTPUTS = ("p", "b0", "b1", "b2", "b3", "b4")
_REDUCTION_OUTPUTS = ("b1", "b2", "b3", "b4")


def nasnet_a_mobile(num_classes: int = 1000) -> NASNet:
    """NASNet-A (4 @ 1056): Zoph et al., "Learning Transferable Architectures for Scalable Image
    Recognition", 2017, arXiv:1707.07012, figure 4 and table 3. Input 3×224×224.

    5.3 M parameters and 564 M multiply–adds.

    Deviations: the auxiliary classifier of training is left out, and the printed figures leave it out too;
    maps are padded by half the kernel on all sides, where TensorFlow pads one side more at an even size,
    which changes no size. "b3" of the normal cell averages one input twice, as the figure draws it.
    """
    return NASNet(repeats=4, filters=44, stem=32, num_classes=num_classes)


def nasnet_a_large(num_classes: int = 1000) -> NASNet:
    """NASNet-A (6 @ 4032): Zoph et al. 2017, table 2. Input 3×331×331.

    23.8 G multiply–adds. 88.9 M parameters, which hold the moving statistics of batch norm too (88,949,818
    in Keras); without them there are 88,753,150.

    Deviations: as of `nasnet_a_mobile`. The authors' large network gives the cell after a reduction the
    input of the last cell but one, not of the last one, which has the same shape.
    """
    return NASNet(repeats=6, filters=168, stem=96, num_classes=num_classes)


class NASNet(nn.Module):
    """Two reduction cells as a stem, then thrice `repeats` normal cells with a reduction cell between.

    `filters` are those of a node of the first normal cells; the last layer has 24 times as many.
    """

    def __init__(self, repeats: int, filters: int, stem: int, num_classes: int) -> None:
        super().__init__()
        positive(num_classes=num_classes)
        self.conv = conv_bn(3, stem, 3, 2, padding=0, act=None)
        first = Cell((stem, stem), filters // 4, reduce=True, adjust="none")
        second = Cell((first.channels, stem), filters // 2, reduce=True, adjust="halve")
        cells: dict[str, Cell] = {"stem0": first, "stem1": second}
        channels = (second.channels, first.channels)
        halved = True
        for stage in range(3):
            width = filters * 2**stage
            kinds = ["reduction"] if stage else []
            for kind in kinds + [f"cell{number}" for number in range(1, repeats + 1)]:
                reduce = kind == "reduction"
                cell = Cell(channels, width, reduce, adjust="halve" if halved else "project")
                cells[f"stage{stage + 1}_{kind}"] = cell
                channels = (cell.channels, channels[0])
                halved = reduce
        self.cells = nn.ModuleDict(cells)
        self.relu = nn.ReLU()
        self.head = sequence(classifier(channels[0], num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each cell sees the outputs of the two before it."""
        previous = x = self.conv(x)
        for cell in self.cells.values():
            x, previous = cell(x, previous), x
        result: torch.Tensor = self.head(self.relu(x))
        return result


class Cell(nn.Module):
    """A normal or a reduction cell with nodes of `filters` channels.

    `inputs` are the channels of the two cells before it; `adjust` says what is done to the farther one:
    "project" by a 1×1 convolution, "halve" its size with it, or "none" where both are the same.
    """

    def __init__(self, inputs: tuple[int, int], filters: int, reduce: bool, adjust: str) -> None:
        super().__init__()
        self.nodes = _REDUCTION if reduce else _NORMAL
        self.outputs = _REDUCTION_OUTPUTS if reduce else _NORMAL_OUTPUTS
        self.channels = filters * len(self.outputs)
        self.h = _project(inputs[0], filters)
        self.p: nn.Module
        widths = {"p": filters}
        if adjust == "halve":
            self.p = FactorizedReduction(inputs[1], filters)
        elif adjust == "project":
            self.p = _project(inputs[1], filters)
        else:
            self.p = nn.Identity()
            widths = {"p": inputs[1]}
        operations: Layers = {}
        for name, node in self.nodes.items():
            for side, (kind, source) in zip(("left", "right"), node, strict=True):
                stride = 2 if reduce and source in "hp" else 1
                width = widths.get(source, filters)
                operations[f"{name}_{side}"] = _operation(kind, width, filters, stride)
        self.operations = nn.ModuleDict(operations)

    def forward(self, x: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """The nodes that the outputs name, along the channels."""
        states: dict[str, torch.Tensor] = {"h": self.h(x), "p": self.p(previous)}
        for name, ((_, left), (_, right)) in self.nodes.items():
            one = self.operations[f"{name}_left"](states[left])
            states[name] = one + self.operations[f"{name}_right"](states[right])
        return torch.cat([states[name] for name in self.outputs], dim=1)


class FactorizedReduction(nn.Module):
    """Halves the size: two 1×1 convolutions with stride 2, the second over x moved by a pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.move = nn.ZeroPad2d((-1, 1, -1, 1))
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both halves of the channels."""
        x = self.relu(x)
        y: torch.Tensor = self.norm(torch.cat([self.even(x), self.odd(self.move(x))], dim=1))
        return y


def _project(inputs: int, outputs: int) -> nn.Sequential:
    return sequence({"relu": nn.ReLU(), "conv": conv_bn(inputs, outputs, act=None)})


def _operation(kind: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    if kind == "identity":
        return nn.Identity()
    kernel = int(kind[-1])
    if kind.startswith("sep"):
        return _separable_twice(inputs, outputs, kernel, stride)
    if kind.startswith("max"):
        return nn.MaxPool2d(kernel, stride, padding=kernel // 2)
    return nn.AvgPool2d(kernel, stride, padding=kernel // 2, count_include_pad=False)


def _separable_twice(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """ReLU, separable convolution and batch norm, applied twice; the first has the stride."""
    layers: Layers = {}
    for number, (channels, step) in enumerate(((inputs, stride), (outputs, 1)), start=1):
        layers[f"relu{number}"] = nn.ReLU()
        layers[f"depthwise{number}"] = nn.Conv2d(
            channels, channels, kernel, step, kernel // 2, groups=channels, bias=False
        )
        layers[f"pointwise{number}"] = conv_bn(channels, outputs, act=None)
    return sequence(layers)
