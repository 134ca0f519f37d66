"""Lazy modules without data: parameters and buffers that get their shape while the model runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]


@contextmanager
def materialized_on(model: nn.Module, engine: str) -> Iterator[None]:
    """While this is active, what is lazy in the model becomes a new tensor of `engine`: `"meta"` or `"fake"`.

    torch gives the lazy tensor itself other data, which can neither be meta nor fake, nor made in
    inference mode. Here the modules that hold it are given another tensor.
    """

    where = "meta" if engine == "meta" else "cpu"

    def materialize(lazy: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        made: Any = torch.empty(shape, dtype=dtype or lazy.dtype, device=where)
        if isinstance(lazy, nn.Parameter):
            made = nn.Parameter(made, requires_grad=lazy.requires_grad)
        for held in holders(model):
            for name, tensor in list(held.items()):
                if tensor is lazy:
                    held[name] = made

    with patch.object(UninitializedTensorMixin, "materialize", materialize):
        yield


def holders(model: nn.Module) -> Iterator[dict[str, Any]]:
    """The dictionaries in which a model's modules keep their parameters and buffers."""
    for module in model.modules():
        yield module._parameters
        yield module._buffers
