"""What a network would cost, beside the network that is really built like that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import cnnstat
from cnnstat.errors import SpecError
from cnnstat.explaining.whatif import Cost, what_if
from cnnstat.report import Report

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
    estimate = what_if(cnnstat.analyze("zoo:mobilenet_v1"), [f"width={alpha}"])
    built = cnnstat.analyze(f"zoo:mobilenet_v1?width={alpha}")
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
    report = cnnstat.analyze("mobilenet_v2")
    estimate = what_if(report, ["separable"])
    assert [row.layer.path for row in estimate.changed] == ["features.0.0"]  # the stem alone
    assert sum(estimate.kept.values()) + 1 == sum(layer.macs > 0 for layer in report.layers)
    # Channels that do not divide: 3 into 4 groups.
    assert "conv1" not in {
        row.layer.path for row in what_if(cnnstat.analyze("resnet18"), ["groups=4"]).changed
    }


def test_a_block_that_is_excited_already_stays() -> None:
    report = cnnstat.analyze("mobilenet_v3_small")
    changed = {row.layer.path for row in what_if(report, ["se=0.25"]).changed}
    depthwise = {layer.path for layer in report.layers if layer.kind == "depthwise"}
    # Of 11 blocks, 9 have one: table 2 of the paper marks all but the second and the third.
    assert len(depthwise) == 11
    assert changed == {"features.2.block.1.0", "features.3.block.1.0"}


def test_only_one_module_is_changed() -> None:
    report = cnnstat.analyze("resnet18")
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
    return cnnstat.analyze("resnet18")


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
        ("groups=1", "whole number of 2 or more"),
        ("groups=two", "whole number of 2 or more"),
        ("width=0", "more than 0"),
        ("width=-1", "a number such as 0.5"),
        ("width=1/0", "more than 0"),
        ("se=big", "a number such as 0.5"),
        ("bottleneck=0.5", "whole number"),
    ],
)
def test_a_wrong_change_is_said(resnet18: Report, change: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        what_if(resnet18, [change])


def test_where_it_cannot_be_said(resnet18: Report) -> None:
    with pytest.raises(SpecError, match="attention layers, whose width would have to follow"):
        what_if(cnnstat.analyze("vit_b_16"), ["width=0.5"])
    with pytest.raises(SpecError, match="forward pass"):
        what_if(cnnstat.analyze("resnet18", backward=True), ["separable"])
    with pytest.raises(SpecError, match="no layer 'layer9'"):
        what_if(resnet18, ["separable"], within="layer9")
    bare = tuple(
        replace(layer, tallies=tuple(replace(t, ops=()) for t in layer.tallies))
        for layer in resnet18.layers
    )
    with pytest.raises(SpecError, match="saved without its operations"):
        what_if(replace(resnet18, layers=bare), ["separable"])
