"""The networks behind the samples: small, with a layer of every kind that a report tells apart."""

import torch
from torch import nn


class Excite(nn.Module):
    """Squeeze and excitation in a module of its own."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * self.fc2(self.fc1(self.pool(x)).relu()).sigmoid()


class Block(nn.Module):
    """Depthwise, grouped, excited; the second excitation is written out, beside what is none of it."""

    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU6()
        self.excite = Excite(width, 2)
        self.grouped = nn.Conv2d(width, width, 3, stride=2, padding=1, groups=2, bias=False)
        self.down = nn.Linear(width, 3)
        self.up = nn.Linear(3, width)

    def forward(self, x):
        x = self.excite(self.act(self.norm(self.depthwise(x)))) + x
        x = self.grouped(x)
        scale = self.up(self.down(x.mean((2, 3))).relu()).sigmoid()
        return x * scale[:, :, None, None]


class Net(nn.Module):
    """1,000 parameters or so, of which the last layer shares its own with the one before."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, width)
        self.tail = nn.Linear(width, width)
        self.tail.weight = self.head.weight
        self.unused = nn.Linear(4, 4)

    def forward(self, x):
        return self.tail(self.head(self.blocks(self.stem(x)).mean((2, 3))))


@torch.library.custom_op("sample::fused", mutates_args=())
def fused(x: torch.Tensor) -> torch.Tensor:
    """An operation that nobody has a rule for."""
    return x.clone()


@fused.register_fake
def _(x):
    return torch.empty_like(x)


class Odd(Net):
    """With operations that are not counted, in two places."""

    def forward(self, x):
        return fused(super().forward(fused(x)))


class Plain(nn.Module):
    """What memory, a device and other tools know in full."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.act = nn.ReLU()
        self.head = nn.Conv2d(width, 10, 1)

    def forward(self, x):
        return self.head(self.act(self.stem(x))).mean((2, 3))
