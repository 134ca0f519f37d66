"""`cnnstat check` of ten models, a child process each, beside the same ten measured in one process.

    python benchmarks/check.py [--rounds 5] [--cpu]

Both are whole commands and take turns; a ratio is one of medians, in brackets the least and the greatest of
a single round. Aimed at: at most 1.5.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES = "alexnet googlenet mobilenet_v2 resnet18 resnet34 resnet50 resnext50_32x4d squeezenet1_1 vgg11 vgg16"
FILE = """\
{imports}
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width):
        layers = [nn.Conv2d(3 if n == 0 else width, width, 3, padding=1) for n in range(40)]
        super().__init__(*layers)
"""
OURS = "from cnnstat.cli.app import main; main(['check'])"
ONE_PROCESS = """
from pathlib import Path
from cnnstat.budgets.checking import hold
from cnnstat.cli.check_order import Asked
from cnnstat.cli.measuring import measured
order = Asked((), {}).order()
outcome = hold(order, lambda check: measured(check, Path.cwd(), None, None))
assert outcome.code == 0, outcome.verdict()
"""


def projects(folder: Path) -> dict[str, Path]:
    """A folder with a configuration of ten checks for each way in which models come."""
    timm = "resnet18 resnet26 resnet50 convnext_tiny mobilenetv3_small_100 regnety_004 efficientnet_b0 "
    timm += "vit_tiny_patch16_224 mixnet_s ghostnet_100"
    ways = {
        "torchvision's": [(f"tv:{name}", "") for name in NAMES.split()],
        "timm's": [(f"timm:{name}", "") for name in timm.split()],
        "one file": [(f"net.py:Net?width={8 + n}", "") for n in range(10)],
        "one file that imports timm": [
            (f"net.py:Net?width={8 + n}", "import timm") for n in range(10)
        ],
    }
    made = {}
    for name, models in ways.items():
        made[name] = folder / str(len(made))
        made[name].mkdir()
        own = "input = [1, 3, 32, 32]\n" if "file" in name else ""
        checks = (f'[[check]]\nmodel = "{model}"\n{own}max.params = "1 G"\n' for model, _ in models)
        (made[name] / "cnnstat.toml").write_text("\n".join(checks))
        (made[name] / "net.py").write_text(FILE.format(imports=models[0][1]))
    return made


def spent() -> float:
    """Seconds on the clock, or those that processors were busy with child processes."""
    if "--cpu" not in sys.argv:
        return time.perf_counter()
    times = os.times()
    return times.children_user + times.children_system


def seconds(code: str, folder: Path) -> float:
    """The wall time of a program, or the time of its processors."""
    start = spent()
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
        env=os.environ,
    )
    return spent() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="processors' time, not the clock's")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'ten models':28}{'one process':>12}{'children':>10}{'ratio':>8}")
        for name, project in projects(Path(folder)).items():
            pairs = [(seconds(ONE_PROCESS, project), seconds(OURS, project)) for _ in range(rounds)]
            one, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
            each = [b / a for a, b in pairs]
            ratio = f"{ours / one:.2f} [{min(each):.2f}–{max(each):.2f}]"
            print(f"{name:28}{one:10.2f} s{ours:8.2f} s   {ratio}")
        importing = statistics.median(seconds("import torch", Path(folder)) for _ in range(rounds))
        print(f"beside `import torch`: {importing:.2f} s")


if __name__ == "__main__":
    main()
