"""Two variants of one network layer by layer: what is said, and what stands in which row."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cnnstat.comparing.comparison import compare
from cnnstat.report import Layer, Note, Report, Uncounted, Work
from tests.comparing.test_comparison import large, measured, small
from tests.render.test_comparison import draw
from tests.reports import linear, module, normal, report, unknown


def test_what_is_offered_can_be_given() -> None:
    comparison = compare(small(), large())
    folded = draw(comparison, by="layer", top=1)
    assert "every layer: --all in the place of --top" in folded
    text = draw(compare(small(), small()), by="layer")
    assert "every layer: --all\n" in text
    assert "every layer" not in draw(comparison, by="layer", all=True)
    for format in ("markdown", "latex", "html"):
        assert "every layer" not in draw(compare(small(), small()), format, by="layer")


def test_labels_in_latex_hold_no_results() -> None:
    for by, keys in (("layer", ["layers"]), ("stage", ["stages", "stages-params"])):
        labels = re.findall(
            r"\\label\{tab:small-large-(.*)\}", draw(compare(small(), large()), "latex", by=by)
        )
        assert labels == ["totals", "kinds", *keys]


def test_a_loss_has_a_minus_sign() -> None:
    text = draw(compare(large(), small()), by="layer")
    assert "−442,368" in text and "-442,368" not in text
    assert "-442368" in draw(compare(large(), small()), "csv", by="layer")


def test_unknown_less_unknown_is_unknown() -> None:
    text = draw(compare(unknown(), unknown()), by="layer", all=True)
    rows = [line for line in text.splitlines() if line.startswith(("stem", "body.fused", "total"))]
    ends = [line.split()[-1] for line in rows[-3:]]
    assert ends == ["0", "?", "?"]


@pytest.mark.parametrize("room", [60, 80, 120, None])
def test_the_depth_is_explained_where_it_is_shown(room: int | None) -> None:
    for count in (2, 5, 12):
        names = [f"network_number_{n:02}" for n in range(count)]
        made = [replace(normal(), subject={"name": name}) for name in names]
        text = draw(compare(*made), width=room)
        shown = re.search(r"^depth  |^model .* depth\b", text, re.MULTILINE)
        assert ("depth counts the layers" in text) == bool(shown), text


def attention(name: str, width: int, into: str = "attn") -> Report:
    """Attention that runs with the weights of a child that never runs, and a child that nobody uses."""
    shape = (1, 6, width)
    work = Work(macs=4 * 6 * width * width)
    out = linear(f"{into}.out", shape, shape)
    return report(
        name,
        module("", "Net", "container", shape, shape),
        module(into, "Attention", "attention", shape, shape, 3 * width * width, work),
        replace(out, calls=0, tallies=(), outputs=(), inputs=()),
        module(f"{into}.spare", "Linear", "never-called", params=7, calls=0),
    )


def test_weights_in_another_row_than_their_work_are_told() -> None:
    comparison = compare(attention("one", 8), attention("two", 16))
    text = draw(comparison, by="layer")
    assert (
        "attn.out has parameters and never runs itself: attn works with them, "
        "and the MACs stand there\n"
    ) in text
    assert "attn.spare has" not in text
    two = compare(attention("one", 8), attention("two", 16, "self"))
    assert "and the MACs stand there, as in 1 more\n" in draw(two, by="layer", all=True)
    # Where everything is folded into one line, nothing is torn apart.
    same = draw(compare(attention("one", 8), attention("one", 8)), by="layer")
    assert "never runs itself" not in same
    assert "never runs itself" not in draw(compare(small(), large()), by="layer")


ESCAPE = "\x1b[31mred\n"


def hostile() -> Report:
    """A report that writes to the terminal wherever it has a text."""

    def layer(made: Layer) -> Layer:
        tallies = (replace(t, rule=ESCAPE + t.rule, kind=ESCAPE + t.kind) for t in made.tallies)
        return replace(
            made,
            path=made.path and ESCAPE + made.path,
            type=ESCAPE,
            kind=ESCAPE,
            attrs={"kernel": [ESCAPE, 3], "stride": ESCAPE, ESCAPE: ESCAPE},
            tallies=tuple(tallies),
        )

    base = measured(normal(), phases=[ESCAPE], mode=ESCAPE, engine=ESCAPE, torch=ESCAPE)
    return replace(
        base,
        subject={"name": ESCAPE, "spec": ESCAPE, "source": ESCAPE, "type": ESCAPE},
        convention=ESCAPE,
        layers=tuple(map(layer, base.layers)),
        groups=(),
        uncounted=(Uncounted(ESCAPE, ESCAPE + "stem", 2),),
        notes=(Note("data-dependent", ESCAPE, ESCAPE, ESCAPE),),
        meta={**base.meta, "inputs": [{"name": ESCAPE, "shape": [ESCAPE, 3], "dtype": ESCAPE}]},
    )


@pytest.mark.parametrize("format", ["table", "markdown", "latex", "html", "json"])
@pytest.mark.parametrize("by", ["layer", "stage"])
def test_nothing_in_a_report_reaches_the_terminal_as_it_is(by: str, format: str) -> None:
    for comparison in (compare(hostile(), normal()), compare(normal(), hostile())):
        assert "\x1b" not in repr(comparison)
        for more in ({}, {"all": True}, {"top": 2}) if by == "layer" else ({},):
            assert "\x1b" not in draw(comparison, format, by=by, **more)
