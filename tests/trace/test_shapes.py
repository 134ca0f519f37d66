"""Shapes without torch's kernels: each function says what torch says, or declines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnstat.trace.shapes import SHAPES

_aten = torch.ops.aten
UNARY = [op for op, shape in SHAPES.items() if shape.__name__ in ("_like", "_itself")]
BINARY = [op for op, shape in SHAPES.items() if shape.__name__.startswith("_binary")]

sizes = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)
dtypes = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64])


def meta(size: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(size, dtype=dtype, device="meta")


def agree(op: Any, make: Callable[[], tuple[Any, ...]]) -> None:
    """The function's answer and torch's own, on meta tensors and on real ones."""
    with torch.inference_mode():
        found = SHAPES[op](*make())
        assert found is not None, "declined"
        real = [_real(value) for value in make()]
        for truth in (op(*make()), op(*real)):
            assert found.is_meta
            assert (found.shape, found.stride(), found.dtype) == (
                truth.shape, truth.stride(), truth.dtype
            )  # fmt: skip


def _real(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.ones(value.shape, dtype=value.dtype)
    return (
        [_real(item) for item in value]
        if isinstance(value, list) and value and isinstance(value[0], torch.Tensor)
        else value
    )


def declines(op: Any, *args: Any) -> None:
    assert SHAPES[op](*args) is None


def test_the_table_is_not_empty() -> None:
    assert len(UNARY) >= 20
    assert len(BINARY) == 8
    assert len(SHAPES) == len(UNARY) + len(BINARY) + 7


@pytest.mark.parametrize("op", UNARY, ids=str)
@given(size=sizes, dtype=dtypes)
@settings(max_examples=8, deadline=None)
def test_unary(op: Any, size: tuple[int, ...], dtype: torch.dtype) -> None:
    agree(op, lambda: (meta(size, dtype),))


@pytest.mark.parametrize("op", [op for op in UNARY if str(op).split(".")[1].endswith("_")], ids=str)
def test_in_place_returns_the_argument(op: Any) -> None:
    x = meta((2, 3))
    assert SHAPES[op](x) is x


@pytest.mark.parametrize("op", BINARY, ids=str)
@given(size=sizes, dtype=dtypes)
@settings(max_examples=8, deadline=None)
def test_binary(op: Any, size: tuple[int, ...], dtype: torch.dtype) -> None:
    agree(op, lambda: (meta(size, dtype), meta(size, dtype)))


@pytest.mark.parametrize("op", BINARY, ids=str)
def test_binary_leaves_broadcasting_and_promotion_to_torch(op: Any) -> None:
    declines(op, meta((2, 3)), meta((3,)))
    declines(op, meta((2, 3)), meta((2, 3), torch.float64))
    declines(op, meta((2, 3), torch.int64), meta((2, 3), torch.int64))
    declines(op, meta((2, 3)), torch.ones(2, 3))


@given(size=sizes, out=st.integers(1, 5), bias=st.booleans(), dtype=dtypes)
@settings(max_examples=40, deadline=None)
def test_linear(size: tuple[int, ...], out: int, bias: bool, dtype: torch.dtype) -> None:
    agree(
        _aten.linear.default,
        lambda: (
            meta(size, dtype),
            meta((out, size[-1]), dtype),
            meta((out,), dtype) if bias else None,
        ),
    )


def test_linear_leaves_what_does_not_fit_to_torch() -> None:
    declines(_aten.linear.default, meta((2, 3)), meta((5, 4)))
    declines(_aten.linear.default, meta((2, 3)), meta((5, 3)), meta((4,)))
    declines(_aten.linear.default, meta((2, 3)), torch.ones(5, 3))


@given(size=st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple), affine=st.booleans())
@settings(max_examples=30, deadline=None)
def test_batch_norm(size: tuple[int, ...], affine: bool) -> None:
    def arguments() -> tuple[Any, ...]:
        weight = meta((size[1],)) if affine else None
        return (
            meta(size),
            weight,
            weight,
            meta((size[1],)),
            meta((size[1],)),
            False,
            0.1,
            1e-5,
            False,
        )

    agree(_aten.batch_norm.default, arguments)


def test_batch_norm_leaves_other_channels_to_torch() -> None:
    w = meta((5,))
    declines(_aten.batch_norm.default, meta((2, 3, 4)), w, w, w, w, False, 0.1, 1e-5, False)


@given(size=sizes, last=st.integers(1, 3), affine=st.booleans())
@settings(max_examples=30, deadline=None)
def test_layer_norm(size: tuple[int, ...], last: int, affine: bool) -> None:
    normalized = list(size[-last:])
    weight = (lambda: meta(tuple(normalized))) if affine else (lambda: None)
    agree(_aten.layer_norm.default, lambda: (meta(size), normalized, weight(), weight()))
    declines(_aten.layer_norm.default, meta(size), [7])


@given(
    size=sizes,
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    dim=st.integers(-5, 4),
)
@settings(max_examples=60, deadline=None)
def test_cat(size: tuple[int, ...], lengths: list[int], dim: int) -> None:
    if not -len(size) <= dim < len(size):
        declines(_aten.cat.default, [meta(size)], dim)
        return

    def piece(length: int) -> torch.Tensor:
        own = list(size)
        own[dim] = length
        return meta(tuple(own))

    agree(_aten.cat.default, lambda: ([piece(length) for length in lengths], dim))


def test_cat_leaves_what_does_not_fit_to_torch() -> None:
    declines(_aten.cat.default, [meta((2, 3)), meta((2, 4))], 0)
    declines(_aten.cat.default, [meta((2, 3)), meta((2, 3), torch.float64)], 0)
    declines(_aten.cat.default, [meta((0,)), meta((2, 3))], 0)


@given(
    size=st.lists(st.integers(1, 6), min_size=3, max_size=4).map(tuple),
    out=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(max_examples=40, deadline=None)
def test_adaptive_avg_pool2d(size: tuple[int, ...], out: tuple[int, int]) -> None:
    agree(_aten.adaptive_avg_pool2d.default, lambda: (meta(size), list(out)))


@given(size=sizes, data=st.data(), dtype=dtypes)
@settings(max_examples=30, deadline=None)
def test_softmax(size: tuple[int, ...], data: Any, dtype: torch.dtype) -> None:
    dim = data.draw(st.integers(-len(size), len(size) - 1))
    agree(_aten.softmax.int, lambda: (meta(size, dtype), dim))
    declines(_aten.softmax.int, meta(size), dim, torch.float64)


@pytest.mark.parametrize("op", [*UNARY, *BINARY], ids=str)
def test_other_layouts_are_left_to_torch(op: Any) -> None:
    x = meta((2, 3, 4, 5)).to(memory_format=torch.channels_last)
    declines(op, *([x] if op in UNARY else [x, x]))
