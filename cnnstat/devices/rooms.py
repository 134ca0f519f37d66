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
        return {
            "all": self.total,
            "network": self.weights + self.working,
            "weights": self.weights,
            "overhead": self.overhead,
        }[of]


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
    """The memories of the device that are known; none where those leave the answer open.

    With one memory alone a network may be known not to fit, never to fit.
    """
    found = _known(device, estimator, demand)
    return found if not lacking(device) or verdict(found) == DOES_NOT_FIT else ()


def lacking(device: Device) -> str:
    """Which memory is not known, as a reason: `"no RAM of my-board is known"`; `""`: none."""
    if device.kind != "mcu":
        missing = [] if _first(_MEMORY, device) else ["memory"]
    else:
        missing = [
            name
            for name, figures in (("RAM", _RAM), ("flash", _FLASH))
            if not _first(figures, device)
        ]
    named = missing[0] if len(missing) == 1 else "memory"
    return f"no {named} of {device.id} is known" if missing else ""


_MEMORY = ("app_bytes", "memory_bytes")
_RAM = ("cnn_data", "app_bytes", "ram_bytes")
_FLASH = ("cnn_weights", "flash_bytes")
"""The figures that a memory is taken from, the first that is known."""


def _first(figures: Iterable[str], device: Device) -> str | None:
    return next((figure for figure in figures if device.figures.get(figure)), None)


def _known(device: Device, estimator: Estimator, demand: Demand) -> tuple[Room, ...]:
    if device.kind != "mcu":
        memory = _room("memory", device, _MEMORY, estimator, demand)
        return tuple(filter(None, (memory,)))
    # Tensors and the interpreter's structures stay in RAM, weights in flash; an engine for networks has
    # memories of its own in the place of both.
    in_ram = Demand(0, demand.working, demand.overhead)
    ram = _room("RAM", device, _RAM, estimator, in_ram)
    flash = _room("flash", device, _FLASH, FILE, Demand(demand.weights, 0))
    return tuple(filter(None, (ram, flash)))


FILE = Estimator(
    "file",
    "a .tflite file",
    "the weights in a file, of one that was 3.9 % larger than they are, taken as 5 %",
    over=FLASH_ERROR,
)
"""How much the weights take in flash."""


def engine_memories(found: Iterable[Room]) -> tuple[str, ...]:
    """The memories of an engine for networks that stand in the place of RAM and flash, if any."""
    return tuple(room.figure for room in found if room.figure.startswith("cnn_"))


def _room(
    name: str, device: Device, figures: Iterable[str], estimator: Estimator, demand: Demand
) -> Room | None:
    """The first of the figures that is known, with what is needed there."""
    figure = _first(figures, device)
    if figure is None:
        return None
    part = demand.part(estimator.of)
    over, under = round(estimator.over * part), round(estimator.under * part)
    over += round(estimator.overhead_over * estimator.overhead)
    return Room(name, demand.total, device.figures[figure], figure, over, under)


def verdict(found: Iterable[Room]) -> str:
    """The worst of them; `"unknown"` where there is none."""
    order = (FITS, TIGHT, DOES_NOT_FIT)
    return max((room.verdict for room in found), key=order.index, default=UNKNOWN)
