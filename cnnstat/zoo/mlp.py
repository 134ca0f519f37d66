"""Networks of fully connected layers alone: digits (1998, 2010) and speech (2015)."""

from __future__ import annotations

import re

from torch import nn

from cnnstat.zoo.blocks import fully_connected, positive, sequence
from cnnstat.zoo.lenet import ScaledTanh


def perceptron(hidden: int = 300) -> nn.Sequential:
    """A perceptron of two layers: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied
    to Document Recognition", Proceedings of the IEEE 1998, section III.C. Input 1×28×28.

    28×28-300-10, and 28×28-1000-10 with `hidden` 1000.

    Deviation: the paper names sizes only; the activation is that of its appendix A.
    """
    positive(hidden=hidden)
    return sequence({"flatten": nn.Flatten(), **fully_connected((784, hidden, 10), ScaledTanh)})


def ciresan_mlp(hidden: str | int = "2500-2000-1500-1000-500") -> nn.Sequential:
    """A deep big MLP: Cireşan, Meier, Gambardella, Schmidhuber, "Deep, Big, Simple Neural Nets Excel
    on Handwritten Digit Recognition", 2010, arXiv:1003.0358, table 1. Input 1×29×29: the paper pads
    MNIST's digits.

    `hidden` names a row of the table by its hidden units: 1000-500 (1.34 M weights), 1500-1000-500
    (3.26 M), 2000-1500-1000-500 (6.69 M), 2500-2000-1500-1000-500 (12.11 M, which includes biases)
    and 9x1000 (8.86 M).

    Deviation: the softmax is left to the loss.
    """
    sizes = _sizes(str(hidden))
    return sequence({"flatten": nn.Flatten(), **fully_connected((841, *sizes, 10), ScaledTanh)})


def acoustic_dnn() -> nn.Sequential:
    """The acoustic model of Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network",
    2015, arXiv:1503.02531, section 4. Input 26×40: 26 frames of 40 filter banks.

    8 hidden layers of 2,560 rectified linear units and a softmax over 14,000 states; the paper says
    about 85 M parameters.

    Deviations: with 26 × 40 inputs and biases there are 84.4 M; the softmax is left to the loss.
    """
    return sequence({"flatten": nn.Flatten(), **fully_connected((26 * 40, *[2560] * 8, 14_000))})


def _sizes(hidden: str) -> list[int]:
    """`2000-1500` or `9x1000`: sizes of hidden layers."""
    sizes: list[int] = []
    for part in hidden.split("-"):
        match = re.fullmatch(r"(?:([1-9]\d*)x)?([1-9]\d*)", part)
        if match is None:
            raise ValueError(f"hidden is {hidden!r}, must be sizes such as 1000-500 or 9x1000")
        sizes += [int(match[2])] * int(match[1] or 1)
    return sizes
