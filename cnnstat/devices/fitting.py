"""Whether a network fits a device, the largest batch and image that do, and what would make it fit.

Pure: what a network needs is asked of a `Network`, and how that is found out does not matter here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cnnstat.devices.device import Device
from cnnstat.devices.estimators import (
    TFLM,
    TFLM_ELSEWHERE,
    Estimator,
    default_format,
    estimator_for,
)
from cnnstat.devices.roofline import Roofline
from cnnstat.devices.rooms import FITS, UNKNOWN, Demand, Room, lacking, rooms, verdict
from cnnstat.errors import SpecError
from cnnstat.memory.scaling import MOST, largest
from cnnstat.memory.step import AUTOCAST, Step

WIDTHS = (0.75, 0.5, 0.35, 0.25)
"""Widths that are tried as a remedy: those that the MobileNet papers offer."""

LARGEST_IMAGE = 4096
"""Pixels of a side up to which larger images are tried."""

PIXELS = 32
"""Pixels of a side by which images are made larger."""

_GUESSES = 3
"""How often a line through two batches is followed before single batches are tried."""

NARROWER = {"fp32": ("fp16", "int8"), "fp16": ("int8",), "bf16": ("int8",), "int8": ()}
"""Number formats that are tried as a remedy, the first that fits being named."""


class Network(Protocol):
    """What can be asked of a network."""

    @property
    def spec(self) -> str:
        """What it is."""
        ...

    @property
    def batch(self) -> int:
        """Samples that it is fed at a time."""
        ...

    @property
    def resolution(self) -> int | None:
        """Pixels of the longer side of its images; `None`: it takes none."""
        ...

    def demand(self, estimator: Estimator, dtype: str, batch: int | None = None) -> Demand | None:
        """What it needs, at its own batch by default; `None`: not known at that batch, or at that size of
        images where it is `at_resolution`."""
        ...

    @property
    def convolutional(self) -> bool:
        """Whether it is of the kind that an interpreter's own structures were measured for."""
        ...

    def at_resolution(self, resolution: int) -> Network | None:
        """The same with square images of that size; `None` where it does not run with them."""
        ...

    def roofline(self, device: Device, dtype: str) -> Roofline:
        """The least time on a device."""
        ...

    def notes(self, estimator: Estimator) -> tuple[str, ...]:
        """What to know of how it was found out what it needs."""
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """One network on one device in one number format."""

    spec: str
    """The network."""
    device: Device
    """The device."""
    dtype: str
    """The number format."""
    step: str = "inference"
    """What is carried out: `"inference"`, `"sgd(momentum=0.9)"`, `"inference, autocast to bfloat16"`."""
    batch: int = 1
    """Samples at a time."""
    estimator: Estimator | None = None
    """How it was estimated; `None`: not at all."""
    rooms: tuple[Room, ...] = ()
    """Each memory, with what is needed in it."""
    reason: str = ""
    """Why there is no verdict, or what it had to do without."""
    demand: Demand | None = None
    """What is needed, in parts."""
    largest_batch: int | None = None
    """Samples in the largest batch that fits with the whole margin, at most 2^20; `None`: not known."""
    largest_resolution: int | None = None
    """Pixels of the side of the largest square image that fits so, a multiple of 32, at most 4,096; `None`:
    not asked for, not images, or not known."""
    remedies: tuple[str, ...] = ()
    """What would make it fit; only where it was asked for."""
    roofline: Roofline | None = None
    """The least time of a pass of inference; under autocast in the format to which that lowers, though it
    leaves some operations in the other."""
    notes: tuple[str, ...] = ()
    """What to know of how the model ran."""

    @property
    def verdict(self) -> str:
        """`"fits"`, `"tight"`, `"does-not-fit"`: the worst of its memories; or `"unknown"`."""
        return verdict(self.rooms)

    @property
    def fullest(self) -> Room | None:
        """The memory that is fullest."""
        return max(self.rooms, key=lambda room: room.needed / room.available, default=None)

    @property
    def needed(self) -> int | None:
        """Bytes in the memory that is fullest."""
        return self.fullest.needed if self.fullest else None

    @property
    def available(self) -> int | None:
        """Bytes that that memory has."""
        return self.fullest.available if self.fullest else None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of one result; sizes are in bytes, and shares of the whole where they say so."""
        estimator, demand, bound = self.estimator, self.demand, self.roofline
        return {
            "spec": self.spec,
            "device": self.device.id,
            "dtype": self.dtype,
            "verdict": self.verdict,
            "needed_bytes": self.needed,
            "available_bytes": self.available,
            "largest_batch": self.largest_batch,
            "roofline_seconds": bound.bound_seconds if bound else None,
            "step": self.step,
            "batch": self.batch,
            "reason": self.reason,
            "rooms": [
                {
                    "name": room.name,
                    "verdict": room.verdict,
                    "needed_bytes": room.needed,
                    "over_bytes": room.over,
                    "under_bytes": room.under,
                    "available_bytes": room.available,
                    "figure": room.figure,
                    "mark": self.device.mark(room.figure),
                }
                for room in self.rooms
            ],
            "estimator": estimator.name if estimator else None,
            "evidence": estimator.evidence if estimator else None,
            "measured": estimator.measured if estimator else None,
            "weight_bytes": demand.weights if demand else None,
            "working_bytes": demand.working if demand else None,
            "overhead_bytes": demand.overhead if demand else None,
            "largest_resolution": self.largest_resolution,
            "remedies": list(self.remedies),
            "arithmetic_seconds": bound.arithmetic_seconds if bound else None,
            "memory_seconds": bound.memory_seconds if bound else None,
            "layered_seconds": bound.layered_seconds if bound else None,
            "memory_bound": bound.memory_bound if bound else None,
            "roofline_dtype": bound.dtype if bound else None,
            "roofline_marks": bound.marks if bound else None,
            "roofline_reasons": list(bound.reasons) if bound else [],
            "notes": list(self.notes),
        }


def fit(
    network: Network,
    device: Device,
    dtype: str | None = None,
    *,
    step: Step | None = None,
    thorough: bool = False,
) -> Fit:
    """The verdict for a network on a device, in the device's usual number format by default.

    `step` is what the network is made to do, inference by default. `thorough` also finds the largest
    image and what would make it fit. Raises `SpecError` where nothing trains there.
    """
    step, dtype = step or Step(), dtype or default_format(device)
    estimator = _estimator(network, device, dtype, step)
    demand = network.demand(estimator, dtype)
    found = Fit(
        network.spec,
        device,
        dtype,
        str(step),
        network.batch,
        reason=lacking(device),
        notes=(*network.notes(estimator), *_without_bound(device, dtype, step)),
    )
    if demand is None or not (memories := rooms(device, estimator, demand)):
        return found
    found = replace(
        found,
        estimator=estimator,
        rooms=memories,
        demand=demand,
        largest_batch=_largest_batch(network, device, estimator, dtype),
        roofline=_roofline(network, device, dtype, step),
    )
    if not thorough:
        return found
    resolution = _largest_resolution(network, device, estimator, dtype)
    found = replace(found, largest_resolution=resolution)
    return replace(found, remedies=tuple(_remedies(network, found, step)))


def _estimator(network: Network, device: Device, dtype: str, step: Step) -> Estimator:
    found = estimator_for(device, dtype, step.trains, step.amp)
    return TFLM_ELSEWHERE if found is TFLM and not network.convolutional else found


_LOWERED = {name: dtype for dtype, name in AUTOCAST.items()}
"""The number formats to which autocast lowers, by torch's names."""


def _roofline(network: Network, device: Device, dtype: str, step: Step) -> Roofline | None:
    if step.trains or _without_bound(device, dtype, step):
        return None
    return network.roofline(device, _LOWERED.get(step.amp, dtype))


def _without_bound(device: Device, dtype: str, step: Step) -> tuple[str, ...]:
    """Why autocast has no least time here: some cards are slower in fp16, and then nobody need use it."""
    lowered = _LOWERED.get(step.amp, dtype)
    one, other = device.rate(lowered), device.rate(dtype)
    if step.trains or one is None or other is None or one >= other:
        return ()
    return (f"no bound where {lowered} is slower than {dtype}: libraries may compute in either",)


def _fits(device: Device, estimator: Estimator, demand: Demand | None) -> bool:
    return demand is not None and verdict(rooms(device, estimator, demand)) == FITS


def _ahead(device: Device, estimator: Estimator, demand: Demand, more: float) -> float:
    """How often tensors may take `more` bytes beside a demand; below 0 where there are too many already."""
    found = rooms(device, estimator, demand)
    free = min((room.available - room.over - room.needed for room in found), default=0)
    return free / max(more * (1 + estimator.over * (estimator.of in ("all", "network"))), 1)


def _largest_batch(
    network: Network, device: Device, estimator: Estimator, dtype: str
) -> int | None:
    def demand(batch: int) -> Demand | None:
        return network.demand(estimator, dtype, batch)

    here, two = demand(1), demand(2)
    if here is None or two is None:
        return None
    guess, each = 1, float(two.working - here.working)
    for _ in range(_GUESSES):
        near = min(max(1, math.floor(guess + _ahead(device, estimator, here, each))), MOST)
        there = demand(near)
        if near == guess or there is None:
            break
        # The slope where the answer is: large batches waste less.
        each = (there.working - here.working) / (near - guess)
        guess, here = near, there
    return largest(lambda n: _fits(device, estimator, demand(n)), guess=guess)


def _largest_resolution(
    network: Network, device: Device, estimator: Estimator, dtype: str
) -> int | None:
    """`None` where it is no matter of square images; 0 where none fits."""
    own, demand = network.resolution, network.demand(estimator, dtype)
    if own is None or demand is None:
        return None

    def there(steps: int) -> Demand | None:
        sized = network.at_resolution(PIXELS * steps)
        return None if sized is None else sized.demand(estimator, dtype)

    if there(2 * max(own // PIXELS, 1)) is None:
        return None  # images of one size alone

    def holds(steps: int) -> bool:
        needed = there(steps)
        if needed is None:  # too small for the network is no reason against larger ones
            return PIXELS * steps < own
        return _fits(device, estimator, needed)

    # Tensors grow with the area; weights do not.
    times = max(0, 1 + _ahead(device, estimator, demand, demand.working))
    steps = largest(holds, LARGEST_IMAGE // PIXELS, int(own / PIXELS * times**0.5))
    return PIXELS * steps if steps and there(steps) else 0


def _remedies(network: Network, found: Fit, step: Step) -> Iterator[str]:
    """What would make it fit: fewer bits, a narrower network, a smaller image or batch."""
    device, estimator, demand = found.device, found.estimator, found.demand
    if found.verdict in (FITS, UNKNOWN) or estimator is None or demand is None:
        return
    for dtype in NARROWER[found.dtype]:
        try:
            other = _estimator(network, device, dtype, step)
        except SpecError:  # nothing trains in 8 bits, nor under autocast
            continue
        if _fits(device, other, network.demand(other, dtype)):
            yield dtype
            break
    for width in WIDTHS:
        weights, working = round(demand.weights * width**2), round(demand.working * width)
        # What an interpreter holds for each channel shrinks too; what software takes at all does not.
        software = estimator.overhead + round((demand.overhead - estimator.overhead) * width)
        if _fits(device, estimator, Demand(weights, working, software)):
            yield f"{width} of this width (weights by its square, tensors in proportion)"
            break
    if found.largest_resolution and found.largest_resolution < (network.resolution or 0):
        yield f"images of {found.largest_resolution}×{found.largest_resolution}"
    if found.largest_batch and found.largest_batch < network.batch:
        yield f"a batch of {found.largest_batch}"
