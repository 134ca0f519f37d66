"""What a check means by its target."""

from __future__ import annotations

import pytest

from cnnstat.budgets.limits import Check, Limit, Target
from cnnstat.devices.device import Device
from cnnstat.devices.target import devices_of
from cnnstat.errors import ConfigError


def board(*runtimes: str) -> Device:
    return Device(id="b", name="b", kind="mcu", memory_bytes=1 << 20, runtimes=runtimes)


def check(runtime: str) -> Check:
    target = Target(
        device="b", runtime=runtime, said={"runtime": "--runtime", "device": "--device"}
    )
    return Check(name="net", model="net", limits=(Limit.of("arena", "1 MiB"),), target=target)


def test_the_names_of_runtimes_are_compared_in_any_case() -> None:
    device = board("TFLM (esp-nn)", " ")
    assert devices_of([check("tflm")], [device]) == {"b": device}


def test_a_runtime_that_does_not_run_there() -> None:
    with pytest.raises(ConfigError, match="--runtime: b does not run ort"):
        devices_of([check("ort")], [board("TFLM")])
