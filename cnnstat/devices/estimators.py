"""Which estimate of a network's memory holds on which device, and how far off it has been measured to be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cnnstat.devices.device import Device
from cnnstat.errors import SpecError
from cnnstat.memory.caching_allocator import CONTEXT, CONTEXT_ERROR
from cnnstat.memory.memory_report import DTYPES
from cnnstat.units import short_bytes

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
    of: Literal["all", "network", "weights", "overhead"] = "all"
    """What these are shares of; `"network"`: of all but what software takes."""
    measured: bool = True
    """Whether they were measured for what they are used for; otherwise they are an allowance, or were
    measured elsewhere."""
    overhead: int = 0
    """Bytes that the software takes for itself, a constant."""
    overhead_over: float = 0.0
    """The share of `overhead` that may be taken besides."""


_A100 = ("a100-40gb", "a100-80gb")
"""Where `CUDA` was measured."""

_AVX512 = ("xeon-8380", "xeon-8480")
"""Processors such as `CPU` was measured on: what convolutions take depends on the length of vectors."""

_TORCH_ON_CPU = ("cpu", "sbc", "other")
"""Kinds where torch computes on the processor."""

_LOWERED_ERROR = 0.05
"""Of `CPU` in fewer bits: two runs under autocast to bf16 were 4.2 % and 3.1 % off."""

CUDA = Estimator(
    "cuda",
    "torch on CUDA: its allocator replayed, and the context",
    "training in fp32 on an A100: nine in ten of 204 processes took at most 15 % more, of 15 none took 8 % "
    "less; the margin was chosen on these",
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
    "fp32 on x86 with AVX-512: 64 runs of 16 networks were at most 0.8 % off the allocator's peak, taken as "
    "2 %",
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
TFLM_ELSEWHERE = replace(
    TFLM,
    evidence="the tensors exact; its own structures not measured: that was for convolutional networks alone, "
    "so here up to as much again is called tight",
    over=1.0,
    measured=False,
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


PLAN_CUDA = replace(
    PLAN,
    what="the weights, a greedy plan of the tensors, and a context: TensorRT and ONNX Runtime need one too, "
    f"and the {short_bytes(CONTEXT)} that torch has on an A100 are assumed",
    evidence="never measured: the context may be 15 % larger, and what the runtime takes beside is not "
    "known, so that much and the network once more are called tight",
    of="network",
    overhead=CONTEXT,
    overhead_over=CONTEXT_ERROR,
)


def estimator_for(device: Device, dtype: str, trains: bool = False, amp: str = "") -> Estimator:
    """The estimator for what people run there, with what is known of it for just that.

    `amp` names the type to which autocast lowers. Raises `SpecError` for training where nothing trains, or
    where no estimate of it holds, for autocast where it is not torch that runs, and for an unknown number
    format.
    """
    if dtype not in DTYPES:
        raise SpecError(f"unknown dtype {dtype!r}", hint=f"one of: {', '.join(DTYPES)}")
    found = _usual(device, dtype, trains)
    if found.name == "cuda":
        like = device.id in _A100 and trains and dtype == "fp32" and not amp
        return found if like else _cuda_elsewhere(found, device)
    if found.name == "cpu":
        whole = dtype == "fp32" and not amp
        return found if whole and device.id in _AVX512 else _cpu_elsewhere(found, whole)
    if amp:
        raise SpecError(
            f"autocast is torch's, and what runs on {device.id} in {dtype} is estimated by other rules "
            f"({found.what})",
            hint="leave out --amp",
        )
    return found


def runtime_words(device: Device) -> list[str]:
    """The names of what runs networks there, in small letters and without remarks: `"pytorch-eager"`."""
    return [runtime.split()[0].casefold() for runtime in device.runtimes if runtime.strip()]


def _cuda_elsewhere(estimator: Estimator, device: Device) -> Estimator:
    what = estimator.what
    if estimator.overhead and device.id not in _A100:
        what += f" of {short_bytes(CONTEXT)} that an A100 has, which need not be so here"
    if any("rocm" in runtime.casefold() for runtime in device.runtimes):
        what = what.replace("on CUDA", "on ROCm as on CUDA")
    return replace(estimator, what=what, evidence=_assumed(estimator), measured=False)


def _cpu_elsewhere(estimator: Estimator, whole: bool) -> Estimator:
    """`whole`: in fp32, on another processor."""
    if whole:
        return replace(estimator, evidence=_assumed(estimator), measured=False)
    lowered = "two runs under autocast to bf16 were 4.2 % and 3.1 % off, so here 5 % is assumed"
    return replace(
        estimator,
        evidence=_assumed(estimator, lowered),
        measured=False,
        over=_LOWERED_ERROR,
        under=_LOWERED_ERROR,
    )


def _assumed(estimator: Estimator, so: str = "here the same is assumed") -> str:
    return f"measured for {estimator.evidence}; {so}"


def _usual(device: Device, dtype: str, trains: bool) -> Estimator:
    words = runtime_words(device)
    torch = "pytorch-eager" in words and dtype != "int8"
    if "pytorch-eager" in words and (device.kind == "gpu" or "tensorrt" in words):
        if torch:
            return CUDA
        if not trains:
            return PLAN_CUDA
    if "none" in words and dtype != "int8":
        return BARE_CUDA
    # torch on a graphics unit that shares the memory (mps) follows other rules than these two.
    on_cpu = torch and device.kind in _TORCH_ON_CPU
    if trains:
        if on_cpu:
            return CPU
        raise SpecError(_why_not(device, dtype), hint=_way_out(device, dtype))
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
    runs = ", ".join(device.runtimes)
    why = f"which runs {runs}" if runtime_words(device) else "as it has no runtimes"
    return f"there is no estimate of training on {device.id}, {why}"


def _way_out(device: Device, dtype: str) -> str:
    """What to leave out, or to add to a device of one's own that does not say what runs there."""
    out = "leave out --train and --optimizer"
    if runtime_words(device) or dtype == "int8" or device.kind not in ("gpu", *_TORCH_ON_CPU):
        return out
    return f'add runtimes = ["pytorch-eager"] to it, or {out}'
