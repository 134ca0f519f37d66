"""What a budget is: the metrics that may be limited, limits, growth, and a check that holds them.

Numbers stay as people wrote them beside the integers that they mean; nothing here knows a file format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from cnnstat.report import Layer, Report
from cnnstat.units import (
    grouped,
    parse_bytes,
    parse_count,
    parse_time,
    short,
    short_bytes,
    short_time,
)

Unit = Literal["count", "bytes", "time"]
Level = Literal["error", "warn", "off"]
Missing = Literal["fail", "pass"]
"""What growth does that the baseline says nothing of."""
LEVELS: tuple[Level, ...] = ("error", "warn", "off")
"""What a broken budget does: fails, is said and passes, is not looked at."""

MOST = 10**24
"""No network has more of anything; a longer number is a slip."""

_MOST_DIGITS = 6
"""Digits with a suffix; where they do not tell two numbers apart, all digits are easier to read."""

_PERCENT = re.compile(r"\s*\+?\s*(\d{1,9}(?:\.\d{1,9})?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that a network has a number of."""

    name: str
    """As a budget names it: `"param-bytes"`."""
    label: str
    """As it is shown: `"param bytes"`."""
    unit: Unit = "count"
    """What it is a number of: things, bytes or nanoseconds."""
    of_work: bool = False
    """Whether an operation without a rule makes it a lower bound."""
    extra: bool = False
    """Whether it is estimated on demand, of the whole network alone, and in `Report.extra`."""
    within: tuple[str, ...] = ()
    """Circumstances that it depends on: numbers from other ones cannot be compared."""

    @property
    def moved_by(self) -> tuple[str, ...]:
        """Circumstances that move it as a change of the network would, and may hide one."""
        return ("input", "mode", "passes") if self.of_work or self.extra else ()

    @property
    def counted_in(self) -> str:
        """What an integer of it is a number of, as data says it: `"count"`, `"bytes"` or `"ns"`."""
        return "ns" if self.unit == "time" else self.unit

    @property
    def key(self) -> str:
        """The name of the number in a report, in Python and in JSON: `"param_bytes"`."""
        return self.name.replace("-", "_")

    def known(self, report: Report) -> bool:
        """Whether a report has it: what is estimated is there only where it was asked for."""
        return not self.extra or self.key in report.extra

    def of(self, report: Report) -> int:
        """The whole network's; 0 where it is not known."""
        if self.extra:
            return report.extra.get(self.key, 0)
        return int(getattr(report.totals, self.key))

    def of_layer(self, layer: Layer) -> int:
        """One layer's own; 0 where only the whole network has it."""
        if self.extra:
            return 0
        return layer.work.moved if self.key == "moved_bytes" else int(getattr(layer, self.key))

    def parse(self, given: str | int) -> int:
        """The number that a person wrote. Raises `ValueError`, naming it."""
        if isinstance(given, bool) or not isinstance(given, str | int):
            raise ValueError(f"{given!r} is not a number such as 26 or '26 M'")
        if isinstance(given, str) and len(given) > 60:
            raise ValueError(f"{given[:20]!r}… is too long for a number")
        value = _PARSERS[self.unit](given)
        shown = repr(given) if len(str(given)) <= 60 else f"{str(given)[:20]}…"
        if value < 0:
            raise ValueError(f"{shown} is negative; expected 0 or more")
        if value > MOST:
            raise ValueError(f"{shown} is more than any network has")
        return value

    def short(self, value: int, digits: int = 4) -> str:
        """`4.089 G`, `97.49 MiB`."""
        return _SHORT[self.unit](value, digits)

    def full(self, value: int) -> str:
        """All digits: `4,089,184,256`, `102,228,128 B`, `5,000,000 ns`."""
        return grouped(value) + _SUFFIXES[self.unit]

    def apart(self, values: Sequence[int]) -> list[str]:
        """The numbers as short as they can be without two different ones looking the same."""
        for digits in range(4, _MOST_DIGITS + 1):
            texts = [self.short(value, digits) for value in values]
            if len(set(texts)) == len(set(values)):
                return texts
        return [self.full(value) for value in values]

    def change(self, before: int, after: int) -> str:
        """`+17.63 M`, `-864`, `0`."""
        sign = "+" if after > before else "-" if after < before else ""
        return sign + (self.short(abs(after - before)) if sign else "0")


_PARSERS: Mapping[Unit, Callable[[Any], int]] = {
    "count": parse_count,
    "bytes": parse_bytes,
    "time": parse_time,
}
_SHORT: Mapping[Unit, Callable[[int, int], str]] = {
    "count": short,
    "bytes": short_bytes,
    "time": short_time,
}
_SUFFIXES: Mapping[Unit, str] = {"count": "", "bytes": " B", "time": " ns"}

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("params", "params"),
        Metric("trainable-params", "trainable params"),
        Metric("param-bytes", "param bytes", "bytes"),
        Metric("buffers", "buffers"),
        Metric("buffer-bytes", "buffer bytes", "bytes"),
        Metric("macs", "MACs", of_work=True),
        Metric("flops", "FLOPs", of_work=True),
        Metric("activations", "activations", of_work=True),
        Metric("moved-bytes", "moved bytes", "bytes", of_work=True),
        Metric("quoted", "quoted", of_work=True, within=("convention",)),
        Metric("peak-memory", "peak memory", "bytes", extra=True),
        Metric("arena", "arena", "bytes", extra=True, within=("runtime", "dtype")),
        Metric(
            "roofline", "roofline", "time", of_work=True, extra=True, within=("device", "dtype")
        ),
    )
}
"""Everything that a budget may limit, by name, in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written."""

    file: str
    """As people would write it from where they are."""
    line: int
    """From 1."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Limit:
    """No more than this."""

    metric: Metric
    """Of what."""
    value: int
    """How many at most."""
    given: str
    """As it was written: `"3.5 M"`."""
    place: Place | None = None
    """Where; `None`: not in a file."""
    option: str = ""
    """The option of the command line that said so."""

    @classmethod
    def of(cls, name: str, given: str | int, place: Place | None = None, option: str = "") -> Limit:
        """The limit that a person wrote. Raises `ValueError`."""
        metric = metric_named(name)
        return cls(metric, metric.parse(given), str(given), place, option)

    @property
    def rule(self) -> str:
        """`max.params`, or the option."""
        return self.option or f"max.{self.metric.name}"

    def allowed(self, before: int | None) -> int | None:
        """The most that passes."""
        return self.value


@dataclass(frozen=True, slots=True)
class Growth:
    """No more than this above the baseline."""

    metric: Metric
    """Of what."""
    given: str
    """As it was written: `"1%"`, `"+10 k"`."""
    percent: Fraction = Fraction(0)
    """Share of the baseline's number, in percent, that may be added."""
    amount: int = 0
    """Number that may be added."""
    place: Place | None = None
    """Where; `None`: not in a file."""

    @classmethod
    def of(cls, name: str, given: str, place: Place | None = None) -> Growth:
        """The growth that a person wrote. Raises `ValueError`."""
        metric = metric_named(name)
        expected = 'expected a share such as "1%", or a number such as "+10 k"'
        if not isinstance(given, str):
            raise ValueError(f"{given!r} is no growth; {expected}")
        percent = _PERCENT.fullmatch(given)
        if percent:
            return cls(metric, given, percent=Fraction(percent[1]), place=place)
        if not given.strip().startswith("+"):
            raise ValueError(f"{given!r} is no growth; {expected}")
        return cls(metric, given, amount=metric.parse(given), place=place)

    @property
    def rule(self) -> str:
        """`growth.params`."""
        return f"growth.{self.metric.name}"

    def allowed(self, before: int | None) -> int | None:
        """The most that passes; `None` where there is no baseline."""
        if before is None:
            return None
        return before + self.amount + int(before * self.percent / 100)


@dataclass(frozen=True, slots=True)
class Fits:
    """It must fit the device that it is meant for."""

    tight: bool = False
    """Whether what may fit, within the error of the estimate, passes too."""
    place: Place | None = None
    """Where; `None`: not in a file."""
    option: str = ""
    """The option of the command line that said so."""

    @property
    def rule(self) -> str:
        """`fits`, or the option."""
        return self.option or "fits"

    @property
    def given(self) -> str:
        """As it was written."""
        return "" if self.option else '"tight"' if self.tight else "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a network is meant for; only what is estimated for it looks at this."""

    device: str = ""
    """Id of a device; `""`: none."""
    dtype: str = ""
    """Number format of weights and tensors; `""`: the device's usual one, or fp32."""
    runtime: str = ""
    """Whose plan the arena is; `""`: the device's, or a greedy one."""
    said: Mapping[str, str] = field(default_factory=dict)
    """Where each of these was said: a file's line, or an option."""


def metric_named(name: str) -> Metric:
    """The metric of that name, `param-bytes` or `param_bytes`. Raises `ValueError`, listing all."""
    metric = METRICS.get(name.replace("_", "-"))
    if metric is None:
        raise ValueError(f"unknown metric {name!r}; expected one of {', '.join(METRICS)}")
    return metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One model and what it must hold."""

    name: str
    """What it is called; no other check of the project is called the same."""
    model: str
    """A specification, or a saved report."""
    inputs: tuple[str, ...] = ()
    """As given to `--input`; empty: what the model's source says."""
    batch: int | None = None
    """Batch size, where it is not that of the inputs."""
    train: bool = False
    """Training mode."""
    backward: bool = False
    """With the backward pass."""
    convention: str | None = None
    """What `quoted` means; `None`: it is not asked for."""
    limits: tuple[Limit, ...] = ()
    """What may not be exceeded."""
    growth: tuple[Growth, ...] = ()
    """How much may be added to the baseline."""
    fits: Fits | None = None
    """Whether it must fit the target's device."""
    target: Target = Target()
    """What it is meant for."""
    level: Level = "error"
    """What a broken budget does."""
    uncounted: tuple[str, ...] = ()
    """Names of operations that may stay without a rule."""
    missing_baseline: str = ""
    """What lets growth pass that the baseline says nothing of: `missing-baseline = "pass"` and where that
    stands; `""`: nothing does."""
    timeout: float | None = None
    """Seconds that its model may take; `None`: it does not say."""
    place: Place | None = None
    """Where it stands; `None`: not in a file."""

    @property
    def rules(self) -> tuple[Limit | Growth, ...]:
        """All that it holds."""
        return (*self.limits, *self.growth)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it looks at, in the order of `METRICS`."""
        named = {rule.metric.name for rule in self.rules}
        return tuple(metric for name, metric in METRICS.items() if name in named)
