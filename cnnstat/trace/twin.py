"""A stand-in for the user's module: the same code and structure, without its weights.

Running the stand-in does not change the original. Where the original cannot be copied (an attribute that
refuses, such as a lock), or its own code holds on to it (a closure over `self`), the original itself runs.
Whoever runs either puts everything back (`cnnstat.trace.untouched`).
"""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from cnnstat.trace.modules import SPARSE, identity, is_lazy
from cnnstat.trace.snapshot import EMPTY, SMALL, attributes_of, slot_value, slots_of
from cnnstat.trace.wrappers import is_wrapped, unwrap, whole


@contextmanager
def stand_in(module: nn.Module, *, weights: bool = False) -> Iterator[nn.Module]:
    """A copy of `module`, its parameters on the meta device or, with `weights`, copied."""
    twin = None if is_wrapped(module) else _copy(module, weights)
    if twin is None:
        with in_place(module, weights=weights) as same:
            yield same
    else:
        yield twin


@contextmanager
def in_place(module: nn.Module, *, weights: bool = False) -> Iterator[nn.Module]:
    """The module itself, its tensors swapped for meta ones or, with `weights`, for copies."""
    memo = _memo(module, weights)
    for child in list(module.modules()):
        holders: tuple[dict[str, Any], ...] = (child._parameters, child._buffers, vars(child))
        for held in holders:
            for name, value in list(held.items()):
                if isinstance(value, torch.Tensor):
                    held[name] = memo[id(value)] if id(value) in memo else _clone(value, memo)
    unwrap(module, weights=weights)
    yield module


def on_meta(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same shape, strides and type; a `Parameter` gives a `Parameter`."""
    with torch.no_grad():
        size, stride = tensor.size(), tensor.stride()
        twin = torch.empty_strided(size, stride, dtype=tensor.dtype, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin


def _copy(module: nn.Module, weights: bool) -> nn.Module | None:
    """The module copied; `None` where an attribute, in whatever way, refuses to be."""
    twin: nn.Module
    memo = _memo(module, weights)
    try:
        # Module by module, or a deep network would be too deep for a recursive copy.
        shells = []
        for child in module.modules():
            if _is_plain(type(child)):
                memo[id(child)] = object.__new__(type(child))
                shells.append(child)
        for child in shells:
            twin = memo[id(child)]
            vars(twin).update(copy.deepcopy(child.__getstate__(), memo))
            for slot in slots_of(type(child)):
                if (value := slot_value(slot, child)) is not EMPTY:
                    slot.__set__(twin, copy.deepcopy(value, memo))
        twin = copy.deepcopy(module, memo)
    except Exception:
        return None
    unwrap(twin)
    return twin


def _is_plain(kind: type) -> bool:
    """Whether copying a module of this class is copying its attributes."""
    own = {name for base in kind.__mro__[:-1] if base is not nn.Module for name in vars(base)}
    return not (own & _COPYING) and kind not in copyreg.dispatch_table


_COPYING = frozenset(
    f"__{name}__"
    for name in "new deepcopy reduce reduce_ex getstate setstate getnewargs getnewargs_ex".split()
)
"""Methods by which a class has a say in how it is copied."""


def _memo(module: nn.Module, weights: bool) -> dict[int, Any]:
    """What a copy is to take in place of the tensors of `module`."""
    memo: dict[int, Any] = {}
    twins: dict[Any, torch.Tensor] = {}  # one for each piece of memory, so that ties stay ties

    def replace(tensor: torch.Tensor) -> None:
        if is_lazy(tensor):  # its shape is found out during forward
            kind: Any = type(tensor)
            memo[id(tensor)] = kind(requires_grad=tensor.requires_grad)
        elif _is_sparse(tensor):  # how many elements it holds is a value
            memo[id(tensor)] = _sparse_copy(tensor)
        elif not weights and tensor.layout is torch.strided:
            key = (type(tensor), identity(tensor))
            twin = memo[id(tensor)] = twins.setdefault(key, on_meta(tensor))
            if attributes := attributes_of(tensor):
                vars(twin).update(attributes)

    for child in module.modules():
        for parameter in child._parameters.values():
            if parameter is not None:
                replace(parameter)
        for buffer in child._buffers.values():
            if buffer is not None and (
                is_lazy(buffer) or _is_sparse(buffer) or buffer.numel() > SMALL
            ):
                replace(buffer)
        for value in vars(child).values():  # such as the `weight` that weight_norm computes
            if torch.Tensor in type(value).__mro__ and not is_lazy(value):
                if not weights and (value.numel() > SMALL or not value.is_leaf):
                    memo[id(value)] = on_meta(value.detach())
                elif not value.is_leaf:
                    memo[id(value)] = value.detach().clone()
    return memo


def _clone(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
    """A copy with values, the same for the same tensor and in the same memory for a view of it."""
    if _is_sparse(tensor):
        return _sparse_copy(tensor)
    wrapper: bool = is_traceable_wrapper_subclass(tensor)
    copied: torch.Tensor = whole(tensor) if wrapper else copy.deepcopy(tensor, memo)
    return copied


def _is_sparse(tensor: torch.Tensor) -> bool:
    return tensor.layout in SPARSE


def _sparse_copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with values: compressed tensors refuse to be copied as others are."""
    twin = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin
