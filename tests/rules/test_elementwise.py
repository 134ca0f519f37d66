import operator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnstat.report import Work
from tests.rules.record import count_op, same_on_every_path, spec, work_of

X = torch.rand(3, 4) / 2 + 0.25  # n = 12, inside every function's domain

# What each does to an element.
UNARY = {
    Work(muls=1): [torch.neg, torch.square, torch.deg2rad, torch.rad2deg, lambda x: x * 2],
    Work(adds=1): [lambda x: x + 1, lambda x: 1 - x, lambda x: x - 1],
    Work(special=1): [
        *[
            torch.exp,
            torch.log,
            torch.sqrt,
            torch.sin,
            torch.cos,
            torch.tanh,
            torch.erf,
            torch.erfinv,
        ],
        *[torch.expm1, torch.log1p, torch.exp2, torch.log2, torch.lgamma, torch.logit, torch.sinc],
        *[torch.reciprocal, lambda x: x / 2, lambda x: x // 2, lambda x: x % 2],
        *[torch.special.erf, lambda x: x**0.5, lambda x: 2**x, lambda x: x**5],
    ],
    Work(special=2): [torch.rsqrt],
    Work(compares=1): [
        *[torch.abs, torch.sign, torch.sgn, torch.floor, torch.ceil, torch.round, torch.isnan],
        *[torch.frac, lambda x: x > 0, lambda x: x == 0, lambda x: x.clamp(min=0)],
        *[lambda x: torch.maximum(x, x), lambda x: torch.copysign(x, x), torch.logical_not],
        *[torch.nan_to_num, torch.signbit, torch.isinf, lambda x: x.clamp(max=1)],
    ],
    Work(compares=2): [
        *[lambda x: x.clamp(0, 1), lambda x: torch.clip(x, 0, 1)],
    ],
    Work(): [torch.clone, lambda x: x**1, lambda x: x.view(4, 3), lambda x: x.to(torch.float64)],
    Work(muls=2): [lambda x: x**3],
    Work(muls=3): [lambda x: torch.pow(x, 4)],
    Work(adds=1, muls=1): [lambda x: torch.add(x, x, alpha=2), lambda x: torch.sub(x, x, alpha=3)],
    Work(muls=1, special=1): [lambda x: torch.xlogy(x, x), lambda x: 3 / x],
    Work(adds=1, muls=2): [lambda x: torch.addcmul(x, x, x, value=2)],
    Work(adds=1, muls=1, special=1): [lambda x: torch.addcdiv(x, x, x, value=2)],
    Work(adds=2, muls=1): [lambda x: torch.lerp(x, x, 0.5)],
}


@pytest.mark.parametrize(
    ("unit", "call"), [(unit, call) for unit, calls in UNARY.items() for call in calls]
)
def test_each_element(unit, call):
    assert same_on_every_path(call, X) == sum((unit for _ in range(12)), Work())


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        (Work(adds=1), "add_"),
        (Work(adds=1), "sub_"),
        (Work(muls=1), "mul_"),
        (Work(special=1), "div_"),
        (Work(compares=1), "clamp_min_"),
        (Work(special=1), "fmod_"),
        (Work(compares=1), "gt_"),
    ],
)
def test_in_place(unit, name):
    work = same_on_every_path(lambda x: getattr(x.clone(), name)(2), X)
    assert work == sum((unit for _ in range(12)), Work())


shapes = st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), max_size=4)
OPERATORS = {
    operator.add: Work(adds=1),
    operator.sub: Work(adds=1),
    operator.mul: Work(muls=1),
    operator.truediv: Work(special=1),
    operator.lt: Work(compares=1),
}


@given(shapes, st.sampled_from(list(OPERATORS)))
@settings(max_examples=40, deadline=None)
def test_broadcasting_counts_the_result(axes, call):
    left = torch.rand([1 if one else size for size, one, _ in axes])
    right = torch.rand([1 if one else size for size, _, one in axes])
    n = sum(1 for _ in call(left, right).flatten())
    work = work_of(call, left, right)
    assert work == work_of(call, left, right, path="meta, autograd")
    unit = OPERATORS[call]
    assert work.flops == n * unit.flops
    assert work == sum((unit for _ in range(n)), Work())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int64, torch.complex64])
def test_types_change_nothing_but_that_complex_numbers_are_two(dtype):
    """(a + bi)·(c + di) is four products and two additions."""
    x = torch.ones(3, 4, dtype=dtype)
    two = dtype.is_complex
    assert same_on_every_path(operator.add, x, x) == Work(adds=24 if two else 12)
    product = Work(muls=48, adds=24) if two else Work(muls=12)
    assert same_on_every_path(operator.mul, x, x) == product


def test_outer_products():
    assert same_on_every_path(torch.addr, X, torch.rand(3), torch.rand(4)) == Work(adds=12, muls=12)


def test_cross_products():
    # each component is a difference of two products
    x = torch.rand(4, 3)
    assert same_on_every_path(torch.linalg.cross, x, x) == Work(adds=12, muls=24)


def test_a_squeeze_and_excitation_gate_is_one_product_an_element():
    assert same_on_every_path(operator.mul, torch.rand(2, 4, 3, 3), torch.rand(2, 4, 1, 1)) == Work(
        muls=72
    )


def test_a_residual_sum_is_one_addition_an_element():
    class Residual(nn.Module):
        def forward(self, x):
            x += x.clone()
            return x

    assert same_on_every_path(Residual(), X.clone()) == Work(adds=12)


def test_quantised_sums():
    args = {"qa": spec(3, 4, dtype="quint8"), "qb": spec(3, 4, dtype="quint8")}
    assert count_op("quantized.add", spec(3, 4, dtype="quint8"), **args) == Work(adds=12)
    relu = count_op("quantized.add_relu", spec(3, 4, dtype="quint8"), **args)
    assert relu == Work(adds=12, compares=12)
