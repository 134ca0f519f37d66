"""A U-Net (arXiv 1505.04597) with batch norm, 32 channels at full size and four levels."""

import torch
from torch import Tensor, nn


def double(channels: int, out: int) -> nn.Sequential:
    """Two 3×3 convolutions with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for given in (channels, out):
        layers += [
            nn.Conv2d(given, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """(N, 3, H, W) to (N, 2, H, W); H and W are multiples of 16."""

    def __init__(self, width: int = 32, levels: int = 4) -> None:
        super().__init__()
        self.example_input_array = torch.zeros(1, 3, 224, 224)
        sizes = [width * 2**level for level in range(levels + 1)]
        self.down = nn.ModuleList(
            double(c, o) for c, o in zip([3, *sizes[:-1]], sizes, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(c, c // 2, 2, 2) for c in sizes[:0:-1])
        self.merge = nn.ModuleList(double(c, c // 2) for c in sizes[:0:-1])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = self.pool(x)
        x = self.down[-1](x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)
