"""On what a run's memory depends beside the network: for which instructions oneDNN picks its kernels, and
on how many threads.

oneDNN lays channels out in blocks as long as a vector register, 16 floats with AVX-512 and 8 without. It
asks the processor and the variable `ONEDNN_MAX_CPU_ISA`, and not torch, whose own kernels follow
`ATEN_CPU_CAPABILITY` and take the same memory with any.
"""

from __future__ import annotations

import os

import torch

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
"""What makes a processor with AVX-512 do as one without."""

_SETS = ("SSE41", "AVX", "AVX2", "AVX512")
"""The smaller first, under the names that `ONEDNN_MAX_CPU_ISA` has for them."""


def instruction_set() -> str:
    """The largest set that oneDNN may use in this process: `"AVX512"`, `"AVX2"`, or one not recorded."""
    if not torch.backends.mkldnn.is_available():
        return "no oneDNN"
    has = _processor()
    limit = _limit(os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", ""))
    return limit if has in _SETS and limit and _SETS.index(limit) < _SETS.index(has) else has


def _processor() -> str:
    """Not torch's public answer where it can be helped: that is lowered by `ATEN_CPU_CAPABILITY`."""
    if torch.cpu._is_avx512_supported():
        return "AVX512"
    return "AVX2" if torch.cpu._is_avx2_supported() else torch.backends.cpu.get_cpu_capability()


def _limit(name: str) -> str:
    """The set of those above that a limit amounts to; `""` for none, and for a word that oneDNN ignores."""
    name = name.upper()
    if name.startswith(("AVX512_CORE", "AVX10")):
        return "AVX512"
    if name.startswith("AVX2_VNNI"):
        return "AVX2"
    return name if name in _SETS[:-1] else ""
