"""From the record of a pass to the graph that a runtime plans: what is folded, merged and left out.

Each storage becomes one buffer, so views and results written in place need none of their own. Weights are
not in the graph, and neither is anything made without the input (an `arange`, a table of positions, a mask):
a runtime keeps those as constants beside the weights (`Graph.held`). Only the forward pass is planned.

Folding also drops results that nobody reads (the statistics that normalisation saves for training, the
indices of max pooling) and copies that change nothing (the `cat` of one tensor). A copy that rearranges is
an operation, except of what a matrix product or attention makes: they write in whatever order is wanted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cnnstat.classify import convolution_attrs, convolution_kind
from cnnstat.memory.fusion import ACTIVATIONS, GENERAL, WEIGHTED, Fusion
from cnnstat.memory.graph import Buffer, Graph, Step
from cnnstat.record import OpCall, TensorSpec, Trace
from cnnstat.rules import VIEWS, rule_for

_GATES = {"silu": "aten.sigmoid", "hardswish": "aten.hardsigmoid"}
"""What x is multiplied by, for the activations of that form."""

_OF_THAT_SHAPE = frozenset(
    "aten.empty_like aten.full_like aten.ones_like aten.zeros_like aten.new_empty aten.new_empty_strided "
    "aten.new_full aten.new_ones aten.new_zeros".split()
)
_COPIES = frozenset("aten.clone aten.contiguous aten._to_copy aten.cat aten.concat".split())
_REARRANGES = frozenset("aten.clone aten.contiguous".split())
_ANY_ORDER = frozenset("linear matmul attention".split())

_ELEMENTWISE = ACTIVATIONS | {"batch_norm", "dropout"}
_NOT_ELEMENTWISE = frozenset("addr cross".split())
_ELEMENTWISE_MOVES = frozenset("aten.masked_fill aten.masked_fill_ aten.where".split())


def plan_graph(trace: Trace, *, fold: bool = True, fusion: Fusion = GENERAL) -> Graph:
    """The graph of a record's forward pass.

    `fusion` says what the runtime folds. With `fold=False` every recorded operation that makes or changes a
    tensor is a step; of `fusion`, only `in_place` counts then.
    """
    if not fold:
        fusion = Fusion(in_place=fusion.in_place)
    tape = _Tape()
    tape.read(trace, tidy=fold)
    if fold:
        tape.fold(fusion)
        tape.prune()
    return tape.graph(fusion.in_place)


@dataclass(slots=True)
class _Value:
    """A tensor between two writes to it. In a record, writing in place changes what a storage holds."""

    name: str
    spec: TensorSpec
    """As it was written."""
    nbytes: int
    """Of its whole storage."""
    over: int | None = None
    """The value that was in its storage before."""
    partly: bool = False
    """Whether some of that is still there, because only a part was written to."""


@dataclass(slots=True)
class _Node:
    """An operation between values."""

    call: OpCall
    op: str
    reads: list[int]
    writes: list[int]
    whole: bool = True
    """Whether it reads the whole of what it reads first."""
    folded: list[OpCall] = field(default_factory=list)
    absorbed: list[OpCall] = field(default_factory=list)
    """Of what is folded: the batch norms that change its weights and leave nothing of their own."""


class _Tape:
    """The forward pass as operations on values, each of which is written once."""

    def __init__(self) -> None:
        self.values: list[_Value] = []
        self.nodes: list[_Node] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.placed: set[int] = set()  # storages that the arena has a place for

    # ---- reading the record

    def read(self, trace: Trace, *, tidy: bool) -> None:
        """Take in a record; `tidy` leaves out copies that change nothing."""
        sizes = {storage.id: storage.nbytes for storage in trace.storages}
        held = {p.storage for m in trace.modules for p in (*m.params, *m.buffers)}
        now: dict[int, int] = {}  # by storage, the value that it holds
        for spec in trace.inputs:
            if spec.storage >= 0 and spec.storage not in now:
                name = f"input.{len(now) + 1}" if now else "input"
                now[spec.storage] = self._value(name, spec, sizes)
        self.inputs = list(now.values())
        live = set(now)  # storages that depend on the input
        for call in trace.ops:
            if call.phase != "forward" or call.op in _OF_THAT_SHAPE:
                continue
            if live.isdisjoint(spec.storage for spec in call.inputs):
                continue
            given = {spec.storage for spec in call.inputs}
            made = [spec for spec in call.outputs if spec.storage >= 0]
            if made and given.issuperset(s.storage for s in made) and _only_looks(call):
                continue
            live.update(spec.storage for spec in made)
            if tidy and (same := self._unchanged(call, now)) is not None:
                now[call.output.storage] = same
                continue
            self._append(call, made, now, held, sizes)
        held_by_output = (now[s.storage] for s in trace.outputs if s.storage in now)
        self.outputs = list(dict.fromkeys(held_by_output))
        self.placed = set(now)

    def _append(
        self,
        call: OpCall,
        made: list[TensorSpec],
        now: dict[int, int],
        held: set[int],
        sizes: dict[int, int],
    ) -> None:
        read = [spec for spec in call.inputs if spec.storage in now]
        reads = list(dict.fromkeys(now[spec.storage] for spec in read))
        whole = bool(read) and read[0].nbytes >= self.values[reads[0]].nbytes
        writes = []
        for storage, spec in {spec.storage: spec for spec in reversed(made)}.items():
            if storage in held:  # running statistics and other state live with the weights
                continue
            new = self._value(call.scope, spec, sizes)
            value, old = self.values[new], now.get(storage)
            if old is not None:
                value.over, value.partly = old, spec.nbytes < value.nbytes
                if value.partly and old not in reads:
                    reads.append(old)
            now[storage] = new
            writes.append(new)
        if writes:
            self.nodes.append(_Node(call, call.op, reads, writes[::-1], whole))

    def _value(self, name: str, spec: TensorSpec, sizes: dict[int, int]) -> int:
        # A record by hand may say nothing about storages.
        self.values.append(_Value(name, spec, sizes.get(spec.storage) or spec.nbytes))
        return len(self.values) - 1

    def _unchanged(self, call: OpCall, now: dict[int, int]) -> int | None:
        """The value that this operation merely copies, as it was written."""
        if call.op not in _COPIES or len(call.inputs) != 1 or len(call.outputs) != 1:
            return None
        source, copy = call.inputs[0], call.output
        value = now.get(source.storage)
        if value is None or copy.storage in now:
            return None
        written = self.values[value].spec
        same = written.shape == source.shape == copy.shape and written.dtype == copy.dtype
        return value if same else None

    # ---- folding

    def fold(self, fusion: Fusion) -> None:
        """Move operations into the sole producers of what they read."""
        readers = self._readers()
        makers: dict[int, _Node] = {}
        kept: list[_Node] = []
        for node in self.nodes:
            maker = makers.get(node.reads[0]) if len(node.reads) == 1 and node.whole else None
            alone = maker is not None and readers[node.reads[0]] == 1
            unread = not any(readers[value] for value in node.writes[1:])  # saved statistics
            if maker is not None and alone and unread and _folds(node.call, maker.call, fusion):
                self._into(maker, node)
                makers[node.writes[0]] = maker
                continue
            for part in self._parts(node, fusion):
                kept.append(part)
                makers.update(dict.fromkeys(part.writes, part))
        self.nodes = kept

    def _readers(self) -> Counter[int]:
        return Counter([v for node in self.nodes for v in node.reads] + self.outputs)

    def _into(self, maker: _Node, node: _Node) -> None:
        """The maker writes what the node would have: what it wrote before is never in memory."""
        before, after = node.reads[0], node.writes[0]
        old, new = self.values[before], self.values[after]
        new.name, new.over, new.partly = old.name, old.over, old.partly
        maker.writes = [after if value == before else value for value in maker.writes]
        # What lies between, such as ReLU, keeps a norm out of the weights though both happen in passing.
        at_once = len(maker.absorbed) == len(maker.folded)
        if at_once and _scales(node.call) and _family(maker.call) in WEIGHTED:
            maker.absorbed.append(node.call)
        maker.folded.append(node.call)

    def _parts(self, node: _Node, fusion: Fusion) -> Iterator[_Node]:
        """The node, or the gate and the product that it consists of."""
        name = _rule_name(node.call)
        if name in fusion.gated and name in _GATES and node.reads:
            gate, x = len(self.values), node.reads[0]
            self.values.append(replace(self.values[node.writes[0]], over=None, partly=False))
            yield _Node(node.call, _GATES[name], [x], [gate])
            yield replace(node, op="aten.mul", reads=[x, gate])
        else:
            yield node

    def prune(self) -> None:
        """Leave out what no output depends on."""
        if not self.outputs:
            return
        needed = set(self.outputs)
        kept: list[_Node] = []
        for node in reversed(self.nodes):
            node.writes = [value for value in node.writes if value in needed]
            if node.writes:
                needed.update(node.reads)
                kept.append(node)
        self.nodes = kept[::-1]

    # ---- the graph

    def graph(self, in_place: bool) -> Graph:
        """Buffers for the values, in the order in which they are first written."""
        homes = self._homes(in_place)
        order = dict.fromkeys(homes[v] for v in self.inputs)
        order.update(dict.fromkeys(homes[v] for n in self.nodes for v in (*n.reads, *n.writes)))
        ids = {home: number for number, home in enumerate(order)}

        def placed(values: list[int]) -> tuple[int, ...]:
            return tuple(dict.fromkeys(ids[homes[value]] for value in values))

        return Graph(
            buffers=tuple(self._buffer(ids[home], self.values[home]) for home in order),
            steps=tuple(_step(n, placed(n.reads), placed(n.writes)) for n in self.nodes),
            inputs=placed(self.inputs),
            outputs=placed(self.outputs),
            held=frozenset(self._held()),
            absorbed=frozenset(self._absorbed()),
        )

    def _absorbed(self) -> set[str]:
        """Paths of the norms that are part of weights, at each of their calls."""
        gone = {call.index for node in self.nodes for call in node.absorbed}
        norms = [call for node in self.nodes for call in (node.call, *node.folded) if _scales(call)]
        left = {call.scope for call in norms if call.index not in gone}
        return {call.scope for call in norms} - left

    def _held(self) -> Iterator[int]:
        """Storages that are read and have no place in the arena."""
        absorbed = self._absorbed()
        for node in self.nodes:
            for call in (node.call, *node.folded):
                # A norm by fixed statistics is a factor and a term for each channel, made beforehand.
                left_out = _statistics(call, call.scope in absorbed) if _scales(call) else set()
                for spec in call.inputs:
                    if spec.storage >= 0 and spec.storage not in self.placed | left_out:
                        yield spec.storage

    def _homes(self, in_place: bool) -> list[int]:
        """By value: the one whose buffer it is in."""
        end = len(self.nodes)
        last = {value: place for place, node in enumerate(self.nodes) for value in node.reads}
        last.update(dict.fromkeys(self.outputs, end))
        written = {value: place for place, node in enumerate(self.nodes) for value in node.writes}
        homes = list(range(len(self.values)))
        for value, place in written.items():
            over, partly = self.values[value].over, self.values[value].partly
            # A copy that was left out may still read what was there before.
            if over is not None and (partly or in_place) and last.get(over, -1) <= place:
                homes[value] = homes[over]
        return homes

    def _buffer(self, id: int, value: _Value) -> Buffer:
        itemsize, dtype = value.spec.itemsize, value.spec.dtype
        # A quantised tensor stands for real numbers, of which a plan has one format.
        floating = dtype.startswith(("float", "bfloat", "qint", "quint"))
        numel = value.nbytes // max(itemsize, 1)
        return Buffer(id, value.name, numel, itemsize, floating, value.spec.shape)


# ---- what operations are


def _rule_name(call: OpCall) -> str:
    rule = rule_for(call.op)
    return rule.name if rule is not None else ""


def _family(call: OpCall) -> str:
    rule = rule_for(call.op)
    family = rule.family if rule is not None else ""
    return "linear" if call.op == "aten.addmm" else family  # what Linear is under autograd


def _only_looks(call: OpCall) -> bool:
    """Whether an operation that returns its input's memory has left it as it was; others wrote to it."""
    return call.op in VIEWS or _family(call) == "dropout"


def _scales(call: OpCall) -> bool:
    """Batch normalisation by statistics that are kept: a factor and a term for each channel."""
    return (
        _rule_name(call) == "batch_norm"
        and call.get("running_mean") is not None
        and not call.get("training", "with_update" in call.op)
    )


def _statistics(call: OpCall, absorbed: bool) -> set[int]:
    """Storages of statistics that are not kept; without a scale or an offset they stand for one."""
    pairs = (("running_var", "weight"), ("running_mean", "bias"))
    return {
        call.args[kept].storage
        for kept, instead in pairs
        if kept in call.args and (absorbed or call.get(instead) is not None)
    }


def _folds(call: OpCall, maker: OpCall, fusion: Fusion) -> bool:
    if _rule_name(call) in fusion.activations:
        after = fusion.after
    elif _scales(call):
        after = fusion.norms_after
    else:
        after = _ANY_ORDER if call.op in _REARRANGES else frozenset()
    return after is None or _family(maker) in after


def _is_elementwise(call: OpCall) -> bool:
    name = _rule_name(call)
    if name == "batch_norm":
        return _scales(call)
    elementwise = _family(call) == "elementwise" and name not in _NOT_ELEMENTWISE
    return elementwise or name in _ELEMENTWISE or call.op in _ELEMENTWISE_MOVES


def _step(node: _Node, reads: tuple[int, ...], writes: tuple[int, ...]) -> Step:
    call = node.call
    convolution = _rule_name(call) == "convolution"
    return Step(
        op=node.op,
        path=call.scope,
        reads=reads,
        writes=writes,
        elementwise=_is_elementwise(call),
        depthwise=convolution and convolution_kind(call) == "depthwise",
        patches=_patches(call) if convolution else 0,
        folded=tuple(call.op for call in node.folded),
    )


def _patches(call: OpCall) -> int:
    """Each output position has its own copy of the k·c_in inputs that it is made of."""
    kind, attrs = convolution_kind(call), convolution_attrs(call)
    if kind not in ("standard", "pointwise") or set(attrs["kernel"] + attrs["stride"]) == {1}:
        return 0
    kernel: list[int] = attrs["kernel"]
    positions = call.output.numel // int(attrs["out_channels"])
    return positions * int(attrs["in_channels"]) * math.prod(kernel)
