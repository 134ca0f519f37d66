"""A comparison as a document: totals with ratios and bars, shares by kind, and the layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnstat.comparing.comparison import By, Comparison, Model
from cnnstat.comparing.comparison_data import comparison_to_dict, layer_records, total_records
from cnnstat.comparing.stages import Stage, StageRow
from cnnstat.errors import OutputError
from cnnstat.render import summary
from cnnstat.render.alignment import alignment_figure
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.layers import at_least, convention_title
from cnnstat.render.shares import (
    LAYOUTS,
    SIDE_BY_SIDE,
    Shares,
    Spent,
    bar,
    first_that_fits,
    heads,
    ratio_text,
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
        if (self.top is not None or self.all) and not self.layered:
            option = "--all" if self.all else "--top"
            raise OutputError(f"{option} is about layers", hint="add --layers")
        if self.top is not None and self.by == "stage":
            raise OutputError("--top and --by stage contradict each other", hint="leave one out")

    @property
    def layered(self) -> bool:
        """Whether layers are shown: asked for by themselves, or by how."""
        return self.layers or self.by is not None


def comparison_document(comparison: Comparison, view: ComparisonView | None = None) -> Document:
    """Everything that is shown of a comparison. Raises `SpecError` where layers cannot be aligned."""
    view = view or ComparisonView()
    by = view.by or comparison.by
    models = sorted_models(comparison, view.sort)
    room = view.width
    kinds = _kind_shares(models)
    blocks: list[Text | Figure] = [
        Text(f"{visible(model.label)}: {summary.summary_sentence(model.report)}", "warning")
        for model in models
        if not model.report.complete
    ]
    blocks.append(Figure(_totals(comparison, models, view), after=_DEPTH))
    if kinds.parts:
        blocks.append(Figure(kinds.table(room), title=f"MACs by kind{_of_what(models)}"))
    if view.layered and by == "layer":
        blocks += alignment_figure(comparison, view.all, view.top, room)
    elif view.layered:
        blocks += _stage_figures(comparison, models, view)
    return Document(
        title=_title(comparison),
        circumstances=_circumstances(comparison),
        blocks=tuple(blocks),
        notes=tuple(map(visible, comparison.notes)),
        data=comparison_to_dict(comparison, layers=view.layered, by=by),
        records=tuple(layer_records(comparison, by) if view.layered else total_records(comparison)),
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


# Shares


def _kind_shares(models: Sequence[Model]) -> Shares:
    macs = {
        kind: tuple(Spent(model.kinds[kind].macs if kind in model.kinds else 0) for model in models)
        for kind in dict.fromkeys(kind for model in models for kind in model.kinds)
    }
    ranked = sorted(macs.items(), key=lambda item: tuple(-spent.value for spent in item[1]))
    parts = tuple((kind, spent) for kind, spent in ranked if any(one.value for one in spent))
    return Shares("kind", tuple(models), parts)


def _of_what(models: Sequence[Model]) -> str:
    """A reminder where shares are not of everything that ran."""
    return "" if all(model.report.complete for model in models) else ", of what is counted"


def _stage_figures(
    comparison: Comparison, models: Sequence[Model], view: ComparisonView
) -> list[Text | Figure]:
    """MACs, then parameters, by spatial size."""
    places = [comparison.models.index(model) for model in models]
    rows = [replace(row, parts=tuple(row.parts[n] for n in places)) for row in comparison.stages]
    labels = {row.stage: _stage_label(row, _inputs_differ(comparison)) for row in rows}

    def shares(name: str, bounded: bool) -> Table:
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
        spent = [part for part in parts if any(one.value or one.partial for one in part[1])]
        return Shares("stage", tuple(models), tuple(spent), bounded).table(view.width)

    title = f"MACs by stage, the spatial size that a layer puts out{_of_what(models)}"
    other = ""
    if len(models) == 2 and view.by is None:
        other = "layer by layer all the same: --by layer"
    elif view.top is not None:
        other = "--top is for two models layer by layer"
    return [
        Figure(shares("macs", True), title=title, after=other),
        Figure(shares("params", False), title="Parameters by stage"),
    ]


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
