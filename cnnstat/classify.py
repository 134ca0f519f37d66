"""What each operation and each layer is, from shapes and from what feeds what; never from class names.

Kinds of convolution follow from the weight's shape and the groups; a matrix product is a linear layer where
one side does not depend on the input, attention where a softmax lies between two products; a squeeze-and-
excitation block is a global pool, one or two pointwise layers and a gate that scales what was pooled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from cnnstat.kinds import DATA_MOVEMENT
from cnnstat.record import ModuleInfo, OpCall, TensorSpec, Trace
from cnnstat.report import Work
from cnnstat.rules import ZERO, rule_for
from cnnstat.shapes import is_transposed

_PRODUCTS = frozenset(f"aten.{op}" for op in "matmul bmm baddbmm".split())
_GATES = frozenset("sigmoid hardsigmoid hardtanh clamp tanh".split())
_POOLS = frozenset(
    f"aten.{name}{n}d"
    for name in ("adaptive_avg_pool", "_adaptive_avg_pool", "avg_pool")
    for n in (1, 2, 3)
)


@dataclass(frozen=True, slots=True)
class Chain:
    """A squeeze-and-excitation block while it is followed, and when it is complete."""

    pooled: int
    """Storage that the pool read, and that the gate must scale."""
    channels: int
    """How many channels were pooled."""
    ops: tuple[int, ...]
    """Indices of the operations so far."""
    widths: tuple[int, ...] = ()
    """Channels that each pointwise layer puts out."""
    gated: bool = False
    """Whether a gate came after the last of them."""


@dataclass
class Kinds:
    """The kind of every operation, and the blocks found."""

    of_op: dict[int, str] = field(default_factory=dict)
    """Kind by index of the operation, by itself; operations without a rule are absent."""
    blocks: list[Chain] = field(default_factory=list)
    """Complete squeeze-and-excitation blocks."""

    gradients_in_blocks: set[int] = field(default_factory=set)
    """Backward operations of layers that are nothing but part of a block."""

    @cached_property
    def in_blocks(self) -> frozenset[int]:
        """Indices of all forward operations that belong to a block."""
        return frozenset(index for block in self.blocks for index in block.ops)


def classify(trace: Trace) -> Kinds:
    """The kind of every counted operation of a record."""
    kinds = Kinds()
    recurrent = {module.path for module in trace.modules if _is_recurrent(module)}
    live = _depends_on_input(trace)
    forward = [call for call in trace.ops if call.phase == "forward"]
    for call in trace.ops:
        rule = rule_for(call.op)
        if rule is None:
            continue
        kind = rule.family
        if kind == "convolution":
            kind = convolution_kind(call)
        elif kind == "matmul" and call.phase == "forward":
            kind = "matmul" if _both_live(call, live[call.index]) else "linear"
        elif kind == "reduction" and _is_global_pool(call):
            kind = "pooling"
        kinds.of_op[call.index] = "recurrent" if call.scope in recurrent else kind
    _find_attention(forward, kinds.of_op)
    _find_dropout(trace.ops, kinds.of_op)
    kinds.blocks = list(_find_blocks(forward, kinds.of_op))
    _label_gradients(trace, kinds)
    return kinds


def _label_gradients(trace: Trace, kinds: Kinds) -> None:
    """A gradient's products are of the kind of its layer's forward products; its block is the layer's."""
    of_scope: dict[str, set[str]] = {}
    outside: set[str] = set()  # layers that ran something of no block
    for call in trace.ops:
        if call.phase == "forward" and call.index in kinds.of_op:
            of_scope.setdefault(call.scope, set()).add(kinds.of_op[call.index])
            if call.index not in kinds.in_blocks:
                outside.add(call.scope)
    for call in trace.ops:
        if call.phase == "forward" or call.index not in kinds.of_op:
            continue
        there = of_scope.get(call.scope, set())
        if kinds.of_op[call.index] == "matmul":
            # A linear layer's gradients are plain matrix products, attention's are batched ones.
            batched = ("attention", "matmul", "linear")
            order = batched if "bmm" in call.op else ("linear", *batched)
            kinds.of_op[call.index] = next((kind for kind in order if kind in there), "matmul")
        if there and call.scope not in outside:
            kinds.gradients_in_blocks.add(call.index)


def _is_recurrent(module: ModuleInfo) -> bool:
    """Its parameters are the input and hidden matrices of gates."""
    return any(parameter.name.startswith("weight_ih") for parameter in module.params)


def as_counted(work: Work, kind: str) -> Work:
    """The work of a part as the whole counts it: dropout none, recurrent cells no activations."""
    if kind == "dropout":
        return Work()
    return replace(work, activations=0) if kind == "recurrent" else work


# ---- convolutions


def _weight(call: OpCall) -> tuple[int, ...]:
    weight = call.args.get("weight")
    if isinstance(weight, TensorSpec):
        return weight.shape
    packed = next((v for v in call.args.values() if isinstance(v, tuple) and v), ())
    first = packed[0] if packed else None
    return first.shape if isinstance(first, TensorSpec) else ()


def convolution_kind(call: OpCall) -> str:
    """`standard`, `pointwise`, `depthwise`, `grouped`, `grouped-pointwise` or `transposed`."""
    if is_transposed(call):
        return "transposed"
    weight, groups = _weight(call), int(call.get("groups", 1))
    if not weight:
        return "convolution"  # a rule of the user's own, for an operation that names its weight otherwise
    pointwise = all(size == 1 for size in weight[2:])
    if groups == 1:
        return "pointwise" if pointwise else "standard"
    if weight[1] == 1:  # one input channel a group
        return "depthwise"
    return "grouped-pointwise" if pointwise else "grouped"


def convolution_attrs(call: OpCall) -> dict[str, Any]:
    """Kernel, stride, dilation, groups, channels, and a depthwise convolution's multiplier."""
    weight, groups = _weight(call), int(call.get("groups", 1))
    if not weight:
        return {}
    dims = len(weight) - 2

    def each(name: str, default: int) -> list[int]:
        value = call.get(name, (default,))
        if not isinstance(value, tuple):
            value = (value,)
        return list(value) * dims if len(value) == 1 else list(value)

    attrs: dict[str, Any] = {"kernel": list(weight[2:]), "stride": each("stride", 1)}
    padding = call.get("padding", (0,))
    attrs["padding"] = padding if isinstance(padding, str) else each("padding", 0)
    attrs["dilation"] = each("dilation", 1)
    attrs["groups"] = groups
    transposed = is_transposed(call)
    attrs["in_channels"] = weight[0] if transposed else weight[1] * groups
    attrs["out_channels"] = weight[1] * groups if transposed else weight[0]
    if not transposed and groups > 1 and weight[1] == 1:
        attrs["multiplier"] = weight[0] // groups
    return attrs


# ---- matrix products and attention


def _depends_on_input(trace: Trace) -> list[frozenset[int]]:
    """For each operation, the storages among its arguments that depend on the network's input."""
    live = {spec.storage for spec in trace.inputs}
    found = []
    for call in trace.ops:
        fed = frozenset(spec.storage for spec in call.inputs if spec.storage in live)
        found.append(fed)
        if fed:
            live.update(spec.storage for spec in call.outputs)
    return found


def _both_live(call: OpCall, live: frozenset[int]) -> bool:
    factors = call.inputs[-2:]  # a bias comes before them
    if any(spec.storage < 0 for spec in factors):  # a record by hand, without storages
        return True
    return all(spec.storage in live for spec in factors)


@dataclass(slots=True)
class _Scores:
    """What became of the product of queries and keys."""

    ops: tuple[int, ...]
    softmaxed: bool = False


def _find_attention(calls: Sequence[OpCall], kinds: dict[int, str]) -> None:
    """Two products with a softmax between them, whatever scaling, masks and dropout lie there too.

    The first may be with learned queries, which do not depend on the input; the second is of two
    tensors that do.
    """
    following: dict[int, _Scores] = {}
    for call in calls:
        kind = kinds.get(call.index)
        scores = [following[s.storage] for s in call.inputs if s.storage in following]
        for spec in call.outputs:
            if not _same_memory(call, spec):
                following.pop(spec.storage, None)
        if kind == "matmul" or call.op in _PRODUCTS:
            done = next((found for found in scores if found.softmaxed), None)
            if done is not None and kind == "matmul":
                for index in (*done.ops, call.index):
                    kinds[index] = "attention"
            following[call.output.storage] = _Scores((call.index,))
        elif scores and call.outputs and _passes_on(call, kind):
            first = scores[0]
            own = (call.index,) if kind and kind != "dropout" else ()
            softmax = first.softmaxed or "softmax" in call.op
            for spec in call.outputs[:1]:
                following[spec.storage] = _Scores(first.ops + own, softmax)


def _passes_on(call: OpCall, kind: str | None) -> bool:
    return kind in ("elementwise", "activation", "normalisation", "dropout") or call.op in ZERO


def _same_memory(call: OpCall, spec: TensorSpec) -> bool:
    return any(spec.storage == given.storage for given in call.inputs)


# ---- dropout


def _is_elementwise(call: OpCall) -> bool:
    rule = rule_for(call.op)
    return rule is not None and rule.family == "elementwise"


def _find_dropout(calls: Sequence[OpCall], kinds: dict[int, str]) -> None:
    """Products with a random mask: dropout and stochastic depth where they are taken apart."""
    masks: set[int] = set()
    for call in calls:
        given = {spec.storage for spec in call.inputs}
        made = {spec.storage for spec in call.outputs}
        if call.op == "aten.bernoulli_":
            masks |= given
        elif masks & given and _is_elementwise(call):
            kinds[call.index] = "dropout"
            if given <= masks:  # the mask itself, scaled to keep the mean
                masks |= made
            else:
                masks -= made
        else:
            masks -= made - given if call.op in ZERO else made


# ---- squeeze and excitation


def _is_global_pool(call: OpCall) -> bool:
    """A mean over all positions: channels are left, and nothing else but the batch."""
    if not call.inputs or not call.outputs:
        return False
    x, y = call.inputs[0].shape, call.output.shape
    if call.op in _POOLS:
        dims = next(n for n in (1, 2, 3) if f"{n}d" in call.op)
        return math.prod(y[-dims:]) == 1 and math.prod(x[-dims:]) > 1
    if call.op != "aten.mean" or not 3 <= len(x) <= 5:
        return False
    dim = call.get("dim", ())
    reduced = sorted(d % len(x) for d in (dim if isinstance(dim, tuple) else (dim,)))
    last, middle = list(range(2, len(x))), list(range(1, len(x) - 1))  # channels first, or last
    return reduced in (last, middle) if len(x) > 3 else reduced == last


def _find_blocks(calls: Sequence[OpCall], kinds: Mapping[int, str]) -> Iterator[Chain]:
    """Every complete block, in the order in which they ran."""
    following: dict[int, Chain] = {}
    for call in calls:
        chains = [following[s.storage] for s in call.inputs if s.storage in following]
        for spec in call.outputs:
            if not _same_memory(call, spec):
                following.pop(spec.storage, None)
        if _is_global_pool(call):
            source, pooled = call.inputs[0], call.output
            channels = pooled.numel // max(source.shape[0], 1)
            if pooled.storage >= 0:
                following[pooled.storage] = Chain(source.storage, channels, (call.index,))
        elif chains:
            chain = chains[0]
            if any(other.ops[0] != chain.ops[0] for other in chains):
                continue  # two pools meet, as in CBAM: another kind of attention
            if _completes(call, chain):
                yield replace(chain, ops=(*chain.ops, call.index))
            elif (longer := _continue(call, kinds.get(call.index), chain)) is not None:
                following[call.output.storage] = longer
                continue
            for spec in call.outputs:
                following.pop(spec.storage, None)


def _completes(call: OpCall, chain: Chain) -> bool:
    return (
        call.op in ("aten.mul", "aten.mul_")
        and chain.gated
        and chain.widths[-1] == chain.channels
        and any(spec.storage == chain.pooled for spec in call.inputs)
    )


def _continue(call: OpCall, kind: str | None, chain: Chain) -> Chain | None:
    """The block with this operation in it, or `None` where it is no part of one."""
    if not call.outputs:
        return None
    ops = (*chain.ops, call.index)
    if kind in ("pointwise", "linear", "grouped-pointwise") and len(chain.widths) < 2:
        out = call.output.shape
        width = out[-1] if kind == "linear" else out[-3] if len(out) > 2 else out[-1]
        return replace(chain, ops=ops, widths=(*chain.widths, width), gated=False)
    if call.op in ZERO and call.op != "aten.cat":
        return replace(chain, ops=ops)
    if kind in ("activation", "elementwise", "normalisation", "dropout"):
        rule = rule_for(call.op)
        gate = rule is not None and rule.name in _GATES and bool(chain.widths)
        return replace(chain, ops=ops, gated=chain.gated or gate)
    return None


# ---- layers


def kinds_of_users(trace: Trace, kinds: Kinds) -> dict[int, str]:
    """For each storage, the kind of the first counted operation that read it.

    So a layer that is never called, but whose weights its parent uses, is what its weights are used for.
    """
    users: dict[int, str] = {}
    for call in trace.ops:
        if call.index in kinds.of_op:
            for spec in call.inputs:
                users.setdefault(spec.storage, kinds.of_op[call.index])
    return users


def layer_kind(
    module: ModuleInfo, leaf: bool, works: Mapping[str, Work], users: Mapping[int, str], moves: bool
) -> str:
    """What a layer is, from the work of its own operations by kind.

    `users` is what its weights are used for, `moves` whether it ran any operation at all.
    """
    macs = {kind: work.macs for kind, work in works.items()}
    flops = {kind: work.flops for kind, work in works.items()}
    if not module.calls and not works:
        used = [users[held.storage] for held in module.params if held.storage in users]
        packed = any(held.storage < 0 for held in module.params)  # for its parent to use
        return "container" if packed or not leaf else (used or ["never-called"])[0]
    if _is_recurrent(module):
        return "recurrent"
    if macs.get("attention"):
        return "attention"
    heaviest = max(macs, key=lambda kind: macs[kind], default="")
    if heaviest and macs[heaviest]:
        return heaviest
    if not leaf:
        return "container"
    if flops:
        return max(flops, key=lambda kind: flops[kind])
    return DATA_MOVEMENT if moves else "identity"
