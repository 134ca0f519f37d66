"""What a network would cost, beside the network that is really built like that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import cnnstat
from cnnstat.errors import SpecError
from cnnstat.explaining.whatif import Cost, what_if
from cnnstat.report import Report
from cnnstat.sources.torchvision_operators import importable_torchvision
from tests.measured import analyze

Build = Callable[[int, int, int], list[nn.Module]]
"""Layers from C to K channels with a stride."""


def cost(report: Report) -> Cost:
    return Cost(report.totals.params, report.totals.macs, report.totals.activations)


def network(build: Build, *, stem: bool = True) -> nn.Sequential:
    """Three 3×3 convolutions, built in one way or another, and a classifier."""
    layers: list[nn.Module] = []
    for c, k, stride in ((4, 16, 2), (16, 32, 1), (32, 64, 2)):
        layers += [*build(c, k, stride), nn.BatchNorm2d(k), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def plain(c: int, k: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(c, k, 3, stride, 1)]


def separable(c: int, k: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(c, c, 3, stride, 1, groups=c, bias=False), nn.Conv2d(c, k, 1)]


def grouped(c: int, k: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(c, k, 3, stride, 1, groups=4)]


def bottleneck(c: int, k: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(c, k // 4, 1, bias=False),
        nn.Conv2d(k // 4, k // 4, 3, stride, 1, bias=False),
        nn.Conv2d(k // 4, k, 1),
    ]


class Excited(nn.Module):
    """Scales its channels by a gate of two 1×1 layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):  # type: ignore[no-untyped-def]
        return x * self.gate(x)


def excited(c: int, k: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(c, k, 3, stride, 1), Excited(k)]


@pytest.mark.parametrize(
    ("change", "build"),
    [
        ("separable", separable),
        ("groups=4", grouped),
        ("bottleneck=4", bottleneck),
        ("se=0.25", excited),
    ],
)
@pytest.mark.parametrize("size", [(1, 4, 32, 32), (3, 4, 33, 17)])
def test_it_equals_the_network_built_like_that(
    change: str, build: Build, size: tuple[int, ...]
) -> None:
    estimate = what_if(cnnstat.analyze(network(plain), size), [change])
    assert estimate.before == cost(cnnstat.analyze(network(plain), size))
    assert estimate.after == cost(cnnstat.analyze(network(build), size))


@settings(max_examples=25, deadline=None)
@given(
    c=st.integers(1, 9),
    k=st.integers(1, 9),
    kernel=st.sampled_from([(3, 3), (1, 5), (2, 3)]),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    batch=st.integers(1, 3),
)
def test_any_standard_convolution_made_separable(
    c: int, k: int, kernel: tuple[int, int], stride: int, dilation: int, bias: bool, batch: int
) -> None:
    shape = (batch, c, 13, 14)
    standard = nn.Conv2d(c, k, kernel, stride, dilation=dilation, bias=bias)
    if c == 1 and k == 1:
        return  # it is depthwise already
    built = nn.Sequential(
        nn.Conv2d(c, c, kernel, stride, dilation=dilation, groups=c, bias=False),
        nn.Conv2d(c, k, 1, bias=bias),
    )
    estimate = what_if(cnnstat.analyze(standard, shape), ["separable"])
    assert estimate.after == cost(cnnstat.analyze(built, shape))


@pytest.mark.parametrize("alpha", ["0.75", "0.5", "0.25"])
def test_the_width_multiplier_of_mobilenet(alpha: str) -> None:
    # The paper's α, against the network that the zoo builds with it.
    estimate = what_if(analyze("zoo:mobilenet_v1"), [f"width={alpha}"])
    built = analyze(f"zoo:mobilenet_v1?width={alpha}")
    assert estimate.after == cost(built)
    paths = {row.layer.path: row.after for row in estimate.changed}
    for layer in built.layers:
        if layer.path in paths:
            assert paths[layer.path] == Cost(layer.params, layer.macs, layer.activations)


def test_changes_apply_one_after_the_other() -> None:
    report = cnnstat.analyze(network(plain), (1, 4, 32, 32))
    # α = 2 and then separable: the network of twice the channels, built separable.
    layers: list[nn.Module] = []
    for c, k, stride in ((4, 32, 2), (32, 64, 1), (64, 128, 2)):
        layers += [*separable(c, k, stride), nn.BatchNorm2d(k), nn.ReLU()]
    built = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    estimate = what_if(report, ["width=2", "separable"])
    assert estimate.after == cost(cnnstat.analyze(built, (1, 4, 32, 32)))


def test_a_layer_called_twice_has_its_parameters_once() -> None:
    class Twice(nn.Module):
        def __init__(self, layers: list[nn.Module]) -> None:
            super().__init__()
            self.conv = nn.Sequential(*layers)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.conv(self.conv(x)[..., ::2, ::2])

    estimate = what_if(
        cnnstat.analyze(Twice([nn.Conv2d(8, 8, 3, padding=1)]), (1, 8, 16, 16)), ["separable"]
    )
    assert estimate.after == cost(cnnstat.analyze(Twice(separable(8, 8, 1)), (1, 8, 16, 16)))


def test_what_a_change_is_not_for_stays() -> None:
    report = analyze("mobilenet_v2")
    estimate = what_if(report, ["separable"])
    assert [row.layer.path for row in estimate.changed] == ["features.0.0"]  # the stem alone
    assert sum(estimate.kept.values()) + 1 == sum(layer.macs > 0 for layer in report.layers)
    # Channels that do not divide: 3 into 4 groups.
    assert "conv1" not in {
        row.layer.path for row in what_if(analyze("resnet18"), ["groups=4"]).changed
    }


def test_a_block_that_is_excited_already_stays() -> None:
    report = analyze("mobilenet_v3_small")
    changed = {row.layer.path for row in what_if(report, ["se=0.25"]).changed}
    depthwise = {layer.path for layer in report.layers if layer.kind == "depthwise"}
    # Of 11 blocks, 9 have one: table 2 of the paper marks all but the second and the third.
    assert len(depthwise) == 11
    assert changed == {"features.2.block.1.0", "features.3.block.1.0"}


def test_only_one_module_is_changed() -> None:
    report = analyze("resnet18")
    estimate = what_if(report, ["separable"], within="layer1")
    assert {row.layer.path.split(".")[0] for row in estimate.changed} == {"layer1"}
    rows = sum((row.after - row.before for row in estimate.changed), Cost())
    assert estimate.after - estimate.before == rows


def test_rows_add_up(resnet18: Report) -> None:
    for change in ("separable", "groups=2", "se=0.25", "width=0.5", "bottleneck=4"):
        estimate = what_if(resnet18, [change])
        assert estimate.before == cost(resnet18)
        document = estimate.to_dict()["what_if"]
        for name in ("params", "macs", "activations"):
            difference = sum(row["after"][name] - row["before"][name] for row in document["layers"])
            assert document["after"][name] - document["before"][name] == difference


@pytest.fixture(scope="module")
def resnet18() -> Report:
    return analyze("resnet18")


def test_a_saved_report_is_enough(resnet18: Report) -> None:
    saved = Report.from_json(resnet18.to_json())
    for change in ("separable", "width=0.5", "se=0.25"):
        assert what_if(saved, [change]).after == what_if(resnet18, [change]).after


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("seperable", "unknown change 'seperable'"),
        ("separable=2", "unknown change"),
        ("groups", "unknown change"),
        ("groups=1", "whole number from 2 to 999999"),
        ("groups=two", "whole number from 2 to 999999"),
        ("width=0", "above 0 and up to 16"),
        ("width=-1", "above 0 and up to 16"),
        ("width=1/0", "above 0 and up to 16"),
        ("width=17", "above 0 and up to 16"),
        ("se=big", "above 0 and up to 16"),
        ("bottleneck=0.5", "whole number"),
    ],
)
def test_a_wrong_change_is_said(resnet18: Report, change: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        what_if(resnet18, [change])


def test_where_it_cannot_be_said(resnet18: Report) -> None:
    with pytest.raises(SpecError, match="it has attention, whose width would have to follow"):
        what_if(analyze("vit_b_16"), ["width=0.5"])
    with pytest.raises(SpecError, match="forward pass"):
        what_if(analyze("resnet18", backward=True), ["separable"])
    with pytest.raises(SpecError, match="no layer 'layer9'"):
        what_if(resnet18, ["separable"], within="layer9")
    bare = tuple(
        replace(layer, tallies=tuple(replace(t, ops=()) for t in layer.tallies))
        for layer in resnet18.layers
    )
    with pytest.raises(SpecError, match="saved without the operations of conv1"):
        what_if(replace(resnet18, layers=bare), ["separable"])


# ---- widths of networks that are no MobileNet: exactly as built, or refused


class Heads(nn.Module):
    """Two outputs, the heads defined before the body."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.boxes, self.classes = nn.Conv2d(width, 20, 1), nn.Conv2d(width, 10, 1)
        self.body = nn.Conv2d(3, width, 3)

    def forward(self, x):  # type: ignore[no-untyped-def]
        y = self.body(x).relu()
        return self.boxes(y), self.classes(y)


def mlp(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(128, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )


def to_pixels(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 12, 3), nn.PixelShuffle(2)
    )


def normed(width: int) -> nn.Module:
    first = [nn.BatchNorm2d(3), nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.PReLU(width)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(width), nn.Linear(width, 10)]
    return nn.Sequential(*first, nn.Conv2d(width, width, 3, groups=width), nn.PReLU(), *head)


class UNet(nn.Module):
    """A skip connection by concatenation, and one over the whole."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, width, 3, 2, 1)
        self.inner = nn.Conv2d(width, width, 3, 1, 1)
        self.up = nn.ConvTranspose2d(2 * width, 5, 2, 2)

    def forward(self, x):  # type: ignore[no-untyped-def]
        y = self.down(x)
        return self.up(torch.cat([y, self.inner(y)], dim=1))


class Spatial(nn.Module):
    """Attention over positions: channels are averaged to one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.gate = nn.Conv2d(1, 1, 7, 1, 3)
        self.last = nn.Conv2d(width, 4, 1)

    def forward(self, x):  # type: ignore[no-untyped-def]
        y = self.first(x)
        return self.last(y * self.gate(y.mean(1, keepdim=True)).sigmoid())


class Scale(nn.Module):
    """A parameter of its own, as ConvNeXt's layer scale."""

    def __init__(self, width: int, size: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.gamma = nn.Parameter(torch.ones(width, size, size))

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.conv(x) * self.gamma


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (mlp, (1, 128)),  # hidden width and input of one size
        (mlp, (2, 7, 128)),  # tokens
        (lambda w: nn.Sequential(nn.Conv2d(3, w, 3), nn.ReLU(), nn.Conv2d(w, 10, 1)), (3, 8, 8)),
        (lambda w: nn.Sequential(nn.Conv2d(64, w, 3), nn.Conv2d(w, w, 3)), (1, 64, 9, 9)),
        (Heads, (1, 3, 16, 16)),
        (to_pixels, (1, 3, 16, 16)),
        (normed, (2, 3, 16, 16)),
        (UNet, (1, 3, 16, 16)),
        (Spatial, (1, 3, 16, 16)),
        (lambda w: nn.Sequential(Scale(w), nn.Conv2d(w, 4, 1)), (1, 3, 8, 8)),
    ],
)
def test_half_the_width_is_the_network_of_half_the_width(
    build: Callable[[int], nn.Module], shape: tuple[int, ...]
) -> None:
    estimate = what_if(cnnstat.analyze(build(64), shape), ["width=0.5"])
    narrow = build(32)
    if build.__name__ == "<lambda>" and shape[-3] == 64:
        narrow = nn.Sequential(nn.Conv2d(64, 32, 3), nn.Conv2d(32, 64, 3))  # its output is given
    assert estimate.after == cost(cnnstat.analyze(narrow, shape))


class ToItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 10, 1)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.last(x + self.conv(x))


@pytest.mark.parametrize(
    ("net", "shape", "words"),
    [
        (nn.Sequential(Scale(8, 6), nn.Conv2d(8, 4, 1)), (1, 3, 8, 8), "parameter 8×6×6 is"),
        (
            nn.Sequential(nn.Conv2d(3, 8, 1), nn.LayerNorm([8, 4, 4]), nn.Conv2d(8, 4, 1)),
            (1, 3, 4, 4),
            "8×4×4",
        ),
        (ToItsInput(), (1, 8, 8, 8), "meet others"),
        (nn.LSTM(8, 8), (4, 1, 8), "recurrent"),
    ],
)
def test_a_width_that_cannot_be_known_is_refused(
    net: nn.Module, shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        what_if(cnnstat.analyze(net, shape), ["width=0.5"])


def test_a_width_is_of_the_whole_network(resnet18: Report) -> None:
    with pytest.raises(SpecError, match="layers around layer1 would not fit"):
        what_if(resnet18, ["width=0.5"], within="layer1")


# ---- whose weight it is


class TwoWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(64, 64, 3, 3))
        self.weight2 = nn.Parameter(torch.zeros(64, 64, 3, 3))

    def forward(self, x):  # type: ignore[no-untyped-def]
        return F.conv2d(F.conv2d(x, self.weight), self.weight2)


def test_each_weight_of_a_layer_is_changed_with_its_parameters() -> None:
    estimate = what_if(cnnstat.analyze(TwoWeights(), (1, 64, 8, 8)), ["separable"])
    # twice 64·9 + 64·64, at 36 and at 16 positions
    assert estimate.after.params == 2 * (64 * 9 + 64 * 64) == 9_344
    assert estimate.after.macs == (36 + 16) * (64 * 9 + 64 * 64)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(64, 64, 3, bias=False), nn.Conv2d(64, 64, 3, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.b(self.a(x))


class UsedByItsParent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, 1, 1, bias=False)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return F.conv2d(self.conv(x), self.conv.weight)


@pytest.mark.parametrize(
    ("net", "shape"), [(Tied(), (1, 64, 8, 8)), (UsedByItsParent(), (1, 8, 8, 8))]
)
def test_a_weight_that_others_use_stays(net: nn.Module, shape: tuple[int, ...]) -> None:
    estimate = what_if(cnnstat.analyze(net, shape), ["separable"])
    assert estimate.changed == ()
    assert estimate.after == estimate.before


# ---- one after the other


def test_each_change_sees_the_network_that_the_one_before_left() -> None:
    report = cnnstat.analyze(network(plain), (1, 4, 32, 32))
    layers: list[nn.Module] = []
    for c, k, stride in ((4, 16, 2), (16, 32, 1), (32, 64, 2)):
        spatial, point = separable(c, k, stride)
        layers += [spatial, Excited(c), point, nn.BatchNorm2d(k), nn.ReLU()]
    built = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    estimate = what_if(report, ["separable", "se=0.25"])
    assert estimate.after == cost(cnnstat.analyze(built, (1, 4, 32, 32)))


def test_a_depthwise_convolution_of_the_input_keeps_its_channels() -> None:
    report = cnnstat.analyze(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3)), (1, 3, 9, 9))
    built = nn.Sequential(
        nn.Conv2d(3, 3, 3, groups=3, bias=False),
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 8, 1),
    )
    for changes in (["separable", "width=0.5"], ["width=0.5", "separable"]):
        assert what_if(report, changes).after == cost(cnnstat.analyze(built, (1, 3, 9, 9)))


def test_excited_is_what_is_scaled_not_what_stands_beside() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c, self.se, self.d = nn.Conv2d(3, 8, 3), Excited(8), nn.Conv2d(8, 8, 3)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.d(self.se(self.c(x)))

    estimate = what_if(cnnstat.analyze(Flat(), (1, 3, 16, 16)), ["se=0.25"])
    assert [row.layer.path for row in estimate.changed] == ["d"]


def test_a_convnext_of_half_the_width() -> None:
    with importable_torchvision():
        from torchvision.models.convnext import CNBlockConfig, ConvNeXt
    rows = [(48, 96, 3), (96, 192, 3), (192, 384, 9), (384, None, 3)]
    built = ConvNeXt([CNBlockConfig(*row) for row in rows])
    estimate = what_if(analyze("convnext_tiny"), ["width=0.5"])
    assert estimate.after == cost(cnnstat.analyze(built, (1, 3, 224, 224)))


@pytest.mark.parametrize("name", ["densenet_cifar?growth=12", "mnasnet0_5"])
def test_rounding_aside_a_width_of_one_changes_nothing(name: str) -> None:
    report = analyze(name)
    estimate = what_if(report, ["width=1"])
    assert estimate.changed == ()
    assert estimate.after == cost(report)
