"""Networks whose constructors need values, also where their own code hides that."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnstat
from cnnstat.errors import BuildError

FILE = """
import torch
from torch import nn

class Caught(nn.Module):        # says something else, as a library does that solves for its weights
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        try:
            torch.linalg.lstsq(self.layer.weight, torch.ones(3, 1)).solution.tolist()
            float(self.layer.weight.sum())
        except Exception:
            raise ValueError("lstsq failed")

    def forward(self, x):
        return self.layer(x)

class Solved(nn.Module):        # solves a real system for values that a parameter has
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        try:
            found = torch.linalg.lstsq(torch.rand(3, 3), self.layer.weight.detach()).solution
        except Exception:
            print("lstsq failed")
        self.rows = found.shape[0]

    def forward(self, x):
        return self.layer(x)

class Left(Caught):             # ends the program
    def __init__(self):
        try:
            super().__init__()
        except ValueError:
            raise SystemExit(1)

class Another(nn.Module):       # goes on with another network
    def __init__(self):
        super().__init__()
        width = 1
        try:
            width = 5 if self.weighed() else 2
        except RuntimeError:
            pass
        self.layer = nn.Linear(4, width)

    def weighed(self):
        return bool(nn.Linear(2, 2).weight.isfinite().all())

    def forward(self, x):
        return self.layer(x)

class Wrong(Caught):
    def __init__(self):
        super().__init__()
        raise KeyError("nowhere")

class Sub(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3)

    def forward(self, x):
        return torch.relu(self.conv(x))

def traced():
    return torch.jit.trace(Sub(), torch.randn(1, 4, 8, 8))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("name", "params"), [("Caught", 15), ("Solved", 15), ("Left", 15), ("Another", 25)]
)
def test_a_refusal_that_was_caught_is_seen(file: Path, name: str, params: int) -> None:
    """4·3 + 3 parameters, or 4·5 + 5 in the network that finite weights lead to; two inputs."""
    totals = cnnstat.analyze(f"{file}:{name}", (2, 4)).totals
    assert totals.params == params
    assert totals.macs == 2 * (12 if params == 15 else 20)


def test_the_message_names_both_attempts(file: Path) -> None:
    with pytest.raises(BuildError, match=r"nowhere.*built for real.*without values") as caught:
        cnnstat.analyze(f"{file}:Wrong", (2, 4))
    assert "\n" not in caught.value.message


def test_a_factory_may_trace(file: Path) -> None:
    """4·3·3 products for each of 8·6·6 outputs; 8·4·3·3 + 8 parameters."""
    report = cnnstat.analyze(f"{file}:traced", (1, 4, 8, 8))
    assert report.totals.macs == 36 * 288
    assert report.totals.params == 296
