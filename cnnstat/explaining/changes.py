"""What would run instead of a recorded operation: the changes that `--what-if` knows.

A change takes one operation and gives those that would stand in its place, or `None` where it does not
apply. Letters as in `cnnstat.rules.convolution`: N batch, C channels in, K channels out, g groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from cnnstat.classify import convolution_kind
from cnnstat.errors import SpecError
from cnnstat.record import OpCall, TensorSpec
from cnnstat.rules import rule_for
from cnnstat.rules.base import tensor

Shape = tuple[int, ...]
StandIn = tuple[OpCall, ...]

Ends = tuple[str, ...]
INPUT: Ends = ("input", "mixed")
OUTPUT: Ends = ("output",)
BOTH: Ends = (*INPUT, *OUTPUT)
NEITHER: Ends = ()

NARROWER = "build the narrower network and compare: cnnstat compare A B"
"""What to do where a width cannot be estimated."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that could be built otherwise."""

    name: str
    """As it was asked for: `"groups=4"`."""
    described: str
    """What it does, in one sentence."""
    apply: Callable[[OpCall, bool], StandIn | None]
    """The operations in the place of one, or `None` where the change does not apply; the flag says
    whether the network, as it is before the change, has depthwise convolutions."""
    whole: bool = False
    """Whether it holds only where every layer follows it."""


def parse_change(text: str) -> Change:
    """The change that a text asks for. Raises `SpecError`, listing what there is."""
    name, equals, value = text.strip().lower().partition("=")
    make = _CHANGES.get(name)
    if make is None or bool(equals) != (name != "separable"):
        raise SpecError(f"unknown change {text!r}", hint=f"expected one of {EXAMPLES}")
    return make(text, value)


def is_depthwise(call: OpCall) -> bool:
    """Whether the operation is a depthwise convolution."""
    conv = _conv(call)
    return conv is not None and conv.kind == "depthwise"


# ---- reading and making operations


@dataclass(frozen=True, slots=True)
class _Conv:
    """A convolution in numbers."""

    call: OpCall
    x: Shape
    w: Shape
    y: Shape
    groups: int
    kind: str

    @property
    def channels(self) -> tuple[int, int]:
        """C and K."""
        if self.kind == "transposed":
            return self.w[0], self.w[1] * self.groups
        return self.w[1] * self.groups, self.w[0]

    @property
    def spatial(self) -> bool:
        """Whether the kernel has more than one position."""
        return any(size > 1 for size in self.w[2:])

    @property
    def dims(self) -> int:
        return len(self.w) - 2


def _conv(call: OpCall) -> _Conv | None:
    rule = rule_for(call.op)
    if rule is None or rule.name != "convolution" or call.phase != "forward":
        return None
    x, w = tensor(call, "input").shape, tensor(call, "weight").shape
    kind = convolution_kind(call)
    return _Conv(call, x, w, call.output.shape, int(call.get("groups", 1)), kind)


def _like(spec: TensorSpec, shape: Shape) -> TensorSpec:
    return TensorSpec(shape, spec.dtype, spec.itemsize)


def _at(shape: Shape, dims: int, channels: int) -> Shape:
    """The shape with other channels; a batch before them or none."""
    place = len(shape) - dims - 1
    return (*shape[:place], channels, *shape[place + 1 :])


def _build(
    conv: _Conv, x: Shape, w: Shape, y: Shape, groups: int, ends: Ends = BOTH, **others: object
) -> OpCall:
    """The same convolution over other shapes; with `bias=None` without one.

    `ends` are those of the recorded convolution's roles that this part of it keeps.
    """
    call = conv.call
    args = {**call.args, **others}
    args["input"] = _like(tensor(call, "input"), x)
    args["weight"] = _like(tensor(call, "weight"), w)
    args["groups"] = groups
    bias = args.get("bias")
    if isinstance(bias, TensorSpec):
        args["bias"] = _like(bias, (w[1] * groups if conv.kind == "transposed" else w[0],))
    roles = tuple(role for role in call.roles if role in ends)
    return replace(call, args=args, outputs=(_like(call.output, y),), roles=roles)


def _pointwise(conv: _Conv, x: Shape, out: int, bias: bool, ends: Ends) -> OpCall:
    """A 1×1 convolution of stride 1 from x to `out` channels."""
    dims = conv.dims
    one, none = (1,) * dims, (0,) * dims
    channels = x[len(x) - dims - 1]
    others = {} if bias else {"bias": None}
    w, y = (out, channels, *one), _at(x, dims, out)
    return _build(conv, x, w, y, 1, ends, stride=one, padding=none, dilation=one, **others)


# ---- the changes


def _separable(text: str, value: str) -> Change:
    def apply(call: OpCall, depthwise: bool) -> StandIn | None:
        conv = _conv(call)
        if conv is None or conv.kind != "standard":
            return None
        c, k = conv.channels
        between = _at(conv.y, conv.dims, c)
        spatial = _build(conv, conv.x, (c, 1, *conv.w[2:]), between, c, INPUT, bias=None)
        return spatial, _pointwise(conv, between, k, bias=True, ends=BOTH)

    return Change(
        text,
        "each k×k standard convolution becomes a k×k depthwise one, without bias, and a 1×1 one "
        "(MobileNets, arXiv 1704.04861, section 3.1)",
        apply,
    )


def _groups(text: str, value: str) -> Change:
    groups = _whole(text, value)

    def apply(call: OpCall, depthwise: bool) -> StandIn | None:
        conv = _conv(call)
        if conv is None or conv.kind not in ("standard", "pointwise"):
            return None
        c, k = conv.channels
        if c % groups or k % groups:
            return None
        return (_build(conv, conv.x, (k, c // groups, *conv.w[2:]), conv.y, groups),)

    return Change(
        text,
        f"each convolution of one group whose channels divide by {groups} gets {groups} groups "
        "(ShuffleNet, arXiv 1707.01083; ResNeXt, arXiv 1611.05431)",
        apply,
    )


def _bottleneck(text: str, value: str) -> Change:
    factor = _whole(text, value)

    def apply(call: OpCall, depthwise: bool) -> StandIn | None:
        conv = _conv(call)
        if conv is None or conv.kind != "standard":
            return None
        _, k = conv.channels
        narrow = _scaled(k, Fraction(1, factor))
        reduce = _pointwise(conv, conv.x, narrow, bias=False, ends=INPUT)
        inner = _at(conv.y, conv.dims, narrow)
        w = (narrow, narrow, *conv.w[2:])
        middle = _build(conv, reduce.output.shape, w, inner, 1, NEITHER, bias=None)
        return reduce, middle, _pointwise(conv, inner, k, bias=True, ends=OUTPUT)

    return Change(
        text,
        f"each k×k standard convolution to K channels becomes 1×1 to K/{factor}, k×k, and 1×1 to K "
        "(ResNet, arXiv 1512.03385, figure 5)",
        apply,
    )


def _squeeze(text: str, value: str) -> Change:
    ratio = _ratio(text, value)

    def apply(call: OpCall, depthwise: bool) -> StandIn | None:
        conv = _conv(call)
        wanted = ("depthwise",) if depthwise else ("standard", "grouped")
        if conv is None or conv.kind not in wanted or not conv.spatial or "excited" in call.roles:
            return None
        _, k = conv.channels
        pooled = (*_at(conv.y, conv.dims, k)[: -conv.dims], *(1,) * conv.dims)
        # Its ends are those of the channels that it scales.
        ends = BOTH if "output" in call.roles else ()
        made = replace(call, args={**call.args, "bias": _like(call.output, (k,))}, roles=ends)
        gate = replace(conv, call=made)
        reduce = _pointwise(gate, pooled, _scaled(k, ratio), bias=True, ends=INPUT)
        expand = _pointwise(gate, reduce.output.shape, k, bias=True, ends=OUTPUT)
        return replace(call, roles=(*call.roles, "excited")), reduce, expand

    return Change(
        text,
        f"behind each depthwise convolution (where there is none, each k×k one) a squeeze-and-"
        f"excitation block of two biased 1×1 layers with {value} of its channels between them "
        "(MobileNetV3, arXiv 1905.02244, section 5.3)",
        apply,
    )


def _width(text: str, value: str) -> Change:
    alpha = _ratio(text, value)

    def apply(call: OpCall, depthwise: bool) -> StandIn | None:
        rule = rule_for(call.op)
        if rule is None or call.phase != "forward":
            return None
        if rule.family == "linear" and isinstance(call.get("weight"), TensorSpec):
            return _narrow_linear(call, alpha)
        if rule.name == "convolution":
            return _narrow_conv(call, alpha)
        return _narrow_vectors(call, alpha)

    return Change(
        text,
        f"{value} of the channels of every layer, but for those of the network's input and output "
        "(the width multiplier α of MobileNets, arXiv 1704.04861, section 3.3), rounded to the nearest",
        apply,
        whole=True,
    )


def _narrow_conv(call: OpCall, alpha: Fraction) -> StandIn | None:
    conv = _conv(call)
    if conv is None:
        return None
    (c, k), groups = conv.channels, conv.groups
    narrow_c = c if "input" in call.roles else _scaled(c, alpha)
    narrow_k = k if "output" in call.roles else _scaled(k, alpha)
    if groups == c > 1:
        groups, narrow_k = narrow_c, narrow_c * (k // c)
    if narrow_c % groups or narrow_k % groups:
        raise SpecError(
            f"{call.scope or '(root)'}: {narrow_c} and {narrow_k} channels do not divide into its "
            f"{groups} groups",
            hint="try a width at which they do",
        )
    x, y = _at(conv.x, conv.dims, narrow_c), _at(conv.y, conv.dims, narrow_k)
    transposed = conv.kind == "transposed"
    pair = (narrow_c, narrow_k // groups) if transposed else (narrow_k, narrow_c // groups)
    return (_build(conv, x, (*pair, *conv.w[2:]), y, groups),)


def _narrow_linear(call: OpCall, alpha: Fraction) -> StandIn | None:
    x, weight, y = tensor(call, "input", "self"), tensor(call, "weight"), call.output
    k, c = weight.shape
    narrow_c = c if "input" in call.roles else _scaled(c, alpha)
    narrow_k = k if "output" in call.roles else _scaled(k, alpha)
    name = "input" if "input" in call.args else "self"
    args = {
        **call.args,
        name: _like(x, (*x.shape[:-1], narrow_c)),
        "weight": _like(weight, (narrow_k, narrow_c)),
    }
    if isinstance(bias := call.get("bias"), TensorSpec):
        args["bias"] = _like(bias, (narrow_k,))
    return (replace(call, args=args, outputs=(_like(y, (*y.shape[:-1], narrow_k)),)),)


def _narrow_vectors(call: OpCall, alpha: Fraction) -> StandIn | None:
    """Norms and the like: a number for each channel, of which only the parameters matter here."""
    vectors = {name: call.args[name] for name, _ in call.params}
    if not vectors or "input" in call.roles:
        return None
    for spec in vectors.values():
        if sum(size > 1 for size in spec.shape) > 1:
            shape = "×".join(map(str, spec.shape))
            raise SpecError(
                f"{call.scope or '(root)'}: which size of its parameter {shape} is channels is not known",
                hint=NARROWER,
            )
    narrow = {
        name: _like(spec, tuple(_scaled(n, alpha) if n > 1 else n for n in spec.shape))
        for name, spec in vectors.items()
    }
    return (replace(call, args={**call.args, **narrow}),)


# ---- numbers


def _scaled(channels: int, ratio: Fraction) -> int:
    """The nearest whole number of channels, one at least; a half goes up."""
    return max(1, int(channels * ratio + Fraction(1, 2)))


def _whole(text: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value) or int(value) < 2:
        raise SpecError(f"{text!r}: expected a whole number from 2 to 999999 after the =")
    return int(value)


def _ratio(text: str, value: str) -> Fraction:
    plain = re.fullmatch(r"[0-9]{1,6}(\.[0-9]{0,6})?|\.[0-9]{1,6}|[0-9]{1,3}/[0-9]{1,3}", value)
    try:
        ratio = Fraction(value) if plain else Fraction(0)
    except ZeroDivisionError:
        ratio = Fraction(0)
    if not 0 < ratio <= 16:
        raise SpecError(
            f"{text!r}: expected a number above 0 and up to 16 after the =, such as 0.5 or 3/4"
        )
    return ratio


_CHANGES: dict[str, Callable[[str, str], Change]] = {
    "separable": _separable,
    "groups": _groups,
    "se": _squeeze,
    "width": _width,
    "bottleneck": _bottleneck,
}

EXAMPLES = "separable, groups=4, se=0.25, width=0.5, bottleneck=4"
"""Every change with a number that makes sense."""
