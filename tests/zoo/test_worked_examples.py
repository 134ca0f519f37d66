"""What articles work out by hand."""

import pytest

from tests.measured import analyze


def totals(spec, shape=None):
    found = analyze(f"zoo:{spec}", shape).totals
    return found.macs, found.params


def test_separable_against_standard():
    assert totals("standard_conv") == (2700, 108)
    assert totals("separable_conv") == (975, 39)


@pytest.mark.parametrize(("inputs", "outputs", "kernel"), [(3, 4, 3), (32, 64, 3), (16, 128, 5)])
def test_the_reduction_formula(inputs, outputs, kernel):
    # Howard et al. 2017, equation 5: 1/N + 1/Dk².
    query = f"?inputs={inputs}&outputs={outputs}&kernel={kernel}"
    shape = (1, inputs, 14, 14)
    standard, _ = totals("standard_conv" + query, shape)
    separable, _ = totals("separable_conv" + query, shape)
    assert separable * outputs * kernel**2 == standard * (kernel**2 + outputs)


def test_xceptions_order_costs_more():
    assert totals("pointwise_first") == (2624 * 112 * 112, 2624)
    assert totals("separable_conv?inputs=32&outputs=64", (1, 32, 112, 112)) == (
        2336 * 112 * 112,
        2336,
    )


def test_bottleneck():
    assert totals("bottleneck_conv", (1, 256, 1, 1)) == (69_632, 69_632)
    assert totals("standard_conv?inputs=256&outputs=256", (1, 256, 1, 1)) == (589_824, 589_824)


def test_factorised():
    macs, params = totals("factorised_conv")
    assert params == 14 * 64 * 3 == 2688
    assert macs == 2688 * 112 * 112
