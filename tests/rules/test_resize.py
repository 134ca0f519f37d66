import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnstat.report import Work
from tests.rules.record import backward_macs, count_op, same_on_every_path, spec, work_of

NEIGHBOURS = {"linear": (1, 2), "bilinear": (2, 4), "bicubic": (2, 16), "trilinear": (3, 8)}


def weighted(n, neighbours):
    """Each of n elements is a sum of its neighbours by their weights."""
    muls = adds = 0
    for _element in range(n):
        muls += neighbours
        adds += neighbours - 1
    return Work(adds=adds, muls=muls)


def image(dims):
    return torch.rand(2, 3, *(4, 5, 6)[:dims])


@pytest.mark.parametrize("mode", NEIGHBOURS)
@pytest.mark.parametrize("target", [{"scale_factor": 2}, {"size": 3}], ids=str)
@pytest.mark.parametrize("align", [True, False])
def test_interpolation(mode, target, align):
    dims, neighbours = NEIGHBOURS[mode]
    call = nn.Upsample(mode=mode, align_corners=align, **target)
    x = image(dims)
    n = call(x).numel()
    assert same_on_every_path(call, x) == weighted(n, neighbours)
    given = {**target, "mode": mode, "align_corners": align}
    assert same_on_every_path(lambda t: F.interpolate(t, **given), x) == weighted(n, neighbours)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("target", [{"scale_factor": 2}, {"size": 3}], ids=str)
def test_nearest_copies(mode, dims, target):
    assert same_on_every_path(nn.Upsample(mode=mode, **target), image(dims)) == Work()


def test_area_is_adaptive_pooling():
    x = image(2)
    resized = same_on_every_path(lambda t: F.interpolate(t, size=2, mode="area"), x)
    assert resized == work_of(nn.AdaptiveAvgPool2d(2), x)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_antialiasing(mode):
    x = image(2)
    given = {"size": (8, 10), "mode": mode, "align_corners": False}
    plain = same_on_every_path(lambda t: F.interpolate(t, **given), x)
    assert same_on_every_path(lambda t: F.interpolate(t, antialias=True, **given), x) == plain


@pytest.mark.parametrize(("mode", "neighbours"), [("bilinear", 4), ("nearest", 0), ("bicubic", 16)])
@pytest.mark.parametrize("align", [True, False])
def test_grid_sampling(mode, neighbours, align):
    def sample(x, grid):
        return F.grid_sample(x, grid, mode=mode, align_corners=align)

    # 2·3·6·7 samples
    expected = weighted(252, neighbours) if neighbours else Work()
    assert same_on_every_path(sample, image(2), torch.rand(2, 6, 7, 2)) == expected


def test_grid_sampling_in_space():
    def sample(x, grid):
        return F.grid_sample(x, grid, align_corners=False)

    # 2·3·6·7·2 samples of 8 neighbours
    grid = torch.rand(2, 6, 7, 2, 3)
    assert same_on_every_path(sample, image(3), grid) == weighted(504, 8)


def test_shuffles_copy():
    assert same_on_every_path(nn.PixelShuffle(2), torch.rand(1, 4, 3, 3)) == Work()
    assert same_on_every_path(nn.PixelUnshuffle(2), torch.rand(1, 1, 4, 4)) == Work()
    assert same_on_every_path(nn.ChannelShuffle(2), torch.rand(1, 4, 3, 3)) == Work()
    assert same_on_every_path(nn.Unfold(2), torch.rand(1, 4, 3, 3)) == Work()
    for pad in (
        nn.ZeroPad2d(1),
        nn.ReflectionPad2d(1),
        nn.ReplicationPad2d(1),
        nn.CircularPad2d(1),
    ):
        assert same_on_every_path(pad, torch.rand(1, 4, 3, 3)) == Work()


@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
@pytest.mark.parametrize("mode", [*NEIGHBOURS, "nearest", "nearest-exact"])
def test_backward_is_counted_and_has_no_macs(mode, engine):
    dims = NEIGHBOURS.get(mode, (2, 0))[0]
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims](3, 4, 1)
    x = image(dims)
    model = nn.Sequential(conv, nn.Upsample(scale_factor=2, mode=mode))
    # the convolution's own gradient: 3·4 at each position
    assert backward_macs(model, tuple(x.shape), engine) == 4 * x.numel()


def test_gradients():
    args = {"grad_output": spec(2, 3, 8, 10)}
    # each element of dy goes to its four neighbours by their weights
    work = count_op("aten.upsample_bilinear2d_backward", spec(2, 3, 4, 5), **args)
    assert work == Work(adds=4 * 480, muls=4 * 480)
    # or is added to the one that it was copied from
    work = count_op("aten.upsample_nearest2d_backward", spec(2, 3, 4, 5), **args)
    assert work == Work(adds=480)
