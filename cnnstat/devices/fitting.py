"""Whether a network fits a device, the largest batch and image that do, and what would make it fit.

Pure: what a network needs is asked of a `Network`, and how that is found out does not matter here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cnnstat.devices.device import Device
from cnnstat.devices.estimators import Estimator, default_format, estimator_for
from cnnstat.devices.roofline import Roofline
from cnnstat.devices.rooms import FITS, UNKNOWN, Demand, Room, rooms, verdict
from cnnstat.errors import SpecError
from cnnstat.memory.scaling import MOST, largest

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
        """What it needs, at its own batch by default; `None`: not known at that batch."""
        ...

    def at_resolution(self, resolution: int) -> Network | None:
        """The same with square images of that size; `None` where it does not run with them."""
        ...

    def roofline(self, device: Device, dtype: str) -> Roofline:
        """The least time on a device."""
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
    """What is carried out: `"inference"`, `"sgd(momentum=0.9)"`."""
    batch: int = 1
    """Samples at a time."""
    estimator: Estimator | None = None
    """How it was estimated; `None`: not at all."""
    rooms: tuple[Room, ...] = ()
    """Each memory, with what is needed in it."""
    reason: str = ""
    """Why there is no verdict."""
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
    """The least time of a pass of inference."""

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
            "roofline_marks": bound.marks if bound else None,
            "roofline_reasons": list(bound.reasons) if bound else [],
        }


def fit(
    network: Network,
    device: Device,
    dtype: str | None = None,
    *,
    step: str = "",
    thorough: bool = False,
) -> Fit:
    """The verdict for a network on a device, in the device's usual number format by default.

    `step` names what is trained with; without it the question is about inference. `thorough` also finds
    the largest image and what would make it fit. Raises `SpecError` where nothing trains there.
    """
    dtype = dtype or default_format(device)
    found = Fit(network.spec, device, dtype, step or "inference", network.batch)
    estimator = estimator_for(device, dtype, bool(step))
    demand = network.demand(estimator, dtype)
    if demand is None or not (memories := rooms(device, estimator, demand)):
        return replace(found, reason=f"no memory of {device.id} is known")
    found = replace(
        found,
        estimator=estimator,
        rooms=memories,
        demand=demand,
        largest_batch=_largest_batch(network, device, estimator, dtype),
        roofline=None if step else network.roofline(device, dtype),
    )
    if not thorough:
        return found
    resolution = _largest_resolution(network, device, estimator, dtype)
    found = replace(found, largest_resolution=resolution)
    return replace(found, remedies=tuple(_remedies(network, found, bool(step))))


def _fits(device: Device, estimator: Estimator, demand: Demand | None) -> bool:
    return demand is not None and verdict(rooms(device, estimator, demand)) == FITS


def _ahead(device: Device, estimator: Estimator, demand: Demand, more: float) -> float:
    """How often tensors may take `more` bytes beside a demand; below 0 where there are too many already."""
    found = rooms(device, estimator, demand)
    free = min((room.available - room.over - room.needed for room in found), default=0)
    return free / max(more * (1 + estimator.over * (estimator.of == "all")), 1)


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
    if network.at_resolution(2 * PIXELS * max(own // PIXELS, 1)) is None:
        return None  # images of one size alone

    def holds(steps: int) -> bool:
        sized = network.at_resolution(PIXELS * steps)
        if sized is None:  # too small for the network is no reason against larger ones
            return PIXELS * steps < own
        return _fits(device, estimator, sized.demand(estimator, dtype))

    # Tensors grow with the area; weights do not.
    times = max(0, 1 + _ahead(device, estimator, demand, demand.working))
    steps = largest(holds, LARGEST_IMAGE // PIXELS, int(own / PIXELS * times**0.5))
    return PIXELS * steps if steps and network.at_resolution(PIXELS * steps) else 0


def _remedies(network: Network, found: Fit, trains: bool) -> Iterator[str]:
    """What would make it fit: fewer bits, a narrower network, a smaller image or batch."""
    device, estimator, demand = found.device, found.estimator, found.demand
    if found.verdict in (FITS, UNKNOWN) or estimator is None or demand is None:
        return
    for dtype in NARROWER[found.dtype]:
        try:
            other = estimator_for(device, dtype, trains)
        except SpecError:  # nothing trains in 8 bits
            continue
        if _fits(device, other, network.demand(other, dtype)):
            yield dtype
            break
    for width in WIDTHS:
        weights, working = round(demand.weights * width**2), round(demand.working * width)
        # What an interpreter holds for each channel shrinks too; what software takes at all does not.
        software = estimator.overhead + round((demand.overhead - estimator.overhead) * width)
        if _fits(device, estimator, Demand(weights, working, software)):
            yield f"a width of about {width} (weights by its square, tensors in proportion)"
            break
    if found.largest_resolution and found.largest_resolution < (network.resolution or 0):
        yield f"images of {found.largest_resolution}×{found.largest_resolution}"
    if found.largest_batch and found.largest_batch < network.batch:
        yield f"a batch of {found.largest_batch}"
