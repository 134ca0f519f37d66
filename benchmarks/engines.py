"""The engines that `peers.py` compares, and what is measured of one in a process of its own.

Run by `peers.py` as `python engines.py KIND ENGINE MODEL REPEAT`; the last line it prints is JSON.
torch and the tools are imported inside, so that whoever imports this for the names stays small.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

Count = Callable[[Any, Any], float]
"""Counts a model on an input, in MACs as the tool means them."""


def _fvcore() -> Count:
    from fvcore.nn import FlopCountAnalysis

    def count(model: Any, x: Any) -> float:
        analysis = FlopCountAnalysis(model, x).unsupported_ops_warnings(False)
        return analysis.uncalled_modules_warnings(False).total()

    return count


def _ptflops(backend: str) -> Count:
    from ptflops import get_model_complexity_info

    def count(model: Any, x: Any) -> float:
        size = tuple(x.shape[1:])
        quiet = {"as_strings": False, "print_per_layer_stat": False, "verbose": False}
        make = {"input_constructor": lambda _: x} if x.is_meta else {}
        macs, _ = get_model_complexity_info(model, size, backend=backend, **quiet, **make)
        if macs is None:
            raise RuntimeError("no number")
        return macs

    return count


def _thop() -> Count:
    import thop

    return lambda model, x: thop.profile(model, (x,), verbose=False)[0]


def _torchinfo() -> Count:
    import torchinfo

    return lambda model, x: torchinfo.summary(model, input_data=x, verbose=0).total_mult_adds


def _calflops() -> Count:
    from calflops import calculate_flops

    def count(model: Any, x: Any) -> float:
        quiet = {"print_results": False, "print_detailed": False, "output_as_string": False}
        return calculate_flops(model, args=[x], **quiet)[1]

    return count


def _torch() -> Count:
    from torch.utils.flop_counter import FlopCounterMode

    def count(model: Any, x: Any) -> float:
        with FlopCounterMode(display=False) as counter:
            model(x)
        return counter.get_total_flops() / 2  # it counts two for a MAC

    return count


PEERS: dict[str, Callable[[], Count]] = {
    "fvcore": _fvcore,
    "ptflops": lambda: _ptflops("pytorch"),
    "ptflops-aten": lambda: _ptflops("aten"),
    "thop": _thop,
    "torchinfo": _torchinfo,
    "calflops": _calflops,
    "torch": _torch,
}
"""Each imports its tool and returns the function that is timed."""

ENGINES = ["cnnstat", *(f"{peer}@{device}" for peer in PEERS for device in ("cpu", "meta"))]
"""cnnstat, and every peer as it is commonly run (a real model on the CPU) and on meta tensors."""


def name_to_number(engine: str, name: str, repeat: int) -> dict[str, Any]:
    """Seconds from the model's name to its MACs, `repeat` times; the memory that the first takes."""
    import resource

    import torch

    get_model, size, published = _torchvision(name)
    if engine == "cnnstat":
        from cnnstat import analyze

        def measure() -> float:
            return analyze(f"tv:{name}").totals.macs

    else:
        peer, _, device = engine.partition("@")
        count = PEERS[peer]()

        def measure() -> float:
            meta = torch.device("meta") if device == "meta" else contextlib.nullcontext()
            # eval and no_grad are the cheapest way to run every one of them.
            with torch.no_grad():
                with meta:
                    model, x = get_model(name).eval(), torch.rand(1, 3, *size)
                return count(model, x)

    def peak() -> float:
        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6

    before = peak()
    seconds, macs, extra = [], 0.0, 0.0
    for turn in range(repeat):
        if turn:  # the first runs as it would in a fresh process, pauses for garbage included
            gc.collect()
        start = time.perf_counter()
        macs = measure()
        seconds.append(time.perf_counter() - start)
        extra = extra if turn else peak() - before
    return {"macs": float(macs), "seconds": seconds, "extra_mb": extra, "published": published}


def _torchvision(name: str) -> tuple[Any, tuple[int, int], float | None]:
    """`get_model`, the model's input size and its published GMACs."""
    from cnnstat.sources.torchvision_operators import importable_torchvision

    with importable_torchvision():
        from torchvision.models import get_model, get_model_weights
    weights = get_model_weights(name).DEFAULT
    side = weights.transforms().crop_size[0]
    return get_model, (side, side), weights.meta.get("_ops")


def passes(engine: str, name: str, repeat: int) -> dict[str, float]:
    """Median seconds of a bare meta forward, the traced forward, and the record made of it, in turn."""
    import torch

    from cnnstat.sources.base import resolve
    from cnnstat.sources.skeleton import build_skeleton
    from cnnstat.trace.engines import Makers, record
    from cnnstat.trace.isolation import isolated
    from cnnstat.trace.modules import ModuleStack
    from cnnstat.trace.recorder import Recorder

    get_model, size, _ = _torchvision(name)
    subject = resolve(f"tv:{name}")
    inputs = subject.inputs
    assert inputs is not None
    skeleton = build_skeleton(subject.build).eval()
    with torch.device("meta"):
        model, x = get_model(name).eval(), torch.empty(1, 3, *size)

    def bare() -> None:
        with torch.no_grad():
            model(x)

    def traced() -> None:
        with torch.inference_mode():
            recorder = Recorder(meta=True, whole=True)
            stack = recorder.modules = ModuleStack(skeleton, recorder.describe)
            with recorder, stack.watching():
                skeleton(x)

    def recorded() -> None:
        ours = contextlib.nullcontext(skeleton)
        record(Makers(lambda: ours, lambda: ours), inputs, engine="meta")

    runs = {"bare": bare, "traced": traced, "recorded": recorded}
    seconds: dict[str, list[float]] = {kind: [] for kind in runs}
    with isolated():
        for turn in range(repeat + 2):
            for kind, run in runs.items():
                gc.collect()
                start = time.perf_counter()
                run()
                if turn > 1:  # two turns warm up
                    seconds[kind].append(time.perf_counter() - start)
    return {kind: median(times) for kind, times in seconds.items()}


if __name__ == "__main__":
    kind, engine, model, repeat = sys.argv[1:]
    with contextlib.redirect_stdout(io.StringIO()):  # some tools print
        worker = {"number": name_to_number, "passes": passes}[kind]
        measured = worker(engine, model, int(repeat))
    print(json.dumps(measured))
