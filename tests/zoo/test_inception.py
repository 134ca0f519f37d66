"""Szegedy et al. 2014, table 1; Ioffe, Szegedy 2015, figure 5; NASNet's and SENet's table 2."""

import pytest
from torch import nn

from cnnstat.sources.base import resolve
from cnnstat.sources.skeleton import build_skeleton
from cnnstat.zoo.inception import bn_inception, googlenet_2014, inception_v3_2015
from tests.measured import analyze

# Table 1: output (size, channels), parameters in K, operations in M.
GOOGLENET = {
    "conv1": (112, 64, 2.7, 34),
    "conv2": (56, 192, 112, 360),
    "inception_3a": (28, 256, 159, 128),
    "inception_3b": (28, 480, 380, 304),
    "inception_4a": (14, 512, 364, 73),
    "inception_4b": (14, 512, 437, 88),
    "inception_4c": (14, 512, 463, 100),
    "inception_4d": (14, 528, 580, 119),
    "inception_4e": (14, 832, 840, 170),
    "inception_5a": (7, 832, 1072, 54),
    "inception_5b": (7, 1024, 1388, 71),
}

# Figure 5: output size and channels.
BN_INCEPTION = {
    "conv1": (112, 64),
    "conv2": (56, 192),
    "inception_3a": (28, 256),
    "inception_3b": (28, 320),
    "inception_3c": (14, 576),
    "inception_4a": (14, 576),
    "inception_4b": (14, 576),
    "inception_4c": (14, 576),
    "inception_4d": (14, 576),
    "inception_4e": (7, 1024),
    "inception_5a": (7, 1024),
    "inception_5b": (7, 1024),
}


@pytest.fixture(scope="module")
def googlenet():
    return analyze("zoo:googlenet_2014")


def row(report, name):
    """Parameters and MACs of a row of table 1, where the second convolution has its 1×1 with it."""
    parts = ["conv2_reduce", "conv2"] if name == "conv2" else [name]
    totals = [report.subtree(part) for part in parts]
    return sum(t.params for t in totals), sum(t.macs for t in totals)


@pytest.mark.parametrize("name", GOOGLENET)
def test_output_sizes_of_table_1(googlenet, name):
    size, channels, *_ = GOOGLENET[name]
    assert googlenet.layer(name).outputs[0] == (1, channels, size, size)


@pytest.mark.parametrize("name", GOOGLENET)
def test_operations_of_table_1(googlenet, name):
    _, macs = row(googlenet, name)
    wrong = {"conv1": 118.0, "inception_5a": 51.1}
    if name in wrong:
        assert round(macs / 1e6, 1) == wrong[name]
    else:
        # Rounded, but 4a's 73.6, which is cut off.
        assert GOOGLENET[name][3] == (int if name == "inception_4a" else round)(macs / 1e6)


@pytest.mark.parametrize("name", GOOGLENET)
def test_parameters_of_table_1(googlenet, name):
    params, _ = row(googlenet, name)
    # With biases, in units of 1024, it is this, which the printed number is not.
    wrong = {
        "conv1": 9.2,
        "inception_4a": 367.4,
        "inception_4b": 438.6,
        "inception_4c": 498.1,
        "inception_4d": 591.2,
        "inception_4e": 848.0,
        "inception_5a": 1019.0,
        "inception_5b": 1410.2,
    }
    if name in wrong:
        assert round(params / 1024, 1) == wrong[name]
    else:
        # Rounded, but 3a's 159.9, which is cut off.
        assert GOOGLENET[name][2] == (int if name == "inception_3a" else round)(params / 1024)


def test_the_first_row_of_table_1_is_a_separable_convolution():
    # 7×7 with depth multiplier 8 on three colours, then 1×1 to 64: the BN-Inception paper's first
    # layer, which table 1's 2.7K and 34M fit, as they do not fit a plain 7×7.
    weights = 24 * 49 + 24 * 64
    assert round(weights / 1000, 1) == GOOGLENET["conv1"][2]
    assert round(weights * 112 * 112 / 1e6) == GOOGLENET["conv1"][3]
    conv = analyze("zoo:bn_inception").subtree("conv1")
    assert conv.macs == weights * 112 * 112
    assert conv.params == weights + 2 * 64


def test_googlenet_with_a_separable_first_convolution(googlenet):
    report = analyze("zoo:googlenet_2014?separable_stem=true")
    # As above, with 64 biases and no norm; in K = 1024 that is 2.7 too.
    conv = report.subtree("conv1")
    assert (conv.params, conv.macs) == (24 * 49 + 24 * 64 + 64, 2_712 * 112 * 112)
    assert round(conv.params / 1024, 1) == GOOGLENET["conv1"][2]
    # The rest is the network with the plain 7×7, which has 9,408 weights and 64 biases.
    assert report.totals.params == googlenet.totals.params - 9_472 + 2_776 == 6_991_856
    assert report.totals.macs == googlenet.totals.macs - (9_408 - 2_712) * 112 * 112
    assert round(report.totals.macs / 1e9, 2) == 1.50
    assert report.layer("conv1").outputs == googlenet.layer("conv1").outputs
    assert report.uncounted == ()


def test_googlenet_totals(googlenet):
    # Open Model Zoo's googlenet-v1: 6.999 M. Both totals are the sums of the rows and of the last one.
    assert round(googlenet.totals.params / 1e6, 3) == 6.999
    rows = [row(googlenet, name) for name in GOOGLENET]
    assert googlenet.totals.params == sum(r[0] for r in rows) + 1_025_000 == 6_998_552
    assert googlenet.totals.macs == sum(r[1] for r in rows) + 1_024_000 == 1_582_671_872
    assert googlenet.uncounted == ()
    # The rows of table 1, in K, M: "6.8M" and "1.5 G" as commonly quoted; 1000K and 1M are the last.
    assert sum(r[2] for r in GOOGLENET.values()) + 1000 == pytest.approx(6797.7)
    assert sum(r[3] for r in GOOGLENET.values()) + 1 == 1502
    # 1.58 G less the first row's 84 M is 1.499 G.
    first = row(googlenet, "conv1")[1] - 34e6
    assert round((googlenet.totals.macs - first) / 1e9, 1) == 1.5


def test_auxiliary_classifiers(googlenet):
    report = analyze("zoo:googlenet_2014?aux=true")
    assert report.totals.macs == googlenet.totals.macs
    # 1×1 to 128, 4·4·128 to 1024, to 1000, with biases, on 512 and on 528 channels.
    heads = [c * 128 + 128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000 for c in (512, 528)]
    assert report.totals.params == googlenet.totals.params + sum(heads)
    # convnet-burden: 51 MiB.
    assert round(report.totals.params * 4 / 2**20) == 51
    train = analyze("zoo:googlenet_2014?aux=true", train=True)
    macs = [16 * c * 128 + 2048 * 1024 + 1024 * 1000 for c in (512, 528)]
    assert train.totals.macs == googlenet.totals.macs + sum(macs)


@pytest.mark.parametrize("name", BN_INCEPTION)
def test_output_sizes_of_figure_5(name):
    size, channels = BN_INCEPTION[name]
    report = analyze("zoo:bn_inception")
    assert report.layer(name).outputs[0] == (1, channels, size, size)


def test_bn_inception_as_nasnet_quotes_it():
    report = analyze("zoo:bn_inception")
    # NASNet's table 2: 11.2 M and 1.94 B mult-adds, which hold one for each output too.
    assert round(report.totals.params / 1e6, 1) == 11.2
    assert nasnets(report) == 1.94
    assert report.uncounted == ()


def test_bn_inception_as_caffe_has_it():
    report = analyze("zoo:bn_inception?version=caffe")
    # pytorchcv's bninception has a bias in each convolution: 11,295,240.
    model = build_skeleton(resolve("zoo:bn_inception?version=caffe").build)
    biases = sum(m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d))
    assert report.totals.params + biases == 11_295_240
    # SENet's table 2: 2.03 GFLOPs, one a multiply–add.
    assert round(report.totals.macs / 1e9, 2) == 2.03
    assert report.layer("inception_4d").outputs[0] == (1, 608, 14, 14)


def nasnets(report):
    """Billions of mult-adds as NASNet's table 2 counts them."""
    return round((report.totals.macs + report.totals.activations) / 1e9, 2)


def test_inception_v3():
    report = analyze("zoo:inception_v3_2015")
    theirs = analyze("tv:inception_v3?aux_logits=False")
    assert report.totals == theirs.totals
    # pytorchcv's count; NASNet's table 2: 23.8 M, 5.72 B.
    assert report.totals.params == 23_834_568
    assert nasnets(report) == 5.72
    # Keras: 23,851,784, with moving statistics and without the scale of batch norm.
    model = build_skeleton(resolve("zoo:inception_v3_2015").build)
    channels = sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert report.totals.params + channels == 23_851_784
    assert report.uncounted == ()
    with_aux = analyze("zoo:inception_v3_2015?aux=true").totals
    # torchvision's published num_params, with the auxiliary classifier, which does not run.
    assert (with_aux.params, with_aux.macs) == (27_161_264, report.totals.macs)


def test_inception_v3_as_keras_had_it():
    report = analyze("zoo:inception_v3_2015?version=keras")
    # Chollet 2016, table 3.
    assert report.totals.params == 23_626_728
    released = analyze("zoo:inception_v3_2015").totals.params
    # 32 channels fewer behind the pooling of modules 2 and 3, of 256 and 288 inputs; then 256 inputs for
    # 288 in module 3 (64 + 48 + 64 channels) and in the halving (384 of 3×3, and 64).
    fewer = 256 * 32 + (288 * 64 - 256 * 32) + 32 * (64 + 48 + 64) + 32 * (384 * 9 + 64)
    # 736 inputs for 768 in the first of 17×17; 160 channels for 192 in the last, of 768, to 192 of 7×1.
    fewer += 32 * (192 + 128 + 128 + 192) + 32 * 768 + 32 * 192 * 7
    # 96 channels fewer in norms, and a bias for each of the 17,120 that are left.
    assert report.totals.params == released - fewer - 2 * 96 + 17_120
    assert report.uncounted == ()


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="aux is 'maybe'"):
        googlenet_2014(aux="maybe")
    with pytest.raises(ValueError, match="separable_stem is 'yes'"):
        googlenet_2014(separable_stem="yes")
    with pytest.raises(ValueError, match="version is 'tf'"):
        inception_v3_2015(version="tf")
    with pytest.raises(ValueError, match="aux is 2"):
        inception_v3_2015(aux=2)
    with pytest.raises(ValueError, match="version is 'torch'"):
        bn_inception(version="torch")
