"""The table that terminal, Markdown, LaTeX and HTML share: columns that leave, digits that stay.

A table that is too wide loses whole columns, the least important first. Only an elastic column, the
path, is ever shortened, and from the left. Numbers are shown in full or not at all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

GAP = "  "
"""Between two columns."""

_SHORTEST_NAME = 8
"""What the indentation leaves to the deepest name."""

_SHORTEST_PATH = 28
"""An elastic column is shortened to this before another column leaves, if it must be."""

_SHORTEST_OF_ALL = 20
"""And to this before a late one does: names of rows are told apart by their first or last characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column."""

    key: str
    """What it holds: `"macs"`."""
    title: str
    """What stands above it."""
    numeric: bool = False
    """Set to the right. Never shortened, as every column but an elastic one."""
    priority: int = 100
    """Where room is short, the lowest leaves first; 100 and above never leave."""
    elastic: bool = False
    """May be shortened from the left."""
    late: int = 0
    """Above 0: leaves where a shorter path does not make room, the highest first, with all of that number."""
    ornament: bool = False
    """Leaves before anything is shortened, and is for terminals alone."""
    prose: bool = False
    """Sentences, in the last column alone: on a terminal they take the room that is left, on as many
    lines as it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a table: a text for each column."""

    cells: tuple[str, ...]
    """Display text."""
    role: str = "layer"
    """As `Row.role`, or `"total"`."""
    indent: int = 0
    """Levels by which the first cell is set in."""
    keep: int = 0
    """Characters at the end of the first cell that stay when it is shortened, if they can."""
    faint: bool = False
    """Whether it says little: a layer that never ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and lines."""

    columns: tuple[Column, ...]
    """From left to right."""
    lines: tuple[Line, ...]
    """From top to bottom."""
    step: int = 2
    """Cells by which a level is set in."""

    def column(self, key: str) -> tuple[str, ...]:
        """The texts in one column."""
        place = next(n for n, column in enumerate(self.columns) if column.key == key)
        return tuple(line.cells[place] for line in self.lines)

    def only(self, columns: Sequence[Column]) -> Table:
        """The table with these of its columns."""
        places = [n for n, column in enumerate(self.columns) if column in columns]
        lines = (replace(line, cells=tuple(line.cells[n] for n in places)) for line in self.lines)
        columns = tuple(self.columns[n] for n in places)
        return replace(self, columns=columns, lines=tuple(lines))

    def without_ornaments(self) -> Table:
        """The table without the columns that only a terminal can show."""
        return self.only([c for c in self.columns if not c.ornament])

    def indented(self, line: Line) -> str:
        """The line's first cell as it stands in the table."""
        return " " * (self.step * line.indent) + line.cells[0]

    def widths(self) -> tuple[int, ...]:
        """Cells that each column takes, in the terminal."""
        return tuple(
            max([width(column.title), *(width(text) for text in self._texts(n))])
            for n, column in enumerate(self.columns)
        )

    def fit(self, room: int | None) -> Table:
        """The table within `room` cells; as it is where there is no limit."""
        if room is None:
            return self
        table = self
        while table.total() > room and any(c.ornament for c in table.columns):
            table = table._without_least([c for c in table.columns if c.ornament])
        while table._least() > room:
            optional = [c for c in table.columns if c.priority < 100]
            if not optional:
                break
            table = table._without_least(optional)
        while table._narrowest() > room and (latest := max(c.late for c in table.columns)):
            table = table.only([c for c in table.columns if c.late != latest])
        return table._shortened(room)

    def _without_least(self, candidates: Sequence[Column]) -> Table:
        least = min(candidates, key=lambda column: column.priority)
        return self.only([column for column in self.columns if column is not least])

    def _texts(self, place: int) -> list[str]:
        if place:
            return [line.cells[place] for line in self.lines]
        return [self.indented(line) for line in self.lines]

    def total(self) -> int:
        """Cells that a line takes."""
        return sum(self.widths()) + len(GAP) * (len(self.columns) - 1)

    def _least(self) -> int:
        """The width with the elastic column as short as it should become."""
        if not any(column.elastic for column in self.columns):
            return self.total()
        natural = self.widths()[0]
        needed = min(self._least_first(self.step, natural), _SHORTEST_PATH)
        return self.total() - natural + min(natural, max(needed, width(self.columns[0].title)))

    def _narrowest(self) -> int:
        """The width with the elastic column as short as it becomes before a late one leaves."""
        if not self.columns or not self.columns[0].elastic:
            return self.total()
        return self.total() - max(self.widths()[0] - _SHORTEST_OF_ALL, 0)

    def _shortened(self, room: int) -> Table:
        if not self.columns or not self.columns[0].elastic:
            return self
        natural = self.widths()[0]
        target = natural - max(self.total() - room, 0)
        if target >= natural:
            return self
        target = max(target, width(self.columns[0].title))
        # The indentation alone says which row lies below which, so it shrinks for all at once.
        step = next((n for n in (2, 1) if self._least_first(n, _SHORTEST_NAME) <= target), 0)
        lines = []
        for line in self.lines:
            first = elided(line.cells[0], target - step * line.indent)
            lines.append(replace(line, cells=(first, *line.cells[1:])))
        return replace(self, lines=tuple(lines), step=step)

    def _least_first(self, step: int, limit: int) -> int:
        """Cells for what should stay of the first column, no more than `limit` of each name."""
        least = 0
        for line in self.lines:
            text = line.cells[0]
            kept = 1 + width(text[len(text) - line.keep :]) if line.keep else width(text)
            least = max(least, step * line.indent + min(width(text), kept, limit))
        return least


def elided(text: str, room: int) -> str:
    """The end of `text` in `room` cells, after an ellipsis where something is missing."""
    if width(text) <= room:
        return text
    start = 0
    while start < len(text) and width(text[start:]) > room - 1:
        start += 1
    return "…" + text[start:]


def width(text: str) -> int:
    """Terminal cells that the text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def visible(text: str) -> str:
    """The text with line breaks and other control characters written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
