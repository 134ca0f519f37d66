"""What torch's CPU allocator really peaks at, above what was there before: the truth for `peaks.json`.

    python tests/data/cpu_peaks/measure.py > tests/data/cpu_peaks/peaks.json

Every `[memory]` event of the profiler, summed in order of time. One step runs before the one that is
measured; weights have no gradients when a step begins. About four minutes on two cores.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from cnnstat.analysis import prepare

MODELS = (
    "resnet18 resnet50 mobilenet_v2 mobilenet_v3_large efficientnet_b0 densenet121 vgg11 squeezenet1_1 "
    "shufflenet_v2_x1_0 googlenet?aux_logits=False inception_v3?aux_logits=False convnext_tiny swin_t "
    "vit_b_16 timm:vit_tiny_patch16_224 tests/data/cpu_peaks/unet.py:UNet"
).split()
"""The sixteen; Inception v3 at 299×299, the others at 224×224."""
BATCHES = (1, 4)
STEPS = ("inference", "sgd?momentum=0.9")


def peak(spec: str, batch: int, step: str) -> int:
    """Bytes that the allocator holds at most during one step beyond those before it."""
    torch.manual_seed(0)
    prepared = prepare(spec, batch=batch)
    model = prepared.subject.build()
    x = torch.rand(prepared.inputs.args[0].shape)
    body = _inference(model, x) if step == "inference" else _training(model, x)
    body()
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False
    ) as profiler:
        body()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    now = most = 0
    for _, nbytes in changes:
        now += nbytes
        most = max(most, now)
    return most


def _inference(model, x):
    model.eval()
    kept = []

    def body() -> None:
        kept.clear()
        with torch.no_grad():
            kept.append(model(x))

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


def main() -> None:
    """Each in a process of its own: what one leaves in memory is not another's."""
    if len(sys.argv) == 4:
        print(peak(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
        return
    rows = []
    for spec in MODELS:
        for batch in BATCHES:
            for step in STEPS:
                command = [sys.executable, __file__, spec, str(batch), step]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                peak_bytes = int(done.stdout.split()[-1])
                rows.append({"spec": spec, "batch": batch, "step": step, "bytes": peak_bytes})
                print(rows[-1], file=sys.stderr)
    facts = {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "command": f"python {Path(__file__).name}",
    }
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    head = json.dumps(facts, indent=2)[:-2]
    print(f'{head},\n  "peaks": [\n    {lines}\n  ]\n}}')


if __name__ == "__main__":
    main()
