"""A model on fake tensors: CPU tensors without data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from cnnstat.trace.lazy import holders
from cnnstat.trace.modules import is_lazy
from cnnstat.trace.snapshot import attributes_of


@contextmanager
def fake_tensors(model: nn.Module) -> Iterator[None]:
    """Put fake CPU tensors in the place of the model's meta ones, and make every new tensor fake."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        twins: dict[int, torch.Tensor] = {}  # tied parameters stay tied
        for held in holders(model):
            for name, tensor in list(held.items()):
                if tensor is not None and tensor.is_meta and not is_lazy(tensor):
                    held[name] = twins.setdefault(id(tensor), _fake_like(tensor))
        yield


def _fake_like(tensor: torch.Tensor) -> torch.Tensor:
    size, stride = tensor.size(), tensor.stride()
    twin = torch.empty_strided(size, stride, dtype=tensor.dtype, device="cpu")
    if isinstance(tensor, nn.Parameter):
        twin = nn.Parameter(twin, requires_grad=tensor.requires_grad)
        vars(twin).update(attributes_of(tensor) or {})
    return twin
