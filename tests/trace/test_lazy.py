"""Lazy modules get their shape during the pass, on every engine and from the command line too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import cnnstat

FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.LazyConv2d(8, 3, padding=1)
        self.norm = nn.LazyBatchNorm2d()
        self.head = nn.LazyLinear(10)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x))).flatten(1))

class Setter(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.UninitializedParameter()

    def forward(self, x):
        if isinstance(self.weight, nn.UninitializedParameter):
            self.weight.materialize((x.shape[-1], 4))
        return x @ self.weight
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("engine", ["auto", "meta", "fake", "cpu"])
def test_a_network_from_a_file(file: Path, engine: str) -> None:
    """8·3·9 + 8, 8 + 8 and 10·512 + 10 parameters; 2·64·8·27 + 2·512·10 MACs."""
    report = cnnstat.analyze(f"{file}:Net", (2, 3, 8, 8), engine=engine)
    assert report.totals.params == 224 + 16 + 5130
    assert report.totals.macs == 27648 + 10240
    assert report.complete


@pytest.mark.parametrize("engine", ["auto", "meta", "fake", "cpu"])
def test_a_parameter_that_forward_shapes(file: Path, engine: str) -> None:
    """2·8·4 MACs with 8·4 weights."""
    report = cnnstat.analyze(f"{file}:Setter", (2, 8), engine=engine)
    assert (report.totals.params, report.totals.macs) == (32, 64)


def test_no_engine_with_values_is_needed(file: Path) -> None:
    assert cnnstat.analyze(f"{file}:Net", (2, 3, 8, 8)).meta["engine"] == "meta"


def test_its_weights_are_weights_in_memory(file: Path) -> None:
    """5,370 parameters of four bytes."""
    memory = cnnstat.estimate_memory(f"{file}:Net", (2, 3, 8, 8))
    assert memory.eager.weights == 4 * 5370


def test_a_module_is_lazy_afterwards() -> None:
    model = nn.Sequential(nn.LazyLinear(4))
    assert cnnstat.analyze(model, (2, 8)).totals.macs == 64
    assert isinstance(model[0].weight, nn.UninitializedParameter)
    assert model(torch.ones(1, 3)).shape == (1, 4)
