"""Weights that quantised layers keep packed: in objects of the kernels, which are no tensors.

A convolution holds such an object itself; a linear layer, an embedding and a recurrent layer hold it in
modules of their own, which are no layers: what they hold is the layer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from cnnstat.record import TensorSpec

_GEOMETRY = ("stride", "padding", "dilation", "groups")
_HOLDERS = frozenset({"LinearPackedParams", "EmbeddingPackedParams", "PackedParameter"})
"""Modules of `torch.ao.nn` that hold one object each, and compute nothing."""


def is_holder(module: nn.Module) -> bool:
    """Whether the module is there to hold packed weights for the layer that it is in."""
    if isinstance(module, nn.ModuleList):  # of the recurrent layers
        return len(module._modules) > 0 and all(
            held is not None and is_holder(held) for held in module._modules.values()
        )
    return type(module).__name__ in _HOLDERS and type(module).__module__.startswith("torch.ao.nn.")


def packed_weights(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Name, and a copy to look at, of every weight and bias that a quantised layer keeps packed.

    That which its holders keep is among them.
    """
    for name, value in vars(module).items():
        if isinstance(value, torch.ScriptObject):
            yield from _tensors(name, value)
    for name, child in module._modules.items():
        if child is not None and is_holder(child):
            for inner, tensor in packed_weights(child):
                yield (f"{name}.{inner}" if isinstance(module, nn.ModuleList) else inner), tensor


def _tensors(name: str, packed: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if not packed._has_method("unpack"):
        yield from _recurrent(packed)
        return
    suffix = (
        name.removeprefix("_packed_weight").removeprefix("_packed_params").removeprefix("param")
    )
    for role, tensor in zip(("weight", "bias"), _unpacked(packed), strict=False):
        if isinstance(tensor, torch.Tensor):
            yield role + suffix, tensor


def _unpacked(packed: Any) -> tuple[Any, ...]:
    found = packed.unpack()
    return found if isinstance(found, tuple) else (found,)


def _recurrent(packed: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Matrices and biases of a layer of an LSTM or GRU: tensors and two packed linear layers in its state."""
    if not packed._has_method("__getstate__"):
        return
    state = packed.__getstate__()
    parts = state[0] if isinstance(state, tuple) and state and isinstance(state[0], tuple) else ()
    lists = [part for part in parts if isinstance(part, list)]
    biases = [item for part in lists for item in part if isinstance(item, torch.Tensor)]
    linear = [item for part in lists for item in part if isinstance(item, torch.ScriptObject)]
    for gates, layer in zip(("ih", "hh"), linear, strict=False):
        yield f"weight_{gates}", _unpacked(layer)[0]
    for gates, bias in zip(("ih", "hh"), biases, strict=False):
        yield f"bias_{gates}", bias


def with_geometry(op: str, described: dict[str, Any], packed: Any) -> dict[str, Any]:
    """Arguments of a call, with what its packed convolution knows besides: stride, padding, dilation, groups.

    One over a single dimension is kept as one over images of height 1; that height is left out. The
    arguments themselves where `packed` is another object.
    """
    if not all(map(packed._has_method, (*_GEOMETRY, "transpose"))):
        return described
    skipped = 1 if "1d" in op else 0
    geometry = {
        name: tuple(value)[skipped:] if isinstance(value, list) else value
        for name, value in ((name, getattr(packed, name)()) for name in _GEOMETRY)
    }
    if skipped:
        described = {name: _without_height(value) for name, value in described.items()}
    return {**described, **geometry, "transposed": bool(packed.transpose())}


def _without_height(value: Any) -> Any:
    if not (isinstance(value, tuple) and value and isinstance(value[0], TensorSpec)):
        return value
    weight = value[0]
    return (replace(weight, shape=(*weight.shape[:2], *weight.shape[3:])), *value[1:])
