"""Sermanet et al. 2013, tables 1, 3 and 4; the offsets in the file of the authors' weights."""

import pytest

from tests.measured import analyze


@pytest.mark.parametrize(
    ("name", "offset", "millions"),
    [
        # Where the last layer's 1,000 biases start in the published file of weights, as
        # jhjin/overfeat-torch reads it, and table 4's parameters, cut off.
        ("overfeat_fast", 145_919_872, 145),
        ("overfeat_accurate", 144_655_488, 144),
    ],
)
def test_parameters(name, offset, millions):
    report = analyze(f"zoo:{name}")
    assert report.totals.params == offset + 1000
    assert report.totals.params // 10**6 == millions
    assert report.uncounted == ()


def test_rows_of_table_1():
    report = analyze("zoo:overfeat_fast")
    sizes = {name: report.layer(name).inputs[0][2] for name in ["conv1", "conv2", "conv3"]}
    assert sizes == {"conv1": 231, "conv2": 28, "conv3": 12}
    assert report.layer("pool5").outputs[0] == (1, 1024, 6, 6)
    convs = 56**2 * 96 * 363 + 24**2 * 256 * 2400 + 12**2 * (512 * 2304 + 1024 * (4608 + 9216))
    linear = 36_864 * 3072 + 3072 * 4096 + 4096 * 1000
    assert report.totals.macs == convs + linear == 2_801_403_904
    # Table 4 prints 2,810 M connections.
    assert 2_810e6 / report.totals.macs == pytest.approx(1.0031, abs=0.0001)


def test_rows_of_table_3():
    report = analyze("zoo:overfeat_accurate")
    sizes = {name: report.layer(name).inputs[0][2] for name in ["conv1", "conv2", "conv3"]}
    assert sizes == {"conv1": 221, "conv2": 36, "conv3": 15}
    assert report.layer("pool6").outputs[0] == (1, 1024, 5, 5)
    convs = 108**2 * 96 * 147 + 30**2 * 256 * 4704
    convs += 15**2 * (512 * 2304 + 512 * 4608 + 1024 * 4608 + 1024 * 9216)
    linear = 25_600 * 4096 + 4096 * 4096 + 4096 * 1000
    assert report.totals.macs == convs + linear == 5_355_446_784
    # Table 4 prints 5,369 M connections.
    assert 5_369e6 / report.totals.macs == pytest.approx(1.0025, abs=0.0001)
