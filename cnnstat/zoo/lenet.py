"""LeNet-5 (1998), and the two LeNets that papers on compression mean (Han et al. 2015)."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from cnnstat.zoo.blocks import fully_connected, relu, sequence

# LeCun et al. 1998, table I: the maps of S2 that each map of C3 is connected to.
_TABLE_I = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


def lenet5() -> nn.Sequential:
    """LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document
    Recognition", Proceedings of the IEEE 1998, section II.B and table I. Input 1×32×32.

    60,000 trainable parameters and 340,908 connections, biases included. Subsampling is trainable
    (a coefficient and a bias for each map), C3 is connected as table I says, and the output layer
    has ten radial basis functions with fixed centres, which are no parameters.

    Deviation: the centres are zeros here and not drawings of the ten digits; no cost depends on it.
    """
    return nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(1, 6, 5),
            s2=Subsampling(6),
            c3=SparseConv2d(_TABLE_I, 5),
            s4=Subsampling(16),
            c5=nn.Conv2d(16, 120, 5),
            act5=ScaledTanh(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            act6=ScaledTanh(),
            output=RadialBasis(84, 10),
        )
    )


def lenet_300_100() -> nn.Sequential:
    """LeNet-300-100: LeCun, Bottou, Bengio, Haffner, 1998, section III.C, as Han, Mao, Dally, "Deep
    Compression", 2015, arXiv:1510.00149, tables 1 and 2, compress it. Input 1×28×28.

    784-300-100-10: 266 K weights, 1,070 KB (both rounded).

    Deviation: rectified linear units, as in Caffe, where the network of 1998 has tanh.
    """
    return sequence({"flatten": nn.Flatten(), **fully_connected((784, 300, 100, 10))})


def lenet5_caffe() -> nn.Sequential:
    """LeNet-5 as Caffe has it, which Han, Mao, Dally, "Deep Compression", 2015, arXiv:1510.00149,
    tables 1 and 3, compress. Input 1×28×28.

    20-50-500-10: 431 K weights, 1,720 KB (rounded). Seven times the parameters of `lenet5`.

    Deviations from 1998: wider, C3 dense, maximum pooling, one rectified linear unit layer, no
    padding to 32×32. The softmax is left to the loss.
    """
    return sequence(
        {
            "conv1": nn.Conv2d(1, 20, 5),
            "pool1": nn.MaxPool2d(2),
            "conv2": nn.Conv2d(20, 50, 5),
            "pool2": nn.MaxPool2d(2),
            "flatten": nn.Flatten(),
            "ip1": nn.Linear(800, 500),
            "relu1": relu(),
            "ip2": nn.Linear(500, 10),
        }
    )


class Subsampling(nn.Module):
    """The sum over 2×2 units, times a trainable coefficient, plus a trainable bias, squashed."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))
        self.sum = nn.AvgPool2d(2, divisor_override=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Halves height and width."""
        return torch.sigmoid(self.sum(x) * self.coefficient + self.bias)


class SparseConv2d(nn.Module):
    """A convolution whose output maps each see some of the input maps."""

    def __init__(self, connections: tuple[tuple[int, ...], ...], kernel: int) -> None:
        super().__init__()
        self.connections = connections
        self.maps = nn.ModuleList(nn.Conv2d(len(maps), 1, kernel) for maps in connections)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Stacks the output maps."""
        return torch.cat(
            [
                conv(x[:, list(maps)])
                for conv, maps in zip(self.maps, self.connections, strict=True)
            ],
            dim=1,
        )


class ScaledTanh(nn.Module):
    """A tanh(S a) with A = 1.7159 and S = 2/3 (the paper's appendix A)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Squashes."""
        return 1.7159 * torch.tanh(2 / 3 * x)


class RadialBasis(nn.Module):
    """Squared Euclidean distance of the input to a fixed centre for each class."""

    centres: torch.Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One distance for each class."""
        return (x[:, None] - self.centres).square().sum(dim=-1)
