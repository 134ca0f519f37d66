"""A table of a configuration that names file and line where something in it is wrong."""

from __future__ import annotations

import difflib
from typing import Any, NoReturn

from cnnstat.budgets.limits import Place
from cnnstat.budgets.toml_lines import Key, TomlLines
from cnnstat.errors import ConfigError


class ConfigTable:
    """A table that names file and line where something in it is wrong."""

    def __init__(self, value: Any, path: Key, lines: TomlLines, shown: str) -> None:
        self.value, self.path, self.lines, self.shown = value, path, lines, shown

    def place(self, *keys: str | int) -> Place:
        """Where a key of the table stands; without one, the table."""
        return Place(self.shown, self.lines.line(*self.path, *keys))

    def wrong(self, message: str, *keys: str | int, hint: str = "") -> NoReturn:
        """Raise `ConfigError` with the place."""
        raise ConfigError(f"{self.place(*keys)}: {message}", hint=hint)

    def expect(self, key: str, expected: str) -> NoReturn:
        """Raise `ConfigError` for a value of another type."""
        self.wrong(f"{key!r} is {kind(self.value[key])}; expected {expected}", key)

    def only(self, known: tuple[str, ...], what: str) -> None:
        """Raise `ConfigError` for a key that does not exist, with the closest one."""
        for key in self.value:
            if key not in known:
                close = difflib.get_close_matches(key.replace("_", "-"), known, n=1, cutoff=0.5)
                hint = f"did you mean {close[0]!r}? " if close else ""
                if key == "tool":
                    hint = "outside pyproject.toml the prefix `tool.cnnstat` is left out; "
                self.wrong(
                    f"unknown {what} {key!r}", key, hint=f"{hint}expected one of {', '.join(known)}"
                )

    def text(self, key: str, default: str | None = None) -> str | None:
        """A text that is not empty."""
        value = self.value.get(key, default)
        if value is not default and (not isinstance(value, str) or not value.strip()):
            self.expect(key, "a text")
        return value if value is None else str(value)

    def flag(self, key: str) -> bool:
        """True or false; false where it is not said."""
        value = self.value.get(key, False)
        return value if isinstance(value, bool) else self.expect(key, "true or false")

    def table(self, key: str, expected: str) -> ConfigTable:
        """The table under a key."""
        if not isinstance(self.value[key], dict):
            self.expect(key, expected)
        return ConfigTable(self.value[key], (*self.path, key), self.lines, self.shown)


def kind(value: Any) -> str:
    """What a value is, for a message."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return f"{value!r:.60}"
