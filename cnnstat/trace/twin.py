"""A stand-in for the user's module: the same code and structure, without its weights.

Running the stand-in does not change the original. Where the original cannot be copied (an attribute that
refuses, such as a lock), or its own code holds on to it (a closure over `self`), the original itself runs.
In either case it is put back as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

from cnnstat.trace.modules import identity, is_lazy

_SMALL = 1 << 20  # elements up to which a tensor keeps its values, which forward may ask for


@contextmanager
def stand_in(module: nn.Module, *, weights: bool = False) -> Iterator[nn.Module]:
    """A copy of `module`, its parameters on the meta device or, with `weights`, copied."""
    try:
        twin = copy.deepcopy(module, _memo(module, weights))
    except Exception:  # any attribute of the user's may refuse to be copied, in any way
        twin = None
    if twin is None:
        with in_place(module, weights=weights) as same:
            yield same
    else:
        with _kept(module, weights):
            yield twin


@contextmanager
def in_place(module: nn.Module, *, weights: bool = False) -> Iterator[nn.Module]:
    """The module itself, its parameters swapped for meta ones unless `weights`; then put back."""
    with _kept(module, weights):
        memo = {} if weights else _memo(module, weights)
        for child in module.modules():
            for held in (child._parameters, child._buffers):
                for name, tensor in held.items():
                    if tensor is not None and id(tensor) in memo:
                        held[name] = memo[id(tensor)]
        yield module


def on_meta(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same shape, strides and type; a `Parameter` gives a `Parameter`."""
    with torch.no_grad():
        size, stride = tensor.size(), tensor.stride()
        twin = torch.empty_strided(size, stride, dtype=tensor.dtype, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin


def _memo(module: nn.Module, weights: bool) -> dict[int, Any]:
    """What a copy is to take in place of the tensors of `module`."""
    memo: dict[int, Any] = {}
    twins: dict[Any, torch.Tensor] = {}  # one for each piece of memory, so that ties stay ties

    def replace(tensor: torch.Tensor) -> None:
        if is_lazy(tensor):  # its shape is found out during forward
            kind: Any = type(tensor)
            memo[id(tensor)] = kind(requires_grad=tensor.requires_grad)
        elif not weights and tensor.layout is torch.strided:
            key = (type(tensor), identity(tensor))
            memo[id(tensor)] = twins.setdefault(key, on_meta(tensor))

    for parameter in module.parameters():
        if not weights or is_lazy(parameter):
            replace(parameter)
    for buffer in module.buffers():
        if is_lazy(buffer) or (not weights and buffer.numel() > _SMALL):
            replace(buffer)
    for child in module.modules():
        for value in vars(child).values():  # such as the `weight` that weight_norm computes
            if isinstance(value, torch.Tensor) and not is_lazy(value):
                if not weights and (value.numel() > _SMALL or not value.is_leaf):
                    memo[id(value)] = on_meta(value.detach())
                elif not value.is_leaf:
                    memo[id(value)] = value.detach().clone()
    return memo


@contextmanager
def _kept(module: nn.Module, everything: bool) -> Iterator[None]:
    """Put the module back as it was: classes, attributes, the containers in them, buffers, gradients.

    What forward changes deeper inside the user's own objects stays changed.
    """
    modules = list(module.modules())
    kinds = [type(child) for child in modules]
    attributes = [dict(vars(child)) for child in modules]
    contents = [
        {
            name: copy.copy(value)
            for name, value in held.items()
            if isinstance(value, dict | list | set)
        }
        for held in attributes
    ]
    gradients = [(p, p.grad) for p in module.parameters() if not is_lazy(p)]
    tensors = [
        t for t in module.buffers() if not is_lazy(t) and (everything or t.numel() <= _SMALL)
    ]
    values = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    finally:
        for child, kind, held, saved in zip(modules, kinds, attributes, contents, strict=True):
            child.__class__ = kind
            child.__dict__.clear()
            child.__dict__.update(held)
            for name, content in saved.items():
                _refill(held[name], content)
        for parameter, gradient in gradients:
            if parameter.grad is not gradient:
                parameter.grad = gradient
        for tensor, value in values:
            _rewrite(tensor, value)


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, list):
        container[:] = content
    else:
        container.clear()
        container.update(content)


def _rewrite(tensor: torch.Tensor, value: torch.Tensor) -> None:
    with (
        torch.no_grad(),
        suppress(NotImplementedError, RuntimeError),
    ):  # layouts that cannot compare
        if torch.equal(tensor, value):
            return
        tensor.copy_(value)
