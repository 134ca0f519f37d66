"""A memory report as a document: each way to run the network, its peak, and what is alive there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cnnstat.memory.caching_allocator import CONTEXT_ERROR
from cnnstat.memory.memory_data import memory_records, memory_to_dict
from cnnstat.memory.memory_report import MOST_SAMPLES, MemoryReport, Planned
from cnnstat.memory.planners import RUNTIMES
from cnnstat.memory.usage import Peak, Usage
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.layers import shape_text
from cnnstat.render.sparkline import MARK, ruler, sparkline, stacked
from cnnstat.render.summary import note_text
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.units import grouped, percent, short_bytes

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_ALIVE_SHOWN = 8
"""Tensors that are listed at a peak; JSON has all of them."""

_CELLS, _MOST_CELLS = 80, 240
"""Width of what is drawn where the room is not known, and at most."""

_PARTS = {
    "weight": ("█", "weights"),
    "gradient": ("▓", "gradients"),
    "optimizer": ("▒", "optimizer state"),
    "saved": ("░", "saved for backward"),
    "other": ("▚", "other tensors"),
    "buffer": ("▪", "buffers"),
    "constant": ("▬", "other constants"),
    "input": ("▫", "input"),
}
"""The parts of `Usage.at_peak`: how each is drawn, and what it is called."""

_ROLES = {"gradient": "gradient", "saved": "saved for backward", "": ""}

_WITHIN = f"{CONTEXT_ERROR * 100:.0f} %"


def memory_document(report: MemoryReport, room: int | None = None, drawn: bool = True) -> Document:
    """Everything that is shown of it; `drawn`: with bars and sparklines, which LaTeX cannot set."""
    cells = min(room or _CELLS, _MOST_CELLS) if drawn else 0
    blocks: list[Text | Figure] = []
    if report.training is not None:
        blocks += _usage_blocks(report.training, "training", cells)
        blocks += _limit(report)
    blocks += _usage_blocks(report.eager, "eager", cells, again=report.training is not None)
    blocks += [] if report.training else _limit(report)
    blocks += _planned_blocks(report.planned)
    return Document(
        title=_title(report),
        circumstances=_circumstances(report),
        blocks=tuple(blocks),
        notes=tuple(visible(note_text(note)) for note in report.notes),
        data=memory_to_dict(report),
        records=tuple(memory_records(report)),
    )


class RichMemory:
    """What `rich.print(report)` and a notebook's `rich` show."""

    def __init__(self, report: MemoryReport) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text as RichText

        from cnnstat.render.terminal import document_lines, text_of

        room = options.max_width
        text = text_of(document_lines(memory_document(self.report, room), room), color=True)
        yield RichText.from_ansi(text.removesuffix("\n"), no_wrap=True, overflow="ignore")


def _title(report: MemoryReport) -> tuple[str, ...]:
    inputs = " + ".join(
        " ".join([shape_text(tuple(item["shape"])), str(item["dtype"])])
        for item in report.meta.get("inputs", ())
    )
    parts = (report.name, str(report.subject.get("source", "")), inputs)
    return tuple(visible(part) for part in parts if part)


def _circumstances(report: MemoryReport) -> tuple[str, ...]:
    packages = ("cnnstat", "torch", "torchvision", "timm")
    versions = (f"{name} {report.meta[name]}" for name in packages if report.meta.get(name))
    return ("memory, estimated from a record", *map(visible, versions))


# A run by torch


def _usage_blocks(
    usage: Usage, key: str, cells: int, again: bool = False
) -> Iterator[Text | Figure]:
    """Parts, timeline, what is alive at the peak, backends; `again`: in fewer words."""
    peak = usage.live
    size = short_bytes(peak.nbytes)
    what = "A training step" if key == "training" else "Inference, operation by operation"
    step = visible(usage.step.removeprefix("inference").removeprefix(", "))
    title = ", ".join(part for part in (what, step) if part)
    cells = 0 if again else cells
    yield Figure(_parts(usage, bool(cells)), title=f"{title}: {size} at the peak", key=key)
    if cells:
        parts = [(_PARTS[name][0], usage.at_peak[name]) for name in _PARTS]
        yield Text(stacked(parts, cells), "formula")
        if usage.timeline:
            yield Text(
                f"live bytes at each operation, from {short_bytes(usage.static)} at rest to {MARK} {size}",
                "quiet",
            )
            yield Text(sparkline(usage.timeline, usage.static, peak.nbytes, cells), "formula")
            yield Text(ruler(usage.phases, peak.index, cells), "formula")
    yield from _alive(usage, key)
    backends = _backends(usage)
    if again:
        backends = backends.only(backends.columns[:-1])
    where = "This step" if key == "training" else "This inference"
    yield Figure(backends, title=f"{where} on a backend, estimated", key=f"{key}-backends")


def _parts(usage: Usage, drawn: bool) -> Table:
    """What is alive at the peak, and for training the same over the whole step."""
    trains = usage.gradients > 0
    columns = [
        Column(key="part", title="part"),
        Column(key="bytes", title="bytes", numeric=True),
        Column(key="size", title="", numeric=True, priority=50),
        Column(key="share", title="share", numeric=True, priority=30),
    ]
    if trains:
        columns.append(Column(key="all", title="in all", numeric=True, priority=40))
    everything = {"gradient": usage.gradients, "saved": usage.saved}
    lines = []
    for name, (character, label) in _PARTS.items():
        nbytes = usage.at_peak[name]
        if not nbytes and not everything.get(name):
            continue
        cells = [f"{character} {label}" if drawn else label, *_size(nbytes)]
        cells += [percent(nbytes, usage.live.nbytes)]
        if trains:
            cells.append(grouped(everything.get(name, nbytes)) if name != "other" else "")
        lines.append(Line(cells=tuple(cells)))
    total = ["total at the peak", *_size(usage.live.nbytes)]
    total += [percent(usage.live.nbytes, usage.live.nbytes)] + [""] * trains
    lines.append(Line(cells=tuple(total), role="total"))
    return Table(columns=tuple(columns), lines=tuple(lines))


def _alive(usage: Usage, key: str) -> Iterator[Text | Figure]:
    where = f"The peak: {_place(usage.live, len(usage.timeline))}"
    if not usage.alive:
        yield Text(f"{where}; nothing is alive there that was not there before")
        return
    columns = (
        Column(key="layer", title="alive there", elastic=True),
        Column(key="op", title="made by", priority=30),
        Column(key="shape", title="shape", priority=40),
        Column(key="role", title="what", priority=50),
        Column(key="bytes", title="bytes", numeric=True),
    )
    lines = tuple(
        Line(
            cells=(
                "(optimizer)" if tensor.phase == "optimizer" else _layer(tensor.layer),
                visible(tensor.op),
                shape_text(tensor.shape),
                _ROLES.get(tensor.role, tensor.role),
                grouped(tensor.nbytes),
            ),
            keep=len(visible(tensor.layer).rpartition(".")[2]),
        )
        for tensor in usage.alive[:_ALIVE_SHOWN]
    )
    rest = [tensor.nbytes for tensor in usage.alive[_ALIVE_SHOWN:]]
    table = Table(columns=columns, lines=lines)
    # Of inference there is nothing to say about what a tensor is.
    table = table.only([c for c in columns if c.key != "role" or any(table.column("role"))])
    yield Figure(table, title=where, after=_more(rest), key=f"{key}-alive")


def _place(peak: Peak, count: int) -> str:
    """`aten.add in layer3.0.conv1, backward, operation 210 of 472`."""
    if peak.index < 0:
        return "nothing ran"
    # The optimizer runs in no layer.
    where = "" if peak.phase == "optimizer" else f" in {_layer(peak.layer)}"
    return f"{visible(peak.op)}{where}, {peak.phase}, operation {peak.index + 1} of {count}"


def _more(rest: Sequence[int]) -> str:
    return f"and {len(rest)} more, {short_bytes(sum(rest))}" if rest else ""


def _backends(usage: Usage) -> Table:
    cuda = usage.cuda
    rows = [
        (
            "CPU, convolution temporaries",
            usage.cpu_temporaries,
            "how much they raise the peak; the backend's (oneDNN with AVX-512), not the model's",
        ),
        ("CPU, with them", usage.cpu.nbytes, f"at most; {_place(usage.cpu, len(usage.timeline))}"),
        ("CUDA, allocated", cuda.allocated, "torch.cuda.max_memory_allocated"),
        (
            "CUDA, reserved",
            cuda.reserved,
            "torch.cuda.max_memory_reserved, by the allocator's rules over two steps",
        ),
        (
            "CUDA, context",
            cuda.context,
            "a constant of one measured stack; builds that load kernels when they are needed take 300 to "
            "400 MB",
        ),
        (
            "CUDA, process",
            cuda.process,
            f"reserved and context; of 204 training processes measured nine in ten were within {_WITHIN}",
        ),
    ]
    return _explained(rows)


def _explained(rows: Sequence[tuple[str, int, str]], total: str = "") -> Table:
    columns = (
        Column(key="what", title="what"),
        Column(key="bytes", title="bytes", numeric=True),
        Column(key="size", title="", numeric=True, priority=50),
        Column(key="meaning", title="", prose=True),
    )
    lines = tuple(
        Line(cells=(what, *_size(nbytes), says), role="total" if what == total else "layer")
        for what, nbytes, says in rows
    )
    return Table(columns=columns, lines=lines)


def _limit(report: MemoryReport) -> Iterator[Text]:
    if report.limit is None:
        return
    room, batch = short_bytes(report.limit), report.largest_batch
    if batch is None:
        yield Text(f"Largest batch whose CUDA process fits {room}: not known; see the notes")
        return
    step = "a training step" if report.training else "inference"
    if not batch:
        yield Text(f"Not one sample: {step} at batch 1 takes more than {room} on CUDA", "warning")
        return
    more = " or more" if batch >= MOST_SAMPLES else ""
    spare = ""
    if report.safe_batch is not None and not more:
        safe = grouped(report.safe_batch)
        spare = f"; with {_WITHIN} to spare, the error that was measured in training, {safe}"
    yield Text(
        f"Largest batch whose CUDA process fits {room}: {grouped(batch)}{more}, for {step}{spare}."
    )


# A runtime's plan


def _planned_blocks(planned: Planned) -> Iterator[Text | Figure]:
    plan, dtype = planned.plan, planned.dtype
    band = plan.low_bytes != plan.high_bytes
    arena = f"between {grouped(plan.low_bytes)} and {grouped(plan.high_bytes)}, by what is fused"
    about = "buffers that are read, and tables and masks made without the input"
    constants = [(f"constants in {dtype}", planned.constant_bytes, about)] * bool(
        planned.constant_bytes
    )
    rows = [
        ("arena", plan.arena_bytes, arena if band else "one piece of memory for all tensors"),
        (f"weights in {dtype}", planned.weight_bytes, "batch norm folded away where it can be"),
        *constants,
        ("total", planned.total_bytes, ""),
    ]
    title = f"Inference as planned, {plan.runtime} in {dtype}: {short_bytes(planned.total_bytes)}"
    yield Figure(_explained(rows, "total"), title=title, key="plan")
    saved = plan.naive_bytes - plan.arena_bytes
    share = f" (saved: {percent(saved, plan.naive_bytes)})" if saved > 0 else ""
    yield Text(
        f"lower bound {grouped(plan.lower_bound_bytes)}: no placement of these tensors needs less; naive sum "
        f"{grouped(plan.naive_bytes)}: no two of them share memory{share}"
    )
    gaps = plan.arena_bytes - plan.lower_bound_bytes
    if gaps > 0:
        yield Text(
            f"{grouped(gaps)} of the arena are gaps: the planner placed tensors of other moments so that "
            "what is alive at the fullest one does not lie side by side"
        )
    yield Text(f"{plan.runtime}: {RUNTIMES[plan.runtime]}", "quiet")
    columns = (
        Column(key="layer", title="alive there", elastic=True),
        Column(key="offset", title="offset", numeric=True, priority=40),
        Column(key="bytes", title="bytes", numeric=True),
    )
    lines = tuple(
        Line(
            cells=(_layer(block.name), grouped(block.offset), grouped(block.nbytes)),
            keep=len(visible(block.name).rpartition(".")[2]),
        )
        for block in plan.alive[:_ALIVE_SHOWN]
    )
    rest = [block.nbytes for block in plan.alive[_ALIVE_SHOWN:]]
    if plan.step is None:
        where = "where the input is filled in"
    else:
        where = f"{visible(plan.step.op)} in {_layer(plan.step.path)}"
    table = Table(columns=columns, lines=lines)
    yield Figure(table, title=f"The plan's peak: {where}", after=_more(rest), key="plan-alive")


def _layer(path: str) -> str:
    return visible(path) or "(root)"


def _size(nbytes: int) -> tuple[str, str]:
    """All digits, and four with a unit."""
    return grouped(nbytes), short_bytes(nbytes) if nbytes >= 1024 else ""
