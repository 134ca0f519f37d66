"""What a check means by its target: the device of that name, and what is usual there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnnstat.budgets.limits import Check, Target
from cnnstat.devices.catalogue import find
from cnnstat.devices.device import Device
from cnnstat.devices.estimators import default_format, estimator_for, runtime_words
from cnnstat.errors import ConfigError, SpecError
from cnnstat.memory.planners import RUNTIMES

_WORDS = {"tflm": "tflm", "litert": "litert", "ort": "onnxruntime"}
"""What devices call the runtimes that can be planned for; a greedy plan stands for any."""


def devices_of(checks: Iterable[Check], devices: Sequence[Device]) -> dict[str, Device]:
    """The devices that checks name, by that name.

    Raises `ConfigError` where there is none of that name, or where it does not run the check's runtime.
    """
    found = {}
    for check in checks:
        target = check.target
        if target.device:
            try:
                device = found[target.device] = find(target.device, devices)
            except SpecError as error:
                where = target.said["device"]
                raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None
            _check_runtime(target, device)
    return found


def dtype_of(target: Target, device: Device | None) -> str:
    """The number format: the one given, the device's usual one, or fp32."""
    return target.dtype or (default_format(device) if device else "fp32")


def runtime_of(target: Target, device: Device | None) -> str:
    """Whose plan the arena is: the one given, that of what runs there, or a greedy one.

    LiteRT hands the work to XNNPACK there, whose own plan is greedy; its own is made when asked for.
    """
    if target.runtime or device is None:
        return target.runtime or "greedy"
    name = estimator_for(device, dtype_of(target, device)).name
    return name if name in RUNTIMES and name != "litert" else "greedy"


def _check_runtime(target: Target, device: Device) -> None:
    known = runtime_words(device)
    word = _WORDS.get(target.runtime)
    if word and known and word not in known:
        raise ConfigError(
            f"{target.said['runtime']}: {device.id} does not run {target.runtime}",
            hint=f"it runs {', '.join(device.runtimes)}; or leave the device out",
        )
