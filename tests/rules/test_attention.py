import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnstat.report import Work
from tests.rules.record import (
    PATHS,
    backward_macs,
    count_op,
    flop_counter_macs,
    report_of,
    same_on_every_path,
    spec,
    work_of,
)

attend = F.scaled_dot_product_attention
sizes = st.integers(1, 4)


def looped(batch, heads, length, keys, width, out):
    """Attention one product at a time: scores, then weighted sums of the values."""
    products = 0
    for _row in itertools.product(range(batch), range(heads), range(length)):
        for _key in range(keys):
            products += sum(1 for _ in range(width))
        for _value in range(out):
            products += sum(1 for _ in range(keys))
    return products


def unfused(q, k, v, mask=None):
    """Attention as it is written down, with q and k scaled each, as torch's unfused form does."""
    scale = q.shape[-1] ** 0.25
    scores = (q / scale * 1.0) @ (k / scale).transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1) @ v


@given(sizes, sizes, sizes, sizes, sizes, sizes)
@settings(max_examples=30, deadline=None)
def test_loops_count_the_same(batch, heads, length, keys, width, out):
    q, k = torch.rand(batch, heads, length, width), torch.rand(batch, heads, keys, width)
    v = torch.rand(batch, heads, keys, out)
    work = work_of(attend, q, k, v)
    assert work.macs == looped(batch, heads, length, keys, width, out)
    assert work_of(attend, q, k, v, path="meta, autograd") == work
    scores = batch * heads * length * keys
    # a softmax: maximum, difference, exponential, sum and division of each score; q and k are scaled
    assert work == Work(
        macs=work.macs,
        adds=2 * scores,
        compares=scores,
        special=2 * scores,
        muls=q.numel() + k.numel(),
        activations=scores + batch * heads * length * out,
    )


def tensors(length=6, keys=5, width=8, out=8, heads=4, kv_heads=4):
    return (
        torch.rand(2, heads, length, width),
        torch.rand(2, kv_heads, keys, width),
        torch.rand(2, kv_heads, keys, out),
    )


# B·L·S·(E + V) with B = 2·4, L = 6, S = 5 and E = V = 8
PLAIN = 8 * 6 * 5 * 16


@pytest.mark.parametrize(
    ("mask", "adds"),
    [
        (None, 0),
        (torch.rand(6, 5), 240),  # one addition a score
        (torch.rand(2, 1, 6, 5), 240),
        (torch.rand(6, 5) > 0.1, 240),  # of −∞, as it is carried out
    ],
    ids=["none", "float", "broadcast", "bool"],
)
def test_masks(mask, adds):
    work = same_on_every_path(attend, *tensors(), attn_mask=mask)
    assert work.macs == PLAIN
    assert work.adds == 2 * 240 + adds


def test_causal_counts_as_a_dense_mask():
    q, k, v = tensors(keys=6)
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    causal = same_on_every_path(attend, q, k, v, is_causal=True)
    assert causal == same_on_every_path(attend, q, k, v, attn_mask=mask)
    assert causal.macs == 8 * 6 * 6 * 16


@pytest.mark.parametrize("settings", [{}, {"is_causal": True}], ids=str)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_grouped_heads_cost_what_repeated_ones_would(kv_heads, settings):
    q, k, v = tensors(keys=6, kv_heads=kv_heads)
    grouped = same_on_every_path(attend, q, k, v, enable_gqa=True, **settings)
    repeated = (t.repeat_interleave(4 // kv_heads, dim=1) for t in (k, v))
    assert grouped == same_on_every_path(attend, q, *repeated, **settings)
    assert grouped.macs == 8 * 6 * 6 * 16


def test_grouped_heads_with_a_mask():
    q, k, v = tensors(kv_heads=2)
    work = same_on_every_path(attend, q, k, v, attn_mask=torch.rand(6, 5), enable_gqa=True)
    assert (work.macs, work.adds) == (PLAIN, 3 * 240)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (1, 2, 3)])
def test_any_number_of_leading_sizes(leading):
    q, k = torch.rand(*leading, 6, 8), torch.rand(*leading, 5, 8)
    v = torch.rand(*leading, 5, 3)
    rows = torch.Size(leading).numel()
    # L·S·(E + V) = 6·5·11
    assert same_on_every_path(attend, q, k, v).macs == rows * 330


def test_broadcast_batches():
    q, k, v = torch.rand(1, 4, 6, 8), torch.rand(2, 1, 5, 8), torch.rand(2, 4, 5, 8)
    assert same_on_every_path(attend, q, k, v).macs == PLAIN


def test_dropout_is_no_work():
    plain = same_on_every_path(attend, *tensors())
    assert same_on_every_path(attend, *tensors(), dropout_p=0.5) == plain


def test_a_scale_of_ones_own_changes_nothing():
    assert same_on_every_path(attend, *tensors(), scale=1.0).macs == PLAIN


def test_fused_is_what_it_fuses():
    q, k, v = tensors()
    written = same_on_every_path(unfused, q, k, v)
    fused = same_on_every_path(attend, q, k, v)
    assert fused.macs == written.macs == flop_counter_macs(unfused, q, k, v)
    assert (fused.adds, fused.compares) == (written.adds, written.compares)
    assert fused.activations == written.activations
    mask = torch.rand(6, 5)
    assert same_on_every_path(attend, q, k, v, mask).adds == work_of(unfused, q, k, v, mask).adds


KERNELS = {
    "aten._scaled_dot_product_flash_attention": {},
    "aten._scaled_dot_product_flash_attention_for_cpu": {"attn_mask": None},
    "aten._scaled_dot_product_efficient_attention": {"attn_bias": None},
    "aten._scaled_dot_product_cudnn_attention": {"attn_bias": None},
    "aten._scaled_dot_product_fused_attention_overrideable": {"attn_bias": None},
    "aten._scaled_dot_product_attention_math": {"attn_mask": None},
}


@pytest.mark.parametrize("op", KERNELS)
@pytest.mark.parametrize("masked", [False, True])
def test_every_kernel_counts_alike(op, masked):
    args = dict(zip(("query", "key", "value"), (spec(*t.shape) for t in tensors()), strict=True))
    settings = {name: spec(6, 5) if masked else None for name in KERNELS[op]}
    work = count_op(op, (spec(2, 4, 6, 8), spec(2, 4, 6)), **args, **settings)
    mask = torch.rand(6, 5) if masked and settings else None
    assert work == work_of(attend, *tensors(), attn_mask=mask)


@pytest.mark.parametrize("op", [name for name in KERNELS if not name.endswith("_math")])
def test_every_kernel_backwards(op):
    args = ("grad_out", "query", "key", "value")
    shapes = ((2, 4, 6, 8), *(t.shape for t in tensors()))
    given = {name: spec(*shape) for name, shape in zip(args, shapes, strict=True)}
    work = count_op(f"{op}_backward", [spec(*t.shape) for t in tensors()], **given)
    # dV = Pᵀ·dO and dP = dO·Vᵀ of width 8, dQ = dS·K and dK = dSᵀ·Q of width 8
    assert work.macs == 2 * 240 * 8 + 2 * 240 * 8 == 2 * PLAIN


# ---- multi-head attention: D = 12 in 3 heads, L = 5 queries, N = 2


def projected(length, keys, kdim=12, vdim=12, extra=0):
    """Projections of q, k, v and the output, and both products with `extra` more keys."""
    rows = 2 * length * (12 * 12 + 12 * 12) + 2 * keys * 12 * (kdim + vdim)
    return rows + 2 * length * (keys + extra) * (12 + 12)


X, Y = torch.rand(5, 2, 12), torch.rand(7, 2, 12)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("settings", "args", "given", "macs"),
    [
        ({}, (X, X, X), {}, projected(5, 5)),
        ({"bias": False}, (X, X, X), {}, projected(5, 5)),
        ({}, (X, Y, Y), {}, projected(5, 7)),
        (
            {"kdim": 5, "vdim": 6},
            (X, torch.rand(7, 2, 5), torch.rand(7, 2, 6)),
            {},
            projected(5, 7, 5, 6),
        ),
        ({"add_bias_kv": True}, (X, X, X), {}, projected(5, 5, extra=1)),
        ({"add_zero_attn": True}, (X, X, X), {}, projected(5, 5, extra=1)),
        ({"dropout": 0.5}, (X, X, X), {}, projected(5, 5)),
        ({}, (X, X, X), {"attn_mask": torch.rand(5, 5)}, projected(5, 5)),
        ({}, (X, X, X), {"key_padding_mask": torch.zeros(2, 5)}, projected(5, 5)),
        ({"batch_first": True}, (X.transpose(0, 1),) * 3, {}, projected(5, 5)),
    ],
    ids=[
        "self",
        "no bias",
        "cross",
        "kdim",
        "bias kv",
        "zero",
        "dropout",
        "mask",
        "padding",
        "first",
    ],
)
def test_multi_head(settings, args, given, macs, need_weights, train):
    layer = nn.MultiheadAttention(12, 3, **settings).train(train)
    work = same_on_every_path(layer, *args, need_weights=need_weights, **given)
    assert work.macs == macs


def test_multi_head_without_a_batch():
    layer = nn.MultiheadAttention(12, 3)
    single = same_on_every_path(layer, *(X[:, 0],) * 3)
    assert single == same_on_every_path(layer, *(X[:, :1],) * 3)
    assert 2 * single.macs == projected(5, 5)


@pytest.mark.parametrize("train", [True, False])
def test_transformer_layers(train):
    def encoder(length):
        # two feed-forward layers: N·L·2·D·F with F = 24
        return projected(length, length) + 2 * length * 2 * 12 * 24

    def decoder(length, keys):
        return encoder(length) + projected(length, keys)

    layer = nn.TransformerEncoderLayer(12, 3, 24).train(train)
    assert same_on_every_path(layer, X).macs == encoder(5)
    layer = nn.TransformerEncoderLayer(
        12, 3, 24, norm_first=True, activation="gelu", batch_first=True
    ).train(train)
    assert same_on_every_path(layer, X.transpose(0, 1)).macs == encoder(5)
    layer = nn.TransformerDecoderLayer(12, 3, 24).train(train)
    assert same_on_every_path(layer, X, Y).macs == decoder(5, 7)
    model = nn.Transformer(12, 3, 2, 1, 24, batch_first=True).train(train)
    first, second = Y.transpose(0, 1), X.transpose(0, 1)
    assert same_on_every_path(model, first, second).macs == 2 * encoder(7) + decoder(5, 7)


# ---- the kernels of torch's fast path, which the engines switch off


def on_the_fast_path(layer, *args, op, **kwargs):
    def call(*tensors):
        torch.backends.mha.set_fastpath_enabled(True)
        try:
            return layer(*tensors, **kwargs)
        finally:
            torch.backends.mha.set_fastpath_enabled(False)

    layer = layer.eval()
    rules = {
        tally.rule
        for row in report_of(call, *args, path="cpu, no grad").layers
        for tally in row.tallies
    }
    assert op in rules
    return work_of(call, *args, path="cpu, no grad")


@pytest.mark.parametrize("given", [{}, {"attn_mask": torch.rand(5, 5) > 2}], ids=["plain", "mask"])
@pytest.mark.parametrize(
    "weights",
    [{"need_weights": False}, {}, {"average_attn_weights": False}],
    ids=["none", "averaged", "all"],
)
def test_fast_multi_head(weights, given):
    layer = nn.MultiheadAttention(12, 2, batch_first=True)
    x = X.transpose(0, 1).contiguous()
    fast = on_the_fast_path(layer, x, x, x, op="multi_head_attention", **weights, **given)
    assert fast == work_of(layer, x, x, x, **weights, **given)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("mask", [None, torch.rand(5, 5) > 2], ids=["plain", "mask"])
def test_fast_transformer_layer(activation, norm_first, mask):
    layer = nn.TransformerEncoderLayer(
        12, 2, 24, activation=activation, norm_first=norm_first, batch_first=True
    )
    x = X.transpose(0, 1).contiguous()
    fast = on_the_fast_path(layer, x, op="transformer_encoder_layer", src_mask=mask)
    assert fast == work_of(layer.eval(), x, src_mask=mask)
    assert fast.macs == projected(5, 5) + 2 * 5 * 2 * 12 * 24


# ---- backward


class Attention(nn.Module):
    """Self-attention of N = 2, 4 heads of 3, L = 5."""

    def __init__(self, **settings):
        super().__init__()
        self.qkv = nn.Linear(12, 36, bias=False)
        self.settings = settings

    def forward(self, x):
        q, k, v = self.qkv(x).view(2, 5, 3, 4, 3).permute(2, 0, 3, 1, 4)
        return attend(q, k, v, **self.settings)


@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
@pytest.mark.parametrize("settings", [{}, {"is_causal": True}], ids=str)
def test_backward(settings, engine):
    # the layer's weight: 2·5·12·36; four products of 2·4 · 5·5·3, two for each of the forward pass
    assert backward_macs(Attention(**settings), (2, 5, 12), engine) == 4320 + 4 * 8 * 75


def test_backward_of_what_is_written_out():
    class Written(Attention):
        def forward(self, x):
            q, k, v = self.qkv(x).view(2, 5, 3, 4, 3).permute(2, 0, 3, 1, 4)
            return unfused(q, k, v)

    expected = backward_macs(Attention(), (2, 5, 12))
    assert backward_macs(Written(), (2, 5, 12)) == expected
    x = torch.rand(2, 5, 12)
    forward = flop_counter_macs(Written(), x)
    assert flop_counter_macs(Written(), x, backward=True) - forward == expected


def test_paths_are_different():
    rules = {
        path: tuple(
            tally.rule
            for row in report_of(attend, *tensors(), path=path).layers
            for tally in row.tallies
            if tally.rule != "data-movement"
        )
        for path in PATHS
    }
    assert rules["meta"] == ("attention",)
    assert "matmul" in rules["meta, autograd"]
