"""What a network needs against what a device has: the memories, and how sure the comparison is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cnnstat.devices.device import Device
from cnnstat.devices.estimators import Estimator

FITS, TIGHT, DOES_NOT_FIT, UNKNOWN = "fits", "tight", "does-not-fit", "unknown"
"""The verdicts, the best first."""

FLASH_ERROR = 0.05
"""How much a `.tflite` file exceeds its weights: 3.9 % for MobileNet v1 0.25 in 8 bits (497 kB)."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a network needs by one estimator, in bytes."""

    weights: int
    """Weights, buffers and the optimizer's state: what is there all the time."""
    working: int
    """Tensors, at most."""
    overhead: int = 0
    """What the runtime takes for itself: a CUDA context, an interpreter's structures, Python."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.working + self.overhead

    def part(self, of: str) -> int:
        """What an error is a share of, as `Estimator.of` calls it."""
        return {"all": self.total, "weights": self.weights, "overhead": self.overhead}[of]


@dataclass(frozen=True, slots=True)
class Room:
    """One memory of a device against what is needed in it."""

    name: str
    """`"memory"`, or on a microcontroller `"RAM"` and `"flash"`."""
    needed: int
    """Bytes, as estimated."""
    available: int
    """Bytes."""
    figure: str
    """Which figure of the device that is: `"app_bytes"`; its mark is `Device.mark(figure)`."""
    over: int = 0
    """Bytes by which more may be taken."""
    under: int = 0
    """Bytes by which less may be taken."""

    @property
    def verdict(self) -> str:
        """`"fits"` with the whole margin, `"tight"` within it, or `"does-not-fit"`."""
        if self.needed + self.over <= self.available:
            return FITS
        return TIGHT if self.needed - self.under <= self.available else DOES_NOT_FIT


def rooms(device: Device, estimator: Estimator, demand: Demand) -> tuple[Room, ...]:
    """The memories of the device that are known; none where none is."""
    if device.kind != "mcu":
        memory = _room("memory", device, ("app_bytes", "memory_bytes"), estimator, demand)
        return tuple(filter(None, (memory,)))
    # Tensors and the interpreter's structures stay in RAM, weights in flash; an engine for networks has
    # memories of its own in the place of both.
    in_ram = Demand(0, demand.working, demand.overhead)
    ram = _room("RAM", device, ("cnn_data", "app_bytes", "ram_bytes"), estimator, in_ram)
    flash = _room("flash", device, ("cnn_weights", "flash_bytes"), _FILE, Demand(demand.weights, 0))
    return tuple(filter(None, (ram, flash)))


_FILE = Estimator("file", "a .tflite file: the weights", "one file", over=FLASH_ERROR)


def _room(
    name: str, device: Device, figures: Iterable[str], estimator: Estimator, demand: Demand
) -> Room | None:
    """The first of the figures that is known, with what is needed there."""
    figure = next((figure for figure in figures if device.figures.get(figure)), None)
    if figure is None:
        return None
    part = demand.part(estimator.of)
    over, under = round(estimator.over * part), round(estimator.under * part)
    return Room(name, demand.total, device.figures[figure], figure, over, under)


def verdict(found: Iterable[Room]) -> str:
    """The worst of them; `"unknown"` where there is none."""
    order = (FITS, TIGHT, DOES_NOT_FIT)
    return max((room.verdict for room in found), key=order.index, default=UNKNOWN)
