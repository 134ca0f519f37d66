"""A model on fake tensors: CPU tensors without data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from cnnstat.trace.modules import is_lazy
from cnnstat.trace.snapshot import attributes_of


@contextmanager
def fake_tensors(model: nn.Module) -> Iterator[None]:
    """Put fake CPU tensors in the place of the model's meta ones, and make every new tensor fake."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    def materialize(lazy: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        # A tensor cannot become a fake one: the modules that hold it are given another.
        made: Any = torch.empty(shape, dtype=dtype or lazy.data.dtype)
        if isinstance(lazy, nn.Parameter):
            made = nn.Parameter(made, requires_grad=lazy.requires_grad)
        for held in _holders(model):
            for name, tensor in list(held.items()):
                if tensor is lazy:
                    held[name] = made

    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        patch.object(UninitializedTensorMixin, "materialize", materialize),
    ):
        twins: dict[int, torch.Tensor] = {}  # tied parameters stay tied
        for held in _holders(model):
            for name, tensor in list(held.items()):
                if tensor is not None and tensor.is_meta and not is_lazy(tensor):
                    held[name] = twins.setdefault(id(tensor), _fake_like(tensor))
        yield


def _holders(model: nn.Module) -> Iterator[dict[str, Any]]:
    for module in model.modules():
        yield module._parameters
        yield module._buffers


def _fake_like(tensor: torch.Tensor) -> torch.Tensor:
    size, stride = tensor.size(), tensor.stride()
    twin = torch.empty_strided(size, stride, dtype=tensor.dtype, device="cpu")
    if isinstance(tensor, nn.Parameter):
        twin = nn.Parameter(twin, requires_grad=tensor.requires_grad)
        vars(twin).update(attributes_of(tensor) or {})
    return twin
