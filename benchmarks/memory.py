"""Memory estimates in time: `cnnstat fit` as a whole command, and one estimate beside torch's MemTracker.

Every estimate runs in a process of its own, after all imports; ours and torch's take turns, so that the
machine's drift hits both alike. `README.md` here says how to read the tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from peers import Aims, Ratio, machine, spread, table_of
from rich.console import Console

MODELS = "resnet50 vgg16 mobilenet_v2".split()
COMMAND, ESTIMATE = 5.0, 2.0
"""Seconds that are aimed at: for the command, and for one estimate."""
MIB = 2**20

# Inside one process: seconds of each count, and the bytes found.

OURS = """
import json, sys, time
import torch, cnnstat
from cnnstat.analysis import prepare
from cnnstat.estimation import record_step
from cnnstat.memory.step import Step
from cnnstat.memory.usage import Usage
from cnnstat.sources.base import resolve
name, batch, optimizer, repeat = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
resolve(name)  # imports torchvision
seconds = []
for _ in range(repeat):
    start = time.perf_counter()
    usage = Usage.of(record_step(prepare(name, batch=batch), Step.of(optimizer)))
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": seconds, "bytes": usage.live.nbytes}))
"""

THEIRS = """
import json, sys, time
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from cnnstat.sources.torchvision_operators import importable_torchvision
with importable_torchvision(): import torchvision.models
name, batch, optimizer, repeat = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
seconds = []
for _ in range(repeat):
    start = time.perf_counter()
    with FakeTensorMode():
        model = getattr(torchvision.models, name)()
        x = torch.empty(batch, 3, 224, 224)
        tracker = MemTracker()
        if optimizer:
            update = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=False)
            tracker.track_external(model, update)
            for _ in range(2):  # the first makes the optimizer's state
                with tracker:
                    model(x).sum().backward()
                    update.step()
                    update.zero_grad()
                tracker.reset_mod_stats()
        else:
            model.eval()
            tracker.track_external(model)
            with tracker, torch.no_grad():
                model(x)
    seconds.append(time.perf_counter() - start)
peak = tracker.get_tracker_snapshot("peak")
print(json.dumps({"seconds": seconds, "bytes": peak[torch.device("cpu")]["Total"]}))
"""

STEPS = {"inference": "", "training": "sgd?momentum=0.9"}


def in_process(script: str, *args: object) -> dict[str, Any]:
    """What a script printed, or `{"error": one line}`."""
    command = [sys.executable, "-c", script, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode or not lines:
        return {"error": lines[-1] if lines else f"exit status {done.returncode}"}
    return json.loads(lines[-1])


# ---- one estimate


def measure_estimates(args: argparse.Namespace, progress: Console) -> dict[str, Any]:
    """Samples by model and step, and then by tool."""
    samples: dict[str, Any] = {}
    for turn in range(args.rounds):
        for model in args.models:
            for step, optimizer in STEPS.items():
                progress.print(f"round {turn + 1}: {model} {step}", style="dim")
                found = samples.setdefault(f"{model} {step}", {"cnnstat": [], "MemTracker": []})
                for tool, script in (("cnnstat", OURS), ("MemTracker", THEIRS)):
                    sample = in_process(script, model, args.batch, optimizer, args.repeat)
                    found[tool].append(sample)
    return samples


def show_estimates(samples: dict[str, Any], out: Console, aims: Aims, batch: int) -> None:
    """Each model's inference and training, ours beside torch's."""
    title = (
        f"\none estimate, batch {batch}, beside torch's MemTracker: seconds, live bytes at the peak"
    )
    columns = ("cold s", "warm s", "cold ÷ torch", "warm ÷ torch", "MiB", "torch MiB")
    table = table_of(title, "network", *columns)
    verdicts = aims.setdefault(f"one estimate under {ESTIMATE:g} s, cold", [])
    for name, tools in samples.items():
        errors = [
            f"{tool} fails: {s['error']}" for tool in tools for s in tools[tool] if "error" in s
        ]
        if errors:
            table.add_row(name, errors[0][:100])
            continue
        cold = {t: [s["seconds"][0] for s in rounds] for t, rounds in tools.items()}
        warm = {t: [median(s["seconds"][1:] or s["seconds"]) for s in r] for t, r in tools.items()}
        ratios = [str(Ratio(times["cnnstat"], times["MemTracker"])) for times in (cold, warm)]
        sizes = [f"{rounds[0]['bytes'] / MIB:.2f}" for rounds in tools.values()]
        times = [spread(cold["cnnstat"]), spread(warm["cnnstat"])]
        table.add_row(name, *times, *ratios, *sizes)
        verdicts.append((median(cold["cnnstat"]) < ESTIMATE, f"{name} {times[0]} s"))
    out.print(table)


# ---- the whole command


def measure_command(models: list[str], turns: int) -> dict[str, list[float]]:
    """Seconds of `cnnstat fit` over all devices, and of importing torch, which it cannot do without."""
    fit = [sys.executable, "-m", "cnnstat", "fit", *models]
    commands = {" ".join(["cnnstat fit", *models]): fit}
    commands["import torch"] = [sys.executable, "-c", "import torch"]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(turns + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            if turn:  # the first fills the file cache
                seconds[name].append(time.perf_counter() - start)
    return seconds


def show_command(seconds: dict[str, list[float]], out: Console, aims: Aims) -> None:
    """The command beside the import."""
    (name, ours), (base, theirs) = seconds.items()
    table = table_of("\nthe whole command, over all devices", "command", "seconds", base, "ratio")
    table.add_row(name, spread(ours), spread(theirs), str(Ratio(ours, theirs)))
    out.print(table)
    aims[f"{name} under {COMMAND:g} s"] = [(median(ours) < COMMAND, f"{spread(ours)} s")]


# ---- the run


def arguments() -> argparse.Namespace:
    """The command line, defaults put in."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--models", type=lambda text: text.split(","), help="torchvision names, joined by commas")
    add("--batch", type=int, default=8, help="samples at a time of the estimates (8)")
    add("--rounds", type=int, help="processes for each tool and model (3)")
    add("--repeat", type=int, help="estimates in each process, the first being the cold one (3)")
    add("--quick", action="store_true", help="one round, two estimates")
    add("--json", type=Path, metavar="FILE", help="write every single measurement there")
    args = parser.parse_args()
    args.models = args.models or MODELS
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.repeat = args.repeat or (2 if args.quick else 3)
    return args


def main() -> None:
    """Measure, show, and say which aims are met."""
    args = arguments()
    out = Console(width=None if sys.stdout.isatty() else 140, highlight=False, soft_wrap=True)
    facts, aims = machine(), Aims()
    out.print("{cpu}, {cores} cores, threads: {threads}, load before: {load}".format(**facts))
    out.print(", ".join(f"{name} {number}" for name, number in facts["versions"].items()))

    commands = measure_command(args.models, 2 * args.rounds)
    estimates = measure_estimates(args, Console(stderr=True))
    if args.json:
        raw = {"machine": facts, "commands": commands, "estimates": estimates}
        args.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    show_command(commands, out, aims)
    show_estimates(estimates, out, aims, args.batch)

    out.print("\naims", style="bold")
    for aim, verdicts in aims.items():
        word = "met" if all(met for met, _ in verdicts) else "NOT MET"
        out.print(f"{word if verdicts else 'not measured'}: {aim}")
        for met, figures in verdicts:
            out.print(f"    {'+' if met else '-'} {figures}")


if __name__ == "__main__":
    main()
