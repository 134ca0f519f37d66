"""cnnstat beside its peers in one run: from a model's name to its number, in time, memory and value.

Every engine on every model runs in a process of its own, because some tools leave patches behind and
peak memory belongs to a process. All imports are done before the clock starts. `README.md` here
says how to read the tables.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from engines import ENGINES
from rich.console import Console
from rich.table import Table

MODELS = (
    "resnet50 mobilenet_v3_large vgg16 densenet201 vit_b_16 swin_t efficientnet_b7 convnext_base"
).split()
PACKAGES = "cnnstat torch torchvision fvcore ptflops thop torchinfo calflops".split()
TOLERANCE = 0.01
Aims = dict[str, list[tuple[bool, str]]]
"""What is aimed at; whether each of its figures meets it, and the figure."""


def in_process(kind: str, engine: str, model: str, repeat: int) -> dict[str, Any]:
    """What `engines.py` measured, or `{"error": one line}`."""
    script = str(Path(__file__).with_name("engines.py"))
    command = [sys.executable, script, kind, engine, model, str(repeat)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except subprocess.TimeoutExpired:
        return {"error": "not done after 15 minutes"}
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode or not lines:
        return {"error": lines[-1] if lines else f"exit status {done.returncode}"}
    return json.loads(lines[-1])


# ---- figures


def spread(values: list[float], form: str = "{:.2f}") -> str:
    """`1.20 (1.10–1.35)`: the median, the least and the greatest."""
    middle, low, high = (form.format(v) for v in (median(values), min(values), max(values)))
    return f"{middle} ({low}–{high})" if len(values) > 1 else middle


class Ratio:
    """A ratio of medians, with the least and the greatest of its rounds."""

    def __init__(self, ours: list[float], theirs: list[float]) -> None:
        self.value = median(ours) / median(theirs)
        self.rounds = [a / b for a, b in zip(ours, theirs, strict=True)]

    def __str__(self) -> str:
        spread_of_rounds = f" ({min(self.rounds):.2f}–{max(self.rounds):.2f})"
        return f"{self.value:.2f}" + (spread_of_rounds if len(self.rounds) > 1 else "")


class Result:
    """All rounds of one engine on one model."""

    def __init__(self, samples: list[dict[str, Any]]) -> None:
        self.error = next((sample["error"] for sample in samples if "error" in sample), None)
        if self.error is None:
            # One figure a round: the first count of its process, and the median of the others.
            self.cold = [sample["seconds"][0] for sample in samples]
            self.warm = [median(sample["seconds"][1:] or sample["seconds"]) for sample in samples]
            self.extra = [sample["extra_mb"] for sample in samples]
            self.macs, self.published = samples[0]["macs"], samples[0]["published"]

    def agrees(self, ours: Result) -> bool:
        """Whether it found what cnnstat found."""
        return abs(self.macs - ours.macs) <= TOLERANCE * ours.macs


def table_of(title: str, *columns: str) -> Table:
    """An empty table: names on the left, figures on the right."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table


# ---- from name to number


def measure_numbers(args: argparse.Namespace, progress: Console) -> dict[str, Any]:
    """Samples by model and engine; engines take turns, so that the machine's drift hits all alike."""
    samples: dict[str, Any] = {model: {e: [] for e in args.engines} for model in args.models}
    for turn in range(args.rounds):
        shift = turn % len(args.engines)
        for model in args.models:
            for engine in args.engines[shift:] + args.engines[:shift]:
                progress.print(f"round {turn + 1}: {model} {engine}", style="dim")
                sample = in_process("number", engine, model, args.repeat)
                samples[model][engine].append(sample)
    return samples


def show_numbers(samples: dict[str, Any], out: Console, aims: Aims) -> None:
    """A table for each model."""
    columns = ("GMACs", "cold ms", "warm ms", "cold ÷ cnnstat", "warm ÷ cnnstat", "extra MB")
    for model, by_engine in samples.items():
        every = {engine: Result(rounds) for engine, rounds in by_engine.items()}
        good = {engine: result for engine, result in every.items() if result.error is None}
        ours = good.get("cnnstat")
        published = next((f", published {r.published} GMACs" for r in good.values()), "")
        table = table_of(f"\n{model}{published}", "engine", *columns)
        for engine, result in good.items():
            mark = "*" if ours and not result.agrees(ours) else " "
            times = [spread([1e3 * t for t in ts], "{:.0f}") for ts in (result.cold, result.warm)]
            ratios = ["", ""]
            if ours:
                ratios = [str(Ratio(result.cold, ours.cold)), str(Ratio(result.warm, ours.warm))]
            extra = spread(result.extra, "{:.0f}")
            table.add_row(engine, f"{result.macs / 1e9:.3f}{mark}", *times, *ratios, extra)
        out.print(table)
        for engine, result in every.items():
            if result.error is not None:
                out.print(f"{engine} fails: {result.error}", style="dim", markup=False)
        for when in ("cold", "warm"):
            verdicts = aims.setdefault(f"at most half the time of the fastest peer, {when}", [])
            verdicts.extend(beside_fastest(model, good, when))
    out.print(f"* more than {TOLERANCE:.0%} away from cnnstat", style="dim")


def beside_fastest(model: str, good: dict[str, Result], when: str) -> Iterator[tuple[bool, str]]:
    """cnnstat's time as a share of the fastest peer's."""
    ours = good.get("cnnstat")
    peers = {engine: result for engine, result in good.items() if engine != "cnnstat"}
    if ours and peers:
        name = min(peers, key=lambda engine: median(getattr(peers[engine], when)))
        ratio = Ratio(getattr(ours, when), getattr(peers[name], when))
        mark = "" if peers[name].agrees(ours) else "*"
        yield ratio.value <= 0.5, f"{model} {ratio} of {name}{mark}"


# ---- the pass alone


def measure_passes(args: argparse.Namespace, progress: Console) -> dict[str, Any]:
    """Samples by model."""
    samples: dict[str, Any] = {model: [] for model in args.models}
    for turn in range(args.rounds):
        for model in args.models:
            progress.print(f"round {turn + 1}: {model} pass alone", style="dim")
            samples[model].append(in_process("passes", "cnnstat", model, 2 * args.repeat))
    return samples


def show_passes(samples: dict[str, Any], out: Console, aims: Aims) -> None:
    """How the traced forward compares with the same forward untraced."""
    verdicts = aims.setdefault("traced pass ÷ bare meta forward at most 1", [])
    table = table_of("\nthe pass alone", "model", "bare ms", "traced ÷ bare", "whole record ÷ bare")
    for model, rounds in samples.items():
        if error := next((r["error"] for r in rounds if "error" in r), None):
            table.add_row(model, f"fails: {error}"[:80])
            continue
        bare, traced, recorded = ([r[k] for r in rounds] for k in ("bare", "traced", "recorded"))
        ratio = Ratio(traced, bare)
        in_ms = spread([1e3 * seconds for seconds in bare], "{:.1f}")
        table.add_row(model, in_ms, str(ratio), str(Ratio(recorded, bare)))
        verdicts.append((ratio.value <= 1, f"{model} {ratio}"))
    out.print(table)


# ---- whole commands

IMPORT = "import torch, torchvision.models"
SHIMMED = """import torch
from cnnstat.sources.torchvision_operators import importable_torchvision
with importable_torchvision(): import torchvision.models"""
PAIRS = [
    ("cnnstat summary resnet50", IMPORT, 1.25),
    ("cnnstat --version", "import typer", 1.5),
    ("cnnstat --help", "import typer", None),
    ("cnnstat summary resnet50.json", "import typer", None),
]
"""A command, the import it is compared with, and the ratio aimed at."""


def measure_commands(imports_as_is: bool, turns: int) -> dict[str, list[float]]:
    """Seconds by command; the commands take turns."""
    script = Path(sys.executable).with_name("cnnstat")
    cnnstat = [str(script)] if script.exists() else [sys.executable, "-m", "cnnstat"]
    seconds: dict[str, list[float]] = {name: [] for pair in PAIRS for name in pair[:2]}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "check": True}
    with tempfile.TemporaryDirectory() as folder:
        save = [*cnnstat, "summary", "resnet50", "-o", "resnet50.json"]
        subprocess.run(save, cwd=folder, stderr=subprocess.DEVNULL, **quiet)
        for turn in range(turns + 1):
            for name, times in seconds.items():
                code = SHIMMED if name == IMPORT and not imports_as_is else name
                ours, words = name.startswith("cnnstat"), name.split()[1:]
                command = [*cnnstat, *words] if ours else [sys.executable, "-c", code]
                start = time.perf_counter()
                subprocess.run(command, cwd=folder, **quiet)
                if turn:  # the first fills the file cache
                    times.append(time.perf_counter() - start)
    return seconds


def show_commands(seconds: dict[str, list[float]], as_is: bool, out: Console, aims: Aims) -> None:
    """Whole commands beside the imports that they cannot do without."""
    how = (
        "as it is" if as_is else "through importable_torchvision(), as the plain import fails here"
    )
    title = f"\nwhole commands; torchvision imported {how}"
    table = table_of(title, "command", "seconds", "beside", "seconds", "ratio")
    for name, base, aim in PAIRS:
        ratio = Ratio(seconds[name], seconds[base])
        table.add_row(name, spread(seconds[name]), base, spread(seconds[base]), str(ratio))
        if aim:
            aims[f"{name} ÷ {base} at most {aim}"] = [(ratio.value <= aim, str(ratio))]
    out.print(table)


# ---- the run


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line for line in lines if line.startswith("model name")).partition(": ")[2]
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    load = round(os.getloadavg()[0], 1)
    threads = os.environ.get("OMP_NUM_THREADS", "default")
    return {
        "cpu": cpu, "cores": os.cpu_count(), "threads": threads, "load": load, "versions": versions
    }  # fmt: skip


def arguments() -> argparse.Namespace:
    """The command line, defaults put in."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add, words = parser.add_argument, lambda text: text.split(",")
    add("--models", type=words, help="torchvision names, joined by commas")
    add("--engines", type=words, help="such as cnnstat,fvcore@cpu,torch@meta")
    add("--rounds", type=int, help="processes for each engine and model (3)")
    add("--repeat", type=int, help="counts in each process, the first being the cold one (5)")
    add(
        "--threads", type=int, help="OMP_NUM_THREADS of every process; torch's default if not given"
    )
    add("--quick", action="store_true", help="two models, one round, three counts")
    add("--json", type=Path, metavar="FILE", help="write every single measurement there")
    args = parser.parse_args()
    args.models = args.models or (MODELS[:2] if args.quick else MODELS)
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.repeat = args.repeat or (3 if args.quick else 5)
    args.engines = args.engines or ENGINES
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if unknown := [engine for engine in args.engines if engine not in ENGINES]:
        parser.error(f"no engine {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    return args


def main() -> None:
    """Measure, show, and say which aims are met."""
    args = arguments()
    out = Console(width=None if sys.stdout.isatty() else 140, highlight=False, soft_wrap=True)
    progress = Console(stderr=True)
    facts, aims = machine(), Aims()
    out.print("{cpu}, {cores} cores, threads: {threads}, load before: {load}".format(**facts))
    out.print(", ".join(f"{name} {number}" for name, number in facts["versions"].items()))

    raw: dict[str, Any] = {"machine": facts}

    def keep(name: str, measured: Any) -> Any:
        raw[name] = measured
        if args.json:  # at once, so that what fails later loses nothing
            args.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
        return measured

    show_numbers(keep("numbers", measure_numbers(args, progress)), out, aims)
    show_passes(keep("passes", measure_passes(args, progress)), out, aims)
    plain = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=False)
    as_is = plain.returncode == 0
    commands = measure_commands(as_is, args.repeat if args.quick else 3 * args.repeat)
    show_commands(keep("commands", commands), as_is, out, aims)

    out.print("\naims", style="bold")
    for aim, verdicts in aims.items():
        word = "met" if all(met for met, _ in verdicts) else "NOT MET"
        out.print(f"{word if verdicts else 'not measured'}: {aim}")
        for met, figures in verdicts:
            out.print(f"    {'+' if met else '-'} {figures}")


if __name__ == "__main__":
    main()
