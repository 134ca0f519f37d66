"""Numbers of several models beside each other: bars, ratios, and what share is spent on what and where.

A table is made for the room there is, since neither a model nor a part of a sum may leave for want of
it: digits become fewer first, then bars shorter, and at last models stand below each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from cnnstat.comparing.comparison import Comparison, Model, Ratio
from cnnstat.comparing.stages import Stage, StageRow
from cnnstat.render.document import Figure, Text
from cnnstat.render.layers import at_least
from cnnstat.render.table import GAP, Column, Line, Table, elided, visible
from cnnstat.units import grouped, percent, short

SIDE_BY_SIDE = 4
"""More models than this stand below each other."""

_EIGHTHS = " ▏▎▍▌▋▊▉"
LAYOUTS = ((12, 0), (8, 0), (5, 0), (5, 12), (4, 12), (3, 12), (0, 0), (0, 12))
"""Cells of a bar and of a model's name, 0 for none and for the whole name: the first that fits."""

Digits = Callable[[int], str]


def bar(value: int, largest: int, cells: int) -> str:
    """A bar of at most `cells`; what is there at all can be seen."""
    if not value or not largest:
        return ""
    eighths = max(round(value * cells * 8 / largest), 1)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def ratio_text(ratio: Ratio) -> str:
    """`3.783`, `0.053`, `≥ 1.200`; `2` only where it is exactly that, `?` where nothing is known.

    Bounds are rounded to the side on which they still hold.
    """
    if ratio.value is None:
        return "?" if ratio.bound == "?" else "–"
    mark = f"{ratio.bound} " if ratio.bound else ""
    value = ratio.value
    if value.denominator == 1:
        return f"{mark}{value.numerator:,}"
    if not ratio.bound and value < Fraction(1, 2000):
        return "<0.001"
    digits = 3 if value < 10 else 2 if value < 100 else 1 if value < 1000 else 0
    to_side = {"≥": math.floor, "≤": math.ceil}.get(ratio.bound, round)
    units = to_side(value * 10**digits)
    # Exactly: a large float may be on the other side.
    return f"{mark}{Decimal(units).scaleb(-digits):,.{digits}f}" if units else "> 0"


def others_title(number: int) -> str:
    """What the parts are called that have no column."""
    return "1 other" if number == 1 else f"{number} others"


def heads(models: Sequence[Model], cells: int) -> list[str]:
    """Labels for columns, no longer than `cells` where they stay different."""
    labels = [visible(model.label) for model in models]
    shorter = [elided(label, cells) for label in labels]
    return shorter if cells and len({*shorter}) == len({*labels}) else labels


def taken(table: Table) -> int:
    """Cells that a line of the table takes."""
    return sum(table.widths()) + len(GAP) * (len(table.columns) - 1)


def first_that_fits(tables: Iterator[Table], room: int | None) -> Table | None:
    """The first of several tables that fits, or none of them."""
    return next((table for table in tables if room is None or taken(table) <= room), None)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one model spends on one thing: a kind of layer, a stage."""

    value: int
    """How much."""
    partial: bool = False
    """Whether operations without a rule are missing from it."""
    present: bool = True
    """Whether the model has such a thing at all."""

    def text(self, digits: Digits) -> str:
        """The number; a dash where there is no such thing."""
        return at_least(self.partial) + digits(self.value) if self.present else "–"

    def share(self, whole: int) -> str:
        """Of the whole; of work that is not known in full, no share is known."""
        return percent(self.value, whole) if self.present and not self.partial else "–"


@dataclass(frozen=True, slots=True)
class Shares:
    """A sum of each model by its parts."""

    what: str
    """What the parts are: `"kind"`."""
    models: tuple[Model, ...]
    """The models."""
    parts: tuple[tuple[str, tuple[Spent, ...]], ...]
    """Each part with what each model spends on it; a model's column adds up to its total."""
    bounded: bool = True
    """Whether operations without a rule would add to it."""

    def table(self, room: int | None) -> Table:
        """The parts below each other, and the models beside each other where they fit."""
        if len(self.models) <= SIDE_BY_SIDE:
            table = first_that_fits(self._beside(), room)
            if table is not None:
                return table
        fewer = (self._below(count) for count in range(len(self.parts), 0, -1))
        return first_that_fits(fewer, room) or self._below(1)

    def _beside(self) -> Iterator[Table]:
        for cells in (8, 5):
            yield self._side_by_side(grouped, cells, 0)
        for cells, name in LAYOUTS:
            yield self._side_by_side(short, cells, name)

    def _side_by_side(self, digits: Digits, cells: int, name: int) -> Table:
        columns = [Column(key=self.what, title=self.what)]
        for n, title in enumerate(heads(self.models, name)):
            columns.append(Column(key=f"value{n}", title=title, numeric=True))
            columns.append(Column(key=f"share{n}", title="share", numeric=True))
            if cells:
                columns.append(Column(key="bar", title="", priority=n, ornament=True))
        wholes = self._wholes()
        lines = []
        for label, spent in self.parts:
            row = [visible(label)]
            for one, whole in zip(spent, wholes, strict=True):
                row += [one.text(digits), one.share(whole)]
                row += [bar(one.value, whole, cells)] if cells else []
            lines.append(Line(cells=tuple(row)))
        row = ["total"]
        for model, whole in zip(self.models, wholes, strict=True):
            partial = self.bounded and not model.report.complete
            row += [at_least(partial) + digits(whole), percent(whole, whole)]
            row += [""] if cells else []
        lines.append(Line(cells=tuple(row), role="total"))
        return Table(columns=tuple(columns), lines=tuple(lines))

    def _below(self, count: int) -> Table:
        """Models as lines, with the shares of the `count` largest parts and of the others together."""
        wholes = self._wholes()
        ranked = sorted(self.parts, key=lambda part: -sum(_weights(part[1], wholes)))
        heads = {label for label, _ in ranked[:count]}
        parts = [part for part in self.parts if part[0] in heads]
        others = [part for part in self.parts if part[0] not in heads]
        columns = [Column(key="model", title="model", elastic=True)]
        columns += [
            Column(key=f"part{n}", title=visible(label), numeric=True)
            for n, (label, _) in enumerate(parts)
        ]
        if others:
            columns.append(Column(key="others", title=others_title(len(others)), numeric=True))
        lines = []
        for n, (model, whole) in enumerate(zip(self.models, wholes, strict=True)):
            row = [spent[n].share(whole) for _, spent in parts]
            if others:
                rest = [spent[n] for _, spent in others]
                left = Spent(sum(one.value for one in rest), any(one.partial for one in rest))
                row.append(left.share(whole))
            lines.append(Line(cells=(visible(model.label), *row), keep=len(visible(model.label))))
        return Table(columns=tuple(columns), lines=tuple(lines))

    def _wholes(self) -> list[int]:
        return [sum(spent[n].value for _, spent in self.parts) for n in range(len(self.models))]


def _weights(spent: Sequence[Spent], wholes: Sequence[int]) -> list[float]:
    return [one.value / whole if whole else 0 for one, whole in zip(spent, wholes, strict=True)]


# By kind and by stage


def kind_figure(models: Sequence[Model], room: int | None) -> list[Figure]:
    """MACs by kind; none where nothing multiplies and accumulates."""
    macs = {
        kind: tuple(Spent(model.kinds[kind].macs if kind in model.kinds else 0) for model in models)
        for kind in dict.fromkeys(kind for model in models for kind in model.kinds)
    }
    ranked = sorted(macs.items(), key=lambda item: tuple(-spent.value for spent in item[1]))
    parts = tuple((kind, spent) for kind, spent in ranked if any(one.value for one in spent))
    table = Shares("kind", tuple(models), parts).table(room)
    return [Figure(table, title=f"MACs by kind{_of_what(models)}", key="kinds")] if parts else []


def stage_figures(
    comparison: Comparison, models: Sequence[Model], room: int | None, hint: str
) -> list[Text | Figure]:
    """MACs, then parameters, by spatial size; a sentence where there are none."""
    places = [comparison.models.index(model) for model in models]
    rows = [replace(row, parts=tuple(row.parts[n] for n in places)) for row in comparison.stages]
    labels = {row.stage: _stage_label(row, _inputs_differ(comparison)) for row in rows}

    def figure(
        name: str, what: str, title: str, key: str, bounded: bool, hint: str = ""
    ) -> Text | Figure:
        parts = tuple(
            (
                labels[row.stage],
                tuple(
                    Spent(
                        getattr(part.totals, name),
                        partial=bounded and part.uncounted > 0,
                        present=part.present,
                    )
                    for part in row.parts
                ),
            )
            for row in rows
        )
        spent = tuple(part for part in parts if any(one.value or one.partial for one in part[1]))
        if not spent:
            return Text(f"no model has {what} at any stage", "quiet")
        table = Shares("stage", tuple(models), spent, bounded).table(room)
        return Figure(table, title=title, key=key, hint=hint)

    title = f"MACs by stage, the spatial size that a layer puts out{_of_what(models)}"
    return [
        figure("macs", "MACs", title, "stages", True, hint),
        figure("params", "parameters", "Parameters by stage", "stages-params", False),
    ]


def _of_what(models: Sequence[Model]) -> str:
    """A reminder where shares are not of everything that ran."""
    return "" if all(model.report.complete for model in models) else ", of what is counted"


def _inputs_differ(comparison: Comparison) -> bool:
    return len({repr(model.report.meta.get("inputs")) for model in comparison.models}) > 1


def _stage_label(row: StageRow, with_stride: bool) -> str:
    """`56×56`, and `56×56 /4` where the inputs differ and equal sizes are not equal strides."""
    if not with_stride or row.stage == Stage():
        return row.stage.label
    found = [part.stride for part in row.parts if part.stride and part.present]
    strides = dict.fromkeys(_stride(stride) for stride in found)
    return " ".join([row.stage.label, *strides])


def _stride(stride: float) -> str:
    """To whole pixels: padding makes 299 to 149."""
    return f"/{round(stride)}" if stride >= 1 else f"×{round(1 / stride)}"
