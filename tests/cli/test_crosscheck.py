"""`cnnstat crosscheck`: exit codes, formats, and one line where something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from cnnstat.cli.crosscheck import crosscheck
from tests.cli.conftest import Result

Run = Callable[..., Result]

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, padding="same"):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=padding)

    def forward(self, x):
        print("running")
        return self.conv(x)
"""


GAPPED = """
import torch
from torch import nn

library = torch.library.Library("crosscheck_cli", "FRAGMENT")
if not hasattr(torch.ops.crosscheck_cli, "odd"):
    library.define("odd(Tensor x) -> Tensor")
    library.impl("odd", lambda x: x.clone(), "CPU")
    library.impl("odd", lambda x: x.new_empty(x.shape), "Meta")

class Odd(nn.Module):
    def forward(self, x):
        return torch.ops.crosscheck_cli.odd(x)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.odd = Odd()

    def forward(self, x):
        return self.odd(self.fc(x))
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(crosscheck)

    def run(*args: object) -> Result:
        capsys.readouterr()
        code = app([str(arg) for arg in args], standalone_mode=False)
        out, err = capsys.readouterr()
        return Result(int(code or 0), out, err)

    return run


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "crosschecked_net.py"
    path.write_text(NET, encoding="utf-8")
    return path


def test_all_explained_is_0(run: Run, net: Path) -> None:
    result = run(f"{net}:Net", "-i", "1x3x16x16")
    assert result.code == 0
    assert (
        "fvcore differs for known reasons: both count 0 of cnnstat's 55,296 MACs (0.0 %); "
        "−55,296 by its errors; nothing unexplained."
    ) in result.out
    assert "flop-counter agrees: all 55,296 MACs × 2; nothing unexplained." in result.out
    assert "running" not in result.out and "running" in result.err


def test_an_unexplained_difference_is_1(
    run: Run, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnstat.opinions import fvcore

    real = fvcore.opinion

    def one_more(prepared: Any, how: str) -> Any:
        found = real(prepared, how)
        return replace(found, total=found.total + 1, counts={**found.counts, "conv": {"conv": 1}})

    monkeypatch.setattr(fvcore, "opinion", one_more)
    result = run(f"{net}:Net", "-i", "1x3x16x16", "--json")
    assert result.code == 1
    document = json.loads(result.out)
    assert not document["agrees"]
    (difference,) = [
        item
        for layer in document["opinions"][0]["layers"]
        for item in layer["differences"]
        if item["kind"] == "unexplained"
    ]
    assert difference["amount"] == 1
    result = run(f"{net}:Net", "-i", "1x3x16x16")
    assert "fvcore disagrees in 1 layer" in result.out


def test_an_engine_that_cannot_run_it_is_1_and_one_line(
    run: Run, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnstat.opinions import fvcore

    def fails(prepared: Any, how: str) -> Any:
        raise RuntimeError("cannot trace\nthis")

    monkeypatch.setattr(fvcore, "opinion", fails)
    result = run(f"{net}:Net", "-i", "1x3x16x16")
    assert result.code == 1
    assert "fvcore gives no opinion: RuntimeError: cannot trace\n" in result.out
    assert "Traceback" not in result.out + result.err


def test_an_operation_that_nobody_counts_is_1(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "gapped_net.py"
    path.write_text(GAPPED, encoding="utf-8")
    result = run(f"{path}:Net", "-i", "2x8", "--layers")
    assert result.code == 1
    assert "fvcore cannot confirm it: all ≥ 128 MACs; cnnstat itself has no rule for" in result.out
    rows = run(f"{path}:Net", "-i", "2x8", "-f", "csv").out.splitlines()
    assert rows[-1] == "cnnstat,odd,Odd,0,,uncounted,crosscheck_cli.odd,,calls: 1"


def test_one_engine_and_its_layers(run: Run, net: Path) -> None:
    result = run(f"{net}:Net", "-i", "1x3x16x16", "--with", "FVCORE", "--layers", "--width", 80)
    assert result.code == 0
    assert "flop-counter" not in result.out
    assert "layers, cnnstat and fvcore" in result.out


def test_a_file_for_each_format(run: Run, net: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"out{suffix}" for suffix in (".json", ".csv", ".md", ".tex", ".html")]
    outputs = [part for path in paths for part in ("-o", path)]
    result = run(f"{net}:Net", "-i", "1x3x16x16", *outputs)
    assert (result.code, result.out) == (0, "")
    assert all("fvcore" in path.read_text(encoding="utf-8") for path in paths)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["saved.json"], "a saved report cannot be cross-checked: it takes the model itself"),
        (["-"], "a saved report cannot be cross-checked: it takes the model itself"),
        (["no_such_net"], "no_such_net"),
        (["NET:Net"], "does not say what input it takes"),
        (["NET:Net", "-i", "1x4x16x16"], "forward failed in conv"),
        (["alexnet", "--with", "thop"], "unknown engine 'thop'; one of: fvcore, flop-counter"),
        (["alexnet", "-f", "yaml"], "unknown format 'yaml'"),
        (["alexnet", "--json", "-f", "csv"], "contradict"),
    ],
)
def test_wrong_input_is_2_and_one_line(run: Run, net: Path, args: list[str], words: str) -> None:
    net.write_text(NET.replace('print("running")', "pass"), encoding="utf-8")
    result = run(*[arg.replace("NET", str(net)) for arg in args])
    assert words in result.error
    assert result.out == ""
