"""Figures of devices in tables: how well each is known, as a sign before it."""

from __future__ import annotations

from collections.abc import Iterable

from cnnstat.devices.device import UNVERIFIED, VERIFIED, Device
from cnnstat.devices.roofline import Roofline
from cnnstat.render.table import Column

NONE = "–"


def numeric(key: str, title: str, priority: int = 100) -> Column:
    """A column of numbers."""
    return Column(key=key, title=title, numeric=True, priority=priority)


def signed(device: Device, figure: str) -> str:
    """The sign of a figure: `~` was not read in a source, `*` was computed."""
    return _worst([device.mark(figure)])


def sign_of(roofline: Roofline) -> str:
    """The sign of the rate and the bandwidth that a time is made of."""
    return _worst(roofline.marks.values())


def _worst(marks: Iterable[str]) -> str:
    found = list(marks)
    return "~" if UNVERIFIED in found else "*" if any(mark != VERIFIED for mark in found) else ""
