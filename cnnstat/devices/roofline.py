"""The least time that a network takes on a device: bounds from its arithmetic and its memory, no prediction.

Two figures, both in seconds:

`bound_seconds`: no run is faster. The larger of `arithmetic_seconds`, two operations for each
multiply–accumulate at the device's dense peak rate, and `memory_seconds`, the weights in use with the
network's input and output at its bandwidth. All other tensors may stay on the chip, and all other
arithmetic may run on other units meanwhile, or be folded into the weights, so neither counts.

`layered_seconds`: the sum over operations, where each takes the larger of its arithmetic (two for a
multiply–accumulate, one for any other operation) at that rate and its traffic (what it reads, its weights
included, and what it writes, each once) at that bandwidth. So it is what a device needs at least that
hands tensors from layer to layer through its memory; one that keeps them on the chip may be faster.

What both assume, and where they would be wrong:

- The pass starts with the weights in memory. A cache that is larger than the weights keeps them from one
  pass to the next, and then `memory_seconds` does not hold.
- Convolutions are computed as they are counted; Winograd's or a Fourier transform takes fewer
  multiplications.
- Everything is of the one number format, at that format's rate: fp32 is not tf32, fp16 adds up in fp32.
- Batch norm in evaluation is folded into the weights beside it: it neither moves nor computes anything.
  Activations (but softmax) and dropout are applied while another operation's result is written: they move
  nothing, and their arithmetic counts in `layered_seconds` alone. Additions and products of tensors,
  pooling, layer norm and softmax go through memory as any layer does.
- Copies (concatenation, padding, channel shuffle) are free, as a plan of the memory may avoid them; so
  are views.
- Whole numbers and flags (token ids, masks, indices of a maximum) are left out. Of an embedding as many
  rows are read as are looked up; in `memory_seconds` none, as all may be the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cnnstat.devices.device import DTYPE_BITS, Device
from cnnstat.devices.traffic import Step, io_bytes, steps, weight_bytes
from cnnstat.errors import SpecError
from cnnstat.report import Layer, Report


@dataclass(frozen=True, slots=True)
class LayerBound:
    """What one layer needs at least, were its tensors to come from memory and go there."""

    path: str
    """Of the module; the root is `""`."""
    kind: str
    """As `Layer.kind`."""
    flops: int
    """Two for a multiply–accumulate, one for any other operation that is not folded away."""
    traffic: int
    """Bytes of weights, inputs and outputs, each once for each operation."""
    arithmetic_seconds: float | None
    """`flops` at the device's rate; `None` where that is not known."""
    memory_seconds: float | None
    """`traffic` at the device's bandwidth; `None` where that is not known."""
    seconds: float | None
    """The sum over its operations of the larger of both; `None` where one is not known."""

    @property
    def intensity(self) -> float | None:
        """FLOPs for each byte; `None` where nothing moves."""
        return self.flops / self.traffic if self.traffic else None

    @property
    def memory_bound(self) -> bool | None:
        """Whether its traffic takes longer than its arithmetic; `None` where one is not known."""
        if self.arithmetic_seconds is None or self.memory_seconds is None:
            return None
        return self.memory_seconds > self.arithmetic_seconds


@dataclass(frozen=True, slots=True)
class Roofline:
    """A network on a device in a number format. The module says what each figure means."""

    device: Device
    """What it runs on."""
    dtype: str
    """The format of weights and tensors, and of the rate: one of `DTYPE_BITS`."""
    rate: int | None
    """Operations a second, from the device."""
    bandwidth: int | None
    """Bytes a second, from the device."""
    layers: tuple[LayerBound, ...]
    """Every layer with work of its own, in definition order."""
    macs: int
    """Multiply–accumulates of the network, from the report."""
    weight_bytes: int
    """Bytes of the parameters that are read, each once, in this format."""
    io_bytes: int
    """Bytes of the network's input and output, in this format."""
    complete: bool
    """Whether every operation was counted; the bounds hold also where not."""
    reasons: tuple[str, ...]
    """Why figures are `None`: `"no int8 rate is known for k80"`."""

    @property
    def arithmetic_seconds(self) -> float | None:
        """Two operations for each multiply–accumulate at the rate."""
        return 2 * self.macs / self.rate if self.rate else None

    @property
    def memory_seconds(self) -> float | None:
        """Weights, input and output at the bandwidth."""
        return (self.weight_bytes + self.io_bytes) / self.bandwidth if self.bandwidth else None

    @property
    def bound_seconds(self) -> float | None:
        """No run is faster; `None` where rate or bandwidth is not known."""
        if self.arithmetic_seconds is None or self.memory_seconds is None:
            return None
        return max(self.arithmetic_seconds, self.memory_seconds)

    @property
    def layered_seconds(self) -> float | None:
        """The sum over the layers, through memory; `None` where rate or bandwidth is not known."""
        return _sum(layer.seconds for layer in self.layers)

    @property
    def flops(self) -> int:
        """Sum over the layers."""
        return sum(layer.flops for layer in self.layers)

    @property
    def traffic(self) -> int:
        """Sum over the layers, in bytes."""
        return sum(layer.traffic for layer in self.layers)

    @property
    def memory_bound(self) -> bool | None:
        """Whether memory is what makes `bound_seconds`; `None` where one is not known."""
        if self.arithmetic_seconds is None or self.memory_seconds is None:
            return None
        return self.memory_seconds > self.arithmetic_seconds

    @property
    def marks(self) -> dict[str, str]:
        """`Device.mark` of the rate and of the bandwidth, where they are known."""
        known = {self.dtype: self.rate, "bandwidth": self.bandwidth}
        return {name: self.device.mark(name) for name, value in known.items() if value is not None}

    def within(self, path: str) -> LayerBound:
        """The sum over the module at `path` and all below it; `""` is the whole network.

        Raises `KeyError` where nothing there has work.
        """
        inside = path + "."
        rows = [
            row
            for row in self.layers
            if not path or row.path == path or row.path.startswith(inside)
        ]
        if not rows:
            raise KeyError(f"no layer with work at {path!r}")
        return LayerBound(
            path=path,
            kind=rows[0].kind if len(rows) == 1 else "container",
            flops=sum(row.flops for row in rows),
            traffic=sum(row.traffic for row in rows),
            arithmetic_seconds=_sum(row.arithmetic_seconds for row in rows),
            memory_seconds=_sum(row.memory_seconds for row in rows),
            seconds=_sum(row.seconds for row in rows),
        )


def roofline(report: Report, device: Device, dtype: str) -> Roofline:
    """The least time of a report's network. Raises `SpecError` for an unknown number format."""
    if dtype not in DTYPE_BITS:
        raise SpecError(f"unknown dtype {dtype!r}", hint=f"expected one of {', '.join(DTYPE_BITS)}")
    rate, bandwidth, bits = device.rate(dtype), device.bandwidth, DTYPE_BITS[dtype]
    reasons = []
    if rate is None:
        reasons.append(f"no {dtype} rate is known for {device.id}")
    if bandwidth is None:
        reasons.append(f"no bandwidth is known for {device.id}")
    rows = (
        _row(layer, found, rate, bandwidth)
        for layer in report.layers
        if (found := [step for tally in layer.tallies for step in steps(layer, tally, bits)])
    )
    return Roofline(
        device=device,
        dtype=dtype,
        rate=rate,
        bandwidth=bandwidth,
        layers=tuple(rows),
        macs=report.totals.macs,
        weight_bytes=weight_bytes(report, bits),
        io_bytes=io_bytes(report, bits),
        complete=report.complete,
        reasons=tuple(reasons),
    )


def _row(layer: Layer, steps: list[Step], rate: int | None, bandwidth: int | None) -> LayerBound:
    flops, traffic = sum(step.flops for step in steps), sum(step.traffic for step in steps)
    seconds = None
    if rate is not None and bandwidth is not None:
        seconds = math.fsum(max(step.flops / rate, step.traffic / bandwidth) for step in steps)
    return LayerBound(
        path=layer.path,
        kind=layer.kind,
        flops=flops,
        traffic=traffic,
        arithmetic_seconds=flops / rate if rate is not None else None,
        memory_seconds=traffic / bandwidth if bandwidth is not None else None,
        seconds=seconds,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; `None` where one of them is."""
    found = list(values)
    known = [value for value in found if value is not None]
    return math.fsum(known) if len(known) == len(found) else None
