"""He et al. 2015: tables 1 to 3 (../shared/published/resnet_table1.toml); torchvision; timm."""

import pytest
import torch

from cnnstat.errors import BuildError
from cnnstat.zoo.resnet import ZeroPadding
from tests.measured import analyze

DEPTHS = (18, 34, 50, 101, 152)

# The projections of options B and their batch norm: c·d weights and two numbers a channel of 64 → 128,
# 128 → 256, 256 → 512, and as many multiply–adds a position at 28, 14 and 7.
PROJECTIONS = 64 * 128 + 128 * 256 + 256 * 512 + 2 * (128 + 256 + 512)
PROJECTED = 64 * 128 * 28**2 + 128 * 256 * 14**2 + 256 * 512 * 7**2


def totals(spec):
    return analyze(spec, (1, 3, 224, 224)).totals


@pytest.mark.parametrize(
    ("spec", "billions"),
    [
        # Table 1; the plain networks share its column with ResNet-18 and 34, section 3.3.
        ("zoo:plain18", 1.8),
        ("zoo:plain34", 3.6),
        ("zoo:resnet18_v1?option=A", 1.8),
        ("zoo:resnet18_v1", 1.8),
        ("zoo:resnet34_v1?option=A", 3.6),
        ("zoo:resnet101_v1", 7.6),
        ("zoo:resnet152_v1", 11.3),
    ],
)
def test_table_1(spec, billions):
    assert round(totals(spec).macs / 1e9, 1) == billions


def test_what_table_1_rounds_down():
    # 3.66 and 3.86 stand there as 3.6 and 3.8. SENet's table 2 has 3.86 for ResNet-50.
    assert int(totals("zoo:resnet34_v1").macs / 1e8) == 36
    macs = totals("zoo:resnet50_v1").macs
    assert int(macs / 1e8) == 38
    assert round(macs / 1e9, 2) == 3.86


@pytest.mark.parametrize("depth", DEPTHS)
def test_option_b_has_torchvisions_parameters(depth):
    ours, theirs = totals(f"zoo:resnet{depth}_v1"), totals(f"tv:resnet{depth}")
    assert ours.params == theirs.params
    # Without bottlenecks there is nothing to differ in.
    assert (ours.macs == theirs.macs) == (depth < 50)


@pytest.mark.parametrize("depth", (50, 101, 152))
def test_bottlenecks_against_timm(depth):
    # timm's legacy SE-ResNets are v1 too. Squeeze-and-excitation in N blocks of C channels costs 2·C²/16
    # multiply–adds each, and has biases besides: C/16 + C.
    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    channels = (256, 512, 1024, 2048)
    weights = sum(n * 2 * c * c // 16 for n, c in zip(blocks, channels, strict=True))
    biases = sum(n * (c // 16 + c) for n, c in zip(blocks, channels, strict=True))
    ours, theirs = totals(f"zoo:resnet{depth}_v1"), totals(f"timm:legacy_seresnet{depth}")
    assert ours.macs == theirs.macs - weights
    assert ours.params == theirs.params - weights - biases


@pytest.mark.parametrize("depth", (50, 101, 152))
def test_v1_against_v1_5_by_hand(depth):
    # In the first blocks of conv3_x to conv5_x, whose input is c wide and s large and whose width is w:
    # torchvision's first convolution sees four times the positions, c·w·3·(s/2)² more.
    more = sum(
        c * w * 3 * (s // 2) ** 2 for c, w, s in ((256, 128, 56), (512, 256, 28), (1024, 512, 14))
    )
    assert totals(f"tv:resnet{depth}").macs - totals(f"zoo:resnet{depth}_v1").macs == more


@pytest.mark.parametrize("depth", (18, 34))
def test_options(depth):
    plain, zeros, projections = (
        totals(spec)
        for spec in (f"zoo:plain{depth}", f"zoo:resnet{depth}_v1?option=A", f"zoo:resnet{depth}_v1")
    )
    # "no extra parameters" (table 2), and additions are no multiply–adds.
    assert (zeros.params, zeros.macs) == (plain.params, plain.macs)
    assert projections.params - zeros.params == PROJECTIONS
    assert projections.macs - zeros.macs == PROJECTED


def test_zero_padding_is_the_input_and_zeros():
    x = torch.rand(2, 3, 5, 5)
    y = ZeroPadding(4, 2)(x)
    assert y.shape == (2, 7, 3, 3)
    assert torch.equal(y[:, :3], x[:, :, ::2, ::2])
    assert not y[:, 3:].any()


def test_option_c_by_hand():
    # ResNet-34 C projects in the 13 other blocks too: 3 of 64 channels, 3 of 128, 5 of 256, 2 of 512.
    blocks = ((64, 3, 56), (128, 3, 28), (256, 5, 14), (512, 2, 7))
    some, all_ = totals("zoo:resnet34_v1"), totals("zoo:resnet34_v1?option=C")
    assert all_.params - some.params == sum(n * (c * c + 2 * c) for c, n, _ in blocks)
    assert all_.macs - some.macs == sum(n * c * c * s * s for c, n, s in blocks)


@pytest.mark.parametrize(
    ("name", "channels"),
    [("plain34", (64, 128, 256, 512)), ("resnet50_v1", (256, 512, 1024, 2048))],
)
def test_output_sizes_of_table_1(name, channels):
    report = analyze(f"zoo:{name}")
    assert report.layer("conv1").outputs == ((1, 64, 112, 112),)
    stages = zip((2, 3, 4, 5), channels, (56, 28, 14, 7), strict=True)
    for stage, wide, size in stages:
        assert report.layer(f"conv{stage}_x").outputs == ((1, wide, size, size),)


@pytest.mark.parametrize("depth", DEPTHS)
def test_layers_are_as_many_as_the_name_says(depth):
    report = analyze(f"zoo:resnet{depth}_v1?option=A")
    assert sum(layer.type in ("Conv2d", "Linear") for layer in report.layers) == depth


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("option=D", "option is 'D'; expected 'A', 'B', 'C'"),
        ("num_classes=0", "whole number from 1"),
    ],
)
def test_a_wrong_argument(query, message):
    with pytest.raises(BuildError, match=message):
        analyze(f"zoo:resnet18_v1?{query}")
