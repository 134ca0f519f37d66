"""Simonyan, Zisserman 2014, tables 1 and 2; torchvision's own networks."""

import pytest

from tests.measured import analyze

# Table 2, in millions, and weight layers of table 1.
PUBLISHED = {
    "vgg_a": (133, 11),
    "vgg_a_lrn": (133, 11),
    "vgg_b": (133, 13),
    "vgg_c": (134, 16),
    "vgg_d": (138, 16),
    "vgg_e": (144, 19),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_tables_1_and_2(name):
    report = analyze(f"zoo:{name}")
    millions, layers = PUBLISHED[name]
    assert round(report.totals.params / 1e6) == millions
    assert sum("weight" in layer.weights for layer in report.layers) == layers
    assert report.uncounted == ()


@pytest.mark.parametrize(
    ("name", "other"), [("a", "vgg11"), ("b", "vgg13"), ("d", "vgg16"), ("e", "vgg19")]
)
def test_torchvisions_network(name, other):
    ours, theirs = analyze(f"zoo:vgg_{name}"), analyze(f"tv:{other}")
    assert ours.totals == theirs.totals
    assert [layer.weights for layer in ours.layers] == [layer.weights for layer in theirs.layers]


def test_normalization_adds_work_and_no_parameter():
    plain, normalized = analyze("zoo:vgg_a").totals, analyze("zoo:vgg_a_lrn").totals
    assert (normalized.params, normalized.macs) == (plain.params, plain.macs)
    assert normalized.flops > plain.flops


def test_c_is_d_with_three_1x1():
    # 8/9 of 256·256·9 at 56 × 56 and of 512·512·9 at 28 × 28 and at 14 × 14 are gone.
    c, d = analyze("zoo:vgg_c"), analyze("zoo:vgg_d")
    removed = {56: 8 * 256 * 256, 28: 8 * 512 * 512, 14: 8 * 512 * 512}
    assert d.totals.params - c.totals.params == sum(removed.values())
    assert d.totals.macs - c.totals.macs == sum(n * n * w for n, w in removed.items())
    assert c.kinds["pointwise"].macs == sum(n * n * w // 8 for n, w in removed.items())


def test_multiply_adds_as_later_papers_quote_them():
    # He et al. 2015: 19.6 G for VGG-19 with, and 15.3 G for VGG-16 without the classifier (15.35).
    assert round(analyze("zoo:vgg_e").totals.macs / 1e9, 1) == 19.6
    convolutions = analyze("zoo:vgg_d").kinds["standard"].macs
    assert convolutions == 15_346_630_656
    assert int(convolutions / 1e8) / 10 == 15.3
