"""Cireşan et al. 2010, table 1; Hinton et al. 2015, section 4; LeCun et al. 1998, section III.C."""

from itertools import pairwise

import pytest

from cnnstat.zoo.mlp import ciresan_mlp, perceptron
from tests.measured import analyze


@pytest.mark.parametrize(
    ("hidden", "millions"),
    [
        # Table 1: hidden units and "weights [million]".
        ("1000-500", 1.34),
        ("1500-1000-500", 3.26),
        ("2000-1500-1000-500", 6.69),
        ("2500-2000-1500-1000-500", 12.11),
        ("9x1000", 8.86),
    ],
)
def test_rows_of_ciresans_table_1(hidden, millions):
    report = analyze(f"zoo:ciresan_mlp?hidden={hidden}")
    # Cut off in each row: 12,115,010 is printed 12.11, and 3,269,510 as 3.26.
    assert report.totals.params // 10_000 == round(millions * 100)
    assert report.uncounted == ()


def test_the_largest_row_by_hand():
    # 29·29 = 841 inputs; a bias for each unit.
    sizes = [841, 2500, 2000, 1500, 1000, 500, 10]
    macs = sum(a * b for a, b in pairwise(sizes))
    totals = analyze("zoo:ciresan_mlp").totals
    assert totals.macs == macs == 12_107_500
    assert totals.params == macs + sum(sizes[1:]) == 12_115_010


def test_perceptron_by_hand():
    totals = analyze("zoo:perceptron").totals
    assert totals.macs == 784 * 300 + 300 * 10 == 238_200
    assert totals.params == 238_200 + 300 + 10
    # 28×28-1000-10.
    assert analyze("zoo:perceptron?hidden=1000").totals.macs == 794_000


def test_acoustic_model():
    report = analyze("zoo:acoustic_dnn")
    # 26 frames of 40 filter banks, 8 layers of 2560, 14,000 states.
    macs = 1040 * 2560 + 7 * 2560 * 2560 + 2560 * 14_000
    assert report.totals.macs == macs == 84_377_600
    assert report.totals.params == macs + 8 * 2560 + 14_000 == 84_412_080
    # "The total number of parameters is about 85M": to the nearest five.
    assert 5 * round(report.totals.params / 5e6) == 85
    assert report.uncounted == ()


@pytest.mark.parametrize(
    "hidden", ["", "1000-", "0", "1000-0", "0x1000", "big", "1000,500", -5, 1.5]
)
def test_a_wrong_row_is_refused(hidden):
    with pytest.raises(ValueError, match="must be sizes such as 1000-500 or 9x1000"):
        ciresan_mlp(hidden)


@pytest.mark.parametrize("hidden", [0, -1, "many", 2.5])
def test_a_wrong_size_is_refused(hidden):
    with pytest.raises(ValueError, match="hidden is"):
        perceptron(hidden)
