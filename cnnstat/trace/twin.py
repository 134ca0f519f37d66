"""A stand-in for the user's module: the same code and structure, without its weights.

Running the stand-in cannot change the original. Only where the original cannot be copied (an
attribute that refuses, such as a lock) does it run itself, and is put back as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from cnnstat.trace.modules import is_lazy

_SMALL = 1 << 20  # elements up to which a buffer keeps its values, which forward may ask for


@contextmanager
def stand_in(module: nn.Module) -> Iterator[nn.Module]:
    """A module like `module` with its parameters on the meta device, for the time of the body."""
    try:
        twin = copy.deepcopy(module, _meta_memo(module))
    except Exception:  # any attribute of the user's may refuse to be copied, in any way
        with _borrowed(module) as same:
            yield same
    else:
        yield twin


def real_copy(module: nn.Module) -> nn.Module:
    """A module like `module` with copies of its weights. Raises what the copying raises."""
    return copy.deepcopy(module)


def on_meta(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same shape, strides and type; a `Parameter` gives a `Parameter`."""
    if is_lazy(tensor):
        return tensor  # its shape is found out during forward
    with torch.no_grad():
        size, stride = tensor.size(), tensor.stride()
        twin = torch.empty_strided(size, stride, dtype=tensor.dtype, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin


def _meta_memo(module: nn.Module) -> dict[int, Any]:
    """What `deepcopy` is to take in place of the tensors of `module`."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        if not is_lazy(parameter):
            memo[id(parameter)] = on_meta(parameter)
    for buffer in module.buffers():
        if not is_lazy(buffer) and buffer.numel() > _SMALL:
            memo[id(buffer)] = on_meta(buffer)
    for child in module.modules():
        for value in vars(child).values():  # such as the `weight` that weight_norm computes
            if (
                isinstance(value, torch.Tensor)
                and not is_lazy(value)
                and (value.numel() > _SMALL or not value.is_leaf)
            ):
                memo[id(value)] = on_meta(value.detach())
    return memo


@contextmanager
def _borrowed(module: nn.Module) -> Iterator[nn.Module]:
    """The module itself with its parameters swapped for meta ones, then put back as it was.

    Every module's `__dict__` is restored, with the dictionaries and lists in it; what forward
    changes deeper inside the user's own objects is not.
    """
    modules = list(module.modules())
    before = [{name: _shallow(value) for name, value in vars(child).items()} for child in modules]
    identity = [dict(vars(child)) for child in modules]
    buffers = [buffer for buffer in module.buffers() if not is_lazy(buffer)]
    values = [(buffer, buffer.clone()) for buffer in buffers if buffer.numel() <= _SMALL]
    memo = _meta_memo(module)
    try:
        for child in modules:
            for held in (child._parameters, child._buffers):
                for name, tensor in held.items():
                    if tensor is not None and id(tensor) in memo:
                        held[name] = memo[id(tensor)]
        yield module
    finally:
        for child, saved, same in zip(modules, before, identity, strict=True):
            child.__dict__.clear()
            child.__dict__.update(same)
            for name, value in saved.items():
                if value is not None:
                    _put_back(same[name], value)
        with torch.no_grad():
            for buffer, value in values:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


def _shallow(value: Any) -> Any:
    return copy.copy(value) if isinstance(value, dict | list | set) else None


def _put_back(original: Any, saved: Any) -> None:
    if isinstance(original, dict | set):
        original.clear()
        original.update(saved)
    elif isinstance(original, list):
        original[:] = saved
