"""What is shown of anything but a plain report: headings, paragraphs and tables, and the data behind them.

A comparison, an explanation and a cross-check are each turned into a `Document` once; every format then
draws documents, and knows nothing of what they are about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cnnstat.render.table import Table


@dataclass(frozen=True, slots=True)
class Text:
    """One paragraph."""

    text: str
    """Display text without line breaks."""
    role: Literal["plain", "quiet", "formula", "warning"] = "plain"
    """How it is meant; a formula is never escaped word by word nor set in italics."""
    about: tuple[tuple[str, str], ...] = ()
    """Figures and columns, by their keys, that it explains: a terminal leaves it out where it has room for
    none of them. `()`: it explains more than these."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A table with what it is called."""

    table: Table
    """Its columns and lines."""
    title: str = ""
    """What stands above it; a caption in LaTeX."""
    after: str = ""
    """A quiet line below it: how many rows are not shown."""
    hint: str = ""
    """What to type to see more; said on a terminal alone."""
    key: str = ""
    """A short name that stays when the numbers change, for a label in LaTeX; `""`: its title."""
    tells: bool = False
    """Whether a terminal says which columns have no room, and in how much they have."""


@dataclass(frozen=True, slots=True)
class Document:
    """Everything that a renderer needs, in the order in which it is read."""

    title: tuple[str, ...]
    """What it is about: `("resnet50", "layer1.0.conv1")`."""
    circumstances: tuple[str, ...] = ()
    """How it was measured."""
    blocks: tuple[Text | Figure, ...] = ()
    """The body."""
    notes: tuple[str, ...] = ()
    """What the reader should know, a paragraph each."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The whole of it as plain values, for JSON: exact, whatever the body shows."""
    records: tuple[Mapping[str, object], ...] = ()
    """The rows of the CSV form, under the same keys each."""
