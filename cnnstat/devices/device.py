"""One device: what it holds, how fast it is at best, and how well that is known. Nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = {
    "gpu": "graphics cards",
    "tpu": "chips of data centres",
    "accelerator": "edge accelerators",
    "cpu": "server CPUs",
    "soc": "systems on a chip",
    "sbc": "single-board computers",
    "phone": "phones",
    "mcu": "microcontrollers",
    "other": "other devices",
}
"""What a device can be, in the order in which devices are shown."""

DTYPE_BITS = {
    "fp64": 64,
    "fp64_tensor": 64,
    "fp32": 32,
    "tf32": 32,
    "fp16": 16,
    "fp16_acc16": 16,
    "bf16": 16,
    "fp8": 8,
    "int8": 8,
    "fp4": 4,
    "int4": 4,
    "binary": 1,
}
"""Number formats that rates are known for, and the bits that an element takes in memory.

`fp64_tensor` is fp64 on matrix units; `tf32` is fp32 in memory, multiplied with fewer digits; `fp16` adds up
in fp32 on matrix units, `fp16_acc16` in fp16, which some cards do faster."""

UNVERIFIED, VERIFIED = "unverified", "verified"


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures are from."""

    title: str
    """What it is, and what it was read for."""
    url: str = ""
    """Its address; `""`: on paper."""
    read: bool = True
    """Whether it was read; otherwise it is where an unverified figure should be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Something that a network runs on. A figure that is not known is `None`, or not there."""

    id: str
    """`"h100"`, `"stm32f746"`."""
    name: str
    """`"NVIDIA H100 SXM5 80 GB"`."""
    kind: str
    """One of `KINDS`."""
    memory_bytes: int
    """All memory, in bytes; of a microcontroller RAM and flash together. From the source."""
    year: int | None = None
    """When it came out. From the source."""
    app_bytes: int | None = None
    """What one process or app can count on, in bytes; `app_note` says how that is known."""
    app_note: str = ""
    """What `app_bytes` is."""
    ram_bytes: int | None = None
    """Of a microcontroller, bytes for activations: the largest bank, or what the linker gets."""
    flash_bytes: int | None = None
    """Of a microcontroller, bytes for code and weights."""
    memories: Mapping[str, int] = field(default_factory=dict)
    """Further memories in bytes, by name: `on_chip`, `psram`, `app_heap`, … From the source."""
    bandwidth: int | None = None
    """Bytes a second between the chip and its memory, at most. From the source."""
    rates: Mapping[str, int] = field(default_factory=dict)
    """Operations a second by number format, a multiply–add counting two: dense peaks, never sparse ones."""
    tdp_watts: int | None = None
    """Power that it is built for. From the source."""
    runtimes: tuple[str, ...] = ()
    """What runs networks there: `"pytorch-eager"`, `"tflm"`, …"""
    note: str = ""
    """What the reader of its figures should know."""
    sources: tuple[Source, ...] = ()
    """Where its figures are from."""
    unverified: tuple[str, ...] = ()
    """Names of figures that were not read in a source."""
    derived: Mapping[str, str] = field(default_factory=dict)
    """Names of figures that were computed, with the rule."""
    place: str = ""
    """File and line of a device of the user's own; `""`: built in."""

    def rate(self, dtype: str) -> int | None:
        """Operations a second in a number format; `None` where none is known."""
        return self.rates.get(dtype)

    @property
    def figures(self) -> dict[str, int]:
        """Every number that is known, by name; rates by their number format."""
        sizes = {
            "memory_bytes": self.memory_bytes,
            "app_bytes": self.app_bytes,
            "ram_bytes": self.ram_bytes,
            "flash_bytes": self.flash_bytes,
            **self.memories,
            "bandwidth": self.bandwidth,
            **self.rates,
            "tdp_watts": self.tdp_watts,
        }
        return {name: value for name, value in sizes.items() if value is not None}

    def mark(self, figure: str) -> str:
        """`"verified"` (read in a source, or the user's own), `"unverified"` or `"derived: RULE"`.

        A figure that was computed from unverified ones is unverified. Raises `KeyError` for a figure
        that is not known.
        """
        if figure not in self.figures:
            raise KeyError(f"no {figure} is known for {self.id}")
        if figure in self.unverified:
            return UNVERIFIED
        rule = self.derived.get(figure)
        return VERIFIED if rule is None else f"derived: {rule}"

    @property
    def marks(self) -> dict[str, str]:
        """`mark` of every figure."""
        return {name: self.mark(name) for name in self.figures}
