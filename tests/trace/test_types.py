"""The type of an input of which only the shape was given, and mixtures of types that torch refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import cnnstat
from cnnstat.errors import TraceError

ENGINES = ("auto", "meta", "fake", "cpu")


class Mixed(nn.Module):
    """Products of an input and a weight of another type, as a function of `torch` makes them."""

    def __init__(self, product: Any, *shape: int, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.product = product
        self.weight = nn.Parameter(torch.ones(shape, dtype=dtype))

    def forward(self, x: Any) -> Any:
        return self.product(x, self.weight)


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
)
def test_a_shape_alone_takes_the_type_of_the_parameters(dtype: str) -> None:
    report = cnnstat.analyze(nn.Linear(4, 2, dtype=getattr(torch, dtype)), (3, 4))
    assert report.meta["inputs"] == [{"name": "", "shape": [3, 4], "dtype": dtype}]


def test_a_convolution_in_half_precision_is_counted() -> None:
    """3·3·3 products for each of 4·6·6 outputs."""
    report = cnnstat.analyze(nn.Conv2d(3, 4, 3).half(), (1, 3, 8, 8))
    assert report.totals.macs == 27 * 4 * 36


def test_the_first_parameter_decides_and_a_note_lists_the_others() -> None:
    model = nn.Sequential(nn.Linear(4, 4).to(torch.bfloat16), nn.LayerNorm(4).to(torch.bfloat16))
    model.append(Mixed(torch.mul, 4, dtype=torch.float64))
    report = cnnstat.analyze(model, (3, 4))
    assert [item["dtype"] for item in report.meta["inputs"]] == ["bfloat16"]
    (note,) = [note for note in report.notes if note.kind == "types"]
    assert "bfloat16" in note.text and "float64" in note.text


def test_whole_numbers_and_parameters_of_whole_numbers_stay_what_they_are() -> None:
    report = cnnstat.analyze(nn.Embedding(10, 4).half(), "2x3:int64")
    assert report.meta["inputs"][0]["dtype"] == "int64"
    packed = Mixed(lambda x, w: x * w, 4, dtype=torch.float32)
    packed.register_parameter("first", nn.Parameter(torch.zeros(1).int(), requires_grad=False))
    assert cnnstat.analyze(packed, (3, 4)).meta["inputs"][0]["dtype"] == "float32"


def test_the_memory_is_that_of_the_type() -> None:
    """2·8 inputs, 2·8 outputs and 8·8 weights, of two bytes each."""
    memory = cnnstat.estimate_memory(nn.Sequential(nn.Linear(8, 8, bias=False)).half(), (2, 8))
    assert memory.meta["inputs"][0]["dtype"] == "float16"
    assert memory.eager.live.nbytes == 192


def test_others_count_with_the_same_type() -> None:
    pytest.importorskip("fvcore")
    check = cnnstat.crosscheck(nn.Conv2d(3, 4, 3).double(), (1, 3, 8, 8))
    assert not any(found.opinion.failure for found in check.checks)


PRODUCTS = {
    "linear": (functional.linear, (3, 4), (2, 4)),
    "matmul": (torch.matmul, (3, 4), (4, 2)),
    "mm": (torch.mm, (3, 4), (4, 2)),
    "bmm": (torch.bmm, (2, 3, 4), (2, 4, 5)),
    "batched matmul": (torch.matmul, (2, 3, 4), (4, 5)),
    "mv": (torch.mv, (3, 4), (4,)),
    "einsum": (lambda x, w: torch.einsum("ij,jk->ik", x, w), (3, 4), (4, 2)),
    "addmm": (lambda x, w: torch.addmm(w[0], x, w), (3, 4), (4, 2)),
    "baddbmm": (lambda x, w: torch.baddbmm(w[:, :1], x, w), (2, 3, 4), (2, 4, 5)),
    "conv1d": (functional.conv1d, (1, 3, 8), (4, 3, 3)),
    "conv2d": (functional.conv2d, (1, 3, 8, 8), (4, 3, 3, 3)),
    "conv_transpose2d": (functional.conv_transpose2d, (1, 3, 8, 8), (3, 4, 3, 3)),
    "attention": (
        lambda x, w: functional.scaled_dot_product_attention(x, w, w),
        (1, 1, 4, 4),
        (1, 1, 4, 4),
    ),
    "layer_norm": (lambda x, w: functional.layer_norm(x, (4,), w, w), (3, 4), (4,)),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_what_torch_refuses_is_refused_by_every_engine(name: str, engine: str) -> None:
    product, given, weight = PRODUCTS[name]
    model = Mixed(product, *weight)
    with pytest.raises(RuntimeError):
        model(torch.ones(given))
    text = "x".join(map(str, given))
    with pytest.raises(TraceError) as caught:
        cnnstat.analyze(model, f"{text}:float32", engine=engine)
    assert f"-i {text}:bfloat16" in caught.value.hint
    cnnstat.analyze(model, f"{text}:bfloat16", engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_embedding_is_told_to_take_whole_numbers(engine: str) -> None:
    with pytest.raises(TraceError) as caught:
        cnnstat.analyze(nn.Embedding(10, 4), (2, 3), engine=engine)
    assert "-i 2x3:int64" in caught.value.hint


@pytest.mark.parametrize("call", [cnnstat.estimate_memory, cnnstat.crosscheck])
def test_every_verb_refuses(call: Any) -> None:
    with pytest.raises(TraceError, match="dtype"):
        call(nn.Linear(4, 2).to(torch.bfloat16), "3x4:float32")


@pytest.mark.parametrize("engine", ENGINES)
def test_what_torch_promotes_is_counted(engine: str) -> None:
    """An elementwise product of two types is one product for each of 12 elements."""
    model = Mixed(lambda x, w: x * w, 4)
    model(torch.ones(3, 4))
    assert cnnstat.analyze(model, "3x4:float32", engine=engine).totals.flops == 12


def test_autocast_inside_forward_is_no_mixture() -> None:
    """2·8·8 products, twice; the second layer gets bfloat16 where autocast is on."""

    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return self.layer(self.layer(x).to(torch.bfloat16))

    assert cnnstat.analyze(Cast(), (2, 8)).totals.macs == 256
