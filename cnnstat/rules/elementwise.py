"""One or a few operations for each element: arithmetic, comparisons, and the functions of mathematics."""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import Count, counts, per_output

_OUT = "one for each element of the output"


def _family(
    names: str, count: Count, formula: str, name: str, doc: str, *, no_in_place: str = ""
) -> None:
    """One rule for operations alike, with their in-place forms, and for those that have none."""
    count.__doc__ = doc
    ops = [f"aten.{op}{form}" for op in names.split() for form in ("", "_")]
    ops += [f"aten.{op}" for op in no_in_place.split()]
    counts(*ops, family="elementwise", formula=formula, source=_OUT, name=name)(count)


@counts(
    *(f"aten.{op}{form}" for op in ("add", "sub", "subtract") for form in ("", "_")),
    "aten.rsub",
    "quantized.add",
    "quantized.add_relu",
    family="elementwise",
    formula="n additions, and n products where alpha is not 1",
    source=_OUT,
)
def addition(call: OpCall) -> Work:
    """a + alpha·b, broadcast."""
    n = call.output.numel
    return Work(
        adds=n,
        muls=n if call.get("alpha", 1) != 1 else 0,
        compares=n if call.op.endswith("relu") else 0,
    )


_family(
    "mul multiply square neg conj_physical deg2rad rad2deg ldexp",
    per_output(muls=1),
    "n products",
    "product",
    "a·b, a² or −a; −b of a conjugate.",
    no_in_place="_conj_physical",
)
_family(
    "div divide true_divide reciprocal floor_divide remainder fmod",
    per_output(special=1),
    "n divisions",
    "division",
    "a/b, 1/a, and what is left of it.",
)
_family(
    "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or "
    "bitwise_xor bitwise_not sign sgn abs clamp_min clamp_max floor ceil round trunc frac "
    "bitwise_left_shift bitwise_right_shift heaviside nan_to_num copysign",
    per_output(compares=1),
    "n comparisons",
    "comparison",
    "Comparisons, logic, signs, rounding: one step an element.",
    no_in_place="maximum minimum fmax fmin isnan isinf isfinite isposinf isneginf signbit isin "
    "__and__ __or__ __xor__ __lshift__ __rshift__ __iand__ __ior__ __ixor__ __ilshift__ __irshift__",
)
_family(
    "exp exp2 expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan atan2 sinh cosh "
    "asinh acosh atanh erf erfc erfinv lgamma digamma logit hypot i0 sinc",
    per_output(special=1),
    "n functions",
    "function",
    "One special function an element.",
    no_in_place="angle polar logaddexp logaddexp2 special_erf special_expit",
)
_family("xlogy", per_output(muls=1, special=1), "n products, n logarithms", "xlogy", "a·log b.")
_family("rsqrt", per_output(special=2), "n roots and n divisions", "rsqrt", "1/√a.")
_family("addcmul", per_output(adds=1, muls=2), "n additions, 2n products", "addcmul", "a + c·b·d.")
_family(
    "addcdiv",
    per_output(adds=1, muls=1, special=1),
    "n additions, n products, n divisions",
    "addcdiv",
    "a + c·b/d.",
)
_family("lerp", per_output(adds=2, muls=1), "2n additions, n products", "lerp", "a + w·(b − a).")
_family("addr", per_output(adds=1, muls=1), "n additions, n products", "addr", "A + x·yᵀ.")
_family(
    "",
    per_output(adds=1, muls=2),
    "n additions, 2n products",
    "cross",
    "a₂b₃ − a₃b₂ and so on.",
    no_in_place="linalg_cross",
)


@counts(
    *(f"aten.{op}{form}" for op in ("clamp", "clip") for form in ("", "_")),
    family="elementwise",
    formula="n comparisons for each limit",
    source=_OUT,
)
def clamp(call: OpCall) -> Work:
    """min(max(a, low), high), or one of both."""
    limits = sum(call.get(name) is not None for name in ("min", "max"))
    return Work(compares=limits * call.output.numel)


@counts(
    *(f"aten.pow{form}" for form in ("", "_")),
    "aten.float_power",
    family="elementwise",
    formula="n·(e − 1) products for a small whole exponent e, n roots for ½, n functions otherwise",
    source="repeated multiplication up to the fourth power",
)
def power(call: OpCall) -> Work:
    """a^e."""
    n, exponent = call.output.numel, call.args.get("exponent")
    if exponent in (1, 2, 3, 4):
        return Work(muls=n * (int(exponent) - 1))
    return Work(special=n)
