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
from cnnstat.report import Report
from cnnstat.rules import rule_for
from cnnstat.rules.base import tensor

Shape = tuple[int, ...]
StandIn = tuple[OpCall, ...]

_NORMS = frozenset(("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"))


@dataclass(frozen=True, slots=True)
class Network:
    """What a change must know of the whole network."""

    inputs: frozenset[Shape]
    """Shapes that the network takes: their channels are given."""
    last: str
    """Path of the last layer with MACs."""
    classes: int
    """Channels that the network puts out: those of its last layer are given."""
    depthwise: bool
    """Whether it has depthwise convolutions."""
    excited: tuple[str, ...]
    """Modules that hold a squeeze-and-excitation block already."""

    @classmethod
    def of(cls, report: Report) -> Network:
        """Read off a report."""
        root = report.layers[0]
        weighted = [layer for layer in report.layers if layer.macs]
        out = root.outputs[0] if root.outputs else ()
        return cls(
            inputs=frozenset(root.inputs),
            last=weighted[-1].path if weighted else "",
            classes=out[1] if len(out) > 1 else 0,
            depthwise=any(layer.kind == "depthwise" for layer in report.layers),
            excited=tuple(group.path.rpartition(".")[0] + "." for group in report.groups),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that could be built otherwise."""

    name: str
    """As it was asked for: `"groups=4"`."""
    described: str
    """What it does, in one sentence."""
    apply: Callable[[OpCall, Network], StandIn | None]
    """The operations in the place of one, or `None` where the change does not apply."""


def parse_change(text: str) -> Change:
    """The change that a text asks for. Raises `SpecError`, listing what there is."""
    name, equals, value = text.partition("=")
    make = _CHANGES.get(name)
    if make is None or bool(equals) != (name != "separable"):
        raise SpecError(f"unknown change {text!r}", hint=f"expected one of {EXAMPLES}")
    return make(text, value)


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


def _build(conv: _Conv, x: Shape, w: Shape, y: Shape, groups: int, **others: object) -> OpCall:
    """The same convolution over other shapes; with `bias=None` without one."""
    call = conv.call
    args = {**call.args, **others}
    args["input"] = _like(tensor(call, "input"), x)
    args["weight"] = _like(tensor(call, "weight"), w)
    args["groups"] = groups
    bias = args.get("bias")
    if isinstance(bias, TensorSpec):
        args["bias"] = _like(bias, (w[1] * groups if conv.kind == "transposed" else w[0],))
    return replace(call, args=args, outputs=(_like(call.output, y),))


def _pointwise(conv: _Conv, x: Shape, out: int, bias: bool) -> OpCall:
    """A 1×1 convolution of stride 1 from x to `out` channels."""
    dims = conv.dims
    one, none = (1,) * dims, (0,) * dims
    channels = x[len(x) - dims - 1]
    others = {} if bias else {"bias": None}
    w, y = (out, channels, *one), _at(x, dims, out)
    return _build(conv, x, w, y, 1, stride=one, padding=none, dilation=one, **others)


# ---- the changes


def _separable(text: str, value: str) -> Change:
    def apply(call: OpCall, network: Network) -> StandIn | None:
        conv = _conv(call)
        if conv is None or conv.kind != "standard":
            return None
        c, k = conv.channels
        between = _at(conv.y, conv.dims, c)
        depthwise = _build(conv, conv.x, (c, 1, *conv.w[2:]), between, c, bias=None)
        return depthwise, _pointwise(conv, between, k, bias=True)

    return Change(
        text,
        "each k×k standard convolution becomes a k×k depthwise one, without bias, and a 1×1 one "
        "(MobileNets, arXiv 1704.04861, section 3.1)",
        apply,
    )


def _groups(text: str, value: str) -> Change:
    groups = _whole(text, value)

    def apply(call: OpCall, network: Network) -> StandIn | None:
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

    def apply(call: OpCall, network: Network) -> StandIn | None:
        conv = _conv(call)
        if conv is None or conv.kind != "standard":
            return None
        _, k = conv.channels
        narrow = max(1, round(k / factor))
        reduce = _pointwise(conv, conv.x, narrow, bias=False)
        inner = _at(conv.y, conv.dims, narrow)
        w = (narrow, narrow, *conv.w[2:])
        middle = _build(conv, reduce.output.shape, w, inner, 1, bias=None)
        return reduce, middle, _pointwise(conv, inner, k, bias=True)

    return Change(
        text,
        f"each k×k standard convolution to K channels becomes 1×1 to K/{factor}, k×k, and 1×1 to K "
        "(ResNet, arXiv 1512.03385, figure 5)",
        apply,
    )


def _squeeze(text: str, value: str) -> Change:
    ratio = _ratio(text, value)

    def apply(call: OpCall, network: Network) -> StandIn | None:
        conv = _conv(call)
        wanted = ("depthwise",) if network.depthwise else ("standard", "grouped")
        if conv is None or conv.kind not in wanted or not conv.spatial:
            return None
        if any(call.scope.startswith(module) for module in network.excited):
            return None
        _, k = conv.channels
        pooled = (*_at(conv.y, conv.dims, k)[: -conv.dims], *(1,) * conv.dims)
        biased = TensorSpec((k,), call.output.dtype, call.output.itemsize)
        based = replace(conv, call=replace(call, args={**call.args, "bias": biased}))
        reduce = _pointwise(based, pooled, _scaled(k, ratio), bias=True)
        return call, reduce, _pointwise(based, reduce.output.shape, k, bias=True)

    return Change(
        text,
        f"behind each depthwise convolution (where there is none, each k×k one) a squeeze-and-"
        f"excitation block of two biased 1×1 layers with {value} of its channels between them "
        "(MobileNetV3, arXiv 1905.02244, section 5.3)",
        apply,
    )


def _width(text: str, value: str) -> Change:
    alpha = _ratio(text, value)

    def apply(call: OpCall, network: Network) -> StandIn | None:
        rule = rule_for(call.op)
        if rule is None or call.phase != "forward":
            return None
        if rule.name in _NORMS:
            return _narrow_norm(call, alpha)
        if rule.family == "linear" and isinstance(call.get("weight"), TensorSpec):
            return _narrow_linear(call, alpha, network)
        return _narrow_conv(call, alpha, network)

    return Change(
        text,
        f"{value} of the channels of every layer, but for those of the network's input and output "
        "(the width multiplier α of MobileNets, arXiv 1704.04861, section 3.3), rounded to the nearest",
        apply,
    )


def _narrow_conv(call: OpCall, alpha: Fraction, network: Network) -> StandIn | None:
    conv = _conv(call)
    if conv is None:
        return None
    (c, k), groups = conv.channels, conv.groups
    narrow_c = c if conv.x in network.inputs else _scaled(c, alpha)
    narrow_k = k if _is_output(call, k, network) else _scaled(k, alpha)
    if groups == c > 1:
        groups, narrow_k = narrow_c, narrow_c * (k // c)
    if narrow_c % groups or narrow_k % groups:
        return None
    x, y = _at(conv.x, conv.dims, narrow_c), _at(conv.y, conv.dims, narrow_k)
    pair = (
        (narrow_c, narrow_k // groups)
        if conv.kind == "transposed"
        else (narrow_k, narrow_c // groups)
    )
    return (_build(conv, x, (*pair, *conv.w[2:]), y, groups),)


def _narrow_linear(call: OpCall, alpha: Fraction, network: Network) -> StandIn | None:
    x, weight, y = tensor(call, "input", "self"), tensor(call, "weight"), call.output
    k, c = weight.shape
    narrow_c = c if x.shape in network.inputs else _scaled(c, alpha)
    narrow_k = k if _is_output(call, k, network) else _scaled(k, alpha)
    name = "input" if "input" in call.args else "self"
    args = {
        **call.args,
        name: _like(x, (*x.shape[:-1], narrow_c)),
        "weight": _like(weight, (narrow_k, narrow_c)),
    }
    if isinstance(bias := call.get("bias"), TensorSpec):
        args["bias"] = _like(bias, (narrow_k,))
    return (replace(call, args=args, outputs=(_like(y, (*y.shape[:-1], narrow_k)),)),)


def _narrow_norm(call: OpCall, alpha: Fraction) -> StandIn | None:
    """Only its parameters matter here: a vector for each channel."""
    args = dict(call.args)
    for name in ("weight", "bias"):
        spec = args.get(name)
        if isinstance(spec, TensorSpec):
            args[name] = _like(spec, tuple(_scaled(size, alpha) for size in spec.shape))
    return (replace(call, args=args),)


def _is_output(call: OpCall, channels: int, network: Network) -> bool:
    return call.scope == network.last and channels == network.classes


# ---- numbers


def _scaled(channels: int, ratio: Fraction) -> int:
    """The nearest whole number of channels, one at least; a half goes up."""
    return max(1, int(channels * ratio + Fraction(1, 2)))


def _whole(text: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value) or int(value) < 2:
        raise SpecError(f"{text!r}: expected a whole number of 2 or more after the =")
    return int(value)


def _ratio(text: str, value: str) -> Fraction:
    if not re.fullmatch(r"[0-9]*\.?[0-9]{1,6}|[0-9]{1,3}/[0-9]{1,3}", value):
        raise SpecError(f"{text!r}: expected a number such as 0.5 after the =")
    try:
        ratio = Fraction(value)
    except ZeroDivisionError:
        ratio = Fraction(0)
    if not 0 < ratio <= 16:
        raise SpecError(f"{text!r}: expected more than 0 and no more than 16")
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
