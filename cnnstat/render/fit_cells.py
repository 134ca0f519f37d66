"""The figures of a fit as texts, each with the sign of how well it is known."""

from __future__ import annotations

from cnnstat.devices.fitting import Fit
from cnnstat.devices.roofline import Roofline
from cnnstat.devices.rooms import DOES_NOT_FIT, FITS, TIGHT, UNKNOWN
from cnnstat.memory.scaling import MOST
from cnnstat.render.figures import NONE, sign_of, signed
from cnnstat.units import grouped, short_seconds

WORDS = {FITS: "fits", TIGHT: "tight", DOES_NOT_FIT: "does not fit", UNKNOWN: NONE}
"""The verdicts as they are shown."""


def verdict_text(fit: Fit) -> str:
    """The verdict, with the sign of the figure that it rests on."""
    return WORDS[fit.verdict] + (signed(fit.device, fit.fullest.figure) if fit.fullest else "")


def batch_text(fit: Fit) -> str:
    """The largest batch; `+`: no larger one was tried."""
    if fit.largest_batch is None:
        return NONE
    return grouped(fit.largest_batch) + ("+" if fit.largest_batch >= MOST else "")


def least_seconds(roofline: Roofline) -> float | None:
    """The bound, or the half of it that is known: that is a bound as well."""
    known = (roofline.arithmetic_seconds, roofline.memory_seconds)
    return max((seconds for seconds in known if seconds is not None), default=None)


def bound_text(fit: Fit) -> str:
    """The least time with its signs."""
    roofline = fit.roofline
    if roofline is None or (least := least_seconds(roofline)) is None:
        return NONE
    half = "a" if roofline.bandwidth is None else "m" if roofline.rate is None else ""
    return sign_of(roofline) + short_seconds(least) + (f" {half}" if half else "")
