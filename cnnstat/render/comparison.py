"""A comparison as a document: totals with ratios and bars, shares by kind, and the layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnstat.comparing.comparison import By, Comparison, Model
from cnnstat.comparing.comparison_data import comparison_to_dict, layer_records, total_records
from cnnstat.errors import OutputError, SpecError
from cnnstat.render import summary
from cnnstat.render.alignment import alignment_figure
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.layers import at_least, convention_title
from cnnstat.render.shares import (
    LAYOUTS,
    SIDE_BY_SIDE,
    bar,
    first_that_fits,
    heads,
    kind_figure,
    ratio_text,
    stage_figures,
    taken,
)
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.units import grouped, short, short_bytes

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

SORTS = ("given", "macs", "params", "flops", "activations", "bytes", "depth", "name")
"""What `ComparisonView.sort` may name: numbers from the largest, names from the first."""

_TITLES = {
    "params": "params",
    "macs": "MACs",
    "flops": "FLOPs",
    "activations": "activations",
    "bytes": "param bytes",
    "depth": "depth",
}

_IMPORTANCE = {"macs": 9, "params": 8, "quoted": 7, "flops": 6, "activations": 5, "depth": 4}
"""Which columns stay where room is short; that by which the models are sorted always does."""

_DEPTH = "depth counts the layers with multiply–accumulates of their own"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonView:
    """What of a comparison is shown, and in how much room.

    Raises `OutputError` where the fields contradict each other.
    """

    layers: bool = False
    """Whether the layers are shown."""
    by: By | None = None
    """How they are set beside each other; `None`: as the networks suggest."""
    sort: str = "given"
    """Order of the models."""
    all: bool = False
    """Show every layer, also those that are unchanged."""
    top: int | None = None
    """Show so many of the layers that differ most."""
    width: int | None = None
    """Cells in a line; `None`: as many as the widest line takes."""

    def __post_init__(self) -> None:
        if self.sort not in SORTS:
            raise OutputError(
                f"unknown column {self.sort!r}", hint=f"expected one of {', '.join(SORTS)}"
            )
        for name, value in (("top", self.top), ("width", self.width)):
            if value is not None and value < 1:
                raise OutputError(f"--{name} {value}: expected 1 or more")
        if self.top is not None and self.all:
            raise OutputError("--all and --top contradict each other", hint="give one of them")
        if self.chosen and not self.layered:
            raise OutputError(f"{self.chosen} is about layers", hint="add --layers")
        if self.chosen and self.by == "stage":
            raise OutputError(
                f"{self.chosen} and --by stage contradict each other", hint="leave one out"
            )

    @property
    def chosen(self) -> str:
        """The option that says which layers are shown; `""`: none does."""
        return "--top" if self.top is not None else "--all" if self.all else ""

    @property
    def layered(self) -> bool:
        """Whether layers are shown: asked for by themselves, or by how."""
        return self.layers or self.by is not None


def comparison_document(comparison: Comparison, view: ComparisonView | None = None) -> Document:
    """Everything that is shown of a comparison.

    Raises `SpecError` where layers cannot be aligned, or where the view picks some and none are.
    """
    view = view or ComparisonView()
    by = (view.by or comparison.by) if view.layered else None
    if view.chosen and by == "stage":
        several = len(comparison.models) > 2
        raise SpecError(
            f"{view.chosen} is about layers side by side, and these models are compared by stage",
            hint=f"leave it out, or {'give two models' if several else 'add --by layer'}",
        )
    models = sorted_models(comparison, view.sort)
    room = view.width
    blocks: list[Text | Figure] = [
        Text(f"{visible(model.label)}: {summary.summary_sentence(model.report)}", "warning")
        for model in models
        if not model.report.complete
    ]
    totals = _totals(comparison, models, view)
    blocks.append(Figure(totals, key="totals", after=_DEPTH if _has_depth(totals, room) else ""))
    blocks += kind_figure(models, room)
    if by == "layer":
        blocks += alignment_figure(comparison, view.all, view.top)
    elif by == "stage":
        two = len(models) == 2 and view.by is None
        hint = "layer by layer all the same: --by layer" if two else ""
        blocks += stage_figures(comparison, models, room, hint)
    return Document(
        title=_title(comparison),
        circumstances=_circumstances(comparison),
        blocks=tuple(blocks),
        notes=tuple(map(visible, comparison.notes)),
        data=comparison_to_dict(comparison, layers=view.layered, by=by),
        records=tuple(layer_records(comparison, by) if by else total_records(comparison)),
    )


def warnings_in(document: Document) -> tuple[str, ...]:
    """What a format without paragraphs has no place for."""
    texts = (block for block in document.blocks if isinstance(block, Text))
    return tuple(text.text for text in texts if text.role == "warning")


def sorted_models(comparison: Comparison, sort: str) -> tuple[Model, ...]:
    """The models in the order that is asked for; equal ones as they were given."""
    if sort == "given":
        return comparison.models
    if sort == "name":
        return tuple(sorted(comparison.models, key=lambda model: model.label))
    return tuple(sorted(comparison.models, key=lambda model: -model.value(sort)))


class RichComparison:
    """What `rich.print(comparison)` and a notebook's `rich` show."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text as RichText

        from cnnstat.render.terminal import document_lines, text_of

        view = ComparisonView(width=options.max_width)
        lines = document_lines(comparison_document(self.comparison, view), options.max_width)
        text = text_of(lines, color=True).removesuffix("\n")
        yield RichText.from_ansi(text, no_wrap=True, overflow="ignore")


def _title(comparison: Comparison) -> tuple[str, ...]:
    labels = comparison.labels
    many = len(labels) > SIDE_BY_SIDE
    return (f"{len(labels)} models",) if many else tuple(map(visible, labels))


def _circumstances(comparison: Comparison) -> tuple[str, ...]:
    """What holds for all, and what the ratios refer to."""
    inputs = [summary.title(model.report)[-1:] for model in comparison.models]
    measured = [summary.circumstances(model.report) for model in comparison.models]
    common = [item for item in measured[0] if all(item in others for others in measured)]
    has_inputs = all(model.report.meta.get("inputs") for model in comparison.models)
    same = inputs[0] if has_inputs and all(item == inputs[0] for item in inputs) else []
    return (f"ratios to {visible(comparison.baseline.label)}", *same, *common)


# Totals


def _totals(comparison: Comparison, models: Sequence[Model], view: ComparisonView) -> Table:
    if len(models) <= SIDE_BY_SIDE:
        table = first_that_fits(_side_by_side(comparison, models, view.width), view.width)
        if table is not None:
            return table
    return _below(comparison, models, view)


def _has_depth(table: Table, room: int | None) -> bool:
    """Whether the depth is there, as a line or as a column that is not too much for the room."""
    first, *others = table.fit(room).columns
    return any(column.key == "depth" for column in others) or (
        first.key == "total" and _TITLES["depth"] in table.column(first.key)
    )


def _side_by_side(
    comparison: Comparison, models: Sequence[Model], room: int | None
) -> Iterator[Table]:
    """Metrics as lines; first with all digits, then with shorter bars, at last without."""
    yield _metric_lines(comparison, models, exact=True, cells=12 if room is None else 8)
    for cells, name in LAYOUTS:
        yield _metric_lines(comparison, models, exact=False, cells=cells, name=name)


def _metric_lines(
    comparison: Comparison, models: Sequence[Model], *, exact: bool, cells: int, name: int = 0
) -> Table:
    columns = [Column(key="total", title="")]
    for n, (model, title) in enumerate(zip(models, heads(models, name), strict=True)):
        columns.append(Column(key=f"value{n}", title=title, numeric=True))
        if model is not comparison.baseline:
            columns.append(Column(key=f"ratio{n}", title="ratio", numeric=True))
        if cells:
            columns.append(Column(key="bar", title="", priority=n, ornament=True))
    lines = []
    for metric in comparison.metrics:
        largest = max(model.value(metric) for model in models)
        row = [_metric_title(comparison, metric)]
        for model in models:
            row.append(_value(model, metric, exact))
            if model is not comparison.baseline:
                row.append(ratio_text(comparison.ratio(model, metric)))
            if cells:
                row.append(bar(model.value(metric), largest, cells))
        lines.append(Line(cells=tuple(row)))
    return Table(columns=tuple(columns), lines=tuple(lines))


def _below(comparison: Comparison, models: Sequence[Model], view: ComparisonView) -> Table:
    """Models as lines: as many metrics as there is room for, and a bar for what they are sorted by."""
    shown = view.sort if view.sort in comparison.metrics else "macs"
    exact = _model_lines(comparison, models, shown, exact=True, cells=12)
    if view.width is None or taken(exact) <= view.width:
        return exact
    table = exact
    for cells in (12, 8, 5):
        table = _model_lines(comparison, models, shown, exact=False, cells=cells)
        while taken(table) > view.width:
            least = min(table.columns, key=lambda column: (column.ornament, column.priority))
            if least.priority >= 100 or least.ornament:
                break  # `Table.fit` sees to what is left
            table = table.only([column for column in table.columns if column is not least])
        if {"params", "macs", "macs_ratio"} <= {column.key for column in table.columns}:
            break
    return table


def _model_lines(
    comparison: Comparison, models: Sequence[Model], shown: str, *, exact: bool, cells: int
) -> Table:
    columns = [Column(key="model", title="model", elastic=True)]
    for metric in comparison.metrics:
        first = metric == shown
        rank = 100 if first else 10 * _IMPORTANCE.get(metric, 3)
        title = _metric_title(comparison, metric)
        columns.append(Column(key=metric, title=title, numeric=True, priority=rank))
        rank = 95 if first else {"macs": 70, "params": 65}.get(metric, rank - 45)
        columns.append(Column(key=f"{metric}_ratio", title="ratio", numeric=True, priority=rank))
        if first:
            columns.append(Column(key="bar", title="", priority=0, ornament=True))
    largest = max(model.value(shown) for model in models)
    lines = []
    for model in models:
        texts = {"model": visible(model.label), "bar": bar(model.value(shown), largest, cells)}
        for metric in comparison.metrics:
            texts[metric] = _value(model, metric, exact)
            texts[f"{metric}_ratio"] = ratio_text(comparison.ratio(model, metric))
        row = tuple(texts[column.key] for column in columns)
        lines.append(Line(cells=row, keep=len(texts["model"])))
    return Table(columns=tuple(columns), lines=tuple(lines))


def _metric_title(comparison: Comparison, metric: str) -> str:
    return _TITLES.get(metric) or convention_title(comparison.baseline.report)


def _value(model: Model, metric: str, exact: bool) -> str:
    brief = short_bytes if metric == "bytes" else short
    return at_least(model.at_least(metric)) + (grouped if exact else brief)(model.value(metric))
