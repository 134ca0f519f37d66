"""A network of depthwise separable blocks, for images of 96×96."""

from torch import Tensor, nn


class Block(nn.Sequential):
    """Depthwise and pointwise, each with its norm."""

    def __init__(self, channels: int, out: int, stride: int = 2) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, 3, stride, padding=1, groups=channels, bias=False
        )
        self.norm1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU()
        self.pointwise = nn.Conv2d(channels, out, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.act2 = nn.ReLU()


class Net(nn.Module):
    """A stem, four blocks, a head."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, padding=1, bias=False)
        self.block1 = Block(16, 32)
        self.block2 = Block(32, 64)
        self.block3 = Block(64, 128)
        self.block4 = Block(128, 128, stride=1)
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block4(self.block3(self.block2(self.block1(self.stem(x)))))
        return self.head(x.mean((2, 3)))
