"""ResNeXt (2016): torchvision's definition is the paper's."""

from __future__ import annotations

from torch import nn

from cnnstat.sources.torchvision_operators import importable_torchvision
from cnnstat.zoo.blocks import one_of, positive
from cnnstat.zoo.resnet import REPEATS


def resnext(
    depth: int = 50, cardinality: int = 32, width: int = 4, num_classes: int = 1000
) -> nn.Module:
    """ResNeXt: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2016,
    arXiv:1611.05431, tables 1 to 4. Input 3×224×224.

    `cardinality` is the paper's C, the number of groups, and `width` its d, their width in conv2_x;
    `depth` is 50 or 101. About the same cost have 1×64d, 2×40d, 4×24d, 8×14d and 32×4d (table 2): 1×64d
    is ResNet with the stride in the 3×3 convolution. Table 1 prints 25.5 M parameters and 4.1 G
    multiply–adds for it, 25.0 M and 4.2 G for 32×4d: both without the parameters of batch norm, with which
    ResNet-50 has 25.6 M.

    Deviations: none; the grouped form (c) of figure 3 is built, to which (a) and (b) are equivalent.
    """
    one_of("depth", depth, (50, 101))
    positive(cardinality=cardinality, width=width, num_classes=num_classes)
    with importable_torchvision():
        from torchvision.models.resnet import Bottleneck, ResNet
    model: nn.Module = ResNet(
        Bottleneck,
        list(REPEATS[depth]),
        num_classes,
        groups=cardinality,
        width_per_group=width,
    )
    return model


def resnext50_32x4d(num_classes: int = 1000) -> nn.Module:
    """ResNeXt-50 (32×4d), torchvision's: Xie et al. 2016, table 1. Input 3×224×224.

    4.2 G multiply–adds and 25.0 M parameters.

    Deviations: none.
    """
    return resnext(50, 32, 4, num_classes)


def resnext101_32x4d(num_classes: int = 1000) -> nn.Module:
    """ResNeXt-101 (32×4d): Xie et al. 2016, table 3. Input 3×224×224.

    SENet's table 2 prints 7.99 G multiply–adds, where 7.97 are counted here.

    Deviations: none.
    """
    return resnext(101, 32, 4, num_classes)


def resnext101_64x4d(num_classes: int = 1000) -> nn.Module:
    """ResNeXt-101 (64×4d), torchvision's: Xie et al. 2016, table 4. Input 3×224×224.

    NASNet's table 2 prints 31.5 G multiply–adds at 320×320, which is so, and 83.6 M parameters, where
    there are 83.5 M.

    Deviations: none.
    """
    return resnext(101, 64, 4, num_classes)
