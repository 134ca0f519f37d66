"""A report's rows as a table: what stands in which cell."""

from __future__ import annotations

from typing import Any

from cnnstat.conventions import CONVENTIONS
from cnnstat.render.base import View
from cnnstat.render.rows import Row, Selection
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.report import Layer, Report, Shapes, Totals, Uncounted
from cnnstat.units import grouped, percent

_BAR_CELLS = 8
_EIGHTHS = " ▏▎▍▌▋▊▉"

_NUMBERS = {
    "params": "params",
    "macs": "MACs",
    "flops": "FLOPs",
    "activations": "activations",
    "quoted": "quoted",
    "calls": "calls",
    "param_bytes": "param bytes",
    "output_bytes": "output bytes",
    "live_bytes": "live bytes",
}


def layer_table(report: Report, selection: Selection, view: View, *, tree: bool) -> Table:
    """The rows and, last, the total. With `tree`, indented, and open modules are among them."""
    rows = selection.rows if tree else selection.additive
    nested = tree and not view.listed
    metric = view.by if view.by in ("params", "flops", "activations", "quoted") else "macs"
    columns = _columns(report, view, metric)
    whole = getattr(report.totals, metric)
    largest = max(
        (getattr(r.totals, metric) for r in rows if r.additive and r.role != "rest"), default=0
    )
    lines = []
    for row in rows:
        share = getattr(row.totals, metric)
        values = {
            "path": _label(row, nested),
            "type": visible(row.layer.type) if row.layer and not (nested and row.label) else "",
            "kind": _kind(row),
            "kernel": kernel(row.layer) if row.layer and row.role == "layer" else "",
            "output": _output(row),
            # Of work that is not known in full, no share is known.
            "share": "–" if row.uncounted else percent(share, whole),
            "bar": _bar(share, largest) if row.additive and row.role != "rest" else "",
            **_numbers(row.totals, row.layer, bool(row.uncounted)),
            **_memory(row),
        }
        lines.append(
            Line(
                cells=tuple(values[column.key] for column in columns),
                role=row.role,
                indent=row.indent if nested else 0,
                keep=len(values["path"]) if view.listed else _keep(values["path"], row),
                faint=not row.called,
            )
        )
    total = {
        "path": "total",
        "share": percent(whole, whole),
        **_numbers(report.totals, None, not report.complete),
        "param_bytes": grouped(report.totals.param_bytes),
        # Not a sum: the most that is alive at once.
        "live_bytes": grouped(max((layer.live_bytes or 0 for layer in report.layers), default=0)),
    }
    cells = tuple(total.get(column.key, "") for column in columns)
    lines.append(Line(cells=cells, role="total", keep=len("total")))
    table = Table(columns=columns, lines=tuple(lines))
    return table.only([c for c in columns if c.key != "kernel" or any(table.column("kernel"))])


def _columns(report: Report, view: View, metric: str) -> tuple[Column, ...]:
    quoted = report.convention != "macs" or metric == "quoted"
    numbers = {"params": 60, "macs": 100}
    if quoted:
        numbers["quoted"] = 90
    if view.by in ("flops", "activations", "calls"):
        numbers[view.by] = 95
    if view.by == "params":
        numbers["params"] = 95
    if report.has_memory:
        # Who asked for memory sees it before anything else but the MACs; bytes follow the shape.
        numbers = {"output_bytes": 97, "live_bytes": 98, "param_bytes": 96, **numbers}
    titles = {**_NUMBERS, "quoted": convention_title(report)}
    share = "share" if metric == "macs" else f"of {titles[metric]}"
    return (
        Column(key="path", title="path", elastic=True),
        Column(key="type", title="type", priority=20),
        # Where one kind was asked for, which kind it is says nothing.
        Column(key="kind", title="kind", priority=10 if len(view.kinds) == 1 else 50),
        Column(key="kernel", title="kernel", priority=50 if len(view.kinds) == 1 else 10),
        Column(key="output", title="output", priority=40),
        *(
            Column(key=key, title=titles[key], numeric=True, priority=priority)
            for key, priority in numbers.items()
        ),
        Column(key="share", title=share, numeric=True, priority=30),
        Column(key="bar", title="", priority=0, ornament=True),
    )


def _numbers(totals: Totals, layer: Layer | None, partial: bool) -> dict[str, str]:
    bound = at_least(partial)
    return {
        "params": grouped(totals.params),
        "macs": bound + grouped(totals.macs),
        "flops": bound + grouped(totals.flops),
        "activations": bound + grouped(totals.activations),
        "quoted": bound + grouped(totals.quoted),
        "calls": grouped(layer.calls) if layer else "",
    }


def _memory(row: Row) -> dict[str, str]:
    """Bytes of parameters, of what is put out, and alive meanwhile; a dash where nothing ran."""
    sizes = {"param_bytes": grouped(row.totals.param_bytes), "output_bytes": "", "live_bytes": ""}
    if row.layer is not None and row.role != "own":
        sizes["output_bytes"] = grouped(row.layer.output_bytes or 0) if row.called else "–"
        sizes["live_bytes"] = grouped(row.layer.live_bytes) if row.layer.live_bytes else "–"
    return sizes


def convention_title(report: Report) -> str:
    """What the quoted number is called: `fvcore flops`."""
    convention = CONVENTIONS.get(report.convention)
    return convention.title if convention else visible(report.convention)


def at_least(partial: bool) -> str:
    """What stands before a number that leaves out operations without a rule."""
    return "≥ " if partial else ""


def _label(row: Row, nested: bool) -> str:
    if row.label and (nested or row.layer is None):
        return row.label
    if row.label and row.layer is not None:
        return f"{visible(row.layer.path) or '(root)'} {row.label}"
    layer = row.layer
    assert layer is not None  # only the rest is no layer, and it has a label
    marks = [f"×{layer.calls}"] if layer.calls > 1 else []
    if layer.tied_to:
        marks.append("(tied)")
    return " ".join([visible(layer.path) or "(root)", *marks])


def _keep(label: str, row: Row) -> int:
    """The last name of the path with its marks: the tree shows what is above it."""
    if row.label or row.layer is None:
        return len(label)
    return len(label) - len(visible(row.layer.path).rpartition(".")[0])


def _kind(row: Row) -> str:
    if row.layer is None:
        return ""
    if row.role == "own":
        heaviest = max(
            row.layer.tallies, key=lambda t: (t.work.macs, t.work.flops, t.calls), default=None
        )
        return heaviest.kind if heaviest else "uncounted" if row.uncounted else ""
    if row.role in ("open", "folded"):
        return "" if row.layer.kind == "container" else visible(row.layer.kind)
    return visible(row.layer.kind)


def _output(row: Row) -> str:
    if row.layer is None or row.role == "own":
        return ""
    if not row.called:
        return "" if row.layer.kind == "never-called" else "never called"
    shapes = row.layer.outputs
    return (
        shape_text(shapes[0]) + (f" +{len(shapes) - 1}" if len(shapes) > 1 else "")
        if shapes
        else ""
    )


def shape_text(shape: tuple[int, ...]) -> str:
    """`1×64×112×112`; a single number's is `scalar`."""
    return "×".join(map(str, shape)) or "scalar"


def shapes_text(shapes: Shapes) -> str:
    """All shapes, with commas between them."""
    return ", ".join(map(shape_text, shapes)) or "–"


def uncounted_text(item: Uncounted) -> str:
    """One operation without a rule, for a line of text."""
    where = visible(item.layer) or "(root)"
    shapes = f"{shapes_text(item.inputs)} → {shapes_text(item.outputs)}"
    return f"{visible(item.op)} ×{item.count} in {where}: {shapes}"


def kernel(layer: Layer) -> str:
    """`7×7 /2`, `3×3 g32`, `3×3 d2`: kernel, then stride, dilation, groups, multiplier if not 1."""
    attrs = layer.attrs
    parts = [_sizes(attrs.get("kernel"))]
    parts.append(_unless_one("/", attrs.get("stride")))
    parts.append(_unless_one("d", attrs.get("dilation")))
    if layer.kind != "depthwise":  # which has as many groups as channels by definition
        parts.append(_unless_one("g", attrs.get("groups")))
    parts.append(_unless_one("×", attrs.get("multiplier")))
    return " ".join(part for part in parts if part)


def _unless_one(mark: str, value: Any) -> str:
    sizes = _list(value)
    if all(size == 1 for size in sizes):
        return ""
    same = all(size == sizes[0] for size in sizes)
    return mark + (visible(str(sizes[0])) if same else _sizes(value))


def _sizes(value: Any) -> str:
    return visible("×".join(map(str, _list(value))))


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _bar(value: int, largest: int) -> str:
    eighths = round(value * _BAR_CELLS * 8 / largest) if largest else 0
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()
