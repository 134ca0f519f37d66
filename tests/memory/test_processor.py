"""Which recordings are of this machine, against what oneDNN says of itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from tests.data.cpu_peaks import processor
from tests.data.cpu_peaks.processor import AVX2, instruction_set

pytestmark = [
    pytest.mark.instruction_set,
    pytest.mark.skipif("not torch.backends.mkldnn.is_available()", reason="torch has no oneDNN"),
]

SAYS = {"AVX-512": "AVX512", "AVX2": "AVX2", "AVX": "AVX", "SSE4.1": "SSE41"}
"""What follows `isa:Intel` in the first line of `ONEDNN_VERBOSE`, and may have more behind it."""

CODE = """
import torch
from tests.data.cpu_peaks.processor import instruction_set
torch.conv2d(torch.rand(2, 8, 32, 32), torch.rand(8, 8, 3, 3))
print("ours:" + instruction_set())
"""


@pytest.mark.skipif("torch.cpu._is_avx2_supported() is False", reason="no AVX2 to be limited")
@pytest.mark.parametrize("limits", [{}, AVX2], ids=["of this run", "limited"])
def test_the_set_is_that_of_onednn(limits: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, **limits, "ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (says,) = [line for line in done.stdout.splitlines() if "isa:" in line]
    assert f"ours:{SAYS[says.partition('isa:Intel ')[2].split()[0]]}" in done.stdout


# With oneDNN 3.12 on a processor with AVX-512: what each made its first verbose line say.
@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, "AVX512"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "AVX2"),
        ({"ONEDNN_MAX_CPU_ISA": "avx2"}, "AVX2"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI_2"}, "AVX2"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX"}, "AVX"),
        ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, "SSE41"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "AVX512"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX10_1_512"}, "AVX512"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512"}, "AVX512"),  # no name that it knows
        ({"DNNL_MAX_CPU_ISA": "avx2"}, "AVX2"),
        ({"DNNL_MAX_CPU_ISA": "SSE41", "ONEDNN_MAX_CPU_ISA": "AVX2"}, "AVX2"),
        ({"DNNL_MAX_CPU_ISA": "SSE41", "ONEDNN_MAX_CPU_ISA": ""}, "SSE41"),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, "AVX512"),
    ],
    ids=str,
)
def test_a_limit(variables: dict[str, str], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True)
    assert instruction_set() == found


def test_a_limit_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_processor", lambda: "AVX2")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert instruction_set() == "AVX2"
    monkeypatch.setattr(processor, "_processor", lambda: "NEON")
    assert instruction_set() == "NEON"
