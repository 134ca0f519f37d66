"""Times and memory that papers measured, beside the least that the same network could take there.

The times stay in their tables, `cnnstat/data/published`; here it only says which column was measured on which
device. A ratio of 3 says that the network took three times as long as no run can be faster than: it measures
what the bound leaves out as much as the network and its program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from cnnstat.devices.catalogue import find
from cnnstat.devices.roofline import Roofline, roofline
from cnnstat.errors import CnnstatError
from cnnstat.memory.graph import Graph
from cnnstat.memory.planners import lower_bound_bytes
from cnnstat.published.computing import Measured
from cnnstat.published.tables import Network, read_table


@dataclass(frozen=True, slots=True)
class Timing:
    """A column of times in a published table."""

    table: str
    """Id of the table."""
    column: str
    """Key of the column, which is in milliseconds."""
    device: str
    """Id of the device whose figures make the bound."""
    dtype: str
    """Number format, from the paper."""
    assumes: str
    """What makes the bound another thing than the measurement: whose rate it is."""
    size: tuple[int, int] | None = None
    """Height and width of the images, from the column; `None`: the network's own of the row."""


@dataclass(frozen=True, slots=True)
class TimedRow:
    """One published time beside its bound."""

    timing: Timing
    """Its column."""
    row: int
    """Number of its row in the table, from 1."""
    name: str
    """The network, as the table calls it."""
    published_ms: Decimal
    """Milliseconds, as printed."""
    verified: bool
    """Whether that was read in a copy of the source."""
    input: tuple[int, ...] | None = None
    """Shape that was counted; `None`: the network's own."""
    roofline: Roofline | None = None
    """The bound and what it is made of; `None`: not to be had."""
    reason: str = ""
    """Why there is no bound."""

    @property
    def bound_ms(self) -> float | None:
        """No run is faster, in milliseconds; `None`: not known."""
        seconds = self.roofline.bound_seconds if self.roofline else None
        return None if seconds is None else 1000 * seconds

    @property
    def layered_ms(self) -> float | None:
        """With every tensor through memory, in milliseconds; `None`: not known."""
        seconds = self.roofline.layered_seconds if self.roofline else None
        return None if seconds is None else 1000 * seconds

    @property
    def ratio(self) -> float | None:
        """How many times the bound was measured; `None` where there is no bound."""
        return float(self.published_ms) / self.bound_ms if self.bound_ms else None


_ONE_CORE = (
    "one core, as in the paper: its rate is 2.15 GHz x 16 operations, with all the bandwidth"
)
_SAME_CORE = (
    "measured on one large core of a Pixel 1, whose Snapdragon 821 has the Kryo cores of the 820: the bound "
    "is that of one at 2.15 GHz"
)
_GPU = (
    "measured on one large core, for which no rate is known: the bound is that of the GPU, which is far "
    "faster than the core"
)

_ONE_SIZE = {
    "zoo:alexnet_2012": "AlexNet's classifier takes images of one size; the paper does not say what it ran",
}
"""Why there is no bound for a network on images of another size."""

TIMINGS = (
    Timing("shufflenet_v1_table8", "ms_224x224", "snapdragon-820", "fp32", _ONE_CORE),
    Timing("shufflenet_v1_table8", "ms_480x640", "snapdragon-820", "fp32", _ONE_CORE, (480, 640)),
    Timing("shufflenet_v1_table8", "ms_720x1280", "snapdragon-820", "fp32", _ONE_CORE, (720, 1280)),
    Timing("mobilenet_v2_table4", "cpu_ms", "snapdragon-820", "fp32", _SAME_CORE),
    Timing("mobilenet_v3_table3", "p1_ms", "snapdragon-820", "fp32", _SAME_CORE),
    Timing("mobilenet_v3_table3", "p2_ms", "pixel-2", "fp32", _GPU),
    Timing("mobilenet_v3_table3", "p3_ms", "pixel-3", "fp32", _GPU),
    Timing("mnasnet_table1", "latency_ms", "snapdragon-820", "fp32", _SAME_CORE),
)
"""The columns of times whose device has figures. All are of one image at a time."""


def timed_rows(timing: Timing, reports: Measured) -> tuple[TimedRow, ...]:
    """The rows of a column that have a time. What cannot be counted has a reason instead of a bound."""
    table = read_table(timing.table)
    found = []
    for number, row in enumerate(table.rows, 1):
        value = row.published.get(timing.column)
        if not isinstance(value, int | Decimal):
            continue
        name = str(row.published.get(table.columns[0].key, ""))
        plain = TimedRow(
            timing, number, name, Decimal(value), row.verified(timing.column), reason=row.why_not
        )
        network = row.networks.get("")
        found.append(_bounded(plain, network, reports) if network else plain)
    return tuple(found)


def _bounded(row: TimedRow, network: Network, reports: Measured) -> TimedRow:
    """The row with its bound, or with what kept us from it."""
    if row.timing.size and network.spec in _ONE_SIZE:
        return replace(row, reason=_ONE_SIZE[network.spec])
    network = _sized(network, row.timing.size)
    try:
        report = reports.report(network)
    except CnnstatError as error:
        return replace(row, input=network.input, reason=error.message)
    bound = roofline(report, find(row.timing.device), row.timing.dtype)
    return replace(row, input=network.input, roofline=bound, reason="; ".join(bound.reasons))


def _sized(network: Network, size: tuple[int, int] | None) -> Network:
    """The network on images of another size."""
    if size is None:
        return network
    batch, channels = network.input[:2] if network.input else (1, 3)
    return replace(network, input=(batch, channels, *size))


@dataclass(frozen=True, slots=True)
class MemoryFigure:
    """Memory that a paper gives for a network in 8 bits on a microcontroller."""

    name: str
    """The network, as the paper calls it."""
    spec: str
    """The same as a specification."""
    resolution: int
    """Pixels of the side of its images."""
    published_kb: int
    """As printed; its kB are 1,024 bytes."""
    source: str
    """Where."""


MEMORY_FIGURES = (
    MemoryFigure(
        "MobileNetV2",
        "zoo:mobilenet_v2",
        224,
        1372,
        "MCUNetV2 (Lin et al. 2021, arXiv 2110.15352): peak; seen quoted, not in the paper itself",
    ),
    MemoryFigure(
        "MobileNetV2 0.35",
        "zoo:mobilenet_v2?width=0.35",
        144,
        308,
        "MCUNet (Lin et al. 2020, arXiv 2007.10319): SRAM in its own engine; seen quoted, not in the paper "
        "itself",
    ),
)
"""MCUNet's figures; it gives no times whose device has a bandwidth."""


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """A published figure of memory beside its bound."""

    figure: MemoryFigure
    """What was published."""
    bound_bytes: int
    """The tensors alive at once in 8 bits, depthwise convolutions in place: no plan needs less."""

    @property
    def ratio(self) -> float:
        """How many times the bound was published."""
        return self.figure.published_kb * 1024 / self.bound_bytes


def memory_rows(graph_of: Callable[[str, int], Graph]) -> tuple[MemoryRow, ...]:
    """MCUNet's figures; `graph_of` plans a specification at a resolution."""
    return tuple(
        MemoryRow(
            figure,
            lower_bound_bytes(graph_of(figure.spec, figure.resolution), 1, depthwise_in_place=True),
        )
        for figure in MEMORY_FIGURES
    )
