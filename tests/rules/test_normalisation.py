import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnstat.report import Work
from tests.rules.record import backward_macs, count_op, same_on_every_path, spec, work_of

IMAGE = torch.rand(3, 4, 5, 6)  # n = 360


def moments(n, rows, affine):
    """A mean and a variance for each row of values, and what is done with them, value by value."""
    adds = muls = special = 0
    for _row in range(rows):
        for _value in range(n // rows):
            adds += 1  # to the sum of the mean
            adds += 1  # less the mean
            muls += 1  # squared
            adds += 1  # to the sum of the variance
            muls += 1  # by 1/σ
            if affine:
                muls += 1
                adds += 1
        special += 1  # √(variance + ε)
    return Work(adds=adds, muls=muls, special=special)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(4), (3, 4)),
        (nn.BatchNorm1d(4), (3, 4, 5)),
        (nn.BatchNorm2d(4), (3, 4, 5, 6)),
        (nn.BatchNorm2d(4, affine=False), (3, 4, 5, 6)),
        (nn.BatchNorm3d(4), (3, 4, 5, 6, 2)),
    ],
    ids=str,
)
def test_batch_norm_is_one_linear_transform(layer, shape, train):
    n = math.prod(shape)
    # one product and one addition an element, in training too
    assert same_on_every_path(layer.train(train), torch.rand(shape)) == Work(adds=n, muls=n)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_without_running_statistics(train, affine):
    layer = nn.BatchNorm2d(4, affine=affine, track_running_stats=False).train(train)
    # a mean and a variance for each of 4 channels, at inference too
    assert same_on_every_path(layer, IMAGE) == moments(360, 4, affine)


@pytest.mark.parametrize(
    ("layer", "shape", "rows", "affine"),
    [
        (nn.LayerNorm(4), (3, 4), 3, True),
        (nn.LayerNorm((3, 4)), (2, 3, 4), 2, True),
        (nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4), 6, False),
        # groups of channels: 2 for each of 3 samples
        (nn.GroupNorm(2, 4), (3, 4, 5), 6, True),
        (nn.GroupNorm(2, 4, affine=False), (3, 4, 5, 5), 6, False),
        (nn.GroupNorm(1, 4), (3, 4, 5, 5), 3, True),
        # channels of a sample: 4 for each of 3
        (nn.InstanceNorm1d(4), (3, 4, 5), 12, False),
        (nn.InstanceNorm2d(4, affine=True), (3, 4, 5, 5), 12, True),
        (nn.InstanceNorm3d(4), (3, 4, 5, 5, 2), 12, False),
        (nn.InstanceNorm2d(4), (4, 5, 5), 4, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("train", [True, False])
def test_moments(layer, shape, rows, affine, train):
    work = same_on_every_path(layer.train(train), torch.rand(shape))
    assert work == moments(math.prod(shape), rows, affine)


def test_instance_norm_with_running_statistics_is_one_linear_transform():
    layer = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    assert same_on_every_path(layer.eval(), IMAGE) == Work(adds=360, muls=360)
    # In training torch also updates them, which is counted where it is taken apart.
    assert work_of(layer.train(), IMAGE) == Work(adds=360, muls=360)


@pytest.mark.parametrize("affine", [True, False])
def test_rms_norm(affine):
    x = torch.rand(3, 4)
    adds = muls = special = 0
    for _row in range(3):
        for value in range(4):
            muls += 1  # squared
            adds += value > 0  # to the sum
            muls += 1  # by 1/√(mean + ε)
            muls += affine
        adds += 1  # ε
        special += 3  # the mean's division, the root, its reciprocal
    expected = Work(adds=adds, muls=muls, special=special)
    assert same_on_every_path(nn.RMSNorm(4, elementwise_affine=affine), x) == expected


@pytest.mark.parametrize(
    "call",
    [
        nn.Softmax(1),
        nn.LogSoftmax(1),
        lambda x: F.softmax(x, 1, dtype=torch.float64),
        lambda x: x.softmax(-1),
        lambda x: x.log_softmax(0, torch.float64),
        nn.Softmax2d(),
    ],
)
def test_softmax_takes_five_steps_an_element(call):
    work = same_on_every_path(call, IMAGE)
    # maximum, difference, exponential, sum, and division or difference
    assert work.flops == 5 * 360
    assert (work.macs, work.compares) == (0, 360)


def test_softmin_turns_the_sign_first():
    assert same_on_every_path(nn.Softmin(1), IMAGE).flops == 6 * 360


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_change_nothing(dtype):
    for layer in (nn.BatchNorm2d(4).eval(), nn.GroupNorm(2, 4), nn.LayerNorm(6)):
        expected = work_of(layer, IMAGE)
        assert same_on_every_path(layer.to(dtype), IMAGE.to(dtype)) == expected


@pytest.mark.parametrize(
    "op",
    [
        "native_batch_norm",
        "_native_batch_norm_legit_no_training",
        "_native_batch_norm_legit_functional",
        "_batch_norm_with_update",
        "_batch_norm_no_update",
        "_batch_norm_impl_index",
        "cudnn_batch_norm",
    ],
)
def test_every_batch_norm_kernel_counts_alike(op):
    held = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), spec(4))
    assert count_op(f"aten.{op}", spec(3, 4, 5, 6), input=spec(3, 4, 5, 6), **held) == Work(
        adds=360, muls=360
    )


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(6), nn.Softmax(1), nn.LogSoftmax(1)],
)
@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
def test_backward_is_counted_and_has_no_macs(layer, engine):
    # the convolution's own gradient: 4·4 at 5·6 positions of 3 images
    model = nn.Sequential(nn.Conv2d(4, 4, 1), layer)
    assert backward_macs(model, (3, 4, 5, 6), engine) == 16 * 30 * 3


@pytest.mark.parametrize(
    ("op", "steps"),
    [
        # two sums over dy and dy·x̂ (one product), then the difference of three terms, two products, scale
        ("native_batch_norm_backward", 8),
        ("native_layer_norm_backward", 8),
        ("native_group_norm_backward", 8),
    ],
)
def test_gradients(op, steps):
    work = count_op(f"aten.{op}", spec(3, 4, 5), grad_out=spec(3, 4, 5), input=spec(3, 4, 5))
    assert work.flops == steps * 60


def test_gradient_of_softmax():
    args = {"grad_output": spec(3, 4), "output": spec(3, 4)}
    # y·(dy − Σ y·dy): a product, a sum, a difference, a product
    assert count_op("aten._softmax_backward_data", spec(3, 4), **args) == Work(adds=24, muls=24)
