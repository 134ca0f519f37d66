"""GoogLeNet (2014), BN-Inception (2015), Inception v3 (2015)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from cnnstat.sources.torchvision_operators import importable_torchvision
from cnnstat.zoo.blocks import (
    Branches,
    classifier,
    conv_bn,
    conv_relu,
    local_response_norm,
    one_of,
    relu,
    sequence,
)

# Szegedy et al. 2014, table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
_GOOGLENET = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

# Ioffe, Szegedy 2015, figure 5: #1x1, #3x3 reduce, #3x3, double #3x3 reduce, double #3x3, and the
# projection behind the pooling. A module without 1x1 and projection has stride 2.
_BN_INCEPTION = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (0, 128, 192, 192, 256, 0),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}
# The projection that 576 output channels, which figure 5 prints too, leave room for.
_SLIM = {"4c": (160, 128, 160, 128, 160, 96), "4d": (96, 128, 192, 160, 192, 96)}


def googlenet_2014(
    aux: bool = False, separable_stem: bool = False, num_classes: int = 1000
) -> nn.Module:
    """GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, table 1.
    Input 3×224×224.

    The table's rows sum to 6.8 M parameters and 1.5 G multiply–adds; the exact network has 6,998,552
    with biases and 1.583 G. `aux` adds the two auxiliary classifiers of section 5, which run in
    training only (13.4 M parameters, the 51 MiB of published files).

    `separable_stem` is the network as its authors ran it: the first convolution is a depthwise
    separable one, says the Xception paper (arXiv:1610.02357, section 2), and with a depth multiplier
    of 8, as in BN-Inception, it has the 2.7 K parameters (2,776) and 34 M operations that table 1
    prints, where the layer listed, a plain 7×7, has 9,472 and 118.0 M. The whole has 6,991,856
    parameters and the 1.5 G then (1.499).

    Deviations: table 1's parameters are in K = 1024 and too low from 4a on, too high for 5a; its
    operations are right but in 5a. The separable convolution has one bias, behind its 1×1. The
    normalization's constants, which the paper does not state, are AlexNet's. The softmax is left to
    the loss. torchvision's `googlenet` has 3×3 in place of 5×5, and batch norm.
    """
    one_of("aux", aux, (False, True))
    one_of("separable_stem", separable_stem, (False, True))
    layers: dict[str, nn.Module] = {
        "conv1": _separable(conv_relu(24, 64)) if separable_stem else conv_relu(3, 64, 7, 2),
        "pool1": _halving(),
        "norm1": local_response_norm(),
        "conv2_reduce": conv_relu(64, 64),
        "conv2": conv_relu(64, 192, 3),
        "norm2": local_response_norm(),
        "pool2": _halving(),
    }
    channels = 192
    for name, widths in _GOOGLENET.items():
        layers[f"inception_{name}"] = _inception(channels, *widths)
        channels = widths[0] + widths[2] + widths[4] + widths[5]
        if name in ("3b", "4e"):
            layers[f"pool{name[0]}"] = _halving()
    layers |= classifier(channels, num_classes, dropout=0.4)
    heads = {
        "inception_4a": _auxiliary(512, num_classes),
        "inception_4d": _auxiliary(528, num_classes),
    }
    return WithAuxiliary(layers, heads) if aux else sequence(layers)


def bn_inception(version: str = "slim", num_classes: int = 1000) -> nn.Sequential:
    """BN-Inception: Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift", 2015, arXiv:1502.03167, appendix and figure 5. Input
    3×224×224.

    Figure 5 contradicts itself, and there are two readings. `version` "slim" is the authors' in
    TensorFlow: a separable first convolution with depth multiplier 8, as the appendix says, and 96
    channels behind the pooling of 4c and 4d, so that they have the 576 channels that are printed;
    11.2 M parameters and 1.94 G multiply–adds (NASNet's table 2, as "Inception V2"). "caffe" is the
    plain 7×7 convolution and the 128 channels of the figure, so that 4c and 4d have 608; 11.3 M and
    2.03 G (SENet's table 2).

    Deviations: NASNet's 1.94 G is had by counting one more for each output of a convolution (1.939),
    which is 1.935 without. Convolutions have no bias, for the shift of batch norm replaces it
    (section 3.2); Caffe's file keeps 10,016. There is no norm inside the separable convolution. The
    softmax is left to the loss. The "Inception-v2" of the Inception v3 paper is another network.
    """
    one_of("version", version, ("slim", "caffe"))
    slim = version == "slim"
    layers: dict[str, nn.Module] = {
        "conv1": _separable(conv_bn(24, 64)) if slim else conv_bn(3, 64, 7, 2),
        "pool1": _halving(),
        "conv2_reduce": conv_bn(64, 64),
        "conv2": conv_bn(64, 192, 3),
        "pool2": _halving(),
    }
    channels = 192
    for name, widths in (_BN_INCEPTION | (_SLIM if slim else {})).items():
        # "max" in the last module, "avg" in the other ones of stride 1.
        pool = nn.MaxPool2d(3, 1, 1) if name == "5b" else nn.AvgPool2d(3, 1, 1)
        layers[f"inception_{name}"] = _bn_inception(channels, *widths, pool=pool)
        channels = widths[0] + widths[2] + widths[4] + (widths[5] or channels)
    return sequence(layers | classifier(channels, num_classes))


def inception_v3_2015(aux: bool = False, version: str = "released") -> nn.Module:
    """Inception v3: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture
    for Computer Vision", 2015, arXiv:1512.00567, tables 1 and 3. Input 3×299×299.

    23.8 M parameters and 5.72 G multiply–adds (NASNet's table 2, which counts one more for each
    output of a convolution: 5.713 G without). The paper's table 3 prints 4.8 G, its abstract 5 G.
    `aux` adds the auxiliary classifier (27.2 M parameters), which runs in training only.

    `version` "keras" is the one of Keras in 2016 (github.com/fchollet/deep-learning-models,
    inception_v3.py), whose trainable parameters the Xception paper's table 3 prints: 23,626,728. Its
    first three modules are alike, with 32 channels behind the pooling, one 1×1 of the last module of
    17×17 has 160 channels for 192, and convolutions have a bias, batch norm or not.

    Deviations: torchvision's `inception_v3`, the network that was released, whose widths are not
    all in the paper. That one has the auxiliary classifier unless told otherwise, hence the name.
    The ReLU, which Keras has before the norm, stands behind it.
    """
    one_of("aux", aux, (False, True))
    one_of("version", version, ("released", "keras"))
    with importable_torchvision():
        from torchvision.models import inception_v3
    network: nn.Module = inception_v3(aux_logits=aux, init_weights=False)
    return _as_in_keras(network) if version == "keras" else network


def _as_in_keras(network: nn.Module) -> nn.Module:
    """The released network with the widths and the biases that Keras had."""
    from torchvision.models.inception import BasicConv2d, InceptionA, InceptionB, InceptionC

    # 64 + 64 + 96 + 32 channels behind each of the first three modules, and 384 + 96 + 256 then.
    network.Mixed_5c = InceptionA(256, pool_features=32)
    network.Mixed_5d = InceptionA(256, pool_features=32)
    network.Mixed_6a = InceptionB(256)
    network.Mixed_6b = InceptionC(736, channels_7x7=128)
    last = network.get_submodule("Mixed_6e")
    last.branch7x7dbl_1 = BasicConv2d(768, 160, kernel_size=1)
    last.branch7x7dbl_2 = BasicConv2d(160, 192, kernel_size=(7, 1), padding=(3, 0))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(layer.out_channels))
    return network


class WithAuxiliary(nn.Module):
    """Layers in a row, and classifiers on the outputs of some of them, which training alone runs."""

    def __init__(self, layers: Mapping[str, nn.Module], heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.layers = sequence(layers)
        self.heads = nn.ModuleDict(heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The classes; in training with those of the auxiliary classifiers behind them."""
        seen = []
        for name, layer in self.layers.named_children():
            x = layer(x)
            if self.training and name in self.heads:
                seen.append(self.heads[name](x))
        return (x, *seen) if seen else x


def _halving() -> nn.Module:
    """Maximum pooling that gives 56, 28, 14 and 7 from 112, 56, 28 and 14."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def _auxiliary(channels: int, classes: int) -> nn.Sequential:
    """Section 5: a 5×5 average pooling of stride 3, 128 filters of 1×1, 1024 units."""
    return sequence(
        {
            "pool": nn.AvgPool2d(5, 3),
            "conv": conv_relu(channels, 128),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(128 * 4 * 4, 1024),
            "relu1": relu(),
            "drop": nn.Dropout(0.7),
            "fc2": nn.Linear(1024, classes),
        }
    )


def _inception(
    inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, proj: int
) -> Branches:
    """Figure 2b: 1×1, 3×3 and 5×5 convolutions and a pooling, the larger ones behind a 1×1."""
    return Branches(
        {
            "conv1x1": conv_relu(inputs, one),
            "conv3x3": sequence(
                {"reduce": conv_relu(inputs, reduce3), "conv": conv_relu(reduce3, three, 3)}
            ),
            "conv5x5": sequence(
                {"reduce": conv_relu(inputs, reduce5), "conv": conv_relu(reduce5, five, 5)}
            ),
            "pool": sequence({"pool": nn.MaxPool2d(3, 1, 1), "proj": conv_relu(inputs, proj)}),
        }
    )


def _bn_inception(
    inputs: int,
    one: int,
    reduce3: int,
    three: int,
    reduce_double: int,
    double: int,
    proj: int,
    *,
    pool: nn.Module,
) -> Branches:
    """As GoogLeNet's module, with two 3×3 for the 5×5; without `one` and `proj` of stride 2."""
    stride = 1 if one else 2
    branches: dict[str, nn.Module] = {"conv1x1": conv_bn(inputs, one)} if one else {}
    branches["conv3x3"] = sequence(
        {"reduce": conv_bn(inputs, reduce3), "conv": conv_bn(reduce3, three, 3, stride)}
    )
    branches["double3x3"] = sequence(
        {
            "reduce": conv_bn(inputs, reduce_double),
            "conv1": conv_bn(reduce_double, double, 3),
            "conv2": conv_bn(double, double, 3, stride),
        }
    )
    branches["pool"] = (
        sequence({"pool": pool, "proj": conv_bn(inputs, proj)}) if proj else _halving()
    )
    return Branches(branches)


def _separable(pointwise: nn.Module) -> nn.Sequential:
    """Eight 7×7 filters for each colour, then 1×1."""
    depthwise = nn.Conv2d(3, 24, 7, 2, 3, groups=3, bias=False)
    return sequence({"depthwise": depthwise, "pointwise": pointwise})
