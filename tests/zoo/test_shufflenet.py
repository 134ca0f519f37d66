"""Zhang et al. 2017: tables 1, 2, 5 and 8; the authors' page; pytorchcv's parameters."""

import pytest

from cnnstat.errors import BuildError
from cnnstat.sources.base import resolve
from tests.measured import analyze


def analyzed(groups, width=1.0, se=False):
    return analyze(f"zoo:shufflenet_v1?groups={groups}&width={width}&se={se}")


def convolutions(report):
    """Multiply–adds in millions without the linear layer."""
    return (report.totals.macs - report.layer("fc").macs) / 1e6


@pytest.mark.parametrize(
    ("groups", "channels", "complexity", "params"),
    [
        # Table 1: output channels of stage 2 and complexity; parameters as in pytorchcv's table.
        (1, 144, 143, 1_531_936),
        (2, 200, 140, 1_733_848),
        (3, 240, 137, 1_865_728),
        (4, 272, 133, 1_968_344),
        (8, 384, 137, 2_434_768),
    ],
)
def test_table_1(groups, channels, complexity, params):
    report = analyzed(groups)
    assert round(convolutions(report)) == complexity
    assert report.totals.params == params
    assert report.layer("conv1").outputs[0] == (1, 24, 112, 112)
    assert report.layer("pool1").outputs[0] == (1, 24, 56, 56)
    for stage, (size, times, units) in {2: (28, 1, 4), 3: (14, 2, 8), 4: (7, 4, 4)}.items():
        assert report.layer(f"stage{stage}").outputs[0] == (1, times * channels, size, size)
        path = f"stage{stage}.unit{units}"
        assert report.layer(path).outputs[0] == (1, times * channels, size, size)
    pointwise = [x for x in report.layers if x.kind == "grouped-pointwise"]
    # Two in each of 16 units, but for the first of stage 2.
    assert len(pointwise) == (31 if groups > 1 else 0)


@pytest.mark.parametrize(
    ("width", "groups", "complexity"),
    [
        # Table 2, which prints 38 for all five networks of 0.5× and 13 for those of 0.25×: as of g = 2.
        (0.5, 1, 38),
        (0.5, 2, 38),
        (0.25, 1, 13),
        (0.25, 2, 13),
        (0.25, 3, 13),
        (0.25, 4, 13),
    ],
)
def test_table_2(width, groups, complexity):
    assert round(convolutions(analyzed(groups, width))) == complexity


def test_what_table_2_does_not_fit():
    # g = 3 and 4 at 0.5×: 37 M of convolutions; with the linear layer 38 and 37.
    assert [round(convolutions(analyzed(g, 0.5))) for g in (3, 4)] == [37, 37]
    assert [round(analyzed(g, 0.5).totals.macs / 1e6) for g in (3, 4)] == [38, 37]
    # g = 8 at 0.5×: the authors' page says 40. At 0.25× no first layer that can be grouped makes 13.
    assert round(convolutions(analyzed(8, 0.25))) == 12


@pytest.mark.parametrize(
    ("groups", "width", "complexity", "millions"),
    [
        # github.com/megvii-model/ShuffleNet-Series: with the linear layer, which has no bias there.
        (3, 2.0, 524, 5.4),
        (8, 2.0, 522, 6.5),
        (3, 1.5, 292, 3.4),
        (8, 1.5, 290, 4.3),
        (8, 1.0, 138, 2.4),
        (3, 0.5, 38, 0.7),
        (8, 0.5, 40, 1.0),
    ],
)
def test_the_authors_page(groups, width, complexity, millions):
    totals = analyzed(groups, width).totals
    assert round(totals.macs / 1e6) == complexity
    assert round((totals.params - 1000) / 1e6, 1) == millions


def test_table_5_with_squeeze_and_excitation():
    assert round(analyzed(3, 2.0, se=True).totals.macs / 1e6) == 527


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, 1.5, 2.0])
def test_every_combination_is_counted(groups, width):
    report = analyzed(groups, width, se=True)
    assert report.uncounted == ()
    assert len(report.groups) == 16


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("groups=5", "groups is 5; expected 1, 2, 3, 4, 8"),
        ("width=0.75", "width is 0.75; expected 0.25, 0.5, 1.0, 1.5, 2.0"),
        ("se=yes", "se is 'yes'; expected False, True"),
    ],
)
def test_what_the_paper_does_not_have(query, message):
    with pytest.raises(BuildError, match=message):
        resolve(f"zoo:shufflenet_v1?{query}").build()
