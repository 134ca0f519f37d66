"""ResNet on CIFAR-10 (2015): 6n + 2 layers of 16, 32 and 64 channels."""

from __future__ import annotations

from torch import nn

from cnnstat.zoo.blocks import Residual, classifier, conv_bn, one_of, positive, sequence
from cnnstat.zoo.resnet import basic, shortcut, stages

# He et al. 2015, section 4.2: channels at 32×32, 16×16 and 8×8.
_WIDTHS = (16, 32, 64)


def resnet20_cifar(option: str = "A", num_classes: int = 10) -> nn.Sequential:
    """ResNet-20: He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385,
    section 4.2 and table 6. Input 3×32×32.

    0.27 M parameters. The paper's shortcuts are `option` A, zeros in the channels that are added, and
    have no parameters; B, two projections, adds 2,752 at every depth.

    Deviations: none.
    """
    return _resnet(20, option, num_classes)


def resnet32_cifar(option: str = "A", num_classes: int = 10) -> nn.Sequential:
    """ResNet-32: He et al. 2015, table 6, 0.46 M parameters. Input 3×32×32. Deviations: none."""
    return _resnet(32, option, num_classes)


def resnet44_cifar(option: str = "A", num_classes: int = 10) -> nn.Sequential:
    """ResNet-44: He et al. 2015, table 6, 0.66 M parameters. Input 3×32×32. Deviations: none."""
    return _resnet(44, option, num_classes)


def resnet56_cifar(option: str = "A", num_classes: int = 10) -> nn.Sequential:
    """ResNet-56: He et al. 2015, table 6, 0.85 M parameters. Input 3×32×32. Deviations: none."""
    return _resnet(56, option, num_classes)


def resnet110_cifar(option: str = "A", num_classes: int = 10) -> nn.Sequential:
    """ResNet-110: He et al. 2015, table 6, 1.7 M parameters. Input 3×32×32. Deviations: none."""
    return _resnet(110, option, num_classes)


def resnet1202_cifar(option: str = "A", num_classes: int = 10) -> nn.Sequential:
    """ResNet-1202: He et al. 2015, table 6, 19.4 M parameters. Input 3×32×32. Deviations: none."""
    return _resnet(1202, option, num_classes)


def _resnet(depth: int, option: str, num_classes: int) -> nn.Sequential:
    one_of("option", option, "AB")
    positive(num_classes=num_classes)

    def block(inputs: int, width: int, stride: int) -> nn.Module:
        return Residual(
            sequence(basic(inputs, width, stride)), shortcut(inputs, width, stride, option)
        )

    repeats = [(depth - 2) // 6] * len(_WIDTHS)
    return sequence(
        {
            "conv1": conv_bn(3, _WIDTHS[0], 3),
            **stages(block, _WIDTHS[0], _WIDTHS, repeats),
            **classifier(_WIDTHS[-1], num_classes),
        }
    )
