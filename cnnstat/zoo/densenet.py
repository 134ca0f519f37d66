"""DenseNet (2016): every layer sees the outputs of all before it in its block."""

from __future__ import annotations

from torch import nn

from cnnstat.sources.torchvision_operators import importable_torchvision
from cnnstat.zoo.blocks import Branches, Layers, classifier, positive, relu, sequence


def densenet121(num_classes: int = 1000) -> nn.Module:
    """DenseNet-121 (k = 32), torchvision's: Huang et al., "Densely Connected Convolutional Networks",
    2016, arXiv:1608.06993, tables 1 and 3. Input 3×224×224.

    The paper prints errors alone, and costs in figure 3. Keras prints 8,062,504 parameters, which are
    those here and the moving statistics of batch norm.

    Deviations: batch norm and ReLU follow the first convolution, and the last block too, as in the authors'
    code; table 1 says neither.
    """
    return _imagenet((6, 12, 24, 16), 32, num_classes)


def densenet169(num_classes: int = 1000) -> nn.Module:
    """DenseNet-169 (k = 32), torchvision's: Huang et al. 2016, tables 1 and 3. Input 3×224×224.

    Deviations: as of `densenet121`.
    """
    return _imagenet((6, 12, 32, 32), 32, num_classes)


def densenet201(num_classes: int = 1000) -> nn.Module:
    """DenseNet-201 (k = 32), torchvision's: Huang et al. 2016, tables 1 and 3. Input 3×224×224.

    Deviations: as of `densenet121`.
    """
    return _imagenet((6, 12, 48, 32), 32, num_classes)


def densenet264(num_classes: int = 1000) -> nn.Module:
    """DenseNet-264 (k = 32): Huang et al. 2016, tables 1 and 3. Input 3×224×224.

    Deviations: as of `densenet121`. The blocks that table 1 prints make 265 layers with weights and not
    264, where the names of the others are right.
    """
    return _imagenet((6, 12, 64, 48), 32, num_classes)


def densenet161(num_classes: int = 1000) -> nn.Module:
    """DenseNet-161 (k = 48), torchvision's: Huang et al. 2016, the first version of the paper, whose
    place in tables 1 and 3 DenseNet-264 has taken. Input 3×224×224.

    Deviations: as of `densenet121`.
    """
    return _imagenet((6, 12, 36, 24), 48, num_classes)


def densenet_cifar(
    depth: int = 40,
    growth: int = 12,
    bottleneck: bool = False,
    compression: float = 1.0,
    num_classes: int = 10,
) -> nn.Sequential:
    """DenseNet on CIFAR-10 and SVHN: Huang et al. 2016, section 3 and table 2. Input 3×32×32.

    `growth` is the paper's k and `compression` its θ. DenseNet-BC has `bottleneck` and a `compression`
    of 0.5. Millions of parameters by depth and k: 1.0 (40, 12), 7.0 (100, 12), 27.2 (100, 24); BC 0.8
    (100, 12), 15.3 (250, 24), 25.6 (190, 40).

    Deviation: dropout, which only the data without augmentation had, is left out.
    """
    layers = _layers_per_block(depth, bottleneck)
    positive(growth=growth, num_classes=num_classes)
    if not isinstance(compression, int | float) or not 0 < compression <= 1:
        raise ValueError(f"compression is {compression!r}; expected above 0 and at most 1")
    channels = 2 * growth if bottleneck and compression < 1 else 16
    parts: Layers = {"conv": nn.Conv2d(3, channels, 3, padding=1, bias=False)}
    for block in (1, 2, 3):
        dense: Layers = {}
        for number in range(1, layers + 1):
            new = _bottleneck(channels, growth) if bottleneck else _conv(channels, growth, 3)
            dense[f"layer{number}"] = Branches({"input": nn.Identity(), "new": new})
            channels += growth
        parts[f"dense{block}"] = sequence(dense)
        if block < 3:
            kept = int(channels * compression)
            pool = {"conv": _conv(channels, kept, 1), "pool": nn.AvgPool2d(2)}
            parts[f"transition{block}"] = sequence(pool)
            channels = kept
    parts |= {"norm": nn.BatchNorm2d(channels), "act": relu()}
    return sequence({**parts, **classifier(channels, num_classes)})


def _layers_per_block(depth: int, bottleneck: bool) -> int:
    """Three blocks share what the first convolution, two transitions and the classifier leave."""
    if not isinstance(bottleneck, bool):
        raise ValueError(f"bottleneck is {bottleneck!r}; expected True or False")
    step = 6 if bottleneck else 3
    if not isinstance(depth, int) or depth < 4 + step or (depth - 4) % step:
        raise ValueError(
            f"depth is {depth!r}; expected 4 and a multiple of {step}: {4 + step}, {4 + 2 * step}, …"
        )
    return (depth - 4) // step


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Batch norm, ReLU and a convolution."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return sequence({"norm": nn.BatchNorm2d(inputs), "act": relu(), "conv": conv})


def _bottleneck(inputs: int, growth: int) -> nn.Sequential:
    """To 4k channels by a 1×1 convolution, then to k by a 3×3."""
    return sequence({"reduce": _conv(inputs, 4 * growth, 1), "conv": _conv(4 * growth, growth, 3)})


def _imagenet(blocks: tuple[int, int, int, int], growth: int, num_classes: int) -> nn.Module:
    positive(num_classes=num_classes)
    with importable_torchvision():
        from torchvision.models.densenet import DenseNet
    model: nn.Module = DenseNet(growth, blocks, 2 * growth, num_classes=num_classes)
    return model
