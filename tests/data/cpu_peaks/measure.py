"""What torch's CPU allocator really peaks at, above what was there before: the truth for the recordings here.

    OMP_NUM_THREADS=2 python -m tests.data.cpu_peaks.measure > tests/data/cpu_peaks/avx512-2.json

Every `[memory]` event of the profiler, summed in order of time. One step runs before the one that is
measured; weights have no gradients when a step begins. A recording is of one set of instructions and one
number of threads, and its own `command` says how it was made; models may be named, for a part of it. About
four minutes on two cores.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from cnnstat.analysis import prepare
from tests.data.cpu_peaks.processor import AVX2, instruction_set

MODELS = (
    "resnet18 resnet50 mobilenet_v2 mobilenet_v3_large efficientnet_b0 densenet121 vgg11 squeezenet1_1 "
    "shufflenet_v2_x1_0 googlenet?aux_logits=False inception_v3?aux_logits=False convnext_tiny swin_t "
    "vit_b_16 timm:vit_tiny_patch16_224 tests/data/cpu_peaks/unet.py:UNet"
).split()
"""The sixteen; Inception v3 at 299×299, the others at 224×224."""
BATCHES = (1, 4)
STEPS = ("inference", "sgd?momentum=0.9")

MODULE = "tests.data.cpu_peaks.measure"
VARIABLES = (*AVX2, "OMP_NUM_THREADS", "MKL_DYNAMIC")
"""What of the environment a recording depends on. More threads than cores need `MKL_DYNAMIC=FALSE`."""


def peak(spec: str, batch: int, step: str) -> int:
    """Bytes that the allocator holds at most during one step beyond those before it."""
    torch.manual_seed(0)
    prepared = prepare(spec, batch=batch)
    model = prepared.subject.build()
    x = torch.rand(prepared.inputs.args[0].shape)
    body = _inference(model, x) if step == "inference" else _training(model, x)
    body()
    gc.collect()  # what others left behind must not go while this is measured
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False
    ) as profiler:
        kept = body()  # whose going would be seen or not, as it happens
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    del kept
    now = most = 0
    for _, nbytes in changes:
        now += nbytes
        most = max(most, now)
    return most


def _inference(model, x):
    model.eval()

    def body() -> torch.Tensor:
        with torch.no_grad():
            return model(x)

    return body


def _training(model, x):
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, foreach=False)

    def body() -> None:
        y = model(x)
        torch.autograd.backward(y, torch.ones_like(y))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return body


def in_another_process(spec: str, batch: int, step: str) -> int:
    """`peak`, where nothing has run before."""
    command = [sys.executable, "-m", MODULE, spec, str(batch), step]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def recording(models: list[str]) -> str:
    """The text of a recording."""
    given = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    rows = []
    for spec in models or MODELS:
        for batch in BATCHES if not models else BATCHES[:1]:
            for step in STEPS:
                nbytes = in_another_process(spec, batch, step)
                rows.append({"spec": spec, "batch": batch, "step": step, "bytes": nbytes})
                print(rows[-1], file=sys.stderr)
    facts = {
        "instructions": instruction_set(),
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "onednn": re.search(r"MKL-DNN v(\S+)", torch.__config__.show())[1],
        "processor": _name_of_processor(),
        "command": " ".join([*given, "python -m", MODULE, *models]),
    }
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    head = json.dumps(facts, indent=2)[:-2]
    return f'{head},\n  "peaks": [\n    {lines}\n  ]\n}}'


def _name_of_processor() -> str:
    try:
        return re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())[1]
    except OSError:
        return platform.machine()


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[3] in STEPS:
        print(peak(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
    else:
        print(recording(sys.argv[1:]))
