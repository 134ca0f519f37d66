"""Normalisation layers and softmax. n: elements of the input; r: rows or groups that share statistics."""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import counts, elements, tensor, times
from cnnstat.rules.derivation import Derivation, Letter, sizes

SOFTMAX = Work(adds=2, compares=1, special=2)
"""For each element: the maximum, its subtraction, the exponential, the sum, the division."""


def plain(call: OpCall) -> str:
    """`".plain"` for a layer without weight, which some tools count as less work."""
    return "" if call.get("weight") else ".plain"


def batch_variant(call: OpCall) -> str:
    """As `plain`, and `".batch"` where the statistics are those of the batch."""
    training = call.get("training", "with_update" in call.op)
    return (".batch" if training else "") + plain(call)


@counts(
    "aten.batch_norm",
    "aten.native_batch_norm",
    "aten._native_batch_norm_legit",
    "aten._native_batch_norm_legit_no_training",
    "aten._native_batch_norm_legit_functional",
    "aten._batch_norm_with_update",
    "aten._batch_norm_no_update",
    "aten._batch_norm_impl_index",
    "aten.cudnn_batch_norm",
    family="normalisation",
    formula="n products and n additions; without running statistics as instance normalisation",
    source="Ioffe & Szegedy 2015 (arXiv 1502.03167), section 3.1: at inference one linear transform",
    variant=batch_variant,
)
def batch_norm(call: OpCall) -> Work:
    """Scale and shift, in training too: the statistics of a batch are not part of the network.

    They are where no others are kept. Instance normalisation arrives here like that under autograd.
    """
    return _transform(call, call.inputs[0].shape[1])


def _transform(call: OpCall, r: int) -> Work:
    """One linear transform by the statistics that are kept, or by the r ones of the input itself."""
    n = call.output.numel
    if call.get("running_mean") is not None:
        return Work(adds=n, muls=n)
    return _moments(n, r, call.get("weight") is not None)


def _moments(n: int, r: int, affine: bool) -> Work:
    """Mean (n additions), difference (n), squares (n), their sum (n), root (r), scaling (n); affine 2n."""
    return Work(adds=3 * n + affine * n, muls=2 * n + affine * n, special=r)


def _derive_rows(call: OpCall) -> Derivation:
    x, r = call.inputs[0], _rows(call)
    return Derivation(
        {"special": "r"}, (Letter("r", r, f"rows that share statistics: {sizes(x.shape)}"),)
    )


def _rows(call: OpCall) -> int:
    width = elements(tuple(call.args["normalized_shape"]))
    return call.inputs[0].numel // max(width, 1)


@counts(
    "aten.layer_norm",
    "aten.native_layer_norm",
    family="normalisation",
    formula="5n, and 2n with weight and bias, and a root for each of r rows",
    source="Ba et al. 2016, Layer Normalization (arXiv 1607.06450), equation 3",
    derive=_derive_rows,
    variant=plain,
)
def layer_norm(call: OpCall) -> Work:
    """Mean, difference, squares, their sum, scaling; then weight and bias."""
    return _moments(call.inputs[0].numel, _rows(call), call.get("weight") is not None)


@counts(
    "aten.group_norm",
    "aten.native_group_norm",
    family="normalisation",
    formula="5n, and 2n with weight and bias, and a root for each of r groups",
    source="Wu & He 2018, Group Normalization (arXiv 1803.08494), equations 1 and 2",
    variant=plain,
)
def group_norm(call: OpCall) -> Work:
    """As layer normalisation, over groups of channels."""
    x = call.inputs[0]
    groups = call.get("num_groups", call.get("group", 1))
    return _moments(x.numel, x.shape[0] * int(groups), call.get("weight") is not None)


@counts(
    "aten.instance_norm",
    family="normalisation",
    formula="5n, and 2n with weight and bias, and a root for each channel of each sample; with running "
    "statistics n products and n additions",
    source="Ulyanov et al. 2016, Instance Normalization (arXiv 1607.08022), equation 2",
    variant=plain,
)
def instance_norm(call: OpCall) -> Work:
    """As layer normalisation, over the positions of one channel; with statistics as batch normalisation."""
    x = call.inputs[0]
    return _transform(call, x.shape[0] * x.shape[1])


@counts(
    "aten.rms_norm",
    "aten._fused_rms_norm",
    family="normalisation",
    formula="3n, and n with a weight, and a mean's division, a root and its reciprocal for each of r rows",
    source="Zhang & Sennrich 2019, Root Mean Square Layer Normalization (arXiv 1910.07467)",
    variant=plain,
)
def rms_norm(call: OpCall) -> Work:
    """Squares, their sum, scaling; then the weight."""
    affine = call.get("weight") is not None
    n = call.inputs[0].numel
    return Work(adds=n, muls=2 * n + affine * n, special=3 * _rows(call))


@counts(
    "aten.softmax",
    "aten._softmax",
    "aten._safe_softmax",
    "aten._masked_softmax",
    "aten._sparse_softmax",
    family="activation",
    formula="5n",
    source="maximum, difference, exponential, sum and division of each element",
)
def softmax(call: OpCall) -> Work:
    """exp(x − max) / Σ exp(x − max)."""
    return times(call.output.numel, SOFTMAX)


@counts(
    "aten.log_softmax",
    "aten._log_softmax",
    "aten._sparse_log_softmax",
    family="activation",
    formula="5n",
    source="maximum, difference, exponential, sum of each element, and the logarithm's difference",
)
def log_softmax(call: OpCall) -> Work:
    """x − max − log Σ exp(x − max); one logarithm a row is not counted apart."""
    return times(call.output.numel, Work(adds=3, compares=1, special=1))


@counts(
    "aten.native_batch_norm_backward",
    "aten.cudnn_batch_norm_backward",
    "aten.batch_norm_backward",
    "aten.native_layer_norm_backward",
    "aten.native_group_norm_backward",
    "aten._fused_rms_norm_backward",
    family="normalisation",
    formula="8n: two sums over dy and dy·x̂, and the three terms of dx",
    source="Ioffe & Szegedy 2015 (arXiv 1502.03167), section 3, the gradients of the transform",
)
def norm_backward(call: OpCall) -> Work:
    """Per element: dy·x̂ and both sums, then dx = s·(dy − mean(dy) − x̂·mean(dy·x̂))."""
    return times(tensor(call, "grad_out", "grad_output").numel, Work(adds=4, muls=4))


@counts(
    "aten._softmax_backward_data",
    "aten._log_softmax_backward_data",
    family="normalisation",
    formula="4n",
    source="dx = y·(dy − Σ y·dy)",
)
def softmax_backward(call: OpCall) -> Work:
    """The product, its sum, the difference and the product again."""
    return times(call.output.numel, Work(adds=2, muls=2))
