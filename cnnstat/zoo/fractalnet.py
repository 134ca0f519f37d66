"""FractalNet (2016): paths of many depths, joined by their mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from cnnstat.zoo.blocks import Layers, conv_bn, positive, sequence


def fractalnet_cifar(
    columns: int = 3, widths: Sequence[int] = (64, 128, 256, 512, 512), num_classes: int = 10
) -> nn.Sequential:
    """FractalNet: Larsson, Maire, Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without
    Residuals", 2016, arXiv:1605.07648, section 4 and figure 1. Input 3×32×32.

    Five blocks of C `columns`, each 2^(C-1) convolutions deep, and a pooling after each block: 20 layers
    for the 3 columns of the CIFAR experiments. The ultra-deep networks have `widths` of 16, 32, 64, 128
    and 128.

    Deviations: dropout and drop-path, which cost nothing in evaluation, are left out. DenseNet's table 2
    cites 38.6 M parameters and 21 layers (20 and the classifier); these widths have 33.7 M, as in
    pytorchcv, so that the cited network is another instance, whose widths are not printed.
    """
    positive(columns=columns, num_classes=num_classes)
    if not isinstance(widths, tuple | list) or len(widths) != 5:
        raise ValueError(f"widths is {widths!r}; expected five numbers of channels, one a block")
    layers: Layers = {}
    inputs = 3
    for block, width in enumerate(widths, start=1):
        positive(widths=width)
        layers[f"block{block}"] = sequence(
            {"fractal": Fractal(inputs, width, columns), "join": Join(), "pool": nn.MaxPool2d(2)}
        )
        inputs = width
    return sequence({**layers, "flatten": nn.Flatten(), "fc": nn.Linear(inputs, num_classes)})


class Fractal(nn.Module):
    """f of C columns: two of C - 1 columns, one after the other, beside one convolution (equation 1).

    Its columns are not joined yet: joins of nested fractals that end together are one join.
    """

    def __init__(self, inputs: int, outputs: int, columns: int) -> None:
        super().__init__()
        self.conv = conv_bn(inputs, outputs, 3)
        self.deeper = None
        if columns > 1:
            first = Fractal(inputs, outputs, columns - 1)
            second = Fractal(outputs, outputs, columns - 1)
            self.deeper = sequence({"first": first, "join": Join(), "second": second})

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The output of each column, the shallowest first."""
        shallow = self.conv(x)
        return [shallow] if self.deeper is None else [shallow, *self.deeper(x)]


class Join(nn.Module):
    """The mean of the columns, element by element."""

    def forward(self, columns: list[torch.Tensor]) -> torch.Tensor:
        """Their mean; one column passes as it is."""
        return columns[0] if len(columns) == 1 else torch.stack(columns).mean(dim=0)
