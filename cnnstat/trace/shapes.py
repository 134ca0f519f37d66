"""Results of the most frequent operations from the shapes alone.

torch computes these on the meta device with reference kernels written in Python, at a third of a
millisecond to more than one each. A function here returns a meta tensor, or `None` for anything out of
the ordinary (other layouts, broadcasting, mixed types, shapes that do not fit), which torch then
computes, or refuses, itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Shape = Callable[..., torch.Tensor | None]

_aten = torch.ops.aten


def _new(size: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """A contiguous meta tensor: `empty` itself takes four times as long on the meta device."""
    stride, step = [], 1
    for length in reversed(size):
        stride.append(step)
        step *= max(length, 1)
    return torch.empty_strided(size, stride[::-1], dtype=dtype, device="meta")


def _plain(x: Any) -> bool:
    return type(x) is torch.Tensor and x.is_meta and x.is_floating_point() and x.is_contiguous()


def _like(x: Any, *_: Any, **__: Any) -> torch.Tensor | None:
    return _new(tuple(x.shape), x.dtype) if _plain(x) else None


def _itself(x: Any, *_: Any, **__: Any) -> torch.Tensor | None:
    return x if _plain(x) else None


def _fits(weight: Any, size: tuple[int, ...]) -> bool:
    return weight is None or tuple(weight.shape) == size


def _batch_norm(x: Any, weight: Any, bias: Any, mean: Any, var: Any, *_: Any) -> Any:
    if not _plain(x) or x.dim() < 2:
        return None
    size = (x.shape[1],)
    return _like(x) if all(_fits(held, size) for held in (weight, bias, mean, var)) else None


def _layer_norm(x: Any, size: Any, weight: Any = None, bias: Any = None, *_: Any) -> Any:
    size = tuple(size)
    if not _plain(x) or not size or tuple(x.shape[-len(size) :]) != size:
        return None
    return _like(x) if _fits(weight, size) and _fits(bias, size) else None


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    if not _plain(x) or weight.dim() != 2 or x.dim() < 1 or weight.dtype != x.dtype:
        return None
    out, width = weight.shape
    if x.shape[-1] != width or not _fits(bias, (out,)) or not weight.is_meta:
        return None
    return _new((*x.shape[:-1], out), x.dtype)


def _alike(x: Any, y: Any) -> bool:
    return _plain(x) and _plain(y) and x.dtype == y.dtype and x.shape == y.shape


def _binary(x: Any, y: Any, **_: Any) -> torch.Tensor | None:
    return _like(x) if _alike(x, y) else None


def _binary_in_place(x: Any, y: Any, **_: Any) -> torch.Tensor | None:
    return x if _alike(x, y) else None


def _cat(tensors: Any, dim: int = 0) -> torch.Tensor | None:
    first = tensors[0]
    if not all(_plain(x) and x.dtype == first.dtype for x in tensors):
        return None
    dims = first.dim()
    if not -dims <= dim < dims:
        return None
    dim %= dims
    size = list(first.shape)
    rest = [*size[:dim], *size[dim + 1 :]]
    if any([*x.shape[:dim], *x.shape[dim + 1 :]] != rest for x in tensors):
        return None
    size[dim] = sum(x.shape[dim] for x in tensors)
    return _new(tuple(size), first.dtype)


def _adaptive_avg_pool2d(x: Any, size: Any) -> torch.Tensor | None:
    if not _plain(x) or x.dim() not in (3, 4) or len(size) != 2 or 0 in x.shape:
        return None
    return _new((*x.shape[:-2], *size), x.dtype)


def _softmax(x: Any, dim: int, dtype: Any = None) -> torch.Tensor | None:
    return _like(x) if dtype is None and _plain(x) and -x.dim() <= dim < x.dim() else None


def _grouped_mm(a: Any, b: Any, offs: Any = None, bias: Any = None, **_: Any) -> Any:
    """In the types that run on a CPU; torch's own kernel on meta knows bfloat16 alone."""
    if not a.is_meta and not b.is_meta:
        return None
    if not {a.dtype, b.dtype} <= {torch.float32, torch.float16} or a.dtype != b.dtype:
        return None
    flat = a.dim() == 2, b.dim() == 2
    if {a.dim(), b.dim()} - {2, 3} or a.shape[-1] != b.shape[-2] or any(flat) != (offs is not None):
        return None
    if bias is not None or (not any(flat) and a.shape[0] != b.shape[0]):
        return None
    size = (a.shape[-2], b.shape[-1])
    if all(flat):
        return _new((offs.shape[0], *size), a.dtype)
    return _new(size if any(flat) else (a.shape[0], *size), a.dtype)


_UNARY = "gelu hardsigmoid hardswish hardtanh leaky_relu mish relu relu6 sigmoid silu tanh".split()

SHAPES: dict[Any, Shape] = {
    **{getattr(_aten, name).default: _like for name in _UNARY},
    **{getattr(_aten, f"{name}_").default: _itself for name in _UNARY},
    **{getattr(_aten, name).Tensor: _binary for name in ("add", "mul", "sub", "div")},
    **{
        getattr(_aten, f"{name}_").Tensor: _binary_in_place for name in ("add", "mul", "sub", "div")
    },
    _aten.adaptive_avg_pool2d.default: _adaptive_avg_pool2d,
    _aten.batch_norm.default: _batch_norm,
    _aten.cat.default: _cat,
    _aten._grouped_mm.default: _grouped_mm,
    _aten.layer_norm.default: _layer_norm,
    _aten.linear.default: _linear,
    _aten.softmax.int: _softmax,
}
"""By overload, as a mode receives it."""
