"""The data: one TOML file for each published table, in `cnnstat/data/published`. No torch here.

A file holds the table as it was transcribed (`id`, `title`, `paper`, `year`, `table_no`, `kind`, `caption`,
`document`, `convention`, `notes`, `[[columns]]`, `[[rows]]`), and what this project adds to it:

    [[rows]]
    model = "0.75 MobileNet-224"        # the transcription: a key for each column
    mult_adds_m = 325
    verified = true
    measured = { spec = "zoo:mobilenet_v1?width=0.75", input = [1, 3, 224, 224] }

`measured` names the network of the row: `spec`; `input` (otherwise the network's own); `parts`, paths of the
modules that the row is about; `less`, paths to leave out; `match`, an expression for the paths of layers;
`kinds`, the kinds of layers; `times` for a row that stands for several alike; `size`, the height of the maps
that `map` looks at. `why_not = "…"` instead says why none of its cells can be computed. A table with several
networks in a row names them: `measured = { spec = "…", se = { spec = "…" } }`, and a cell says `of = "se"`.

    [[cells]]                            # how a column is computed; of several that fit, the last counts
    column = "mult_adds_m"               # another name makes a column without published values
    quantity = "macs"                    # one of `quantities.QUANTITIES`
    unit = 1e6                           # what is printed is in millions; 1 otherwise
    rows = [1, 2]                        # for these rows alone, counted from 1; otherwise for all
    exclude = ["linear"]                 # kinds that the paper leaves out
    per_mac = 2                          # operations that it counts for a multiply–accumulate
    rounding = "cut"                     # or "either"; otherwise "nearest"
    step = 10                            # the last place that carries meaning, where it is not the last digit

Further keys: `only` (kinds that it counts alone), `bits` (of a parameter, for `bytes`; 32), `share = true`
(percent of the whole network, without `kinds`), `over = 1` (how many times less than row 1), `of`, `label`
(of a column without published values), and, instead of `quantity`, `why_not = "…"`.

    [[footnotes]]                        # why a computed number is another one, and what was checked
    rows = [4]                           # otherwise all
    column = "mult_adds_m"
    text = "…"
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from cnnstat.errors import SpecError

COSTS = ("published", "article", "architecture", "worked-example")
"""The kinds of tables in which every cost has a computed value, or a reason why not."""

_COST_UNITS = (
    "million",
    "billion",
    "million mult-adds",
    "billion ops",
    "10^6",
    "10^9",
    "MB",
    "KB",
    "MiB",
    "K",
    "count",
)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of the source."""

    key: str
    """Of the rows' values."""
    unit: str
    """`"million"`, `"%"`, `"ms"`; `""`: none."""
    label: str
    """What stands above it."""

    @property
    def cost(self) -> bool:
        """Whether its unit is one of work, parameters or memory."""
        return self.unit in _COST_UNITS


@dataclass(frozen=True, slots=True)
class Network:
    """What a row was measured on."""

    spec: str
    """As on the command line."""
    input: tuple[int, ...] | None = None
    """Shape of the input; `None`: the network's own."""
    parts: tuple[str, ...] = ()
    """Paths of the modules that the row is about; none: all of it."""
    less: tuple[str, ...] = ()
    """Paths of modules that are left out."""
    match: str = ""
    """An expression that paths of layers fit as a whole; `""`: any."""
    kinds: tuple[str, ...] = ()
    """Kinds of layers that the row is about; none: all."""
    times: int = 1
    """How many parts like this the row stands for."""
    size: int = 0
    """Height of the maps that are looked at; 0: any."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the source."""

    published: Mapping[str, Any]
    """As in the file; decimal numbers as `Decimal`, which keeps their digits."""
    networks: Mapping[str, Network]
    """What was measured, by name; `""` is the row's own."""
    why_not: str = ""
    """Why nothing can be."""

    def verified(self, column: str) -> bool:
        """Whether the value was read in a copy of the source."""
        unverified = self.published.get("unverified_fields", ())
        return bool(self.published.get("verified", False)) and column not in unverified


@dataclass(frozen=True, slots=True)
class CellRule:
    """How a column is computed, or why it is not."""

    column: str
    """Key of the column."""
    quantity: str = ""
    """What is counted."""
    rows: tuple[int, ...] = ()
    """Numbers of the rows for which it holds, from 1; none: all."""
    label: str = ""
    """What stands above a column without published values."""
    unit: Decimal = Decimal(1)
    """What one in the table means."""
    per_mac: int = 1
    """Operations for a multiply–accumulate."""
    bits: int = 32
    """Of a parameter."""
    rounding: str = "nearest"
    """How the count became the printed digits."""
    step: Decimal | None = None
    """The last place that carries meaning; `None`: the last digit's."""
    exclude: tuple[str, ...] = ()
    """Kinds that do not count."""
    only: tuple[str, ...] = ()
    """Kinds that count alone; none: all."""
    share: bool = False
    """Whether it is a share of the whole network, in percent."""
    over: int = 0
    """Number of the row of which this is a fraction; 0: none."""
    of: str = ""
    """Name of the row's network."""
    why_not: str = ""
    """Why it is not computed."""


@dataclass(frozen=True, slots=True)
class Footnote:
    """Why numbers differ."""

    text: str
    """The reason, with what was checked."""
    column: str = ""
    """Key of the column; `""`: all."""
    rows: tuple[int, ...] = ()
    """Numbers of the rows, from 1; none: all."""

    def at(self, row: int, column: str) -> bool:
        """Whether it belongs to a cell."""
        return self.column in ("", column) and (not self.rows or row in self.rows)


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table of a paper, and how to compute it."""

    id: str
    """Name of its file."""
    about: Mapping[str, Any]
    """`title`, `paper`, `year`, `table_no`, `kind`, `document`, `convention`, `notes`, …"""
    columns: tuple[TableColumn, ...]
    """As in the source."""
    rows: tuple[Row, ...]
    """As in the source."""
    rules: tuple[CellRule, ...]
    """How cells are computed."""
    footnotes: tuple[Footnote, ...]
    """Reasons for differences."""

    def text(self, key: str) -> str:
        """One of `about`; `""` where it is missing."""
        return str(self.about.get(key, ""))

    def rule(self, row: int, column: str) -> CellRule | None:
        """The last rule for a cell; the row is counted from 1."""
        fits = [r for r in self.rules if r.column == column and (not r.rows or row in r.rows)]
        return fits[-1] if fits else None

    @property
    def computed_only(self) -> tuple[CellRule, ...]:
        """The first rule of each column that the source does not have."""
        keys = {column.key for column in self.columns}
        found: dict[str, CellRule] = {}
        for rule in self.rules:
            if rule.column not in keys:
                found.setdefault(rule.column, rule)
        return tuple(found.values())

    @property
    def costs(self) -> tuple[str, ...]:
        """Keys of the source's columns that are costs: by their unit, or because a rule names them."""
        ruled = {rule.column for rule in self.rules}
        return tuple(column.key for column in self.columns if column.cost or column.key in ruled)


def list_tables() -> tuple[str, ...]:
    """Ids of all tables, in the alphabet's order."""
    names = (entry.name for entry in files("cnnstat").joinpath("data", "published").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def read_table(id: str) -> PublishedTable:
    """The table of that id. Raises `SpecError` for an unknown one, `ConfigError` for a wrong file."""
    from cnnstat.published.reading import parse_table

    if id not in list_tables():
        close = difflib.get_close_matches(id, list_tables(), n=5, cutoff=0.5)
        raise SpecError(
            f"no published table {id!r}",
            hint=f"close: {', '.join(close)}" if close else "see `cnnstat tables`",
        )
    path = files("cnnstat").joinpath("data", "published", f"{id}.toml")
    return parse_table(path.read_text(encoding="utf-8"), f"{id}.toml")
