"""Tan et al. 2018: table 1; Howard et al. 2019, table 3; torchvision, timm, pytorchcv."""

import pytest

from tests.measured import analyze


def totals(spec):
    return analyze(spec).totals


def test_mnasnet_b1_is_timms_and_torchvisions():
    pytest.importorskip("timm")
    ours = totals("zoo:mnasnet_b1")
    for theirs in (totals("timm:mnasnet_100"), totals("tv:mnasnet1_0")):
        assert (ours.params, ours.macs) == (theirs.params, theirs.macs)


def test_mnasnet_a1_against_timm():
    pytest.importorskip("timm")
    ours, theirs = (analyze(spec) for spec in ("zoo:mnasnet_a1", "timm:semnasnet_100"))
    assert (ours.totals.params, ours.totals.macs) == (theirs.totals.params, theirs.totals.macs)
    assert {kind: part.macs for kind, part in ours.kinds.items() if part.macs} == {
        kind: part.macs for kind, part in theirs.kinds.items() if part.macs
    }


def test_published_cost():
    # MnasNet, table 1; pytorchcv's table has 3,887,038.
    a1 = totals("zoo:mnasnet_a1")
    assert (round(a1.params / 1e6, 1), round(a1.macs / 1e6)) == (3.9, 312)
    assert a1.params == 3_887_038
    # MobileNetV3, table 3, cut: 4.0 M and 320 M. pytorchcv's proxylessnas_mobile has 4,080,512.
    mobile = totals("zoo:proxylessnas_mobile")
    assert (int(mobile.params / 1e5), round(mobile.macs / 1e6)) == (40, 320)
    assert mobile.params == 4_080_512


def test_rows_of_figure_7():
    report = analyze("zoo:mnasnet_a1")
    # Channels, size and squeeze-and-excitation of the blocks of each stage.
    assert report.layer("separable").outputs[0] == (1, 16, 112, 112)
    rows = ((24, 56, 0), (40, 28, 3), (80, 14, 0), (112, 14, 2), (160, 7, 3), (320, 7, 0))
    for stage, (channels, size, excited) in enumerate(rows, start=1):
        assert report.layer(f"stage{stage}").outputs[0] == (1, channels, size, size)
        assert sum(g.path.startswith(f"stage{stage}.") for g in report.groups) == excited
    assert report.layer("last").outputs[0] == (1, 1280, 7, 7)
