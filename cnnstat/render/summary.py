"""What stands around the layers: what was measured, the totals, kinds, blocks, gaps and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnstat.render.layers import at_least, convention_title, shape_text, shapes_text
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.report import Group, Note, Report
from cnnstat.units import grouped, percent, short, short_bytes

_OPS_NAMED = 3
"""How many operations without a rule the summary names; the table below has them all."""


@dataclass(frozen=True, slots=True)
class Total:
    """One total of the header."""

    label: str
    """`"MACs"`."""
    short: str
    """Four digits and a suffix: `"≥ 4.089 G"`."""
    full: str
    """All digits: `"≥ 4,089,184,256"`."""
    meaning: str
    """What is counted, in a few words."""


def title(report: Report) -> list[str]:
    """`resnet50`, `torchvision`, `ResNet`, `1×3×224×224 float32`: what was measured."""
    subject = report.subject
    parts = [visible(report.name), *(visible(str(subject.get(k, ""))) for k in ("source", "type"))]
    parts.append(" + ".join(_input(item) for item in _listed(report.meta.get("inputs"))))
    return [part for part in parts if part]


def circumstances(report: Report) -> list[str]:
    """`forward`, `eval`, `meta engine`, `torch 2.13.0`: how it was measured."""
    meta = report.meta
    phases = " + ".join(map(str, _listed(meta.get("phases"))))
    engine = f"{meta['engine']} engine" if meta.get("engine") else ""
    # A count moves with the packages behind it and with nothing else.
    packages = ("cnnstat", "torch", "torchvision", "timm")
    versions = (f"{name} {meta[name]}" for name in packages if meta.get(name))
    parts = [phases, str(meta.get("mode", "")), engine, *versions]
    return [visible(part) for part in parts if part]


def totals(report: Report) -> list[Total]:
    """The header's totals, in the order in which people ask for them."""
    total, bound = report.totals, at_least(not report.complete)

    def line(label: str, value: int, bound: str, meaning: str) -> Total:
        return Total(label, bound + short(value), bound + grouped(value), meaning)

    size = short_bytes(total.param_bytes)
    trainable = grouped(total.trainable_params)
    frozen = f", {trainable} trainable" if total.trainable_params != total.params else ""
    lines = [
        line("params", total.params, "", f"{size}{frozen}"),
        line("MACs", total.macs, bound, "multiply–accumulates"),
        line("FLOPs", total.flops, bound, "two per MAC, one per other operation"),
        line("activations", total.activations, bound, "outputs of convolution, linear and matmul"),
    ]
    if report.convention != "macs":
        # The short meaning fits beside the number; what is included is in `cnnstat.conventions`.
        meaning = f"as {visible(report.convention)} counts"
        lines.append(line(convention_title(report), total.quoted, bound, meaning))
    return lines


def summary_sentence(report: Report) -> str:
    """Whether the totals are everything; `""` where they are."""
    if report.complete:
        return ""
    counts: dict[str, int] = {}
    for item in report.uncounted:
        counts[item.op] = counts.get(item.op, 0) + item.count
    named = [f"{visible(op)} ×{count}" for op, count in counts.items()][:_OPS_NAMED]
    more = f" and {len(counts) - len(named)} more" if len(counts) > len(named) else ""
    total = sum(counts.values())
    have = "operation has" if total == 1 else "operations have"
    return f"{total} {have} no rule ({', '.join(named)}{more}): the totals are lower bounds."


def kind_table(report: Report) -> Table:
    """Totals by kind, the heaviest first; kinds without parameters or work are left out."""
    columns = (
        Column(key="kind", title="kind"),
        Column(key="layers", title="layers", numeric=True, priority=20),
        Column(key="params", title="params", numeric=True, priority=60),
        Column(key="macs", title="MACs", numeric=True),
        Column(key="share", title="share", numeric=True, priority=30),
        Column(key="flops", title="FLOPs", numeric=True, priority=10),
    )
    whole, bound = report.totals, at_least(not report.complete)
    ranked = sorted(report.kinds.items(), key=lambda item: (-item[1].macs, -item[1].flops))
    lines = [
        Line(
            cells=(
                visible(kind),
                grouped(total.layers),
                grouped(total.params),
                grouped(total.macs),
                percent(total.macs, whole.macs),
                grouped(total.flops),
            )
        )
        for kind, total in ranked
        if total.params or total.macs or total.flops or total.activations
    ]
    last = (
        "total",
        "",
        grouped(whole.params),
        bound + grouped(whole.macs),
        percent(whole.macs, whole.macs),
        bound + grouped(whole.flops),
    )
    return Table(columns=columns, lines=(*lines, Line(cells=last, role="total")))


def group_lines(report: Report) -> list[str]:
    """`squeeze-excitation: 9 blocks, ratio 0.25, 620,408 params, 620,256 MACs`, a line per kind."""
    by_kind: dict[str, list[Group]] = {}
    for group in report.groups:
        by_kind.setdefault(group.kind, []).append(group)
    return [
        f"{visible(kind)}: {len(groups)} block{'s' if len(groups) != 1 else ''}, "
        f"ratio {_ratio(groups)}, {grouped(sum(g.params for g in groups))} params, "
        f"{grouped(sum(g.macs for g in groups))} MACs"
        for kind, groups in by_kind.items()
    ]


def _ratio(groups: list[Group]) -> str:
    ratios = sorted(group.ratio for group in groups if group.channels)
    if not ratios:
        return "–"
    low, high = f"{ratios[0]:.3g}", f"{ratios[-1]:.3g}"
    return low if low == high else f"{low}–{high}"


def uncounted_table(report: Report) -> Table:
    """Every operation without a rule: how many, in which layer, with which shapes."""
    columns = (
        Column(key="op", title="no rule for"),
        Column(key="count", title="count", numeric=True),
        Column(key="layer", title="layer"),
        Column(key="input", title="input"),
        Column(key="output", title="output"),
    )
    lines = tuple(
        Line(
            cells=(
                visible(item.op),
                grouped(item.count),
                visible(item.layer) or "(root)",
                shapes_text(item.inputs),
                shapes_text(item.outputs),
            )
        )
        for item in report.uncounted
    )
    return Table(columns=columns, lines=lines)


def notes(report: Report) -> list[Note]:
    """The notes with printable texts; those that only announce uncounted operations come first."""
    shown = [
        Note(note.kind, visible(note.text), visible(note.hint), visible(note.where))
        for note in report.notes
    ]
    return sorted(shown, key=lambda note: note.kind != "uncounted")


def note_text(note: Note) -> str:
    """A note as one paragraph: place, text and hint."""
    where = f"{note.where}: " if note.where and note.where not in note.text else ""
    hint = f" ({note.hint})" if note.hint else ""
    return f"{where}{note.text}{hint}"


def _input(item: Any) -> str:
    if not isinstance(item, Mapping):
        return visible(str(item))
    shape, dtype = item.get("shape"), item.get("dtype", "")
    sizes = shape_text(tuple(shape)) if isinstance(shape, list | tuple) else ""
    return visible(f"{sizes} {dtype}".strip())


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
