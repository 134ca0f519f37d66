"""Iandola et al. 2016: table 1 (parameters and maps of each layer), tables 2 and 3 (sizes)."""

import pytest

from cnnstat.errors import BuildError
from cnnstat.sources.base import resolve
from tests.measured import analyze

# Table 1: parameters before pruning, and size and channels of the output.
TABLE_1 = {
    "conv1": (14208, 111, 96),
    "fire2": (11920, 55, 128),
    "fire3": (12432, 55, 128),
    "fire4": (45344, 55, 256),
    "fire5": (49440, 27, 256),
    "fire6": (104880, 27, 384),
    "fire7": (111024, 27, 384),
    "fire8": (188992, 27, 512),
    "fire9": (197184, 13, 512),
    "conv10": (513000, 13, 1000),
}
# torchvision's names of the same layers.
TORCHVISION = ("0", "3", "4", "5", "7", "8", "9", "10", "12")
TOTAL = 1_248_424


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet_simple_bypass"])
def test_rows_of_table_1(name):
    report = analyze(f"zoo:{name}")
    paths = list(TABLE_1)
    if name == "squeezenet1_0":
        paths = [f"features.{number}" for number in TORCHVISION] + ["classifier.1"]
    for path, (params, size, channels) in zip(paths, TABLE_1.values(), strict=True):
        assert report.subtree(path).params == params
        assert report.layer(path).outputs[0] == (1, channels, size, size)
    assert report.totals.params == TOTAL == sum(row[0] for row in TABLE_1.values())


def test_published_cost():
    totals = analyze("zoo:squeezenet1_0").totals
    # Table 2: 4.8 MB, that is MiB. ShuffleNet's table 6: 833; MobileNet's table 9 prints twice that, 1700.
    assert round(totals.param_bytes / 2**20, 1) == 4.8
    assert round(totals.macs / 1e6) == 833
    assert round(2 * totals.macs / 1e8) * 100 == 1700


def test_1_1_has_torchvisions_published_numbers():
    totals = analyze("zoo:squeezenet1_1").totals
    # num_params and _ops of SqueezeNet1_1_Weights.
    assert totals.params == 1_235_496
    assert round(totals.macs / 1e9, 3) == 0.349


def test_simple_bypass_is_free():
    plain, bypass = (
        analyze(f"zoo:{name}").totals for name in ("squeezenet1_0", "squeezenet_simple_bypass")
    )
    # Table 3: 4.8 MB both. The additions: one for each output of fire 3, 5, 7 and 9.
    assert (bypass.params, bypass.macs) == (plain.params, plain.macs)
    added = sum(TABLE_1[f"fire{n}"][1] ** 2 * TABLE_1[f"fire{n}"][2] for n in (3, 5, 7, 9))
    assert bypass.flops - plain.flops == added


def test_complex_bypass_by_hand():
    totals = analyze("zoo:squeezenet_complex_bypass").totals
    # A 1×1 convolution with bias around fire 2, 4, 6 and 8: inputs, outputs, size of the map.
    bypasses = ((96, 128, 55), (128, 256, 55), (256, 384, 27), (384, 512, 27))
    assert totals.params == TOTAL + sum(c * d + d for c, d, _ in bypasses) == 1_589_672
    plain = analyze("zoo:squeezenet1_0").totals
    assert totals.macs == plain.macs + sum(c * d * size**2 for c, d, size in bypasses)
    # Table 3 prints 7.7 MB.
    assert round(totals.param_bytes / 2**20, 1) == 6.1


def test_a_wrong_number_of_classes():
    with pytest.raises(BuildError, match="num_classes is 0; expected a whole number"):
        resolve("zoo:squeezenet_simple_bypass?num_classes=0").build()
