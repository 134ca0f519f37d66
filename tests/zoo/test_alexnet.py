"""Krizhevsky et al. 2012: abstract and figure 2; Deep Compression's table 4; the ungrouped layers."""

import math

import pytest

from cnnstat.zoo.alexnet import alexnet_2012
from tests.measured import analyze


@pytest.fixture(scope="module")
def report():
    return analyze("zoo:alexnet_2012")


def test_units_of_figure_2(report):
    # The caption: 253,440–186,624–64,896–64,896–43,264–4096–4096–1000 units. The first one is a
    # misprint for 55·55·96 = 290,400, the size that the figure draws.
    layers = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    units = [math.prod(report.layer(name).outputs[0]) for name in layers]
    assert units == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
    # The abstract's 650,000 neurons lie between this sum and the caption's, 622,312.
    assert sum(units) == 659_272


def test_weights_of_deep_compressions_table_4(report):
    published = {"conv1": 35, "conv2": 307, "conv3": 885, "conv4": 663, "conv5": 442}
    for name, thousands in published.items():
        (shape,) = (s for n, s in report.layer(f"{name}.conv").weights.items() if n == "weight")
        # Rounded, but conv4's 663,552, which is cut off.
        weights = math.prod(shape) / 1000
        assert thousands == (int if name == "conv4" else round)(weights)
    published = {"fc6": 38, "fc7": 17, "fc8": 4}
    assert {name: round(report.layer(name).params / 1e6) for name in published} == published
    assert round(report.totals.params / 1e6) == 61


def test_two_groups_by_hand(report):
    # Weights: 96·3·121, 256·48·25, 384·256·9, 384·192·9, 256·192·9, then the fully connected ones.
    convs = {55: 96 * 363, 27: 256 * 1200, 13: 384 * 2304 + 384 * 1728 + 256 * 1728}
    linear = 9216 * 4096 + 4096 * 4096 + 4096 * 1000
    assert report.totals.macs == sum(n * n * w for n, w in convs.items()) + linear == 724_406_816
    biases = 96 + 256 + 384 + 384 + 256 + 4096 + 4096 + 1000
    assert report.totals.params == sum(convs.values()) + linear + biases == 60_965_224
    # "60 million parameters" in the abstract: cut off. convnet-burden: 233 MiB.
    assert report.totals.params // 10**6 == 60
    assert round(report.totals.params * 4 / 2**20) == 233
    assert report.uncounted == ()


def test_one_group():
    report = analyze("zoo:alexnet_2012?groups=1")
    # Parameters of each layer, from the usual table of the ungrouped network.
    published = {
        "conv1": 34_944,
        "conv2": 614_656,
        "conv3": 885_120,
        "conv4": 1_327_488,
        "conv5": 884_992,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
        "fc8": 4_097_000,
    }
    assert {name: report.subtree(name).params for name in published} == published
    # pytorchcv's alexnet; XNOR-Net's figure 4a draws 475 MB in doubles and 7.4 MB in bits.
    assert report.totals.params == 62_378_344
    assert int(report.totals.params * 8 / 2**20) == 475
    assert report.totals.macs == 1_135_256_096


def test_wrong_groups_are_refused():
    with pytest.raises(ValueError, match="groups is 3"):
        alexnet_2012(groups=3)
