"""On which line of a TOML document each table and key stands, which `tomllib` does not say.

The document is taken to be valid: `tomllib` has read it. Where this scanner loses its way, it stops, and
what it has found so far is the answer.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator

Key = tuple[str | int, ...]
"""Names of tables and keys, and positions in arrays: `("check", 0, "max", "params")`."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    # A string of several lines may end in two quotes of its own before the three that close it.
    re.compile(r'"""(?:[^"\\]|\\[\s\S]|"{1,2}(?!"))*"{3,5}'),
    re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}"),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_PLAIN = re.compile(r"[^,\]}#\n]+")


class _LostError(Exception):
    """The text is not what was expected here."""


class TomlLines:
    """The lines of a document.

    >>> TomlLines("[[check]]\\nmax.params = 1").line("check", 0, "max", "params")
    2
    """

    def __init__(self, text: str) -> None:
        self.lines: dict[Key, int] = {}
        """The line on which each path is first written."""
        self._text = text
        self._at = 0
        self._breaks = [match.start() for match in re.finditer("\n", text)]
        self._arrays: dict[Key, int] = {}
        try:
            self._document()
        except (_LostError, RecursionError):
            return

    def line(self, *path: str | int) -> int:
        """The line of the path; of the innermost table that is known where it is not; else 1."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def _document(self) -> None:
        table: Key = ()
        while True:
            self._skip(_BLANK)
            if self._at >= len(self._text):
                return
            if self._text.startswith("[[", self._at):
                table = self._header("[[", "]]")
            elif self._text.startswith("[", self._at):
                table = self._header("[", "]")
            else:
                self._pair(table)

    def _header(self, opening: str, closing: str) -> Key:
        start = self._at
        self._take(opening)
        *outer, last = self._key()
        self._take(closing)
        table: Key = ()
        for name in outer:
            table = self._inside((*table, name))
            self._found(table, start)
        table = (*table, last)
        if opening == "[[":
            self._arrays[table] = self._arrays.get(table, -1) + 1
            self._found(table, start)
            table = self._inside(table)
        self._found(table, start)
        return table

    def _inside(self, table: Key) -> Key:
        """A table's last element, where it is an array of tables."""
        return (*table, self._arrays[table]) if table in self._arrays else table

    def _pair(self, table: Key) -> None:
        start = self._at
        for name in self._key():
            table = (*table, name)
            self._found(table, start)
        self._take("=")
        self._skip(_SPACE)
        self._value(table)

    def _value(self, path: Key) -> None:
        opening = self._text[self._at : self._at + 1]
        if opening == "[":
            for n, _ in enumerate(self._items("]")):
                self._found((*path, n), self._at)
                self._value((*path, n))
        elif opening == "{":
            for _ in self._items("}"):
                self._pair(path)
        elif opening in ('"', "'"):
            self._string()
        else:
            self._take_match(_PLAIN)

    def _items(self, closing: str) -> Iterator[None]:
        """Stops at each item, which whoever iterates must read."""
        self._at += 1
        self._skip(_BLANK)
        while not self._text.startswith(closing, self._at):
            yield
            self._skip(_BLANK)
            if not self._text.startswith(closing, self._at):
                self._take(",")
                self._skip(_BLANK)
        self._at += 1

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            if self._text[self._at : self._at + 1] in ('"', "'"):
                names.append(_unquoted(self._string()))
            else:
                names.append(self._take_match(_BARE_KEY))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _string(self) -> str:
        for pattern in _STRINGS:
            match = pattern.match(self._text, self._at)
            if match:
                self._at = match.end()
                return match[0]
        raise _LostError

    def _found(self, path: Key, start: int) -> None:
        if path not in self.lines:
            self.lines[path] = bisect_left(self._breaks, start) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _take(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            raise _LostError
        self._at += len(text)

    def _take_match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _LostError
        self._at = match.end()
        return match[0]


def _unquoted(literal: str) -> str:
    try:
        return str(tomllib.loads(f"key = {literal}")["key"])
    except ValueError:
        raise _LostError from None
