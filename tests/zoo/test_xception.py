"""Chollet 2016: figure 5, table 3 (../shared/published/xception_table.toml); NASNet's table 2; timm."""

import torch

from cnnstat.sources.base import resolve
from tests.measured import analyze


def test_table_3():
    assert analyze("zoo:xception").totals.params == 22_855_952


def test_keras():
    # ../shared/published/keras_applications.toml: the moving statistics of batch norm count too.
    report = analyze("zoo:xception")
    assert report.totals.params + report.kinds["normalisation"].params == 22_910_480


def test_against_timm():
    theirs = analyze("timm:legacy_xception", (1, 3, 299, 299))
    ours = analyze("zoo:xception")
    assert ours.totals == theirs.totals
    # A container more or less, but the same work of every kind.
    for kind in theirs.kinds.keys() - {"container"}:
        assert ours.kinds[kind] == theirs.kinds[kind]


def test_nasnet_table_2():
    # ../shared/published/nasnet_table2.toml: 8.38 G, with one for each output of a batch norm, whose scale
    # and shift are two operations.
    report = analyze("zoo:xception")
    assert round((report.totals.macs + report.kinds["normalisation"].flops / 2) / 1e9, 2) == 8.38
    assert round(report.totals.macs / 1e9, 2) == 8.36


def test_sizes_of_figure_5():
    report = analyze("zoo:xception")
    assert report.layer("entry_flow").outputs == ((1, 728, 19, 19),)
    assert report.layer("middle_flow").outputs == ((1, 728, 19, 19),)
    assert report.layer("exit_flow").outputs == ((1, 2048, 10, 10),)
    # "36 convolutional layers structured into 14 modules": 2 standard and 34 separable.
    assert (
        sum(layer.type == "Conv2d" and layer.kind == "depthwise" for layer in report.layers) == 34
    )
    assert sum(layer.kind == "standard" for layer in report.layers) == 2
    assert sum(layer.type == "Residual" for layer in report.layers) == 12


def test_a_block_leaves_its_input_to_the_shortcut():
    block = resolve("zoo:xception").build().eval().middle_flow.block1
    x = torch.randn(1, 728, 3, 3)
    before = x.clone()
    with torch.no_grad():
        y = block(x)
        torch.testing.assert_close(y, block.body(before) + before)
    assert torch.equal(x, before)
