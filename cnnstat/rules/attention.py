"""Scaled dot-product attention in every kernel form.

Letters: B batch × query heads, L queries, S keys, E query and key width, V value width. A fused kernel
counts as the products, the scaling, the mask and the softmax that it fuses, so that fused and unfused
agree. A causal mask is counted as a dense one, which is what the unfused form adds: an upper bound for
kernels that skip the masked half.
"""

from __future__ import annotations

from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Work
from cnnstat.rules.activation import GELU, RELU
from cnnstat.rules.base import counts, elements, times
from cnnstat.rules.derivation import Derivation, Letter, sizes
from cnnstat.rules.normalisation import SOFTMAX

_SOURCE = "Vaswani et al. 2017, Attention Is All You Need (arXiv 1706.03762), equation 1"
_FUSED = (
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention",
    "aten._scaled_dot_product_fused_attention_overrideable",
    "aten._scaled_dot_product_attention_math",
)


def _derive(call: OpCall) -> Derivation:
    q, k, v = (spec.shape for spec in call.inputs[:3])
    batch = elements(call.output.shape[:-2])
    named = (
        Letter("B", batch, f"batch × heads: output {sizes(call.output.shape)}"),
        Letter("L", q[-2], f"queries: {sizes(q)}"),
        Letter("S", k[-2], f"keys: {sizes(k)}"),
        Letter("E", q[-1], f"width of queries and keys: {sizes(q)}"),
        Letter("V", v[-1], f"width of values: {sizes(v)}"),
    )
    masked = _masked(call)
    formulas = {
        "macs": "B·L·S·(E + V)",
        "adds": "2·B·L·S + B·L·S" if masked else "2·B·L·S",
        "compares": "B·L·S",
        "special": "2·B·L·S",
        "activations": "B·L·S + B·L·V",
    }
    if (
        elements(q) == batch * q[-2] * q[-1]
        and _repeats(call) * elements(k) == batch * k[-2] * k[-1]
    ):
        formulas["muls"] = "B·L·E + B·S·E"
    return Derivation(formulas, named)


def _masked(call: OpCall) -> bool:
    return any(call.get(name) for name in ("attn_mask", "attn_bias", "is_causal"))


def _repeats(call: OpCall) -> int:
    """Query heads for each key head: heads are repeated only where that is asked for, or fused."""
    q, k = (spec.shape for spec in call.inputs[:2])
    grouped = call.op in _FUSED or call.get("enable_gqa", False)
    return q[-3] // k[-3] if grouped and len(q) > 2 else 1


@counts(
    "aten.scaled_dot_product_attention",
    "higher_order.flex_attention",
    *_FUSED,
    family="attention",
    formula="B·L·S·(E + V) MACs, the scaling of q and k, the mask's addition, a softmax of B·L·S",
    source=_SOURCE,
    derive=_derive,
)
def attention(call: OpCall) -> Work:
    """softmax(q·kᵀ/√E + mask)·v. Grouped key heads cost what repeated ones would.

    What flex_attention's own functions do to a score is not seen, and not counted.
    """
    q, k, v = call.inputs[:3]
    masked = _masked(call)
    repeats = _repeats(call)
    batch = elements(call.output.shape[:-2])  # leading sizes may be broadcast
    # Queries and keys by the fourth root each, as the unfused form of torch does.
    return _attention(q, k, v, batch, masked) + Work(muls=q.numel + repeats * k.numel)


def _attention(q: TensorSpec, k: TensorSpec, v: TensorSpec, batch: int, masked: bool) -> Work:
    """Both products, the mask's addition and the softmax; the scaling is the caller's."""
    length, width = q.shape[-2:]
    keys, out = k.shape[-2], v.shape[-1]
    scores = batch * length * keys
    return Work(
        macs=scores * (width + out),
        adds=scores if masked else 0,
        activations=scores + batch * length * out,
    ) + times(scores, SOFTMAX)


@counts(
    *(f"{op}_backward" for op in _FUSED if not op.endswith("_math")),
    family="attention",
    formula="2·B·L·S·(E + V) MACs and the softmax's gradient",
    source="dV = Pᵀ·dO, dP = dO·Vᵀ, dQ = dS·K, dK = dSᵀ·Q: two products for each of the forward pass",
)
def attention_backward(call: OpCall) -> Work:
    """The gradients alone: what a kernel computes again of the forward pass is its own choice."""
    _, q, k, v = call.inputs[:4]
    batch, (length, width) = elements(q.shape[:-2]), q.shape[-2:]
    scores = batch * length * k.shape[-2]
    activations = scores + q.numel + k.numel + v.numel
    return Work(macs=2 * scores * (width + v.shape[-1]), activations=activations) + times(
        scores, Work(adds=2, muls=2)
    )


@counts(
    "aten._native_multi_head_attention",
    family="attention",
    formula="N·L·4·D² MACs of projections, attention over D/heads, biases",
    source=_SOURCE + ", section 3.2.2",
)
def multi_head_attention(call: OpCall) -> Work:
    """The fast path of `nn.MultiheadAttention`: projections in, attention, projection out."""
    query, key = call.inputs[:2]
    width, heads = int(call.args["embed_dim"]), int(call.args["num_head"])
    work = _multi_head(query, key, width, heads, masked=bool(call.get("mask")))
    if not call.get("need_weights", True):
        return work + Work(muls=query.numel + key.numel)  # both by the fourth root
    scores = query.shape[0] * heads * query.shape[1] * key.shape[1]
    means = scores // heads if call.get("average_attn_weights", True) else 0
    averaging = Work(adds=scores - means, special=means) if means else Work()
    return work + averaging + Work(muls=query.numel)  # by the root, once


def _multi_head(q: TensorSpec, k: TensorSpec, width: int, heads: int, masked: bool) -> Work:
    n, length, keys = q.shape[0], q.shape[1], k.shape[1]
    rows = n * (length + 2 * keys) + n * length  # query, key and value in, and out
    projections = Work(macs=rows * width * width, adds=rows * width, activations=rows * width)
    query, key = (TensorSpec((n, heads, size, width // heads)) for size in (length, keys))
    return projections + _attention(query, key, key, n * heads, masked)


@counts(
    "aten._transformer_encoder_layer_fwd",
    family="attention",
    formula="multi-head attention + N·L·2·D·F MACs of the feed-forward layers",
    source=_SOURCE + ", section 3",
)
def transformer_encoder_layer(call: OpCall) -> Work:
    """The fast path of `nn.TransformerEncoderLayer`: attention, feed-forward, two layer norms, sums."""
    src = call.inputs[0]
    width, heads = int(call.args["embed_dim"]), int(call.args["num_heads"])
    hidden = call.args["ffn_weight_1"].shape[0]
    rows = src.numel // width
    feed = Work(
        macs=2 * rows * width * hidden,
        adds=rows * (width + hidden) + 2 * src.numel,
        activations=rows * (width + hidden),
    ) + times(rows * hidden, GELU if call.get("use_gelu") else RELU)
    norms = times(2 * src.numel, Work(adds=4, muls=3)) + Work(special=2 * rows)
    attended = _multi_head(src, src, width, heads, masked=bool(call.get("mask")))
    return attended + Work(muls=2 * src.numel) + feed + norms
