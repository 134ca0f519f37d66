"""A limit that a model has fallen far below: said, with one that would hold it again; never failed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from cnnstat.budgets.limits import Limit, Unit

FAR = Fraction(2, 3)
"""Below this share of a limit nothing is held by it: the model could grow by half unnoticed."""

_HEADROOM = Fraction(21, 20)
"""What is proposed lies this much above what is measured, so that it is no exact count to maintain."""

_SCALES: Mapping[Unit, tuple[int, int, tuple[str, ...]]] = {
    "count": (1000, 10, ("", "k", "M", "G", "T", "P")),
    "bytes": (1024, 4, ("B", "KiB", "MiB", "GiB", "TiB")),
    "time": (1000, 10, ("ns", "us", "ms", "s")),
}
"""Base, parts into which a unit may be cut and still be a whole number, and the units' names."""


def lower(limit: Limit, measured: int) -> str:
    """`macs is 40 % below its limit (lower it: max.macs = "190 M" at net.toml:12)`; `""`: it is near."""
    proposed = proposal(limit.metric.unit, measured)
    if measured >= FAR * limit.value or limit.metric.parse(proposed) >= limit.value:
        return ""
    share = 100 * (limit.value - measured) // limit.value
    value = proposed.replace(" ", "") if limit.option else f'= "{proposed}"'
    place = f" at {limit.place}" if limit.place else ""
    return (
        f"{limit.metric.name} is {share} % below its limit (lower it: {limit.rule} {value}{place})"
    )


def proposal(unit: Unit, measured: int) -> str:
    """A limit a little above what is measured, in two or three digits: `"190 M"`."""
    base, parts, names = _SCALES[unit]
    least = _up(measured * _HEADROOM, 1)
    power = max(n for n in range(len(names)) if n == 0 or base**n <= least)
    scale = base**power
    step = scale // parts if power and least < 10 * scale else scale
    step = 10 * scale if least >= 100 * scale else step
    text = f"{Decimal(_up(least, step)) / scale:f}"
    return f"{text} {names[power]}".rstrip()


def _up(value: Fraction | int, step: int) -> int:
    """The next multiple of `step`."""
    return -int(-value // step) * step
