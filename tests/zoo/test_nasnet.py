"""Zoph et al. 2017: tables 2 and 3; timm and Keras."""

import pytest
from torch import nn

from cnnstat.sources.base import resolve
from cnnstat.sources.skeleton import build_skeleton
from tests.measured import analyze


def moving_statistics(name):
    """Means and variances of batch norm, which Keras counts as parameters."""
    model = build_skeleton(resolve(name).build)
    return sum(2 * m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_large_against_timm():
    pytest.importorskip("timm")
    ours, theirs = analyze("zoo:nasnet_a_large"), analyze("timm:nasnetalarge")
    assert ours.totals.params == theirs.totals.params
    assert ours.totals.macs == theirs.totals.macs
    assert ours.kinds["depthwise"].macs == theirs.kinds["depthwise"].macs
    assert theirs.layer("").inputs == ((1, 3, 331, 331),)


def test_table_2():
    totals = analyze("zoo:nasnet_a_large").totals
    assert round(totals.macs / 1e9, 1) == 23.8
    # keras.io/api/applications: 88,949,818 parameters; the paper's 88.9 M (cut) are these.
    assert totals.params + moving_statistics("zoo:nasnet_a_large") == 88_949_818
    assert int(88_949_818 / 1e5) == 889


def test_table_3():
    totals = analyze("zoo:nasnet_a_mobile").totals
    assert round(totals.macs / 1e6) == 564
    assert round(totals.params / 1e6, 1) == 5.3
    assert totals.params == 5_289_978  # pytorchcv's nasnet_4a1056
    # keras.io/api/applications.
    assert totals.params + moving_statistics("zoo:nasnet_a_mobile") == 5_326_716


@pytest.mark.parametrize(
    ("name", "sizes", "filters"),
    [
        # 4 @ 1056 and 6 @ 4032: repeats, and 24 times the filters of the first normal cells.
        ("nasnet_a_mobile", (111, 56, 28, 14, 7), 1056),
        ("nasnet_a_large", (165, 83, 42, 21, 11), 4032),
    ],
)
def test_cells(name, sizes, filters):
    report = analyze(f"zoo:{name}")
    repeats = 4 if name == "nasnet_a_mobile" else 6
    assert report.layer("conv").outputs[0][2:] == (sizes[0], sizes[0])
    paths = ("stem0", "stem1", "stage2_reduction", "stage3_reduction")
    for path, size in zip(paths, sizes[1:], strict=True):
        assert report.layer(f"cells.{path}").outputs[0][2:] == (size, size)
    last = report.layer(f"cells.stage3_cell{repeats}")
    assert last.outputs[0] == (1, filters, sizes[4], sizes[4])
    cells = [x for x in report.layers if x.type == "Cell"]
    assert len(cells) == 2 + 3 * repeats + 2
