"""Xie et al. 2016: tables 1 and 2 (../shared/published/resnext_table1.toml); NASNet's table 2."""

import pytest

from cnnstat.errors import BuildError
from tests.measured import analyze


@pytest.mark.parametrize(
    ("spec", "millions", "billions"),
    [("zoo:resnext?cardinality=1&width=64", 25.5, 4.1), ("zoo:resnext50_32x4d", 25.0, 4.2)],
)
def test_table_1(spec, millions, billions):
    report = analyze(spec)
    assert round(report.totals.macs / 1e9, 1) == billions
    # Without the two parameters a channel of batch norm: with them ResNet-50 has 25.6 M.
    norms = report.kinds["normalisation"].params
    assert round((report.totals.params - norms) / 1e6, 1) == millions


def test_one_group_of_64_is_torchvisions_resnet50():
    ours, theirs = (
        analyze("zoo:resnext?cardinality=1&width=64"),
        analyze("resnet50"),
    )
    assert ours.totals == theirs.totals


@pytest.mark.parametrize(
    ("cardinality", "width", "grouped"),
    # Table 2: cardinality C, width d of a group, width C·d of the grouped convolution in conv2_x.
    [(1, 64, 64), (2, 40, 80), (4, 24, 96), (8, 14, 112), (32, 4, 128)],
)
def test_table_2(cardinality, width, grouped):
    report = analyze(f"zoo:resnext?cardinality={cardinality}&width={width}")
    conv = report.layer("layer1.1.conv2")
    assert conv.outputs == ((1, grouped, 56, 56),)
    # A block of conv2_x, as section 3.3 writes it: C·(256·d + 3·3·d·d + d·256) weights, "~70k".
    weights = cardinality * (256 * width + 9 * width * width + width * 256)
    block = [report.layer(f"layer1.1.conv{number}") for number in (1, 2, 3)]
    assert sum(layer.params for layer in block) == weights
    assert 69_000 < weights < 74_000


def test_nasnet_table_2():
    # ../shared/published/nasnet_table2.toml: ResNeXt-101 (64×4d) at 320×320. Its 83.6 M parameters are
    # 83.5 M here and in torchvision.
    totals = analyze("zoo:resnext101_64x4d", (1, 3, 320, 320)).totals
    assert round(totals.macs / 1e9, 1) == 31.5
    assert totals.params == 83_455_272  # torchvision's meta["num_params"]


def test_101_layers_of_32x4d_against_timm():
    theirs = analyze("timm:resnext101_32x4d").totals
    ours = analyze("zoo:resnext101_32x4d").totals
    assert (ours.params, ours.macs) == (theirs.params, theirs.macs)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("depth=52", "depth is 52; expected 50, 101"),
        ("cardinality=0", "cardinality is 0; expected a whole number from 1 up"),
        ("width=4.5", "width is 4.5; expected a whole number from 1 up"),
    ],
)
def test_a_wrong_argument(query, message):
    with pytest.raises(BuildError, match=message):
        analyze(f"zoo:resnext?{query}")
