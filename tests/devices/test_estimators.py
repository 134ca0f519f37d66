"""Which estimate holds where."""

from __future__ import annotations

import pytest

from cnnstat.devices.catalogue import built_in, find
from cnnstat.devices.device import Device
from cnnstat.devices.estimators import (
    BARE_CUDA,
    CPU,
    CUDA,
    LITERT,
    ORT,
    PLAN,
    TFLM,
    Estimator,
    default_format,
    estimator_for,
)
from cnnstat.errors import SpecError


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("h100", "fp32", CUDA),
        ("h100", "int8", PLAN),
        ("jetson-nano", "fp16", CUDA),
        ("gtx580", "fp32", BARE_CUDA),
        ("xeon-8480", "bf16", CPU),
        ("xeon-8480", "int8", ORT),
        ("pixel-1", "fp32", LITERT),
        ("raspberry-pi-4", "fp32", LITERT),
        ("apple-m1", "fp32", PLAN),
        ("iphone-16-pro", "fp16", PLAN),
        ("tpu-v4", "bf16", PLAN),
        ("stm32f746", "int8", TFLM),
        ("esp32", "fp32", TFLM),
        ("max78000", "int8", PLAN),
    ],
)
def test_what_people_run_there(device: str, dtype: str, expected: Estimator) -> None:
    assert estimator_for(find(device), dtype) is expected


@pytest.mark.parametrize(
    ("device", "expected"),
    [("h100", CUDA), ("gtx580", BARE_CUDA), ("xeon-8480", CPU), ("raspberry-pi-4", CPU)],
)
def test_training_is_torch(device: str, expected: Estimator) -> None:
    assert estimator_for(find(device), "fp32", trains=True) is expected


@pytest.mark.parametrize(
    ("device", "dtype", "says"),
    [
        ("stm32f746", "fp32", "nothing trains on a microcontroller such as stm32f746"),
        ("h100", "int8", "nothing trains in int8"),
        ("tpu-v4", "fp32", "no estimate of training on tpu-v4, which runs jax, pytorch-xla"),
        ("apple-m1", "fp32", "no estimate of training on apple-m1"),
        ("pixel-1", "fp32", "no estimate of training on pixel-1"),
    ],
)
def test_where_nothing_trains(device: str, dtype: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        estimator_for(find(device), dtype, trains=True)


def test_unknown_format() -> None:
    with pytest.raises(SpecError, match="unknown dtype 'fp8'") as caught:
        estimator_for(find("h100"), "fp8")
    assert caught.value.hint == "one of: fp32, fp16, bf16, int8"


def test_every_device_has_one_in_every_format() -> None:
    for device in built_in():
        for dtype in ("fp32", "fp16", "bf16", "int8"):
            assert estimator_for(device, dtype).evidence


def test_default_formats() -> None:
    found = {device.id: default_format(device) for device in built_in()}
    assert {found[d.id] for d in built_in() if d.kind in ("mcu", "accelerator")} == {"int8"}
    assert found["h100"] == found["pixel-1"] == "fp32"
    assert found["tpu-v1"] == "int8"  # it computes in nothing else


def test_a_device_of_ones_own_without_runtimes() -> None:
    board = Device(id="board", name="a board", kind="other", memory_bytes=1 << 20)
    assert estimator_for(board, "fp32") is PLAN
    with pytest.raises(SpecError, match="which runs nothing that is known"):
        estimator_for(board, "fp32", trains=True)


def test_margins_are_those_measured() -> None:
    assert (CUDA.over, CUDA.under, CUDA.of, CUDA.overhead) == (0.15, 0.08, "all", 1883 << 20)
    assert (CPU.over, CPU.under, CPU.overhead) == (0.02, 0.02, 219 << 20)
    assert (TFLM.over, TFLM.under, TFLM.of) == (0.2, 0.2, "overhead")
    assert BARE_CUDA.overhead == 0
    assert [e.measured for e in (CUDA, CPU, TFLM, LITERT, ORT, PLAN)] == [True] * 3 + [False] * 3
