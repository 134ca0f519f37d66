import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnstat.report import Work
from cnnstat.sources.torchvision_operators import importable_torchvision
from tests.rules.record import (
    PATHS,
    backward_macs,
    count_op,
    flop_counter_macs,
    same_on_every_path,
    spec,
    work_of,
)

with importable_torchvision():
    from torchvision.ops import DeformConv2d

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def positions(sizes):
    return itertools.product(*map(range, sizes))


def looped(layer, x, y):
    """MACs of a convolution as written in a textbook, counted one by one, and its result."""
    w, g = layer.weight.detach(), layer.groups
    products = 0
    out = torch.zeros(y.shape, dtype=torch.float64)
    transposed = isinstance(layer, tuple(TRANSPOSED.values()))
    padding = [0] * (x.dim() - 2) if isinstance(layer.padding, str) else layer.padding
    if not transposed:
        x = F.pad(x, [side for size in reversed(padding) for side in (size, size)])
    x_values, w_values = x.double(), w.double()
    for n, group in itertools.product(range(len(x)), range(g)):
        channels = range(group * x.shape[1] // g, (group + 1) * x.shape[1] // g)
        filters = range(group * y.shape[1] // g, (group + 1) * y.shape[1] // g)
        for c, k in itertools.product(channels, filters):
            index = (c, k - filters[0]) if transposed else (k, c - channels[0])
            for at in positions(x.shape[2:] if transposed else y.shape[2:]):
                for offset in positions(w.shape[2:]):
                    reach = [
                        i * s + o * d
                        for i, s, o, d in zip(at, layer.stride, offset, layer.dilation, strict=True)
                    ]
                    products += 1
                    if not transposed:
                        out[(n, k, *at)] += x_values[(n, c, *reach)] * w_values[(*index, *offset)]
                        continue
                    reach = [r - p for r, p in zip(reach, padding, strict=True)]
                    if all(0 <= r < size for r, size in zip(reach, y.shape[2:], strict=True)):
                        out[(n, k, *reach)] += x_values[(n, c, *at)] * w_values[(*index, *offset)]
    return products, out


@st.composite
def layers(draw):
    dims = draw(st.sampled_from([1, 2, 2, 3]))
    small = st.integers(1, 2)
    groups = draw(st.integers(1, 3))
    c, k = groups * draw(small), groups * draw(small)
    kernel = tuple(draw(st.lists(small, min_size=dims, max_size=dims)))
    stride = tuple(draw(st.lists(small, min_size=dims, max_size=dims)))
    settings = {
        "stride": stride,
        "dilation": draw(small),
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding": draw(st.integers(0, 1)),
    }
    transposed = draw(st.booleans())
    if transposed:
        settings["output_padding"] = tuple(
            draw(st.integers(0, max(s, settings["dilation"]) - 1)) for s in stride
        )
    layer = (TRANSPOSED if transposed else CONVS)[dims](c, k, kernel, **settings)
    x = torch.rand(draw(small), c, *draw(st.lists(st.integers(3, 4), min_size=dims, max_size=dims)))
    return layer, x


@given(layers())
@settings(max_examples=40, deadline=None)
def test_loops_count_the_same(drawn):
    layer, x = drawn
    y = layer(x).detach()
    products, result = looped(layer, x, y)
    bias = 0 if layer.bias is None else layer.bias.detach().reshape(-1, *[1] * (x.dim() - 2))
    torch.testing.assert_close(result.float() + bias, y)  # the loops are a convolution
    work = work_of(layer, x)
    assert work.macs == products == flop_counter_macs(layer, x)
    assert work == Work(
        macs=products, adds=y.numel() if layer.bias is not None else 0, activations=y.numel()
    )


@given(layers())
@settings(max_examples=10, deadline=None)
def test_without_a_batch(drawn):
    layer, x = drawn
    assert work_of(layer, x[0]) == work_of(layer, x[:1])


# Each number is K·(C/g)·k·o for N = 2, C = 4, K = 8 and an input of 7 (by 6 (by 5)).
@pytest.mark.parametrize(
    ("dims", "kernel", "settings", "macs"),
    [
        # 2·8·4·3 · 5
        (1, 3, {}, 960),
        # 2·8·4·3² · 5·4
        (2, 3, {}, 11520),
        # 2·8·4·3³ · 5·4·3
        (3, 3, {}, 103680),
        # depthwise, 2 filters a channel: 2·8·1·3² · 5·4
        (2, 3, {"groups": 4}, 2880),
        # 2·8·2·3² · 2·2, out = ⌊(7 + 2·1 − 2·(3 − 1) − 1)/2⌋ + 1 and the same of 6
        (2, 3, {"groups": 2, "dilation": 2, "padding": 1, "stride": 2}, 2 * 8 * 2 * 9 * 3 * 2),
        # pointwise: 2·8·4 · 7·6
        (2, 1, {}, 2688),
        # as many outputs as inputs, an even kernel too: 2·8·4·4² · 7·6
        (2, 4, {"padding": "same"}, 43008),
        (1, 4, {"padding": "same", "dilation": 3}, 2 * 8 * 4 * 4 * 7),
        (3, 2, {"padding": "same"}, 2 * 8 * 4 * 8 * 210),
        # 2·8·4·4² · 4·3
        (2, 4, {"padding": "valid"}, 12288),
        (2, 3, {"padding": 1, "padding_mode": "circular"}, 2 * 8 * 4 * 9 * 42),
        (2, 3, {"padding": 1, "padding_mode": "reflect"}, 2 * 8 * 4 * 9 * 42),
        (2, 3, {"padding": "same", "padding_mode": "replicate"}, 2 * 8 * 4 * 9 * 42),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_by_hand(dims, kernel, settings, macs, bias):
    layer = CONVS[dims](4, 8, kernel, bias=bias, **settings)
    x = torch.rand(2, 4, *(7, 6, 5)[:dims])
    y = layer(x).numel()
    assert same_on_every_path(layer, x) == Work(macs=macs, adds=y * bias, activations=y)
    assert flop_counter_macs(layer, x) == macs


# The weight is used once at each input position: N·C·(K/g)·k·i.
@pytest.mark.parametrize(
    ("dims", "settings", "macs"),
    [
        # 2·4·8·3 · 7, whatever the stride
        (1, {}, 1344),
        (1, {"stride": 2}, 1344),
        # 2·4·8·3² · 42
        (2, {"stride": 2}, 24192),
        (2, {"stride": 2, "output_padding": 1}, 24192),
        (2, {"stride": 2, "padding": 1, "dilation": 2}, 24192),
        # 2·4·(8/4)·3² · 42
        (2, {"stride": 2, "groups": 4}, 6048),
        # 2·4·(8/2)·3³ · 210
        (3, {"stride": 2, "groups": 2}, 181440),
    ],
)
def test_transposed_by_hand(dims, settings, macs):
    layer = TRANSPOSED[dims](4, 8, 3, **settings)
    x = torch.rand(2, 4, *(7, 6, 5)[:dims])
    y = layer(x).numel()
    assert same_on_every_path(layer, x) == Work(macs=macs, adds=y, activations=y)
    assert flop_counter_macs(layer, x) == macs


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 4, padding="same")])
def test_one_image_without_a_batch(layer):
    x = torch.rand(4, 7, 6)
    assert same_on_every_path(layer, x) == same_on_every_path(layer, x[None])


def test_transposed_is_the_gradient_of_the_convolution():
    """y = conv(x) takes what x = conv_transpose(y) takes: the same weight between the same two shapes."""
    conv = nn.Conv2d(4, 6, 3, stride=2, bias=False)
    back = nn.ConvTranspose2d(6, 4, 3, stride=2, bias=False)
    x = torch.rand(2, 4, 9, 9)
    assert work_of(conv, x).macs == work_of(back, conv(x)).macs


def test_functions_and_subclasses():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight - self.weight.mean(), self.bias)

    x, w, b = torch.rand(2, 4, 7, 6), torch.rand(8, 4, 3, 3), torch.rand(8)
    plain = same_on_every_path(F.conv2d, x, w, b)
    assert plain.macs == 11520
    assert same_on_every_path(Standardised(4, 8, 3), x).macs == 11520
    assert same_on_every_path(F.conv2d, x, w, None).adds == 0
    assert same_on_every_path(F.conv2d, x, w, b, padding="same").macs == 2 * 8 * 4 * 9 * 42


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_and_layouts_change_nothing(dtype):
    x = torch.rand(2, 4, 7, 6)
    layer = nn.Conv2d(4, 8, 3)
    expected = work_of(layer, x)
    assert work_of(layer.to(dtype), x.to(dtype)) == expected
    channels_last = x.to(dtype).to(memory_format=torch.channels_last)
    assert work_of(layer.to(memory_format=torch.channels_last), channels_last) == expected


@pytest.mark.parametrize(
    "op", ["convolution", "_convolution", "cudnn_convolution", "mkldnn_convolution", "conv2d"]
)
def test_every_kernel_counts_alike(op):
    # 1·8·4·3² · 5·5
    work = count_op(
        f"aten.{op}", spec(1, 8, 5, 5), input=spec(1, 4, 7, 7), weight=spec(8, 4, 3, 3), groups=1
    )
    assert work == Work(macs=7200, activations=200)


def test_counts_do_not_overflow():
    # 2^20·2^10·2^10·3²·2^30: more than 64 bits hold
    work = count_op(
        "aten.convolution",
        spec(2**20, 2**10, 2**15, 2**15),
        input=spec(2**20, 2**10, 2**15, 2**15),
        weight=spec(2**10, 2**10, 3, 3),
    )
    assert work.macs == 2**20 * 2**10 * 2**10 * 9 * 2**30


# ---- deformable


@pytest.mark.parametrize("masked", [False, True])
def test_deformable(masked):
    x = torch.rand(2, 4, 7, 6)
    layer = DeformConv2d(4, 8, 3, groups=2)
    offset, mask = torch.zeros(2, 18, 5, 4), torch.ones(2, 9, 5, 4)

    def sampled():
        """Every value that an output position multiplies by a weight is sampled once a channel."""
        samples = products = 0
        for _n, _at in itertools.product(range(2), positions((5, 4))):
            for _c, _offset in itertools.product(range(4), positions((3, 3))):
                samples += 1
                products += 8 // 2  # for each filter of the channel's group
        return samples, products

    samples, macs = sampled()
    args = (offset, mask) if masked else (offset,)
    work = work_of(layer, x, *args)
    # 2·8·(4/2)·3² · 5·4
    assert work.macs == macs == 5760
    assert work.muls == samples * (5 if masked else 4)
    assert work.adds == samples * 3 + 2 * 8 * 5 * 4
    paths = [path for path in PATHS if "cpu" not in path]  # its kernels may not be there
    assert {work_of(layer, x, *args, path=path) for path in paths} == {work}


def test_deformable_is_a_convolution_of_samples():
    x = torch.rand(1, 4, 7, 6)
    plain = work_of(nn.Conv2d(4, 8, 3, bias=False), x)
    assert work_of(DeformConv2d(4, 8, 3), x, torch.zeros(1, 18, 5, 4)).macs == plain.macs


# ---- backward


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 3, stride=2, dilation=2),
        nn.ConvTranspose2d(8, 8, 3, stride=2),
        nn.ConvTranspose2d(8, 8, 3, stride=2, groups=4),
        nn.Conv1d(8, 8, 3),
        nn.Conv3d(8, 8, 3, bias=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
def test_backward(layer, engine):
    dims = layer.weight.dim() - 2
    shape = (2, 8, *[12] * dims)
    forward = work_of(layer, torch.rand(shape)).macs
    # x asks for no gradient: the weight's alone, Σ x·dy, as many products as forward.
    assert backward_macs(layer, shape, engine) == forward
    # After another layer: the input's as well, Σ w·dy.
    first = CONVS[dims](8, 8, 1, bias=False)
    # the first layer: 2·8·8·1 · 12^dims forward, once more for its weight
    model = nn.Sequential(first, layer)
    assert backward_macs(model, shape, engine) == 2 * 8 * 8 * 12**dims + 2 * forward
    if layer.groups == 1:  # torch counts the weight's gradient of g groups g times (pytorch#183405)
        x = torch.rand(shape)
        assert flop_counter_macs(model, x, backward=True) == 2 * 128 * 12**dims + 3 * forward


def test_backward_of_frozen_layers():
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1))
    for frozen in (0, 2):
        model[frozen].requires_grad_(False)
    # weight of the middle one: 4·4·9 · 6·6; input of the last: 4·4 · 6·6
    assert backward_macs(model, (1, 4, 8, 8)) == 144 * 36 + 16 * 36


def test_backward_counts_the_bias():
    layer = nn.Conv2d(4, 8, 3)
    dy = spec(2, 8, 5, 4)
    work = count_op(
        "aten.convolution_backward",
        (spec(2, 4, 7, 6), spec(8, 4, 3, 3), spec(8)),
        grad_output=dy,
        input=spec(2, 4, 7, 6),
        weight=spec(8, 4, 3, 3),
        output_mask=(True, True, True),
    )
    forward = work_of(layer, torch.rand(2, 4, 7, 6)).macs
    assert work.macs == 2 * forward
    assert work.adds == dy.numel
    assert work.activations == math.prod((2, 4, 7, 6)) + math.prod((8, 4, 3, 3))
