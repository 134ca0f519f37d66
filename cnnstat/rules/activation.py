"""Activation functions and their gradients: a few operations for each element."""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import counts, times

RELU = Work(compares=1)
"""For each element."""

_ACTIVATIONS: dict[str, tuple[str, Work, str]] = {
    "relu": ("relu relu_ relu6 relu6_", RELU, "max(x, 0)"),
    "hardtanh": ("hardtanh hardtanh_", Work(compares=2), "min(max(x, a), b): also ReLU6"),
    "leaky_relu": (
        "leaky_relu leaky_relu_ prelu _prelu_kernel rrelu_with_noise rrelu_with_noise_ threshold "
        "threshold_",
        Work(compares=1, muls=1),
        "x or a·x",
    ),
    "sigmoid": ("sigmoid sigmoid_", Work(adds=1, special=2), "1/(1 + e^−x)"),
    "tanh": ("tanh tanh_", Work(special=1), "tanh(x)"),
    "silu": ("silu silu_", Work(adds=1, muls=1, special=2), "x/(1 + e^−x) as x·sigmoid(x)"),
    "log_sigmoid": ("log_sigmoid log_sigmoid_forward", Work(adds=1, special=2), "−log(1 + e^−x)"),
    "mish": ("mish mish_", Work(adds=1, muls=1, special=3), "x·tanh(log(1 + e^x))"),
    "softplus": ("softplus", Work(adds=1, special=2), "log(1 + e^x)"),
    "elu": (
        "elu elu_ selu selu_ celu celu_",
        Work(adds=1, muls=1, compares=1, special=1),
        "x or a·(e^x − 1)",
    ),
    "hardsigmoid": (
        "hardsigmoid hardsigmoid_",
        Work(adds=1, muls=1, compares=2),
        "min(max(x/6 + ½, 0), 1)",
    ),
    "hardswish": (
        "hardswish hardswish_",
        Work(adds=1, muls=2, compares=2),
        "x·min(max(x/6 + ½, 0), 1)",
    ),
    "hardshrink": ("hardshrink softshrink", Work(adds=1, compares=2), "x − a, x + a or 0"),
    "glu": ("glu", Work(adds=1, muls=1, special=2), "a·sigmoid(b) for the halves a and b"),
}
_GRADIENTS = {
    "threshold_backward": Work(compares=1),
    "hardtanh_backward": Work(compares=2),
    "leaky_relu_backward": Work(compares=1, muls=1),
    "_prelu_kernel_backward": Work(compares=1, muls=2),
    "rrelu_with_noise_backward": Work(muls=1),
    "sigmoid_backward": Work(adds=1, muls=2),
    "tanh_backward": Work(adds=1, muls=2),
    "silu_backward": Work(adds=3, muls=3, special=2),
    "mish_backward": Work(adds=3, muls=4, special=3),
    "log_sigmoid_backward": Work(adds=1, muls=1, special=2),
    "softplus_backward": Work(adds=1, muls=1, special=2),
    "elu_backward": Work(adds=1, muls=1, compares=1),
    "hardsigmoid_backward": Work(muls=1, compares=2),
    "hardswish_backward": Work(adds=1, muls=2, compares=2),
    "hardshrink_backward": Work(compares=2),
    "softshrink_backward": Work(compares=2),
    "glu_backward": Work(adds=2, muls=4, special=2),
}


def _steps(unit: Work) -> str:
    named = {
        "additions": unit.adds,
        "products": unit.muls,
        "comparisons": unit.compares,
        "special functions": unit.special,
    }
    return ", ".join(
        f"{count if count > 1 else ''}n {name}" for name, count in named.items() if count
    )


def _activation(name: str, ops: tuple[str, ...], unit: Work, text: str) -> None:
    def count(call: OpCall) -> Work:
        return times(call.output.numel, unit)

    count.__doc__ = text + "."
    counts(*ops, family="activation", formula=_steps(unit), source=text, name=name)(count)


for _name, (_ops, _unit, _text) in _ACTIVATIONS.items():
    _activation(_name, tuple(f"aten.{op}" for op in _ops.split()), _unit, _text)
for _name, _unit in _GRADIENTS.items():
    _activation(_name, (f"aten.{_name}",), _unit, f"dx from dy, {_name.removesuffix('_backward')}")


GELU = Work(adds=1, muls=3, special=1)
"""For each element, in its exact form."""

_GELU_TANH = Work(adds=2, muls=6, special=1)


@counts(
    "aten.gelu",
    "aten.gelu_",
    family="activation",
    formula="n additions, 3n products, n functions; by tanh 2n additions, 6n products, n functions",
    source="Hendrycks & Gimpel 2016, GELUs (arXiv 1606.08415), section 2: both forms",
)
def gelu(call: OpCall) -> Work:
    """x·½·(1 + erf(x/√2)), or its approximation by tanh."""
    exact = call.get("approximate", "none") == "none"
    return times(call.output.numel, GELU if exact else _GELU_TANH)


@counts(
    "aten.gelu_backward",
    family="activation",
    formula="3n additions, 6n products, 2n functions",
    source="derivative of x·Φ(x): Φ(x) + x·φ(x)",
)
def gelu_backward(call: OpCall) -> Work:
    """dx from dy."""
    return times(call.output.numel, Work(adds=3, muls=6, special=2))
