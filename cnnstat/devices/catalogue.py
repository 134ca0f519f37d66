"""Every device there is: those built in, and the user's own."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path

from cnnstat.budgets.config_file import FILES, find_table, read_table, shown
from cnnstat.budgets.config_table import ConfigTable
from cnnstat.budgets.toml_lines import TomlLines
from cnnstat.devices.device import KINDS, Device
from cnnstat.devices.reading import devices_in_config, devices_in_file, unlike
from cnnstat.errors import ConfigError, SpecError

_FILE = "devices.toml"
_LISTED = "`cnnstat devices` lists them"


@cache
def built_in() -> tuple[Device, ...]:
    """The devices of `cnnstat/data/devices.toml`, in its order."""
    text = files("cnnstat").joinpath("data", _FILE).read_text(encoding="utf-8")
    # Which line something stands on matters where it is wrong, and the tests say that nothing is.
    table = ConfigTable(tomllib.loads(text), (), TomlLines(""), _FILE)
    return devices_in_file(table, own=False)


def all_devices(file: Path | None = None, folder: Path | None = None) -> tuple[Device, ...]:
    """Those built in, those that the project around a folder configures, those of a file.

    Raises `ConfigError`, also for two of one id.
    """
    own: tuple[Device, ...] = ()
    if (found := find_table(folder or Path.cwd())) is not None:
        own = devices_in_config(found[1])
    if file is not None:
        if file.name in FILES:
            raise ConfigError(
                f"{shown(file)}: a configuration, whose devices are read without being asked for",
                hint="a file of devices has another name, and [[device]] for each",
            )
        own += devices_in_file(read_table(file))
    return unlike((*built_in(), *own))


def find(name: str, devices: Sequence[Device] | None = None) -> Device:
    """The device of that id, in any case. Raises `SpecError` with the closest ids."""
    devices = built_in() if devices is None else devices
    for device in devices:
        if device.id.lower() == name.lower():
            return device
    close = _close(name, devices)
    also = f"close: {', '.join(close)}; " if close else ""
    raise SpecError(f"no device {name!r}", hint=also + _LISTED)


def matching(
    devices: Sequence[Device], patterns: Iterable[str] = (), kinds: Iterable[str] = ()
) -> tuple[Device, ...]:
    """The devices of these kinds whose id or name has one of the patterns in it, in order of kinds.

    A pattern with * or ? is one for the whole of the id or the name; letters are compared in any case.
    Raises `SpecError` for an unknown kind, and for a pattern that no device fits.
    """
    kinds, patterns = tuple(kinds), tuple(patterns)
    for kind in kinds:
        if kind not in KINDS:
            raise SpecError(f"no kind {kind!r}", hint=f"expected one of {', '.join(KINDS)}")
    wanted = [device for device in devices if not kinds or device.kind in kinds]
    chosen: list[Device] = []
    for pattern in patterns:
        found = [device for device in wanted if _fits(device, pattern.lower())]
        if not found and any(_fits(device, pattern.lower()) for device in devices):
            raise SpecError(f"no device {pattern!r} of kind {', '.join(kinds)}", hint=_LISTED)
        if not found:
            find(pattern, wanted)  # raises, and says what is close
        chosen += found
    if patterns:
        wanted = [device for device in wanted if device in chosen]
    if not wanted:
        raise SpecError(f"no device of kind {', '.join(kinds)}", hint=_LISTED)
    order = list(KINDS)
    return tuple(sorted(wanted, key=lambda device: order.index(device.kind)))


def _fits(device: Device, pattern: str) -> bool:
    texts = (device.id.lower(), device.name.lower())
    if any(character in pattern for character in "*?"):
        return any(fnmatchcase(text, pattern) for text in texts)
    return any(pattern in text for text in texts)


def _close(name: str, devices: Sequence[Device]) -> list[str]:
    """Ids that the name is part of, then those that are written like it."""
    within = [device.id for device in devices if name and name.lower() in device.id.lower()]
    like = difflib.get_close_matches(name.lower(), [d.id for d in devices], n=5, cutoff=0.5)
    return list(dict.fromkeys([*within[:5], *like]))[:5]
