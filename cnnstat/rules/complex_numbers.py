"""Operations on complex numbers in operations on real ones. z = a + bi, w = c + di.

A rule counts the operations of its formula. Where the numbers are complex each of them is several real ones:

- z + w: two additions; x + w with a real x: one;
- z·w = (ac − bd) + (ad + bc)i: four products and two additions; x·w: two products;
- a multiply–accumulate is a product and an addition: four real ones, eight FLOPs;
- z/w = z·w̄/(c² + d²): six products, three additions, two divisions; z/x: two divisions;
- a comparison: one of each part;
- a function: one formula for both parts, from Abramowitz & Stegun, *Handbook of Mathematical Functions*,
  sections 3.7, 4.1 to 4.6: eᶻ = eᵃ·(cos b + i·sin b) is three functions and two products.
"""

from __future__ import annotations

from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Work

_SUM = Work(adds=2)
_PRODUCT = Work(muls=4, adds=2)
_SCALED = Work(muls=2)
_QUOTIENT = Work(muls=6, adds=3, special=2)
_DIVIDED = Work(special=2)
_INVERTED = Work(muls=2, adds=1, special=2)
"""w̄/(c² + d²)."""
_ABS = Work(muls=2, adds=1, special=1)
"""√(a² + b²)."""
_ROOT = _ABS + Work(adds=2, muls=2, special=2)
"""√((|z| ± a)/2), both parts."""
_LOG = _ABS + Work(special=2)
"""log |z|, and the angle."""
_EXP = Work(muls=2, special=3)
_SINE = Work(muls=2, special=4)
"""sin a·cosh b + i·cos a·sinh b."""
_TANGENT = Work(adds=1, muls=2, special=6)
"""(sin 2a + i·sinh 2b)/(cos 2a + cosh 2b)."""
_ARC = _PRODUCT + _ROOT + _LOG + Work(adds=3)
"""−i·log(iz + √(1 − z²)), and the others likewise."""
_SIGMOID = _EXP + Work(adds=1) + _INVERTED

_UNITS = {
    "abs": _ABS,
    "angle": Work(special=1),
    "sgn": _ABS + _DIVIDED,
    "neg": _SCALED,
    "conj_physical": Work(muls=1),
    "_conj_physical": Work(muls=1),
    "polar": Work(muls=2, special=2),
    "reciprocal": _INVERTED,
    "sqrt": _ROOT,
    "rsqrt": _ROOT + _INVERTED,
    "exp": _EXP,
    "exp2": _EXP + _SCALED,
    "expm1": _EXP + Work(adds=1),
    "log": _LOG,
    "log1p": _LOG + Work(adds=1),
    **dict.fromkeys(("log2", "log10"), _LOG + _SCALED),
    **dict.fromkeys(("sin", "cos", "sinh", "cosh"), _SINE),
    **dict.fromkeys(("tan", "tanh"), _TANGENT),
    **dict.fromkeys(("asin", "acos", "atan", "asinh", "acosh", "atanh"), _ARC),
    "sigmoid": _SIGMOID,
    "silu": _SIGMOID + _PRODUCT,
    "addcmul": _SUM + _SCALED + _PRODUCT,
    "addcdiv": _SUM + _SCALED + _QUOTIENT,
}
"""Real operations for each element that is put out."""

_OF_SQUARES = ("norm", "linalg_vector_norm", "frobenius_norm", "var", "std", "var_mean", "std_mean")
"""They add |z|², and what they divide or take the root of is real."""
_OPERANDS = ("self", "other", "input", "weight", "mat2", "tensor")
_POWER = _LOG + _PRODUCT + _EXP
"""e^(w·log z)."""


def in_reals(work: Work, call: OpCall, family: str) -> Work:
    """The work of a call of a rule's family in real operations; bytes and elements put out stay."""
    made = (
        call.outputs if family == "elementwise" else ()
    )  # eigenvalues of a real matrix may be complex
    if not any(spec.is_complex for spec in (*call.inputs, *made)):
        return work
    name = call.op.rpartition(".")[2].removeprefix("special_")
    name = name if name in _UNITS else name.removesuffix("_")
    kept = Work(moved=work.moved, activations=work.activations)
    if name in _UNITS:
        return kept + _multiple(call.output.numel, _UNITS[name])
    if name in _OF_SQUARES:
        return kept + Work(adds=2 * work.adds, muls=2 * work.muls, special=work.special)
    if name in ("add", "sub", "rsub"):
        return kept + _multiple(call.output.numel, _sum(call))
    if name == "lerp":
        share = call.args.get("weight")
        weighted = _PRODUCT if share is not None and _is_complex(share) else _SCALED
        return kept + _multiple(call.output.numel, _SUM + _SUM + weighted)
    mixed = _mixed(call)
    product = _SCALED if mixed else _PRODUCT
    return (
        kept
        + Work(macs=(2 if mixed else 4) * work.macs, compares=2 * work.compares)
        + _multiple(work.adds, Work(adds=1) if mixed and family == "elementwise" else _SUM)
        + _multiple(work.muls, product)
        + _multiple(work.special, _special(call, name, family, mixed))
    )


def _sum(call: OpCall) -> Work:
    """self + alpha·other: what alpha multiplies first, then the parts that both have."""
    alpha, other = call.args.get("alpha", 1), call.args.get("other", 0)
    scaled = Work()
    if alpha != 1:
        both = _is_complex(alpha) and _is_complex(other)
        either = _is_complex(alpha) or _is_complex(other)
        scaled = _PRODUCT if both else Work(muls=2 if either else 1)
    first = call.args.get("self", 0)
    whole = _is_complex(first) and (_is_complex(other) or _is_complex(alpha))
    return scaled + (_SUM if whole else Work(adds=1))


def _is_complex(value: TensorSpec | complex) -> bool:
    return value.is_complex if isinstance(value, TensorSpec) else isinstance(value, complex)


def _mixed(call: OpCall) -> bool:
    """Whether one of two operands is real."""
    operands = [
        value
        for name, value in call.args.items()
        if name in _OPERANDS and isinstance(value, TensorSpec | int | float | complex)
    ]
    return len(operands) == 2 and sum(map(_is_complex, operands)) == 1


def _special(call: OpCall, name: str, family: str, mixed: bool) -> Work:
    """What a division or a function without a formula of its own comes to."""
    if name in ("pow", "float_power"):
        return _POWER
    if name == "logsumexp":
        return _EXP
    if family in ("pooling", "reduction", "resize", "normalisation"):
        return _DIVIDED  # by a real number
    if family == "activation":
        return _EXP
    first = next(iter(call.inputs), None)
    if mixed:
        return _DIVIDED if first is not None and first.is_complex else _INVERTED + _SCALED
    return _QUOTIENT


def _multiple(n: int, unit: Work) -> Work:
    return Work(macs=n * unit.macs, adds=n * unit.adds, muls=n * unit.muls,
                compares=n * unit.compares, special=n * unit.special)  # fmt: skip
