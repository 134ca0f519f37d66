"""Larsson et al. 2016, section 4; ../shared/published/fractalnet_reference.toml; pytorchcv."""

import pytest
import torch

from cnnstat.errors import BuildError
from cnnstat.zoo.fractalnet import Fractal, Join
from tests.measured import analyze

CIFAR = (64, 128, 256, 512, 512)
SLIM = (16, 32, 64, 128, 128)


def by_hand(columns, widths, classes):
    """Parameters and multiply–adds: of the 2^C - 1 convolutions of a block C see its input."""
    params = macs = 0
    inputs, size = 3, 32
    for width in widths:
        weights = 9 * width * (columns * inputs + (2**columns - 1 - columns) * width)
        params += weights + 2 * width * (2**columns - 1)
        macs += weights * size**2
        inputs, size = width, size // 2
    return params + inputs * classes + classes, macs + inputs * classes


def test_parameters_of_pytorchcv():
    # fractalnet_reference.toml. DenseNet's table 2 cites 38.6 M, which these widths do not have.
    report = analyze("zoo:fractalnet_cifar")
    assert report.totals.params == 33_724_618
    assert (report.totals.params, report.totals.macs) == by_hand(3, CIFAR, 10)
    # osmr/imgclsmob, fractalnet_cifar.py.
    assert analyze("zoo:fractalnet_cifar?num_classes=100").totals.params == 33_770_788


@pytest.mark.parametrize("columns", (1, 2, 3, 4, 5, 6))
def test_columns(columns):
    spec = f"zoo:fractalnet_cifar?columns={columns}&widths={SLIM}&num_classes=100"
    report = analyze(spec)
    assert (report.totals.params, report.totals.macs) == by_hand(columns, SLIM, 100)
    # The deepest path of a block has 2^(C-1) convolutions, each column half of the next.
    convs = [x.path for x in report.layers if x.type == "Conv2d" and x.path.startswith("block1.")]
    depths = [sum(path.count(".deeper.") == k for path in convs) for k in range(columns)]
    assert depths == [2**k for k in range(columns)]


def test_block_sizes():
    # Blocks are joined and pooled: 32×32 becomes 1×1 in five steps.
    report = analyze("zoo:fractalnet_cifar")
    for block, (width, size) in enumerate(zip(CIFAR, (32, 16, 8, 4, 2), strict=True), start=1):
        fractal = report.layer(f"block{block}.fractal")
        assert fractal.outputs == ((1, width, size, size),) * 3
        assert report.layer(f"block{block}").outputs == ((1, width, size // 2, size // 2),)


def test_a_join_is_the_mean_of_all_columns():
    # Nested fractals that end together have one join, in which each column counts alike.
    fractal = Fractal(2, 2, 3).eval()
    with torch.no_grad():
        x = torch.randn(1, 2, 4, 4)
        first, second = fractal.deeper.first, fractal.deeper.second
        middle = sum(first(x)) / 2
        columns = fractal(x)
        torch.testing.assert_close(columns, [fractal.conv(x), *second(middle)])
        torch.testing.assert_close(Join()(columns), sum(columns) / 3)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("columns=0", "columns is 0; expected a whole number from 1 up"),
        ("widths=(16,32)", r"widths is \(16, 32\); expected five numbers of channels"),
        ("widths=(1,2,3,4,0)", "widths is 0; expected a whole number from 1 up"),
    ],
)
def test_a_wrong_argument(query, message):
    with pytest.raises(BuildError, match=message):
        analyze(f"zoo:fractalnet_cifar?{query}")
