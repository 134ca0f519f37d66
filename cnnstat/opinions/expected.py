"""What each engine should say of one layer, by its own rules, operation by operation. No torch here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cnnstat.conventions import CONVENTIONS
from cnnstat.opinions.base import CONVENTION, COUNTED_AS_ZERO, ERROR, Opinion
from cnnstat.record import OpCall
from cnnstat.report import Layer, Tally
from cnnstat.rules import rule_for


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a number is another one; the fields are those of a `Difference`."""

    kind: str
    op: str
    amount: int
    text: str


@dataclass(slots=True)
class Part:
    """The operations of one layer that the engine reports under one name."""

    op: str
    """That name."""
    theirs: int = 0
    """What the engine counts."""
    expected: int = 0
    """What cnnstat counts, in the engine's unit."""
    reasons: list[Cause] = field(default_factory=list)
    """Why it should count something else."""
    calls: list[tuple[OpCall, int]] = field(default_factory=list)
    """Those that the engine should have counted, with what it should have counted."""

    @property
    def residual(self) -> int:
        """What no reason says yet."""
        return self.theirs - self.expected - sum(reason.amount for reason in self.reasons)


def merged(reasons: Iterable[Cause]) -> Iterator[Cause]:
    """One reason for all calls of a layer that share it."""
    amounts: dict[tuple[str, str, str], int] = defaultdict(int)
    for reason in reasons:
        amounts[reason.kind, reason.op, reason.text] += reason.amount
    for (kind, op, text), amount in amounts.items():
        if amount:
            yield Cause(kind, op, amount, text)


def _name(kind: str) -> str:
    """`matmul` for `aten::matmul`; other libraries' operations keep their prefix."""
    return kind.removeprefix("aten::")


def _products(layer: Layer) -> Iterator[tuple[OpCall, int]]:
    """The layer's operations that have multiply–accumulates, with their number."""
    for tally in layer.tallies:
        if tally.work.macs:
            for call in tally.ops:
                macs = _macs(call)
                if macs:
                    yield call, macs


def _macs(call: OpCall) -> int:
    """Multiply–accumulates of one operation; 0 where its rule does not know its arguments."""
    rule = rule_for(call.op)
    try:
        return rule.count(call).macs if rule is not None else 0
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError):
        return 0


_CONVOLUTIONS = {
    *("aten.convolution", "aten._convolution"),
    *(f"aten.conv{n}d" for n in (1, 2, 3)),
    *(f"aten.conv_transpose{n}d" for n in (1, 2, 3)),
}


def _seen(call: OpCall, macs: int) -> int:
    """What is left of the MACs for who counts a complex one as one of reals."""
    if not call.is_complex:
        return macs
    return macs * (3 if call.op in _CONVOLUTIONS else 1) // 4


def _as_one(op: str, amount: int) -> Cause:
    text = (
        "a complex multiply–accumulate is four real ones to cnnstat, and one to the engine; torch "
        "runs a complex convolution as three real ones"
    )
    return Cause(CONVENTION, op, amount, text)


# ---- fvcore

_BY_CONVENTION = {
    **{
        f"aten.{op}": op
        for op in "batch_norm group_norm layer_norm instance_norm adaptive_avg_pool2d "
        "upsample_nearest2d upsample_bilinear2d grid_sampler".split()
    },
    "aten.grid_sampler_2d": "grid_sampler",
    "aten.grid_sampler_3d": "grid_sampler",
}
"""What fvcore has a formula for besides products, and what it calls it."""

_WORTH = {
    "batch_norm": "2 for an element of a batch norm (1 without weights)",
    "group_norm": "5 for an element of a group norm (4 without weights)",
    "layer_norm": "5 for an element of a layer norm (4 without weights)",
    "instance_norm": "5 for an element of an instance norm (4 without weights)",
    "adaptive_avg_pool2d": "1 for an element that adaptive average pooling reads",
    "upsample_nearest2d": "1 for an element that nearest resizing writes",
    "upsample_bilinear2d": "4 for an element that bilinear resizing writes",
    "grid_sampler": "4 for an element that grid sampling writes",
}
_PARTS = {
    **dict.fromkeys(("conv", "linear", "matmul"), ""),
    **dict.fromkeys(("mm", "bmm", "addmm", "einsum"), "mm, bmm, addmm, einsum"),
}
"""fvcore's names of products; torch makes an einsum of matrix products, so those are compared together."""

_MADE_OF = {
    "aten::tensordot": ("aten.mm",),
    "aten::inner": ("aten.mm", "aten.matmul", "aten.dot", "aten.mv"),
    "aten::linalg_matmul": ("aten.matmul",),
    "aten::linalg_multi_dot": ("aten.mm", "aten.mv", "aten.matmul"),
    "aten::chain_matmul": ("aten.mm", "aten.matmul"),
    "aten::cdist": ("aten.cdist", "aten._cdist_forward", "aten._euclidean_dist"),
    "aten::bilinear": ("aten.bilinear", "aten._trilinear"),
    "aten::linalg_inv": ("aten.linalg_inv_ex",),
    "aten::inverse": ("aten.linalg_inv_ex",),
    "aten::linalg_solve": ("aten._linalg_solve_ex",),
    "aten::det": ("aten._linalg_det",),
    "aten::linalg_det": ("aten._linalg_det",),
    "aten::linalg_cholesky": ("aten.linalg_cholesky_ex",),
}
"""Operations that fvcore sees as a whole and has no formula for; what cnnstat records in their place."""

_SEALED = ("prim::PythonOp", "prim::CallFunction")
"""An autograd function or a scripted one, into which fvcore does not look."""


def _fvcore(layer: Layer, opinion: Opinion) -> list[Part]:
    counts = opinion.counts.get(layer.path, {})
    unknown = opinion.unknown.get(layer.path, {})
    parts: dict[str, Part] = {}

    def part(op: str) -> Part:
        return parts.setdefault(op, Part(op))

    for op, amount in counts.items():
        part(_PARTS.get(op) or op).theirs += amount
    for call, macs in _products(layer):
        seen = _seen(call, macs)
        op, reason = _fvcore_product(call, seen, unknown)
        place = part(_PARTS.get(op) or op)
        place.expected += macs
        place.reasons.append(_as_one(op, seen - macs))
        if reason is not None:
            place.reasons.append(reason)
        if reason is None or reason.amount != -seen:
            place.calls.append((call, seen + (reason.amount if reason else 0)))
    for tally in layer.tallies:
        for op, amount in _fvcore_convention(tally):
            text = f"fvcore counts {_WORTH[op]}"
            part(op).reasons.append(Cause(CONVENTION, op, amount, text))
    for found in parts.values():
        found.reasons += _fvcore_hidden(found, unknown)
        if "einsum" in counts and found.op == _PARTS["einsum"]:
            found.reasons += _fvcore_einsum(found, layer)
    return list(parts.values())


def _fvcore_product(
    call: OpCall, macs: int, unknown: Mapping[str, int]
) -> tuple[str, Cause | None]:
    """fvcore's name for an operation, and why its number is another one."""
    kind = call.op.replace(".", "::", 1)
    if call.op in _CONVOLUTIONS:
        if isinstance(call.get("padding"), str) and "aten::_convolution_mode" in unknown:
            text = (
                "fvcore has no formula for a convolution whose padding is a word, and counts zero"
            )
            return "conv", Cause(ERROR, "_convolution_mode", -macs, text)
        return "conv", None
    if kind in unknown:
        text = f"fvcore has no formula for {kind}, and counts zero"
        return kind, Cause(COUNTED_AS_ZERO, _name(kind), -macs, text)
    if call.op == "aten.matmul":
        left, right = call.inputs[0], call.inputs[1].shape
        amount = left.numel * right[-1] - macs
        text = (
            "fvcore multiplies the left operand's elements by the right one's last size, and leaves "
            "out the sizes over which the left one is broadcast"
        )
        return "matmul", Cause(ERROR, "matmul", amount, text) if amount else None
    return call.op.removeprefix("aten."), None


def _fvcore_convention(tally: Tally) -> Iterator[tuple[str, int]]:
    """What fvcore's own rule gives for each operation of a tally that is no product."""
    weights = CONVENTIONS["fvcore"].rules.get(tally.rule)
    for call in tally.ops if weights is not None else ():
        op = _BY_CONVENTION.get(call.op)
        if op is not None and weights is not None:
            yield op, weights.read * call.inputs[0].numel + weights.written * call.output.numel


def _fvcore_hidden(part: Part, unknown: Mapping[str, int]) -> Iterator[Cause]:
    """Operations inside others that fvcore has no formula for: all that fit, or none."""
    for kind in unknown if part.residual else ():
        sealed = kind.startswith(_SEALED)
        inside = _MADE_OF.get(kind, ())
        hidden = sum(macs for call, macs in part.calls if sealed or call.op in inside)
        if hidden and part.residual == -hidden:
            text = f"fvcore has no formula for {kind}, and counts zero"
            yield Cause(COUNTED_AS_ZERO, _name(kind), -hidden, text)
            return


def _fvcore_einsum(part: Part, layer: Layer) -> Iterator[Cause]:
    """What fvcore makes of NumPy's account of the einsums of a layer."""
    if part.residual and part.residual == sum(_rounded(m) - m for _, m in part.calls):
        text = "fvcore reads the count of an einsum out of a text that has four digits of it"
        yield Cause(ERROR, "einsum", part.residual, text)
        return
    products = [c for tally in layer.tallies for c in tally.ops if c.op == "aten.mul"]
    if part.residual and part.residual == sum(_half(call.output.numel) for call in products):
        text = (
            "fvcore takes an einsum without a sum for multiply–accumulates, and counts half of it"
        )
        yield Cause(ERROR, "einsum", part.residual, text)


def _rounded(macs: int) -> int:
    """Half of twice the number, as NumPy prints that and one more in its account of an einsum."""
    return _half(2 * macs)


def _half(cost: int) -> int:
    return math.floor(float(f"{cost + 1:.3e}") / 2)


# ---- torch's FlopCounterMode


def _flop_counter(layer: Layer, opinion: Opinion) -> list[Part]:
    """One part: it sees operations taken apart further than cnnstat's record has them."""
    part = Part("all operations")
    part.theirs = sum(opinion.counts.get(layer.path, {}).values())
    for call, macs in _products(layer):
        seen = _seen(call, macs)
        part.expected += opinion.per_mac * macs
        part.reasons.append(_as_one(part.op, opinion.per_mac * (seen - macs)))
        part.calls.append((call, opinion.per_mac * seen))
    for call in opinion.unknown_calls.get(layer.path, ()):
        macs = _seen(call, _macs(call))
        if macs:
            kind = call.op.replace(".", "::", 1)
            text = f"FlopCounterMode has no formula for {kind}, and counts zero"
            amount = -opinion.per_mac * macs
            part.reasons.append(Cause(COUNTED_AS_ZERO, _name(kind), amount, text))
    return [part]


JUDGES: Mapping[str, Callable[[Layer, Opinion], list[Part]]] = {
    "fvcore": _fvcore,
    "flop-counter": _flop_counter,
}
"""By engine: the parts of a layer with what is expected of each."""
