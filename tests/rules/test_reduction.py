import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnstat.report import Work
from tests.rules.record import count_op, same_on_every_path, spec, work_of

X = torch.rand(3, 8)  # n = 24


@pytest.mark.parametrize(
    ("call", "work"),
    [
        # 3 rows of 8: 7 steps each
        (lambda x: x.sum(1), Work(adds=21)),
        (lambda x: x.sum(), Work(adds=23)),
        (lambda x: x.nansum(1), Work(adds=21)),
        (lambda x: x.mean(1), Work(adds=21, special=3)),
        (lambda x: x.prod(1), Work(muls=21)),
        (lambda x: x.max(), Work(compares=23)),
        (lambda x: x.max(1), Work(compares=21)),
        (lambda x: x.amax(1), Work(compares=21)),
        (lambda x: x.argmax(1), Work(compares=21)),
        (lambda x: x.aminmax(dim=1), Work(compares=21)),
        (lambda x: (x > 0).any(1), Work(compares=24 + 21)),
        # rows of one: nothing to compare
        (lambda x: x[:, :1].amax(1), Work()),
        (lambda x: x[:, :1].sum(1), Work()),
        (lambda x: torch.max(x, x), Work(compares=24)),
        # one step for each element
        (lambda x: x.cumsum(1), Work(adds=24)),
        (lambda x: x.cumprod(1), Work(muls=24)),
        (lambda x: x.cummax(1), Work(compares=24)),
        # mean: 24 additions; differences and their squares; sums; 3 divisions, for std 3 roots
        (lambda x: x.var(1), Work(adds=72, muls=24, special=3)),
        (lambda x: x.std(1), Work(adds=72, muls=24, special=6)),
        (lambda x: torch.var_mean(x, 1), Work(adds=72, muls=24, special=3)),
        (lambda x: torch.linalg.vector_norm(x, dim=1), Work(adds=24, muls=24, special=3)),
        (lambda x: x.norm(), Work(adds=24, muls=24, special=1)),
        # maximum, difference, exponential, sum of each, and 3 logarithms
        (lambda x: x.logsumexp(1), Work(adds=48, compares=24, special=27)),
        (lambda x: torch.dist(x, x), Work(adds=48, muls=24, special=1)),
        # 24·log2 8
        (lambda x: x.sort(1), Work(compares=72)),
        (lambda x: x.topk(2), Work(compares=72)),
        # rows of three: ⌈log2 3⌉ = 2
        (lambda x: x.sort(0), Work(compares=48)),
        (lambda x: x.argsort(), Work(compares=72)),
        # among 7 borders there are 8 places: log2 8
        (lambda x: torch.bucketize(x, torch.arange(7.0)), Work(compares=72)),
        (lambda x: torch.searchsorted(torch.arange(3.0), x), Work(compares=48)),
        # scattered sums
        (lambda x: torch.zeros(3, 8).index_add(0, torch.tensor([0, 0, 1]), x), Work(adds=24)),
        (lambda x: F.fold(x.reshape(1, 4, 6), (3, 4), 2), Work(adds=24)),
        (lambda x: x.diff(), Work(adds=21)),
    ],
)
def test_by_hand(call, work):
    assert same_on_every_path(call, X) == work


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
@settings(max_examples=40, deadline=None)
def test_loops_count_the_same(shape, data):
    dims = data.draw(st.lists(st.sampled_from(range(len(shape))), min_size=1, unique=True))
    x = torch.rand(shape)
    steps = means = 0
    rows = x.movedim(dims, tuple(range(-len(dims), 0))).flatten(-len(dims))
    for row in rows.reshape(-1, rows.shape[-1]).tolist():
        means += 1
        total = row[0]
        for value in row[1:]:
            total += value
            steps += 1
    assert work_of(lambda t: t.sum(dims), x) == Work(adds=steps)
    assert work_of(lambda t: t.mean(dims), x) == Work(adds=steps, special=means)
    assert work_of(lambda t: t.amax(dims), x) == Work(compares=steps)


def test_scatter():
    index = torch.zeros(2, 5, dtype=torch.long)
    call = torch.Tensor.scatter_add
    assert same_on_every_path(call, torch.zeros(2, 5), 0, index, torch.ones(2, 5)) == Work(adds=10)


@pytest.mark.parametrize("length", [1, 2, 8, 64])
def test_fourier(length):
    def butterflies(n):
        """Operations of a radix-2 transform: a complex product, two complex sums a butterfly."""
        if n == 1:
            return 0
        return 2 * butterflies(n // 2) + n // 2 * (6 + 2 + 2)

    x = torch.rand(3, length, dtype=torch.complex64)
    assert same_on_every_path(torch.fft.fft, x).flops == 3 * butterflies(length)


def test_fourier_of_real_numbers_is_half():
    x = torch.rand(3, 16)
    # 5·16·log2 16 / 2 for each of 3 rows
    assert same_on_every_path(torch.fft.rfft, x).flops == 3 * 160
    whole = torch.rand(4, 8, dtype=torch.complex64)
    # 5·32·log2 32 over both axes
    assert same_on_every_path(torch.fft.fft2, whole).flops == 800


@pytest.mark.parametrize(
    "call",
    [
        *[F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy],
        F.binary_cross_entropy_with_logits,
    ],
)
def test_losses_are_small_and_known(call):
    work = same_on_every_path(call, X, X)
    assert work.macs == 0
    # at least a difference and its sum for each element, and not as much as a network's layer of width 8
    assert 2 * 24 <= work.flops < 24 * 2 * 8


def test_cross_entropy():
    targets = torch.tensor([0, 1, 2])
    work = same_on_every_path(F.cross_entropy, X, targets)
    # the logarithm of a softmax takes 5 of them
    assert work.flops > 5 * 24


def test_weight_norm():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    work = same_on_every_path(layer, torch.rand(2, 3))
    # the layer itself: 2·3·4; the length of each row of the weight: 12 squares, 12 sums, 4 roots
    assert work.macs == 24
    assert work.special >= 4 and work.muls >= 12


def test_gradients_of_losses():
    args = {"grad_output": spec(), "self": spec(3, 8), "target": spec(3, 8)}
    # 2·(x − y)·dy
    assert count_op("aten.mse_loss_backward", spec(3, 8), **args) == Work(adds=24, muls=48)


def test_histograms():
    # each of 24 values among 8 bins: log2 8 comparisons, and one is counted
    assert same_on_every_path(lambda x: x.histc(8), X) == Work(compares=72, adds=24)
    assert count_op("aten.bincount", spec(4), self=spec(10)) == Work(adds=10)


def test_unique():
    work = work_of(torch.unique, X, path="cpu")
    assert work.compares == 24 * math.ceil(math.log2(24))
