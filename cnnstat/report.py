"""What a network costs: the work of each layer, and the totals. Standard library only.

A `Report` is made from a record by `cnnstat.counting`, saved and read as JSON (schema 1) by
`to_json` and `from_json`, and drawn by `cnnstat.render`. All counts are integers; nothing here rounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from cnnstat.kinds import KINDS, SQUEEZE_EXCITATION
from cnnstat.record import OpCall

if TYPE_CHECKING:
    import pandas
    from rich.console import RenderableType

SCHEMA = 1
"""Version of the JSON form. Raised when a field changes its meaning or goes."""

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Neutral work: what the arithmetic is, before anyone decides what to call a FLOP."""

    macs: int = 0
    """Multiply–accumulates of convolutions, linear layers and matrix products."""
    adds: int = 0
    """Additions and subtractions outside multiply–accumulates."""
    muls: int = 0
    """Multiplications outside multiply–accumulates."""
    compares: int = 0
    """Comparisons, minima, maxima, sign and logical operations."""
    special: int = 0
    """Divisions, roots, exponentials, logarithms, trigonometric and other special functions."""
    moved: int = 0
    """Bytes of the tensors read and written by the operations as they were recorded: engines take some of
    them apart differently, so that it may differ between them."""
    activations: int = 0
    """Elements that convolutions, linear layers and matrix products put out."""

    @property
    def other(self) -> int:
        """Operations outside multiply–accumulates, one each."""
        return self.adds + self.muls + self.compares + self.special

    @property
    def flops(self) -> int:
        """Floating-point operations: two for a multiply–accumulate, one for any other."""
        return 2 * self.macs + self.other

    def __add__(self, more: Work) -> Work:
        return Work(
            self.macs + more.macs,
            self.adds + more.adds,
            self.muls + more.muls,
            self.compares + more.compares,
            self.special + more.special,
            self.moved + more.moved,
            self.activations + more.activations,
        )

    def __radd__(self, zero: int) -> Work:
        return self  # sum() starts from 0


def total_work(works: Iterable[Work]) -> Work:
    """The sum of many works: what `sum` gives, without a `Work` for each step."""
    rows = [(w.macs, w.adds, w.muls, w.compares, w.special, w.moved, w.activations) for w in works]
    if len(rows) == 1:
        return Work(*rows[0])
    return Work(*map(sum, zip(*rows, strict=True))) if rows else Work()


@dataclass(frozen=True, slots=True)
class Tally:
    """What one rule counted in one layer: the grain on which conventions work."""

    rule: str
    """Name of the rule: `"convolution"`, `"batch_norm"`."""
    kind: str
    """Kind of the operations: `"depthwise"`, `"normalisation"`."""
    calls: int
    """How many operations."""
    work: Work
    """Their work."""
    read: int = 0
    """Elements of their first tensor arguments."""
    written: int = 0
    """Elements of their first outputs."""
    estimated: bool = False
    """Whether the rule is a textbook's algorithm, of which the kernel that runs may be another."""
    ops: tuple[OpCall, ...] = field(default=(), compare=False, repr=False)
    """The operations themselves, as many as `calls`: what the formula's letters stand for is read off
    their shapes. Empty for data movement, and where a report was written without them."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One module of the network with the operations that it ran itself, not those of its children.

    So the rows of all layers add up to the totals. `Report.subtree` adds up a module with its children.
    """

    path: str
    """Dotted path; the root is `""`."""
    type: str
    """Class name."""
    kind: str
    """What it is: `"standard"`, `"depthwise"`, `"linear"`, `"attention"`, `"container"`, …"""
    inputs: Shapes = ()
    """Shapes that its first call received."""
    outputs: Shapes = ()
    """Shapes that its first call returned."""
    params: int = 0
    """Elements of its own parameters; one that is tied to a layer above counts there."""
    trainable_params: int = 0
    """Those that ask for a gradient."""
    buffers: int = 0
    """Elements of its own buffers."""
    param_bytes: int = 0
    """Bytes of its own parameters."""
    buffer_bytes: int = 0
    """Bytes of its own buffers."""
    calls: int = 0
    """How often it ran; 0: never."""
    tallies: tuple[Tally, ...] = ()
    """Its work, a line per rule and kind."""
    quoted: int = 0
    """What the report's convention quotes for it."""
    tied_to: tuple[str, ...] = ()
    """Full names of the parameters above that its own parameters are."""
    group: str = ""
    """Path of the squeeze-and-excitation group that it belongs to; `""`: none."""
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of its own parameters by name, without those in `tied_to`."""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """Details of the kind: `kernel`, `stride`, `dilation`, `groups`, `multiplier`, …"""
    output_bytes: int | None = None
    """Bytes of the tensors that its first call returned; `None`: memory was not asked for."""
    live_bytes: int | None = None
    """Most bytes alive, weights included, while it or what is below it ran; 0: nothing did."""

    @property
    def work(self) -> Work:
        """All its own work."""
        return total_work(tally.work for tally in self.tallies)

    @property
    def macs(self) -> int:
        """Multiply–accumulates."""
        return self.work.macs

    @property
    def flops(self) -> int:
        """Floating-point operations, two per MAC."""
        return self.work.flops

    @property
    def estimated_flops(self) -> int:
        """FLOPs, among the others, that come of an estimate."""
        return sum(tally.work.flops for tally in self.tallies if tally.estimated)

    @property
    def activations(self) -> int:
        """Elements put out by its convolutions, linear layers and matrix products."""
        return self.work.activations

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that counted it."""
        return tuple(dict.fromkeys(tally.rule for tally in self.tallies))

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def depth(self) -> int:
        """0 for the root, 1 for its children."""
        return self.path.count(".") + 1 if self.path else 0


@dataclass(frozen=True, slots=True)
class Group:
    """Several layers that are one thing: a squeeze-and-excitation block."""

    kind: str
    """`"squeeze-excitation"`."""
    path: str
    """The innermost module that holds all of it."""
    members: tuple[str, ...]
    """Paths of the layers that run it: pool, two convolutions or linear layers, gate, scaling."""
    channels: int
    """Channels that are scaled."""
    squeezed: int
    """Channels between the two layers; equal to `channels` where there is one layer (eSE)."""
    params: int
    """Parameters of its members."""
    macs: int
    """Multiply–accumulates of its members."""
    flops: int
    """FLOPs of its members."""

    @property
    def ratio(self) -> float:
        """Squeezed to scaled channels: 0.25 for a reduction by four."""
        return self.squeezed / self.channels


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Operations of one name, in one layer, with the same shapes, for which there is no rule."""

    op: str
    """`"mylib.fused"`."""
    layer: str
    """Path of the layer that ran them."""
    count: int
    """How many."""
    inputs: Shapes = ()
    """Shapes that they received."""
    outputs: Shapes = ()
    """Shapes that they returned."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the reader of a number should know."""

    kind: str
    """`"uncounted"`, `"never-called"`, `"data-dependent"`, `"engine"`, `"source"`, `"tied"`, …"""
    text: str
    """One sentence."""
    hint: str = ""
    """What to do about it."""
    where: str = ""
    """Path of the layer, where there is one."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a report, or over a part of it."""

    params: int = 0
    """Parameter elements, each shared tensor once."""
    trainable_params: int = 0
    """Those that ask for a gradient."""
    buffers: int = 0
    """Buffer elements."""
    param_bytes: int = 0
    """Bytes of the parameters."""
    buffer_bytes: int = 0
    """Bytes of the buffers."""
    macs: int = 0
    """Multiply–accumulates."""
    flops: int = 0
    """Floating-point operations: two per MAC and one for any other."""
    activations: int = 0
    """Elements put out by convolutions, linear layers and matrix products."""
    moved_bytes: int = 0
    """Bytes that the recorded operations read and write, were nothing kept between them. The roofline does
    not rest on it: it works out its own traffic from the shapes."""
    quoted: int = 0
    """What the report's convention quotes."""
    estimated_flops: int = 0
    """FLOPs, among the others, that come of an estimate; in JSON where there are any."""


@dataclass(frozen=True, slots=True)
class KindTotal:
    """What the layers and operations of one kind add up to."""

    layers: int = 0
    """Layers of that kind."""
    params: int = 0
    """Their parameters."""
    macs: int = 0
    """Multiply–accumulates of operations of that kind, wherever they ran."""
    flops: int = 0
    """FLOPs, likewise."""
    activations: int = 0
    """Activations, likewise."""


@dataclass(frozen=True)
class Report:
    """What a network costs, layer by layer.

    >>> import cnnstat
    >>> report = cnnstat.analyze("resnet50")
    >>> report.totals.macs
    4089184256
    """

    subject: Mapping[str, Any]
    """`name`, `spec`, `source`, `type`: what was measured."""
    convention: str
    """Name of the convention behind `quoted`: `"macs"`, `"fvcore"`."""
    layers: tuple[Layer, ...]
    """Every module in definition order, the root first."""
    groups: tuple[Group, ...] = ()
    """Squeeze-and-excitation blocks."""
    uncounted: tuple[Uncounted, ...] = ()
    """Operations without a rule. While there is one, the totals are a lower bound."""
    notes: tuple[Note, ...] = ()
    """What the reader should know."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Versions, input, mode, engine. No timestamps."""
    extra: Mapping[str, int] = field(default_factory=dict)
    """What was estimated of the whole: `peak_memory` and `arena` in bytes, `roofline` in nanoseconds."""

    @cached_property
    def totals(self) -> Totals:
        """Sums over all layers."""
        return total_of(self.layers)

    @cached_property
    def kinds(self) -> Mapping[str, KindTotal]:
        """Totals by kind; they add up to `totals`. Members of a group count under the group's kind."""
        return kind_totals(self.layers, self.groups)

    @property
    def complete(self) -> bool:
        """Whether every operation was counted; otherwise the totals are a lower bound."""
        return not self.uncounted

    @property
    def has_memory(self) -> bool:
        """Whether the layers say what they put out and how much is alive, in bytes."""
        return any(layer.live_bytes is not None for layer in self.layers)

    @property
    def name(self) -> str:
        """The subject's name."""
        return str(self.subject.get("name", "model"))

    def layer(self, path: str) -> Layer:
        """The layer at `path`. Raises `KeyError`, naming the path."""
        for layer in self.layers:
            if layer.path == path:
                return layer
        raise KeyError(f"no layer {path!r} in {self.name}")

    def subtree(self, path: str) -> Totals:
        """Sums over the module at `path` and all below it; `""` is the whole network.

        Raises `KeyError` where there is no such module.
        """
        if path:
            self.layer(path)
        inside = path + "."
        return total_of(
            layer
            for layer in self.layers
            if not path or layer.path == path or layer.path.startswith(inside)
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON document (schema 1) as plain values."""
        from cnnstat.schema import report_to_dict

        return report_to_dict(self)

    def to_json(self) -> str:
        """The JSON document (schema 1), indented, with a final newline."""
        from cnnstat.schema import dump

        return dump(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The report that `to_json` wrote. Raises `ReportError` on anything else."""
        from cnnstat.schema import report_from_json

        return report_from_json(text, cls)

    def to_frame(self) -> pandas.DataFrame:
        """One row per layer with integer columns (pandas is imported here).

        Columns: path, type, kind, input, output, params, trainable_params, buffers, param_bytes,
        macs, flops, activations, quoted, calls, group; output_bytes and live_bytes where the report
        has memory.
        """
        import pandas

        rows = [
            {
                "path": layer.path,
                "type": layer.type,
                "kind": layer.kind,
                "input": layer.inputs[0] if layer.inputs else None,
                "output": layer.outputs[0] if layer.outputs else None,
                "params": layer.params,
                "trainable_params": layer.trainable_params,
                "buffers": layer.buffers,
                "param_bytes": layer.param_bytes,
                "macs": layer.macs,
                "flops": layer.flops,
                "activations": layer.activations,
                "quoted": layer.quoted,
                "calls": layer.calls,
                "group": layer.group,
                **(
                    {"output_bytes": layer.output_bytes, "live_bytes": layer.live_bytes}
                    if self.has_memory
                    else {}
                ),
            }
            for layer in self.layers
        ]
        return pandas.DataFrame(rows)

    def __repr__(self) -> str:
        from cnnstat.units import short

        parts = [f"{short(self.totals.macs)} MACs", f"{short(self.totals.params)} params"]
        if self.uncounted:
            parts.append(f"{sum(u.count for u in self.uncounted)} uncounted operations")
        return f"Report({self.name!r}: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        from cnnstat.render.html import fragment

        return fragment(self)

    def __rich__(self) -> RenderableType:
        from cnnstat.render.terminal import ReportView

        return ReportView(self)


def total_of(layers: Iterable[Layer]) -> Totals:
    """Sums over any layers."""
    rows = list(layers)
    work = total_work(tally.work for layer in rows for tally in layer.tallies)
    return Totals(
        params=sum(layer.params for layer in rows),
        trainable_params=sum(layer.trainable_params for layer in rows),
        buffers=sum(layer.buffers for layer in rows),
        param_bytes=sum(layer.param_bytes for layer in rows),
        buffer_bytes=sum(layer.buffer_bytes for layer in rows),
        macs=work.macs,
        flops=work.flops,
        activations=work.activations,
        moved_bytes=work.moved,
        quoted=sum(layer.quoted for layer in rows),
        estimated_flops=sum(layer.estimated_flops for layer in rows),
    )


def kind_totals(layers: Iterable[Layer], groups: Sequence[Group] = ()) -> dict[str, KindTotal]:
    """Parameters by the layer's kind, work by the operations'; a group's by the group."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for layer in layers:
        kind = SQUEEZE_EXCITATION if layer.group else layer.kind
        if layer.kind != SQUEEZE_EXCITATION and not layer.group:
            sums[kind][0] += 1
        sums[kind][1] += layer.params
        for tally in layer.tallies:
            row, work = sums[tally.kind], tally.work
            row[2] += work.macs
            row[3] += work.flops
            row[4] += work.activations
    if groups:
        sums[SQUEEZE_EXCITATION][0] = len(groups)
    # A user's rule may bring a kind of its own.
    order = (*KINDS, *(kind for kind in sums if kind not in KINDS))
    return {kind: KindTotal(*sums[kind]) for kind in order if any(sums[kind])}
