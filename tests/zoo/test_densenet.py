"""Huang et al. 2016: tables 1 and 2 (../shared/published/densenet_table2.toml); Keras; timm."""

import pytest

import cnnstat
from cnnstat.errors import BuildError
from cnnstat.sources.torchvision_operators import importable_torchvision
from tests.measured import analyze

DENSENETS = {
    # Table 1: layers of the four dense blocks, and k.
    "densenet121": ((6, 12, 24, 16), 32),
    "densenet169": ((6, 12, 32, 32), 32),
    "densenet201": ((6, 12, 48, 32), 32),
    "densenet264": ((6, 12, 64, 48), 32),
    "densenet161": ((6, 12, 36, 24), 48),
}

BC = "&bottleneck=True&compression=0.5"


def imagenet_by_hand(blocks, k):
    """Parameters and multiply–adds by section 3 and table 1."""
    channels, size = 2 * k, 56
    params = 3 * channels * 49 + 2 * channels
    macs = 3 * channels * 49 * 112**2
    for number, layers in enumerate(blocks, start=1):
        for _ in range(layers):
            weights = channels * 4 * k + 4 * k * k * 9
            params += weights + 2 * channels + 2 * 4 * k
            macs += weights * size**2
            channels += k
        if number < len(blocks):
            # Batch norm, 1×1 convolution to half the channels, pooling.
            params += 2 * channels + channels * channels // 2
            macs += channels * channels // 2 * size**2
            channels, size = channels // 2, size // 2
    return params + 2 * channels + 1000 * channels + 1000, macs + 1000 * channels


def cifar_by_hand(depth, k, bottleneck, theta):
    channels, size = (2 * k if bottleneck else 16), 32
    params = 27 * channels
    macs = params * size**2
    for block in range(3):
        for _ in range((depth - 4) // (6 if bottleneck else 3)):
            weights = channels * 4 * k + 4 * k * k * 9 if bottleneck else channels * k * 9
            params += weights + 2 * channels + (2 * 4 * k if bottleneck else 0)
            macs += weights * size**2
            channels += k
        if block < 2:
            kept = int(channels * theta)
            params += 2 * channels + channels * kept
            macs += channels * kept * size**2
            channels, size = kept, size // 2
    return params + 2 * channels + 10 * channels + 10, macs + 10 * channels


@pytest.mark.parametrize("name", DENSENETS)
def test_by_hand(name):
    report = analyze(f"zoo:{name}")
    assert (report.totals.params, report.totals.macs) == imagenet_by_hand(*DENSENETS[name])
    # "DenseNet-L" has L convolutions and linear layers; 2·(6 + 12 + 64 + 48) + 5 are 265, though.
    depth = int(name.removeprefix("densenet")) + (name == "densenet264")
    assert sum(layer.type in ("Conv2d", "Linear") for layer in report.layers) == depth


@pytest.mark.parametrize(
    ("name", "params"),
    # ../shared/published/keras_applications.toml: the moving statistics of batch norm count too.
    [("densenet121", 8_062_504), ("densenet169", 14_307_880), ("densenet201", 20_242_984)],
)
def test_keras(name, params):
    report = analyze(f"zoo:{name}")
    norms = report.kinds["normalisation"].params
    assert report.totals.params + norms == params


def test_264_layers_against_timm():
    with importable_torchvision():
        from timm.models.densenet import DenseNet
    theirs = DenseNet(growth_rate=32, block_config=(6, 12, 64, 48))
    expected = cnnstat.analyze(theirs, (1, 3, 224, 224)).totals
    ours = analyze("zoo:densenet264").totals
    assert (ours.params, ours.macs) == (expected.params, expected.macs)
    assert ours.params == 33_337_704


def test_output_sizes_of_table_1():
    report = analyze("zoo:densenet264")
    assert report.layer("features.conv0").outputs[0][2:] == (112, 112)
    for block, size in ((1, 56), (2, 28), (3, 14), (4, 7)):
        assert report.layer(f"features.denseblock{block}").outputs[0][2:] == (size, size)


@pytest.mark.parametrize(
    ("depth", "growth", "bc", "millions"),
    [
        (40, 12, False, 1.0),
        (100, 12, False, 7.0),
        (100, 24, False, 27.2),
        (100, 12, True, 0.8),
        (250, 24, True, 15.3),
        (190, 40, True, 25.6),
    ],
)
def test_table_2(depth, growth, bc, millions):
    spec = f"zoo:densenet_cifar?depth={depth}&growth={growth}{BC if bc else ''}"
    report = analyze(spec)
    assert round(report.totals.params / 1e6, 1) == millions
    by_hand = cifar_by_hand(depth, growth, bc, 0.5 if bc else 1)
    assert (report.totals.params, report.totals.macs) == by_hand
    assert sum(layer.type in ("Conv2d", "Linear") for layer in report.layers) == depth


def test_sizes_and_channels_on_cifar():
    report = analyze("zoo:densenet_cifar")
    # 16 + 12·12 channels after a block, all of which the transition keeps.
    assert report.layer("dense1").outputs == ((1, 160, 32, 32),)
    assert report.layer("transition1").outputs == ((1, 160, 16, 16),)
    assert report.layer("dense3").outputs == ((1, 16 + 36 * 12, 8, 8),)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("depth=41", "depth is 41; expected 4 and a multiple of 3: 7, 10, …"),
        ("depth=43&bottleneck=True", "depth is 43; expected 4 and a multiple of 6: 10, 16, …"),
        ("bottleneck=1", "bottleneck is 1; expected True or False"),
        ("compression=0", "compression is 0; expected above 0 and at most 1"),
        ("growth=0", "growth is 0; expected a whole number from 1 up"),
    ],
)
def test_a_wrong_argument(query, message):
    with pytest.raises(BuildError, match=message):
        analyze(f"zoo:densenet_cifar?{query}")
