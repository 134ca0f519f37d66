"""Szegedy et al. 2016: figures 3, 9 and 15 (sizes); timm's networks; NASNet's table 2, Keras."""

import pytest
from torch import nn

from cnnstat.sources.base import resolve
from cnnstat.sources.skeleton import build_skeleton
from cnnstat.sources.torchvision_operators import importable_torchvision
from cnnstat.zoo.inception_v4 import inception_resnet_v2
from tests.measured import analyze


@pytest.mark.parametrize(
    ("name", "stem", "reduced_a", "reduced_b"),
    [
        # "Output" beside the schemas: figure 9 and figure 15. The paper prints no concatenations
        # for Inception-ResNet v2; 384 + 384 + 384 and 1152 + 384 + 288 + 320, and from 320 channels
        # in the released one.
        ("inception_v4", 384, 1024, 1536),
        ("inception_resnet_v1", 256, 896, 1792),
        ("inception_resnet_v2", 320, 1088, 2080),
        ("inception_resnet_v2?version=paper", 384, 1152, 2144),
    ],
)
def test_sizes_of_the_schemas(name, stem, reduced_a, reduced_b):
    report = analyze(f"zoo:{name}")
    assert report.layer("stem").outputs[0] == (1, stem, 35, 35)
    assert report.layer("inception_a1").outputs[0] == (1, stem, 35, 35)
    assert report.layer("reduction_a").outputs[0] == (1, reduced_a, 17, 17)
    assert report.layer("inception_b1").outputs[0] == (1, reduced_a, 17, 17)
    assert report.layer("reduction_b").outputs[0] == (1, reduced_b, 8, 8)
    assert report.layer("inception_c1").outputs[0] == (1, reduced_b, 8, 8)
    assert report.uncounted == ()


@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2"])
def test_timms_network(name):
    with importable_torchvision():
        pytest.importorskip("timm")
    ours, theirs = analyze(f"zoo:{name}"), analyze(f"timm:{name}")
    assert ours.totals.params == theirs.totals.params
    assert ours.totals.macs == theirs.totals.macs
    assert ours.totals.activations == theirs.totals.activations
    assert weights(ours) == weights(theirs)


def weights(report):
    """Shapes of all convolutions and linear layers with the sizes of their outputs, sorted."""
    return sorted(
        (tuple(layer.weights["weight"]), layer.outputs[0][1:])
        for layer in report.layers
        if "weight" in layer.weights and layer.kind != "norm"
    )


def test_inception_v4_as_others_count_it():
    report = analyze("zoo:inception_v4")
    # pytorchcv's count; Open Model Zoo's 42.648 M lack the scales of batch norm.
    assert report.totals.params == 42_679_816
    assert round((report.totals.params - channels("inception_v4")) / 1e6, 3) == 42.648


def test_inception_resnet_v2_as_others_count_it():
    totals = analyze("zoo:inception_resnet_v2").totals
    # NASNet's table 2: 55.8 M and 13.2 B.
    assert (round(totals.params / 1e6, 1), round(totals.macs / 1e9, 1)) == (55.8, 13.2)
    # pytorchcv's count; Keras has 55,873,736 with moving statistics and without scales.
    assert totals.params == 55_843_464
    assert totals.params + channels("inception_resnet_v2") == 55_873_736


def channels(name):
    model = build_skeleton(resolve(f"zoo:{name}").build)
    return sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_inception_resnet_v1_against_the_version_for_faces():
    report = analyze("zoo:inception_resnet_v1")
    # pytorchcv's inceptionresnetv1, 23,995,624, has one Inception-ResNet-C more and 512 units with
    # batch norm before the classes.
    head = 1792 * 512 + 2 * 512 + 512 * 1000 + 1000
    faces = report.totals.params - (1792 * 1000 + 1000) + head
    assert faces + report.subtree("inception_c1").params == 23_995_624
    assert report.totals.params == 22_756_328


def conv(inputs, outputs, kernel=1):
    return inputs * outputs * kernel + 2 * outputs


def test_the_papers_inception_resnet_v2_by_hand():
    # Figures 16 to 19, table 1 (k, l, m, n = 256, 256, 384, 384), the stem of Inception v4.
    stem = analyze("zoo:inception_v4").subtree("stem").params
    a = conv(384, 32) * 3 + conv(32, 32, 9) + conv(32, 48, 9) + conv(48, 64, 9) + 128 * 384 + 384
    reduction_a = conv(384, 384, 9) + conv(384, 256) + conv(256, 256, 9) + conv(256, 384, 9)
    b = (
        conv(1152, 192)
        + conv(1152, 128)
        + conv(128, 160, 7)
        + conv(160, 192, 7)
        + 384 * 1152
        + 1152
    )
    reduction_b = conv(1152, 256) * 3 + conv(256, 384, 9) + conv(256, 288, 9) * 2
    reduction_b += conv(288, 320, 9)
    c = conv(2144, 192) * 2 + conv(192, 224, 3) + conv(224, 256, 3) + 448 * 2144 + 2144
    expected = stem + 5 * a + reduction_a + 10 * b + reduction_b + 5 * c + 2144 * 1000 + 1000
    report = analyze("zoo:inception_resnet_v2?version=paper")
    assert report.totals.params == expected


def test_a_wrong_version_is_refused():
    with pytest.raises(ValueError, match="version is 'v3'"):
        inception_resnet_v2(version="v3")
