"""Elementwise operations on quantised tensors, observers and fake-quantisation.

The arithmetic of a quantised operation is that of the real one; what rounds its result to the scale of
the output is part of the number format, as quantize_per_tensor is, and counts nothing.
"""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import counts, rule_for, tensor, times

_AS_REAL = {
    "mul": "aten.mul",
    "mul_scalar": "aten.mul",
    "mul_relu": "aten.mul",
    "mul_scalar_relu": "aten.mul",
    "add_scalar": "aten.add",
    "add_scalar_relu": "aten.add",
    "hardswish": "aten.hardswish",
    "sigmoid": "aten.sigmoid",
    "leaky_relu": "aten.leaky_relu",
    "elu": "aten.elu",
    "celu": "aten.celu",
    "prelu": "aten.prelu",
    "relu6": "aten.relu6",
    "threshold": "aten.threshold",
    "softmax": "aten.softmax",
    "dropout": "aten.dropout",
    "layer_norm": "aten.layer_norm",
    "group_norm": "aten.group_norm",
    "instance_norm": "aten.instance_norm",
    "matmul": "aten.matmul",
}


def _register(name: str, real: str) -> None:
    rule = rule_for(real)
    assert rule is not None, real

    def count(call: OpCall) -> Work:
        relu = call.output.numel if name.removesuffix("_relu") in {*_AS_REAL} - {name} else 0
        return rule.count(call) + Work(compares=relu)

    count.__doc__ = f"As {rule.name}, of integers; with relu one comparison more an element."
    counts(
        f"quantized.{name}",
        name=f"quantized_{name}",
        family=rule.family,
        formula=rule.formula,
        source=rule.source,
    )(count)


for _name, _real in _AS_REAL.items():
    _register(_name, _real)


@counts(
    *(f"quantized.batch_norm{n}{act}" for n in ("", "1d", "2d", "3d") for act in ("", "_relu")),
    family="normalisation",
    formula="n products and n additions; with relu n comparisons",
    source="Ioffe & Szegedy 2015 (arXiv 1502.03167), section 3.1: at inference one linear transform",
)
def quantized_batch_norm(call: OpCall) -> Work:
    """Scale and shift by the statistics that are kept."""
    n = call.output.numel
    return Work(adds=n, muls=n, compares=n if call.op.endswith("relu") else 0)


@counts(
    "quantized.cat_relu",
    family="activation",
    formula="n comparisons",
    source="one for each element of the output",
)
def quantized_cat_relu(call: OpCall) -> Work:
    """Concatenation and relu."""
    return Work(compares=call.output.numel)


_ROUNDED = Work(adds=2, muls=1, compares=3, special=1)
"""(clamp(round(x/s) + z) − z)·s."""


@counts(
    "aten.fake_quantize_per_tensor_affine",
    "aten.fake_quantize_per_tensor_affine_cachemask",
    "aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    "aten.fake_quantize_per_channel_affine",
    "aten.fake_quantize_per_channel_affine_cachemask",
    "aten._fake_quantize_learnable_per_tensor_affine",
    "aten._fake_quantize_learnable_per_channel_affine",
    family="elementwise",
    formula="n divisions, 2n additions, n products, 3n comparisons",
    source="Jacob et al. 2018 (arXiv 1712.05877), equation 12: (clamp(round(x/s) + z) − z)·s",
)
def fake_quantisation(call: OpCall) -> Work:
    """To whole numbers and back."""
    return times(call.output.numel, _ROUNDED)


@counts(
    "aten.fused_moving_avg_obs_fake_quant",
    "aten._fused_moving_avg_obs_fq_helper",
    "aten._fused_moving_avg_obs_fq_helper_functional",
    family="elementwise",
    formula="as fake_quantisation, and 2n comparisons for the least and the greatest value",
    source="Jacob et al. 2018 (arXiv 1712.05877), equation 12 and section 3.1",
)
def observed_fake_quantisation(call: OpCall) -> Work:
    """The observer looks at every element, then rounds it; its running range is bookkeeping."""
    return times(tensor(call, "self").numel, _ROUNDED + Work(compares=2))


@counts(
    "aten.fake_quantize_per_tensor_affine_cachemask_backward",
    "aten.fake_quantize_per_channel_affine_cachemask_backward",
    family="elementwise",
    formula="n products",
    source="the straight-through estimator: the gradient, where the value was not clamped",
)
def fake_quantisation_backward(call: OpCall) -> Work:
    """The gradient times the mask."""
    return Work(muls=call.output.numel)


@counts(
    "aten._choose_qparams_per_tensor",
    "aten.choose_qparams_optimized",
    family="reduction",
    formula="2n comparisons",
    source="the least and the greatest value",
)
def quantisation_range(call: OpCall) -> Work:
    """The range of a tensor, from which its scale follows."""
    return Work(compares=2 * call.inputs[0].numel)
