"""Whole processes in time, each as a ratio to another that it cannot do without.

A round runs every process once, in turn, so that the machine's drift hits all alike; the ratio is one of
medians. No test measures time: what makes these fast (nothing heavy is imported, files are read once, one
pass is made, work grows as the layers do) is what the tests assert.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers import Ratio, machine, spread, table_of
from rich.console import Console

DRAWING = "import rich, typer"
TORCH = "import torch"
PYTEST = "import pytest"
NOTHING = "pass"

CONFIG = """
[[check]]
model = "resnet50.json"
growth.params = "0%"
"""

DECODER = """
import torch
from torch import nn

class Decoder(nn.Module):
    def __init__(self, layers=96, width=12288, heads=96, words=50257, context=2048):
        super().__init__()
        self.tokens = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.zeros(context, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, ids):
        x = self.tokens(ids) + self.places[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(x)
"""
"""The shape of GPT-3 (arXiv 2005.14165, table 2.1)."""

BUILD = """
from cnnstat.sources.skeleton import build_skeleton
from decoder import Decoder
build_skeleton(Decoder)
"""

PLAN = """
import sys
from cnnstat.memory.graph import Buffer, Graph, Step
from cnnstat.memory.planners import plan
buffers = tuple(Buffer(n, f"b{n}", 96 + 16 * (n % 7), itemsize=1) for n in range(500))
steps = tuple(Step("aten.cat", f"b{n}", tuple(range(n)), (n,)) for n in range(1, 500))
plan(Graph(buffers, steps, inputs=(0,), outputs=(499,)), sys.argv[1])
"""
"""A dense block of 500 tensors, all alive to the end."""

Process = tuple[str, ...]


def command(*args: str) -> Process:
    """The command line."""
    return ("-m", "cnnstat", *args)


def code(text: str, *args: str) -> Process:
    """A script."""
    return ("-c", text, *args)


PROCESSES: dict[str, tuple[Process, str]] = {
    "--version": (command("--version"), DRAWING),
    "check of a saved report": (command("check"), DRAWING),
    "summary of a saved report": (command("summary", "resnet50.json"), DRAWING),
    "compare two saved reports, by layer": (
        command("compare", "resnet50.json", "resnet101.json", "--layers"),
        DRAWING,
    ),
    **{
        f"plan 500 tensors, {r}": (code(PLAN, r), DRAWING)
        for r in ("tflm", "litert", "greedy", "ort")
    },
    "import cnnstat.pytest_plugin": (code("import pytest, cnnstat.pytest_plugin"), PYTEST),
    "summary resnet50": (command("summary", "resnet50"), TORCH),
    "build 175 billion parameters": (code(BUILD), TORCH),
    "summary of 175 billion parameters": (
        command("summary", "decoder.py:Decoder", "-i", "ids=1x2048:int64"),
        TORCH,
    ),
}
"""By name: what is run, and the imports that it stands beside."""


def prepared(folder: Path) -> None:
    """Reports, a configuration with its baseline, and a network, in `folder`."""
    (folder / "cnnstat.toml").write_text(CONFIG)
    (folder / "decoder.py").write_text(DECODER)
    for name in ("resnet50", "resnet101"):
        seconds(command("summary", name, "-o", f"{name}.json"), folder)
    seconds(command("check", "--update"), folder)


def seconds(process: Process, folder: Path) -> float:
    """What it takes until it has ended."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *process], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    rounds = parser.parse_args().rounds
    beside = {
        text: code(text) for text in dict.fromkeys((NOTHING, *(b for _, b in PROCESSES.values())))
    }
    all_of_them = {**beside, **{name: process for name, (process, _) in PROCESSES.items()}}
    found: dict[str, list[float]] = {name: [] for name in all_of_them}
    with tempfile.TemporaryDirectory() as name:
        prepared(Path(name))
        for _ in range(rounds):
            for each, process in all_of_them.items():
                found[each].append(seconds(process, Path(name)))

    out = Console(width=None if sys.stdout.isatty() else 140, highlight=False, soft_wrap=True)
    out.print("{cpu}, {cores} cores, threads: {threads}, load before: {load}".format(**machine()))
    table = table_of("\nwhole processes", "process", "seconds", "ratio", "beside")
    for name, times in found.items():
        other = PROCESSES[name][1] if name in PROCESSES else ""
        ratio = Ratio(times, found[other]) if other else ""
        table.add_row(name, spread(times), str(ratio), other)
    out.print(table)


if __name__ == "__main__":
    main()
