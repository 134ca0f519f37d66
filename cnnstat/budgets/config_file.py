"""The files that configure cnnstat: which one it is, and its TOML as a table that knows its lines."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnstat.budgets.config_table import ConfigTable, kind
from cnnstat.budgets.toml_lines import Key, TomlLines
from cnnstat.errors import ConfigError

FILES = ("cnnstat.toml", "pyproject.toml")
"""What is looked for, in this order, in a folder."""

_MOST_BYTES = 2**20


def find_table(start: Path) -> tuple[Path, ConfigTable] | None:
    """File and table of the innermost project around a folder; `None` where there is none.

    A pyproject.toml without `[tool.cnnstat]` is not one. Raises `ConfigError`.
    """
    for folder in (start, *start.parents):
        paths = [folder / name for name in FILES if _is_file(folder / name)]
        found = [(path, table) for path in paths if (table := _read(path, wanted=False))]
        if len(found) > 1:
            both = " and ".join(shown(path) for path, _ in found)
            raise ConfigError(
                f"{both} both configure cnnstat", hint="keep one, or name it with --config"
            )
        if found:
            return found[0]
    return None


def read_table(path: Path) -> ConfigTable:
    """The table in a file; of a pyproject.toml what is under `[tool.cnnstat]`. Raises `ConfigError`."""
    table = _read(path.absolute(), wanted=True)
    assert table is not None  # Where it is wanted, its absence is an error.
    return table


def shown(path: Path) -> str:
    """The path, as people would write it from where they are."""
    try:
        return Path(os.path.relpath(path)).as_posix()
    except (OSError, ValueError):  # Windows: on another drive.
        return path.as_posix()


def _read(path: Path, *, wanted: bool) -> ConfigTable | None:
    name = shown(path)
    text = _text(path, name)
    try:
        document: Any = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line, reason = _toml_error(error, text)
        raise ConfigError(f"{name}:{line}: not valid TOML: {reason}") from None
    prefix: Key = ("tool", "cnnstat") if path.name == "pyproject.toml" else ()
    for n, key in enumerate(prefix):
        if not isinstance(document, Mapping) or key not in document:
            if not wanted:
                return None
            raise ConfigError(
                f"{name}:1: has no [tool.cnnstat]", hint="in another file the prefix is left out"
            )
        document = document[key]
        if not isinstance(document, dict):
            line = TomlLines(text).line(*prefix[: n + 1])
            raise ConfigError(f"{name}:{line}: {key!r} is {kind(document)}; expected a table")
    return ConfigTable(document, prefix, TomlLines(text), name)


def _text(path: Path, shown: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{shown}: cannot be read: {reason.lower()}") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(
            f"{shown}:1: larger than 1 MiB, which no configuration is",
            hint="name another file with --config",
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{shown}:{line}: not UTF-8, which TOML is: byte 0x{content[error.start]:02x}",
            hint="save the file as UTF-8",
        ) from None


def _toml_error(error: Exception, text: str) -> tuple[int, str]:
    """The line, which `tomllib` says in words alone, and the rest of what it says."""
    if isinstance(error, RecursionError):
        return 1, "values are nested too deeply"
    message = str(error)
    place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if place is None:
        return 1, message.partition(";")[0]
    line = int(place[1]) if place[1] else text.rstrip("\n").count("\n") + 1
    return line, message[: place.start()]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # A folder above that nobody may look into.
        return False
