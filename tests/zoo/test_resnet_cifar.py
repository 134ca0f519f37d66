"""He et al. 2015, section 4.2 and table 6 (../shared/published/resnet_table6.toml)."""

import pytest

from cnnstat.errors import BuildError
from tests.measured import analyze

# Depth: millions of parameters, and how many digits table 6 prints after the point.
TABLE_6 = {
    20: (0.27, 2),
    32: (0.46, 2),
    44: (0.66, 2),
    56: (0.85, 2),
    110: (1.7, 1),
    1202: (19.4, 1),
}


@pytest.mark.parametrize("depth", TABLE_6)
def test_table_6(depth):
    report = analyze(f"zoo:resnet{depth}_cifar")
    millions, digits = TABLE_6[depth]
    assert round(report.totals.params / 1e6, digits) == millions

    # By hand: n blocks of two 3×3 convolutions at 16, 32 and 64 channels; the first of the second and
    # third stage has half the input channels. Positions: 32², 16² and 8².
    n = (depth - 2) // 6
    stages = [(2 * n * 16 * 16 * 9, 32)]
    stages += [(c * c // 2 * 9 + (2 * n - 1) * c * c * 9, size) for c, size in ((32, 16), (64, 8))]
    norms = 2 * 16 + 2 * n * 2 * (16 + 32 + 64)
    assert report.totals.params == 3 * 16 * 9 + sum(w for w, _ in stages) + norms + 64 * 10 + 10
    macs = 3 * 16 * 9 * 32**2 + sum(w * size**2 for w, size in stages) + 64 * 10
    assert report.totals.macs == macs

    # 6n + 2 layers.
    assert sum(layer.type in ("Conv2d", "Linear") for layer in report.layers) == depth


def test_1202_layers_against_pytorchcv():
    # ../shared/published/imgclsmob.toml: ResNet-1202 with option B.
    assert analyze("zoo:resnet1202_cifar?option=B").totals.params == 19_424_026


@pytest.mark.parametrize("depth", (20, 110))
def test_projections_of_option_b(depth):
    zeros = analyze(f"zoo:resnet{depth}_cifar").totals
    projections = analyze(f"zoo:resnet{depth}_cifar?option=B").totals
    # 16·32 + 2·32 + 32·64 + 2·64
    assert projections.params - zeros.params == 2_752
    # 16·32 at 16² positions and 32·64 at 8²
    assert projections.macs - zeros.macs == 16 * 32 * 16**2 + 32 * 64 * 8**2


def test_map_sizes():
    # "output map size 32×32, 16×16, 8×8; # filters 16, 32, 64".
    report = analyze("zoo:resnet20_cifar")
    for stage, channels, size in ((2, 16, 32), (3, 32, 16), (4, 64, 8)):
        assert report.layer(f"conv{stage}_x").outputs == ((1, channels, size, size),)


def test_a_wrong_option():
    with pytest.raises(BuildError, match="option is 'C'; expected 'A', 'B'"):
        analyze("zoo:resnet20_cifar?option=C")
