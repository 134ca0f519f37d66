"""What a note says of a run for real: what was seeded, and which kernel was missing, in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import cnnstat


class Kept(nn.Module):
    """Takes the rows that are not zero: how many there are is among its values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.layer(x[x.sum(1) != 0])


def note_of(model: Any, inputs: Any, engine: str = "auto") -> str:
    report = cnnstat.analyze(model, inputs, engine=engine)
    return next(note.text for note in report.notes if note.kind == "data-dependent")


def test_only_what_was_drawn_is_called_seeded() -> None:
    assert "with seeded inputs:" in note_of(Kept(), (3, 4))
    assert "seeded" not in note_of(Kept(), (torch.ones(3, 4),))
    assert "with seeded weights and inputs:" in note_of("zoo:lenet5", None, "cpu")


class Asks(Kept):
    """Asks for a value in a layer of its own."""

    def forward(self, x: Any) -> Any:
        return self.layer(x) if x.sum().item() >= 0 else x


def test_the_place_that_asked_for_a_value_is_named() -> None:
    text = note_of(nn.Sequential(nn.Identity(), Asks()), (3, 4))
    assert "the value of a tensor in 1 (" in text
    assert "test_ran_for_real.py:" in text


@pytest.mark.filterwarnings("ignore")
def test_a_missing_kernel_is_named_without_a_list_of_backends() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    text = note_of(model, (1, 16))
    assert "aten::_empty_affine_quantized has no kernel for" in text
    assert "\n" not in text and "backends" not in text and len(text) < 400


@torch.library.custom_op("cnnstat_test_kernels::asserts", mutates_args=())
def asserts(x: torch.Tensor) -> torch.Tensor:
    """An operation whose meta kernel is wrong."""
    return x.clone()


@asserts.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    raise AssertionError("stride of x")


class Asserts(Kept):
    def forward(self, x: Any) -> Any:
        return self.layer(asserts(x))


def test_a_meta_kernel_that_asserts_is_no_failure_of_the_model() -> None:
    """3·4·2 MACs."""
    report = cnnstat.analyze(Asserts(), (3, 4))
    assert report.meta["engine"] == "cpu"
    assert report.totals.macs == 24
