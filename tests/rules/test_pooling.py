import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnstat.report import Work
from cnnstat.sources.torchvision_operators import importable_torchvision
from tests.rules.record import backward_macs, count_op, same_on_every_path, spec, work_of

with importable_torchvision():
    from torchvision import ops

MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVG = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE_MAX = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}
ADAPTIVE_AVG = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def image(dims):
    return torch.rand(2, 3, *(7, 8, 9)[:dims])


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    "chosen",
    [
        {"kernel_size": 3},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "stride": 3},
    ],
    ids=str,
)
def test_windows(dims, chosen):
    x, size = image(dims), chosen["kernel_size"]
    y = MAX[dims](**chosen)(x)
    comparisons = 0
    for _out in y.flatten():
        window = list(itertools.product(range(size), repeat=dims))
        comparisons += len(window[1:])  # the first is the largest so far
    assert same_on_every_path(MAX[dims](**chosen), x) == Work(compares=comparisons)
    # as many additions, and a division
    assert same_on_every_path(AVG[dims](**chosen), x) == Work(adds=comparisons, special=y.numel())
    for layer in (MAX[dims](**chosen), AVG[dims](**chosen)):
        assert same_on_every_path(layer, x[0]).flops * 2 == work_of(layer, x).flops


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_dilation_and_indices_change_nothing(dims):
    x = image(dims)
    layer = MAX[dims](2, stride=1, dilation=2, return_indices=True)
    n = layer(x)[0].numel()
    assert same_on_every_path(layer, x) == Work(compares=n * (2**dims - 1))


def test_windows_of_different_sides():
    x = image(2)
    # ⌊7/2⌋·⌊8/3⌋ windows of 2·3 in 6 channels: 5 comparisons each
    assert same_on_every_path(nn.MaxPool2d((2, 3)), x) == Work(compares=6 * 3 * 2 * 5)
    assert same_on_every_path(nn.AvgPool2d((2, 3)), x) == Work(adds=6 * 3 * 2 * 5, special=36)


def test_one_number_stands_for_every_side():
    work = count_op("aten.max_pool2d", spec(1, 3, 2, 2), self=spec(1, 3, 6, 6), kernel_size=(3,))
    # 12 windows of 3·3
    assert work == Work(compares=12 * 8)


def windows(sizes, bins):
    """Elements that torch's adaptive windows read: from ⌊i·s/b⌋ to ⌈(i + 1)·s/b⌉ on each axis."""
    per_axis = []
    for s, b in zip(sizes, bins, strict=True):
        x = torch.arange(s, dtype=torch.float32)
        touched = []
        for i in range(b):  # an element belongs to the windows to whose mean it has a gradient
            probe = x.clone().requires_grad_()
            out = nn.functional.adaptive_avg_pool1d(probe[None, None], b)[0, 0, i]
            (gradient,) = torch.autograd.grad(out, probe)
            touched.append(int((gradient != 0).sum()))
        per_axis.append(touched)
    total = 0
    for reads in itertools.product(*per_axis):
        total += torch.Size(reads).numel()
    return total


@given(
    st.integers(1, 3).flatmap(
        lambda dims: st.lists(
            st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=dims, max_size=dims
        )
    )
)
@settings(max_examples=30, deadline=None)
def test_adaptive_windows(axes):
    sizes, bins = zip(*axes, strict=True)
    dims = len(axes)
    x = torch.rand(2, 3, *sizes)
    read, n = 6 * windows(sizes, bins), 6 * torch.Size(bins).numel()
    steps = read - n  # all but the first of each window
    expected = Work(adds=steps, special=n)
    for path in ("meta", "meta, autograd", "fake", "cpu"):
        assert work_of(ADAPTIVE_AVG[dims](bins), x, path=path) == expected
        assert work_of(ADAPTIVE_MAX[dims](bins), x, path=path) == Work(compares=steps)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("bins", [1, 3])
def test_adaptive(dims, bins):
    x = image(dims)
    for layer in (ADAPTIVE_AVG[dims](bins), ADAPTIVE_MAX[dims](bins)):
        assert same_on_every_path(layer, x).flops == 2 * same_on_every_path(layer, x[0]).flops


def test_global_pooling_reads_everything_once():
    x = torch.rand(2, 3, 4, 5)
    # 6 means of 20: 19 additions and a division
    expected = Work(adds=6 * 19, special=6)
    assert same_on_every_path(nn.AdaptiveAvgPool2d(1), x) == expected
    channels_last = x.to(memory_format=torch.channels_last)
    assert same_on_every_path(nn.AdaptiveAvgPool2d(1), channels_last) == expected
    assert same_on_every_path(lambda t: t.mean((2, 3)), x) == expected
    assert same_on_every_path(nn.AvgPool2d((4, 5)), x) == expected


def test_adaptive_windows_that_divide_are_plain_ones():
    x = torch.rand(2, 3, 6, 9)
    assert work_of(nn.AdaptiveAvgPool2d((2, 3)), x) == work_of(nn.AvgPool2d(3), x)
    assert work_of(nn.AdaptiveMaxPool2d((2, 3)), x) == work_of(nn.MaxPool2d(3), x)


def test_the_other_kinds():
    # 3·3 windows of 2·2 in 6 channels
    fractional = nn.FractionalMaxPool2d(2, output_size=3, _random_samples=torch.rand(2, 3, 2))
    assert same_on_every_path(fractional, torch.rand(2, 3, 7, 7)).compares == 6 * 9 * 3
    # elements go back where they came from
    x = torch.rand(1, 2, 4, 4)
    _, where = nn.functional.max_pool2d(x, 2, return_indices=True)
    unpool = nn.MaxUnpool2d(2)
    assert same_on_every_path(unpool, nn.functional.max_pool2d(x, 2), where) == Work()


@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
@pytest.mark.parametrize(
    "layer",
    [nn.MaxPool2d(3), nn.AvgPool2d(3), nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d(2)],
    ids=str,
)
def test_backward_is_counted_and_has_no_macs(layer, engine):
    # the convolution's own gradient: 4·4 at 7·8 positions of 3 images
    assert backward_macs(nn.Sequential(nn.Conv2d(4, 4, 1), layer), (3, 4, 7, 8), engine) == 2688


def test_gradients():
    args = {"grad_output": spec(2, 3, 2, 2), "self": spec(2, 3, 7, 8)}
    # one element of the window takes dy
    largest = count_op("aten.max_pool2d_with_indices_backward", spec(2, 3, 7, 8), **args)
    assert largest == Work(adds=24)
    # dy/k goes to all of them
    mean = count_op("aten.avg_pool2d_backward", spec(2, 3, 7, 8), **args)
    assert mean == Work(adds=336, special=24)


# ---- regions


def test_regions():
    boxes = torch.tensor([[0, 0.0, 0.0, 4.0, 4.0]] * 5)
    x = torch.rand(1, 3, 8, 8)
    # 5 boxes, 3 channels, 2·2 bins, 2·2 samples in each
    samples = bins = 0
    for _bin in itertools.product(range(5), range(3), range(2), range(2)):
        bins += 1
        samples += sum(1 for _ in itertools.product(range(2), range(2)))
    work = work_of(lambda a, b: ops.roi_align(a, b, 2, sampling_ratio=2), x, boxes)
    # a sample: 4 products and 3 additions; a bin: their sum and a division
    assert work == Work(muls=4 * samples, adds=3 * samples + samples - bins, special=bins)
    assert work_of(lambda a, b: ops.roi_pool(a, b, 2), x, boxes) == Work(compares=bins)


def test_suppression_compares_each_pair():
    pairs = sum(1 for _ in itertools.combinations(range(6), 2))
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]] * 6)
    work = work_of(lambda b, s: ops.nms(b, s, 0.5), boxes, torch.rand(6), path="cpu")
    # two corners of the overlap: 4; its area, the union, the quotient
    assert (work.compares, work.special) == (4 * pairs, pairs)
