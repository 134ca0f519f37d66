"""Types that torch refuses on a CPU are refused by every engine, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnnstat
from cnnstat.errors import TraceError

SHORT = torch.bfloat16


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(*tensors)


def ones(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(shape, dtype=dtype)


def short(*shape: int) -> torch.Tensor:
    return ones(*shape, dtype=SHORT)


def joined(text: str) -> Callable[..., torch.Tensor]:
    return lambda a, b: torch.einsum(text, a, b)


CASES: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
    "linear": (nn.Linear(4, 3, dtype=SHORT), (ones(2, 4),)),
    "linear, short input": (nn.Linear(4, 3), (short(2, 4),)),
    "linear, whole numbers": (nn.Linear(4, 3), (ones(2, 4, dtype=torch.int64),)),
    "linear, double": (nn.Linear(4, 3, dtype=torch.float64), (ones(2, 4),)),
    "convolution": (nn.Conv2d(3, 3, 1, dtype=SHORT), (ones(1, 3, 4, 4),)),
    "transposed": (nn.ConvTranspose1d(3, 3, 1, dtype=SHORT), (ones(1, 3, 4),)),
    "matmul": (Calls(torch.matmul), (ones(2, 4), short(4, 3))),
    "bmm": (Calls(torch.bmm), (ones(1, 2, 4), short(1, 4, 3))),
    "addmm": (Calls(torch.addmm), (short(3), ones(2, 4), ones(4, 3))),
    "baddbmm": (Calls(torch.baddbmm), (short(1, 2, 3), ones(1, 2, 4), ones(1, 4, 3))),
    "addbmm": (Calls(torch.addbmm), (ones(2, 3), short(1, 2, 4), ones(1, 4, 3))),
    "mv": (Calls(torch.mv), (ones(2, 4), short(4))),
    "einsum": (Calls(joined("ij,jk->ik")), (ones(2, 4), short(4, 3))),
    "attention": (
        Calls(F.scaled_dot_product_attention),
        (ones(1, 1, 2, 4), short(1, 1, 2, 4), ones(1, 1, 2, 4)),
    ),
    "multi-head": (nn.MultiheadAttention(4, 2, dtype=SHORT), (ones(2, 1, 4),) * 3),
    "recurrent": (nn.GRU(4, 3, dtype=SHORT), (ones(2, 1, 4),)),
    "recurrent cell": (nn.RNNCell(4, 3, dtype=SHORT), (ones(1, 4),)),
    "bilinear": (nn.Bilinear(4, 4, 3, dtype=SHORT), (ones(2, 4), ones(2, 4))),
    "layer norm": (nn.LayerNorm(4, dtype=SHORT), (ones(2, 4),)),
    "group norm": (nn.GroupNorm(2, 4, dtype=SHORT), (ones(2, 4, 3),)),
    "batch norm": (nn.BatchNorm1d(4, dtype=SHORT), (ones(2, 4),)),
    "distances": (Calls(torch.cdist), (ones(2, 4), short(2, 4))),
    "grid": (Calls(F.grid_sample), (ones(1, 1, 2, 2), short(1, 2, 2, 2))),
    "softmax of whole numbers": (nn.Softmax(-1), (ones(2, 3, dtype=torch.int64),)),
    "gelu of whole numbers": (nn.GELU(), (ones(2, dtype=torch.int64),)),
}

ALLOWED: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
    "layer norm, short input": (nn.LayerNorm(4), (short(2, 4),)),
    "group norm, short input": (nn.GroupNorm(2, 4), (short(2, 4, 3),)),
    "batch norm, short input": (nn.BatchNorm1d(4), (short(2, 4),)),
    "rms norm": (nn.RMSNorm(4, dtype=SHORT), (ones(2, 4),)),
    "sum": (Calls(torch.add), (ones(2, 4), short(2, 4))),
    "choice": (Calls(lambda a, b: torch.where(a > 0, a, b)), (ones(2), short(2))),
    "concatenation": (Calls(lambda a, b: torch.cat([a, b])), (ones(2), short(2))),
    "mask": (
        Calls(lambda a, m: F.scaled_dot_product_attention(a, a, a, attn_mask=m)),
        (ones(1, 1, 2, 4), torch.ones(2, 2, dtype=torch.bool)),
    ),
}


@pytest.mark.parametrize("engine", ["auto", "meta", "cpu"])
@pytest.mark.parametrize("name", CASES)
def test_what_torch_refuses_for_its_types_every_engine_refuses(name: str, engine: str) -> None:
    module, tensors = CASES[name]
    module.eval()
    with pytest.raises((RuntimeError, ValueError)), torch.no_grad():
        module(*(tensor.clone() for tensor in tensors))
    with pytest.raises(TraceError, match=r"forward failed|cannot give"):
        cnnstat.analyze(module, tensors, engine=engine)


@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
@pytest.mark.parametrize("name", ALLOWED)
def test_what_torch_computes_no_engine_refuses(name: str, engine: str) -> None:
    module, tensors = ALLOWED[name]
    module.eval()
    with torch.no_grad():
        module(*(tensor.clone() for tensor in tensors))
    cnnstat.analyze(module, tensors, engine=engine)


def test_autocast_makes_types_alike() -> None:
    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", SHORT):
                return self.layer(self.layer(x))

    assert cnnstat.analyze(Cast(), (2, 4)).totals.macs == 2 * 2 * 4 * 4
