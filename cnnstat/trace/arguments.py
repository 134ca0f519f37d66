"""The tensors that a network is fed, made for the engine that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from cnnstat.inputs import Inputs, InputSpec
from cnnstat.trace.meta import NeedsValues
from cnnstat.trace.twin import on_meta


def arguments(inputs: Inputs, engine: str) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by position and by keyword; `engine` is `"meta"`, `"fake"` or `"cpu"`.

    On the CPU they are random, from torch's present state; given tensors are copied, and on the other
    engines only their shapes are.
    """
    make = {"meta": _meta, "fake": _fake, "cpu": _cpu}[engine]
    args = [_filled(value, make) for value in inputs.args]
    return args, {name: _filled(value, make) for name, value in inputs.kwargs.items()}


def parameter_types(model: nn.Module) -> tuple[str, ...]:
    """The floating and complex types of a model's parameters, each once, in definition order.

    Types of one byte are left out: weights are stored in them, and nothing is fed in them.
    """
    dtypes = (parameter.dtype for parameter in model.parameters())
    kept = (d for d in dtypes if (d.is_floating_point or d.is_complex) and d.itemsize > 1)
    return tuple(dict.fromkeys(str(dtype).removeprefix("torch.") for dtype in kept))


def _filled(value: Any, make: Callable[[Any], torch.Tensor]) -> Any:
    """Replace every input specification and tensor in a nested structure."""
    if isinstance(value, InputSpec | torch.Tensor):
        return make(value)
    if isinstance(value, Mapping):
        return {name: _filled(item, make) for name, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_filled(item, make) for item in value]
        if hasattr(value, "_fields"):  # a named tuple
            return type(value)(*items)
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _meta(value: InputSpec | torch.Tensor) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        _refuse_sparse(value)
        # Lengths, masks and indices may be asked for their values.
        return on_meta(value) if value.is_floating_point() else value.detach().cpu().clone()
    return torch.empty(value.shape, dtype=getattr(torch, value.dtype), device="meta")


def _fake(value: InputSpec | torch.Tensor) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        _refuse_sparse(value)
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype)
    return torch.empty(value.shape, dtype=getattr(torch, value.dtype))


def _refuse_sparse(value: torch.Tensor) -> None:
    if value.layout is not torch.strided:  # which elements it has is among its values
        raise NeedsValues(f"an input is sparse ({str(value.layout).removeprefix('torch.')})")


def _cpu(value: InputSpec | torch.Tensor) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    dtype: torch.dtype = getattr(torch, value.dtype)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(value.shape).to(dtype)
    return torch.randint(0, 2, value.shape).to(dtype)  # an index that every embedding has
