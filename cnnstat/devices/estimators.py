"""Which estimate of a network's memory holds on which device, and how far off it has been measured to be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cnnstat.devices.device import Device
from cnnstat.errors import SpecError
from cnnstat.memory.caching_allocator import CONTEXT, CONTEXT_ERROR
from cnnstat.memory.memory_report import DTYPES

FORMATS = DTYPES
"""Number formats that a network can be fitted in, and the bytes of an element."""

PYTHON = 219 << 20
"""Bytes of a Python process that has imported torch 2.13 for CPUs and done nothing (measured: its resident
set on Linux x86-64)."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """One way to say what a network takes, and how much more or less it may be."""

    name: str
    """`"cuda"`, `"cpu"`, `"tflm"`, `"litert"`, `"ort"` or `"greedy"`."""
    what: str
    """What it follows, for the reader."""
    evidence: str
    """Where its error was measured, or what is allowed for where it was not."""
    over: float
    """The share by which what is really taken may exceed it."""
    under: float = 0.0
    """The share by which it may stay below."""
    of: Literal["all", "weights", "overhead"] = "all"
    """What these are shares of."""
    measured: bool = True
    """Whether they were measured; otherwise they are an allowance."""
    overhead: int = 0
    """Bytes that the software takes for itself, a constant."""


CUDA = Estimator(
    "cuda",
    "torch on CUDA: its allocator replayed, and the context",
    "nine in ten of 204 processes on an A100 took at most 15 % more; of 15, none took 8 % less",
    over=CONTEXT_ERROR,
    under=0.08,
    overhead=CONTEXT,
)
BARE_CUDA = replace(
    CUDA,
    what="torch's CUDA allocator replayed, without a context: no framework of today runs there",
    overhead=0,
)
CPU = Estimator(
    "cpu",
    "torch on a CPU: live tensors, what its convolutions take meanwhile, and Python with torch",
    "64 runs of 16 networks in fp32: at most 0.8 % off the allocator's peak, taken as 2 %",
    over=0.02,
    under=0.02,
    overhead=PYTHON,
)
TFLM = Estimator(
    "tflm",
    "TensorFlow Lite Micro: its planner, and its own structures",
    "the tensors exact; its own structures, of 8 networks, from 4 % under to 20 % over",
    over=0.2,
    under=0.2,
    of="overhead",
)
LITERT = Estimator(
    "litert",
    "LiteRT with XNNPACK: the weights, and a greedy plan of the tensors",
    "never measured: XNNPACK may pack the weights a second time, so that much is called tight",
    over=1.0,
    of="weights",
    measured=False,
)
ORT = Estimator(
    "ort",
    "ONNX Runtime: the weights, and the upper end of a band for the tensors",
    "never measured in 8 bits: it may pack the weights a second time, so that much is called tight",
    over=1.0,
    of="weights",
    measured=False,
)
PLAN = Estimator(
    "greedy",
    "the weights, and a greedy plan of the tensors",
    "what the runtime takes beside is not known: up to as much again is called tight",
    over=1.0,
    measured=False,
)


def estimator_for(device: Device, dtype: str, trains: bool = False) -> Estimator:
    """The estimator for what people run there.

    Raises `SpecError` for training where nothing trains, or where no estimate of it holds, and for an
    unknown number format.
    """
    if dtype not in FORMATS:
        raise SpecError(f"unknown dtype {dtype!r}", hint=f"one of: {', '.join(FORMATS)}")
    words = [runtime.split()[0] for runtime in device.runtimes]
    torch = "pytorch-eager" in words and dtype != "int8"
    if torch and (device.kind == "gpu" or "tensorrt" in words):
        return CUDA
    if "none" in words and dtype != "int8":
        return BARE_CUDA
    # torch on a graphics unit that shares the memory (mps) follows other rules than these two.
    on_cpu = torch and device.kind in ("cpu", "sbc", "other")
    if trains:
        if on_cpu:
            return CPU
        raise SpecError(_why_not(device, dtype), hint="leave out --train")
    if device.kind == "cpu" and torch:
        return CPU
    for word, estimator in (("tflm", TFLM), ("litert", LITERT)):
        if word in words:
            return estimator
    if on_cpu:
        return CPU
    return ORT if "onnxruntime" in words and device.kind == "cpu" else PLAN


def default_format(device: Device) -> str:
    """The format that people use there: 8 bits on microcontrollers and edge accelerators."""
    if device.kind in ("mcu", "accelerator") or set(device.rates) == {"int8"}:
        return "int8"
    return "fp32"


def _why_not(device: Device, dtype: str) -> str:
    if device.kind == "mcu":
        return f"nothing trains on a microcontroller such as {device.id}"
    if dtype == "int8":
        return f"nothing trains in int8, on {device.id} or elsewhere"
    runtimes = ", ".join(device.runtimes) or "nothing that is known"
    return f"there is no estimate of training on {device.id}, which runs {runtimes}"
