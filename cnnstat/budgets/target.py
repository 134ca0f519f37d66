"""What is estimated for a target: whether a check asks for it without contradiction, and what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cnnstat.budgets.limits import Check, Fits, Growth, Limit, Metric, Target
from cnnstat.errors import ConfigError
from cnnstat.report import Report

FITTED = "fits"
"""What needs a device and is no metric."""


@dataclass(frozen=True, slots=True)
class Room:
    """One memory of a device, and what is needed in it; an estimate."""

    name: str
    """`"memory"`, or on a microcontroller `"RAM"` and `"flash"`."""
    device: str
    """Id of the device."""
    needed: int
    """Bytes, as estimated."""
    available: int
    """Bytes."""
    over: int = 0
    """Bytes by which more may be taken: the error of the estimate."""
    under: int = 0
    """Bytes by which less may be taken."""

    def metric(self, fits: Fits) -> Metric:
        """What is held against the room."""
        label = f"least {self.name}" if fits.tight else f"{self.name} with margin"
        return Metric(f"{FITTED}-{self.name.lower()}", label, "bytes", extra=True)

    def taken(self, fits: Fits) -> int:
        """Bytes that must not exceed what is available."""
        return self.needed - self.under if fits.tight else self.needed + self.over

    def sum(self, fits: Fits) -> str:
        """How these bytes come about: `579,120,288 B + 553,430,176 B`."""
        full = self.metric(fits).full
        off = f" − {full(self.under)}" if fits.tight else f" + {full(self.over)}"
        return full(self.needed) + (off if self.taken(fits) != self.needed else "")


def dtype_of_metric(metric: Metric, report: Report) -> str:
    """The number format that an estimate is of; `""`: it is of none, or of a mixture."""
    if "dtype" in metric.within:
        return str(report.meta.get("dtype") or "")
    return own_dtype(report) if metric.name == "peak-memory" else ""


def own_dtype(report: Report) -> str:
    """What torch runs the model in, whatever a device is asked about: by the size of its parameters."""
    totals = report.totals
    known = {2: "16 bits", 4: "fp32", 8: "fp64"}
    sizes = (size for size in known if totals.params and totals.param_bytes == size * totals.params)
    return next((known[size] for size in sizes), "")


def estimates(check: Check) -> tuple[str, ...]:
    """What a check needs beside the counts: names of metrics, and `"fits"`."""
    named = tuple(metric.name for metric in check.metrics if metric.extra)
    return (*named, FITTED) if check.fits else named


def verify(check: Check) -> None:
    """Raise `ConfigError` where what a check says of its target does not go together."""
    target, asked = check.target, estimates(check)
    _known_names(target)
    for name, where in _asked(check):
        if check.train or check.backward:
            raise ConfigError(
                f"{where}: {name!r} is about inference, and this check is about training",
                hint="make it a check of its own, without train and backward",
            )
        if name in ("roofline", FITTED) and not target.device:
            raise ConfigError(
                f"{where}: {name!r} is about a device, and none is given",
                hint='name one: device = "pixel-1", or --device pixel-1; `cnnstat devices` lists them',
            )
    for key, users in _USERS.items():
        if key in target.said and not set(users) & set(asked):
            raise ConfigError(
                f"{target.said[key]}: {key!r} changes nothing here",
                hint=f"{', '.join(users)} would look at it; ask for that, or leave it out",
            )


def _known_names(target: Target) -> None:
    if not (target.dtype or target.runtime):
        return  # Most checks name none, and need not read how memory is planned.
    from cnnstat.memory.memory_report import DTYPES
    from cnnstat.memory.planners import RUNTIMES

    for key, given, known in (
        ("dtype", target.dtype, tuple(DTYPES)),
        ("runtime", target.runtime, tuple(RUNTIMES)),
    ):
        if given and given not in known:
            raise ConfigError(
                f"{target.said[key]}: unknown {key} {given!r}",
                hint=f"expected one of {', '.join(known)}",
            )


_USERS = {
    "device": ("arena", "roofline", FITTED),
    "dtype": ("arena", "roofline", FITTED),
    "runtime": ("arena",),
}
"""What looks at each part of a target."""


def _asked(check: Check) -> Iterator[tuple[str, str]]:
    """What is to be estimated, and where that is said."""
    rules: list[Limit | Growth | Fits] = [rule for rule in check.rules if rule.metric.extra]
    for rule in [*rules, *([check.fits] if check.fits else [])]:
        name = FITTED if isinstance(rule, Fits) else rule.metric.name
        yield name, str(rule.place) if rule.place else rule.rule
