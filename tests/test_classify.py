"""Kinds from shapes and from what feeds what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnstat
from cnnstat.report import Group, Report
from cnnstat.sources.torchvision_operators import importable_torchvision
from tests.measured import analyze

with importable_torchvision():
    import timm.layers
    from timm.layers.squeeze_excite import SqueezeExciteCl
    from torchvision.ops import SqueezeExcitation


def kind_of(module: nn.Module, shape: tuple[int, ...]) -> str:
    return cnnstat.analyze(module, shape).layers[0].kind


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("standard", nn.Conv2d(8, 16, 3)),
        ("standard", nn.Conv2d(8, 16, (1, 3))),
        ("standard", nn.Conv2d(1, 16, 3)),
        ("standard", nn.Conv2d(8, 16, 3, dilation=2)),
        ("pointwise", nn.Conv2d(8, 16, 1)),
        ("pointwise", nn.Conv2d(8, 16, 1, stride=2)),
        ("depthwise", nn.Conv2d(8, 8, 3, groups=8)),
        ("depthwise", nn.Conv2d(8, 16, 3, groups=8)),
        ("depthwise", nn.Conv2d(8, 8, 1, groups=8)),
        ("grouped", nn.Conv2d(8, 16, 3, groups=4)),
        ("grouped-pointwise", nn.Conv2d(8, 16, 1, groups=4)),
        ("transposed", nn.ConvTranspose2d(8, 16, 3)),
        ("transposed", nn.ConvTranspose2d(8, 16, 2, stride=2, groups=2)),
        ("normalisation", nn.BatchNorm2d(8)),
        ("normalisation", nn.GroupNorm(2, 8)),
        ("activation", nn.ReLU6()),
        ("activation", nn.Hardswish(inplace=True)),
        ("activation", nn.Softmax(1)),
        ("pooling", nn.MaxPool2d(2)),
        ("pooling", nn.AdaptiveAvgPool2d(1)),
        ("resize", nn.Upsample(scale_factor=2)),
        ("resize", nn.Upsample(scale_factor=2, mode="bilinear")),
        ("dropout", nn.Dropout2d()),
        ("dropout", nn.Dropout(0.2, inplace=True)),
        ("dropout", nn.AlphaDropout(inplace=True)),
        ("data-movement", nn.Flatten()),
        ("data-movement", nn.PixelShuffle(2)),
        ("identity", nn.Identity()),
        ("linear", nn.Linear(12, 3)),
    ],
    ids=str,
)
def test_single_layers(kind: str, module: nn.Module) -> None:
    channels = 1 if isinstance(module, nn.Conv2d) and module.in_channels == 1 else 8
    assert kind_of(module, (2, channels, 12, 12)) == kind


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutions_of_any_dimension(dims: int) -> None:
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    shape = (1, 6, *[7] * dims)
    assert kind_of(conv(6, 6, 3, groups=6), shape) == "depthwise"
    assert kind_of(conv(6, 6, 1), shape) == "pointwise"
    assert kind_of(conv(6, 6, 3), shape) == "standard"


def test_details_of_a_convolution() -> None:
    conv = nn.Conv2d(6, 12, (3, 5), stride=(1, 2), padding=1, dilation=2, groups=6)
    attrs = cnnstat.analyze(conv, (1, 6, 20, 20)).layers[0].attrs
    assert attrs == {
        "kernel": [3, 5],
        "stride": [1, 2],
        "padding": [1, 1],
        "dilation": [2, 2],
        "groups": 6,
        "in_channels": 6,
        "out_channels": 12,
        "multiplier": 2,
    }
    transposed = nn.ConvTranspose2d(6, 12, 2, stride=2, groups=2)
    attrs = cnnstat.analyze(transposed, (1, 6, 4, 4)).layers[0].attrs
    assert (attrs["in_channels"], attrs["out_channels"], attrs["groups"]) == (6, 12, 2)
    assert "multiplier" not in attrs
    same = cnnstat.analyze(nn.Conv2d(3, 3, 4, padding="same"), (1, 3, 8, 8)).layers[0].attrs
    assert same["padding"] == "same"


@pytest.mark.parametrize(
    ("kind", "module", "shape"),
    [
        ("recurrent", nn.LSTM(4, 5), (7, 2, 4)),
        ("recurrent", nn.GRU(4, 5, bidirectional=True), (7, 2, 4)),
        ("attention", nn.MultiheadAttention(8, 2), (7, 2, 8)),
    ],
)
def test_recurrent_and_attention(kind: str, module: nn.Module, shape: tuple[int, ...]) -> None:
    inputs = (shape,) * 3 if kind == "attention" else shape
    for train in (False, True):
        report = cnnstat.analyze(module, inputs, train=train, backward=train)
        assert report.layers[0].kind == kind


def test_embedding() -> None:
    report = cnnstat.analyze(nn.Embedding(10, 4), {"input": torch.zeros(2, 3, dtype=torch.long)})
    assert report.layers[0].kind == "embedding"


class Attention(nn.Module):
    """Attention as it is written by hand, in the ways in which it is written."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.qkv, self.way = nn.Linear(8, 24), way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.way == "fused":
            return F.scaled_dot_product_attention(q, k, v)
        if self.way == "einsum":
            scores = torch.einsum("bqc,bkc->bqk", q, k) * 8**-0.5
            return torch.einsum("bqk,bkc->bqc", scores.softmax(-1), v)
        scores = (q @ k.transpose(1, 2)) * 8**-0.5 + torch.zeros(5, 5, device=x.device)
        if self.way == "masked":
            scores = scores.masked_fill(torch.ones(5, 5, dtype=torch.bool, device=x.device), -1.0)
        return F.dropout(scores.softmax(-1), 0.1, self.training) @ v


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("way", ["fused", "einsum", "matmul", "masked"])
def test_attention_in_every_way(way: str, train: bool) -> None:
    report = cnnstat.analyze(Attention(way), (2, 5, 8), train=train)
    assert report.layers[0].kind == "attention"
    # 2 samples x (5x5 scores of 8 products + 5x8 outputs of 5 products) = 800
    assert report.kinds["attention"].macs == 2 * (5 * 5 * 8 + 5 * 8 * 5)
    # 10 rows x 8 x 24
    assert report.kinds["linear"].macs == 10 * 8 * 24
    assert "matmul" not in report.kinds


class TwoProducts(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ x.transpose(1, 2)) @ x


class WeightProduct(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(8, 2)), nn.Parameter(torch.ones(2, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (self.a @ self.b)


def test_products_without_a_softmax_are_no_attention() -> None:
    assert kind_of(TwoProducts(), (2, 5, 8)) == "matmul"


def test_a_product_with_what_does_not_depend_on_the_input_is_linear() -> None:
    report = cnnstat.analyze(WeightProduct(), (5, 8))
    # 8x2x8 to merge the factors, and 5x8x8
    assert report.kinds["linear"].macs == 8 * 2 * 8 + 5 * 8 * 8


# ---- squeeze and excitation


class OwnSE(nn.Module):
    """A user's own block with linear layers."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c = x.shape[:2]
        return x * self.fc(self.pool(x).view(n, c)).view(n, c, 1, 1).expand_as(x)


class InlineSE(nn.Module):
    """Without a module of its own, in the middle of a block, with a gate made of pieces."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.w1 = nn.Parameter(torch.ones(channels // reduction, channels))
        self.w2 = nn.Parameter(torch.ones(channels, channels // reduction))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        s = F.linear(F.relu(F.linear(y.mean((2, 3)), self.w1)), self.w2)
        gate = F.relu6(s + 3) / 6
        return x + y.mul_(gate[:, :, None, None])


class Around(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 32, 3), block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.stem(x)).sum()


def only_group(report: Report) -> Group:
    assert len(report.groups) == 1, report.groups
    return report.groups[0]


@pytest.mark.parametrize(
    ("block", "bias"),
    [
        (SqueezeExcitation(32, 8), True),
        (SqueezeExcitation(32, 8, scale_activation=nn.Hardsigmoid), True),
        (timm.layers.SEModule(32, rd_channels=8), True),
        (timm.layers.SqueezeExcite(32, rd_channels=8), True),
        (SqueezeExciteCl(32, rd_channels=8), False),
        (OwnSE(32, 4), False),
        (InlineSE(32, 4), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
@pytest.mark.parametrize("options", [{}, {"engine": "fake"}, {"train": True}])
def test_every_squeeze_and_excitation_block(
    block: nn.Module, bias: bool, options: dict[str, Any]
) -> None:
    channels_last = isinstance(block, SqueezeExciteCl)
    model: nn.Module = block if channels_last else Around(block)
    shape = (2, 10, 10, 32) if channels_last else (2, 3, 10, 10)
    report = cnnstat.analyze(model, shape, **options)
    group = only_group(report)
    assert (group.kind, group.channels, group.squeezed) == ("squeeze-excitation", 32, 8)
    assert group.ratio == 0.25
    # The SENet paper's 2·C²/r weights (section 3.3) with C = 32, r = 4: 512; biases 8 + 32.
    assert group.params - (8 + 32) * bias * (not channels_last) in (512, 512 + 40)
    assert group.macs == 2 * 512  # a batch of two
    assert report.kinds["squeeze-excitation"].macs == group.macs
    assert report.kinds["squeeze-excitation"].layers == 1
    if not isinstance(block, InlineSE | SqueezeExciteCl):
        assert report.layer("block").kind == "squeeze-excitation"
        assert group.path == "block"


def test_effective_squeeze_excitation_has_one_layer() -> None:
    report = cnnstat.analyze(Around(timm.layers.EffectiveSEModule(32)), (1, 3, 10, 10))
    group = only_group(report)
    assert (group.channels, group.squeezed, group.macs, group.params) == (32, 32, 1024, 1056)


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(32, 8), nn.Linear(8, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))


class Ungated(OwnSE):
    def __init__(self) -> None:
        super().__init__(32, 4)
        self.fc[3] = nn.Identity()


class Elsewhere(OwnSE):
    """Scales something else than it pooled."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c = x.shape[:2]
        return F.relu(x) * self.fc(self.pool(x).view(n, c)).view(n, c, 1, 1)


@pytest.mark.parametrize(
    "block",
    [Classifier(), Ungated(), Elsewhere(32, 4), timm.layers.EcaModule(32), nn.Identity()],
    ids=lambda block: type(block).__name__,
)
def test_what_looks_like_one_and_is_none(block: nn.Module) -> None:
    report = cnnstat.analyze(Around(block), (1, 3, 10, 10))
    assert report.groups == ()
    assert "squeeze-excitation" not in report.kinds


def test_a_container_that_is_the_block_but_for_pool_and_scaling_is_it() -> None:
    report = cnnstat.analyze("examples/tiny_net.py:TinyNet", (1, 3, 32, 32))
    assert [group.path for group in report.groups] == [f"blocks.{n}.gate" for n in range(3)]
    gates = [layer for layer in report.layers if layer.kind == "squeeze-excitation"]
    assert [layer.path for layer in gates] == [f"blocks.{n}.gate" for n in range(3)]
    # 2·C²/r MACs with C = 16, r = 4
    assert {group.macs for group in report.groups} == {2 * 16 * 4}


@pytest.mark.parametrize(
    ("spec", "blocks"),
    [
        # MobileNetV3 (arXiv 1905.02244), tables 1 and 2: rows with a mark under SE.
        ("tv:mobilenet_v3_large", 8),
        ("tv:mobilenet_v3_small", 9),
        # EfficientNet-B0 (arXiv 1905.11946), table 1: 16 MBConv blocks, each with SE.
        ("tv:efficientnet_b0", 16),
        ("timm:efficientnet_b0", 16),
        # SE-ResNet-50: one in each of 3 + 4 + 6 + 3 bottlenecks.
        ("timm:seresnet50", 16),
        ("timm:legacy_seresnet50", 16),
        # RegNetY-400MF: depth 16 (arXiv 2003.13678).
        ("tv:regnet_y_400mf", 16),
        # eSE in each of four OSA stages of one module.
        ("timm:ese_vovnet19b_dw", 4),
        ("tv:resnet50", 0),
    ],
)
def test_blocks_of_published_networks(spec: str, blocks: int) -> None:
    report = analyze(spec)
    assert len(report.groups) == blocks
    assert sum(layer.kind == "squeeze-excitation" for layer in report.layers) == blocks
    kinds = report.kinds.get("squeeze-excitation")
    if kinds:
        assert kinds.params == sum(group.params for group in report.groups)
        assert kinds.macs == sum(group.macs for group in report.groups)


@pytest.mark.parametrize(
    ("kind", "mult_adds", "params"),
    [
        ("pointwise", 94.86, 74.59),
        ("depthwise", 3.06, 1.06),
        # Printed 1.19; the column then adds up to 99.29, with 1.91 to 100.01: two digits are exchanged.
        ("standard", 1.91, 0.02),
        ("linear", 0.18, 24.33),
    ],
)
def test_mobilenet_v1_table_2(kind: str, mult_adds: float, params: float) -> None:
    """Howard et al. 2017 (arXiv 1704.04861), table 2: percent of mult-adds and of parameters.

    Its parameters are the weights of convolutions and of the classifier with its bias.
    """
    kinds = analyze("zoo:mobilenet_v1").kinds
    types = ("pointwise", "depthwise", "standard", "linear")
    macs = sum(kinds[name].macs for name in types)
    weights = sum(kinds[name].params for name in types)
    assert round(100 * kinds[kind].macs / macs, 2) == mult_adds
    assert 100 * kinds[kind].params / weights == pytest.approx(params, abs=0.02)


@pytest.mark.parametrize("spec", ["resnet50", "mobilenet_v3_large", "swin_t", "timm:seresnet50"])
def test_kinds_are_a_partition(spec: str) -> None:
    report = analyze(spec)
    for name in ("params", "macs", "flops", "activations"):
        total = getattr(report.totals, name)
        assert sum(getattr(kind, name) for kind in report.kinds.values()) == total


class TwoGates(nn.Module):
    """Two excitations of one pool, each with layers of its own, beside one whose gate scales twice."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.one = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1), nn.Sigmoid())
        self.two = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.pool(x)
        gate = self.two(pooled)
        return x * self.one(pooled) + x * gate + x * gate


@pytest.mark.parametrize("backward", [False, True])
def test_what_blocks_share_counts_once_so_that_their_sums_are_those_of_the_kind(
    backward: bool,
) -> None:
    report = cnnstat.analyze(TwoGates(), (1, 8, 6, 6), train=backward, backward=backward)
    assert len(report.groups) > 1
    # 8·2·2 and 8·4·2 products; the pool 8·36, biases 2 + 8 and 4 + 8, ReLUs and sigmoids, three products.
    assert sum(group.macs for group in report.groups) == 32 + 64
    if not backward:
        total = report.kinds["squeeze-excitation"]
        assert sum(group.flops for group in report.groups) == total.flops
    assert cnnstat.Report.from_json(report.to_json()) == report
