"""What the papers' networks share: convolution with batch norm, squeeze-and-excitation, residual sums.

Small parts with the letters of the papers; a part that only one family has stays in that family's file.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import nn

Layer = Callable[[], nn.Module]
"""Makes an activation."""

Layers = dict[str, nn.Module]
"""Layers by name, in their order."""


def relu() -> nn.Module:
    """ReLU in place."""
    return nn.ReLU(inplace=True)


def sequence(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """Named layers, one after the other."""
    return nn.Sequential(OrderedDict(layers))


def conv_bn(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 1,
    stride: int = 1,
    *,
    padding: int | tuple[int, int] | None = None,
    groups: int = 1,
    act: Layer | None = relu,
) -> nn.Sequential:
    """A convolution without bias, batch norm, and an activation unless `act` is `None`.

    `padding` is by default half the kernel, which keeps the size at stride 1.
    """
    pad = _half(kernel) if padding is None else padding
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups, bias=False),
        "norm": nn.BatchNorm2d(outputs),
    }
    if act is not None:
        layers["act"] = act()
    return sequence(layers)


def conv_relu(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 1,
    stride: int = 1,
    *,
    padding: int | tuple[int, int] | None = None,
    groups: int = 1,
) -> nn.Sequential:
    """A convolution with bias and ReLU, as before batch norm came."""
    pad = _half(kernel) if padding is None else padding
    conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups)
    return sequence({"conv": conv, "relu": relu()})


def _half(kernel: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return height // 2, width // 2


class Branches(nn.Module):
    """Several branches over one input, their outputs one after the other along the channels."""

    def __init__(self, branches: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All branches of x, concatenated."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class Residual(nn.Module):
    """body(x) + shortcut(x), and an activation unless `act` is `None`."""

    def __init__(
        self, body: nn.Module, shortcut: nn.Module | None = None, act: Layer | None = relu
    ) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.act = act() if act is not None else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum, activated."""
        y: torch.Tensor = self.body(x)
        y = y + (x if self.shortcut is None else self.shortcut(x))
        return y if self.act is None else self.act(y)


class SqueezeExcitation(nn.Module):
    """x scaled by a gate per channel: pool, C → `squeezed`, ReLU, `squeezed` → C, gate (arXiv 1709.01507)."""

    def __init__(
        self, channels: int, squeezed: int, gate: Layer = nn.Sigmoid, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1, bias=bias)
        self.relu = relu()
        self.expand = nn.Conv2d(squeezed, channels, 1, bias=bias)
        self.gate = gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x times the gate."""
        scale: torch.Tensor = self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))
        return x * scale


class ChannelShuffle(nn.Module):
    """Channels of g groups dealt out anew: (g, n) becomes (n, g) (ShuffleNet, arXiv 1707.01083)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same elements in another order."""
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, not below nine tenths of it (MobileNetV2's code)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def classifier(
    channels: int, classes: int, *, dropout: float | None = None
) -> dict[str, nn.Module]:
    """Global average pooling, dropout if a rate is given, and a linear layer: most heads since 2014."""
    layers: dict[str, nn.Module] = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    if dropout is not None:
        layers["drop"] = nn.Dropout(dropout)
    layers["fc"] = nn.Linear(channels, classes)
    return layers


def fully_connected(sizes: Sequence[int], act: Layer = relu) -> dict[str, nn.Module]:
    """Linear layers from each size to the next, an activation between two of them."""
    layers: dict[str, nn.Module] = {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        if layers:
            layers[f"act{number - 1}"] = act()
        layers[f"fc{number}"] = nn.Linear(inputs, outputs)
    return layers


def local_response_norm() -> nn.Module:
    """Local response normalization over 5 channels, with AlexNet's k, α and β."""
    # torch divides alpha by the size, which the paper's formula does not.
    return nn.LocalResponseNorm(size=5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raises `ValueError` unless `value` is one of those that the paper has."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; expected {', '.join(map(repr, allowed))}")


def positive(**values: object) -> None:
    """Raises `ValueError` unless each is a whole number from 1 up."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number from 1 up")
