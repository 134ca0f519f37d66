"""Ratios, bars, and what share is spent on what and where."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.comparing.comparison import Ratio, compare
from cnnstat.render.comparison import ComparisonView, comparison_document
from cnnstat.render.document import Text
from cnnstat.render.shares import bar, ratio_text
from cnnstat.report import Report, Work
from tests.comparing.test_comparison import small
from tests.render.test_comparison import draw, figures
from tests.reports import module, report, unknown


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (Ratio(1, 1), "1"),
        (Ratio(6, 3), "2"),
        (Ratio(1_000_000, 999_999), "1.000"),
        (Ratio(5, 4), "1.250"),
        (Ratio(216_589_760, 4_089_184_256), "0.053"),
        (Ratio(25, 2), "12.50"),
        (Ratio(2501, 2), "1,250"),
        (Ratio(1, 10**6), "<0.001"),
        (Ratio(1, 10**6, "≥"), "> 0"),
        (Ratio(1, 10**6, "≤"), "≤ 0.001"),
        (Ratio(0, 7, "≥"), "≥ 0"),
        (Ratio(2_332_913, 10, "≤"), "≤ 233,292"),
        (Ratio(2_332_919, 10, "≥"), "≥ 233,291"),
        (Ratio(2_332_919, 10), "233,292"),
        (Ratio(10**40 + 1, 10**20, "≤"), f"≤ {10**20 + 1:,}"),
        (Ratio(2, 3, "≥"), "≥ 0.666"),
        (Ratio(2, 3), "0.667"),
        (Ratio(1, 3, "≤"), "≤ 0.334"),
        (Ratio(99_999, 10_000, "≤"), "≤ 10.000"),
        (Ratio(0, 7), "0"),
        (Ratio(5, 4, "≥"), "≥ 1.250"),
        (Ratio(5, 4, "≤"), "≤ 1.250"),
        (Ratio(5, 4, "?"), "?"),
        (Ratio(5, 0), "–"),
        (Ratio(0, 0, "≥"), "–"),
    ],
)
def test_ratios(ratio: Ratio, text: str) -> None:
    assert ratio_text(ratio) == text
    assert ratio.value is None or ratio.value == Fraction(ratio.part, ratio.whole)


def test_bars() -> None:
    assert bar(4, 4, 5) == "█████"
    assert bar(2, 4, 5) == "██▌"
    assert bar(1, 10**9, 5) == "▏"  # what is there can be seen
    assert bar(0, 4, 5) == bar(0, 0, 5) == ""


@given(st.integers(0, 10**12), st.integers(1, 10**12), st.sampled_from("≥≤"))
def test_a_bound_still_holds_as_it_is_printed(part: int, whole: int, bound: str) -> None:
    ratio = Ratio(part, whole, bound)  # type: ignore[arg-type]
    mark, number = ratio_text(ratio).split()
    printed = Fraction(number.replace(",", ""))
    exact = Fraction(part, whole)
    assert printed <= exact if mark in "≥>" else printed >= exact
    assert mark == (">" if bound == "≥" and 0 < exact < Fraction(1, 1000) else bound)


def nothing(name: str) -> Report:
    """A network without parameters, that only adds."""
    shape = (1, 3)
    added = module("add", "Add", "elementwise", shape, shape, 0, Work(adds=3))
    return report(name, module("", name, "container", shape, shape), added)


def test_a_table_without_rows_is_a_sentence() -> None:
    document = comparison_document(
        compare(nothing("Zero"), nothing("Nothing")), ComparisonView(by="stage")
    )
    texts = [block.text for block in document.blocks if isinstance(block, Text)]
    assert texts == ["no model has MACs at any stage", "no model has parameters at any stage"]
    assert [figure.key for figure in figures(document)] == ["totals"]
    # What is not known is not nothing.
    gaps = compare(nothing("Zero"), unknown())
    assert "no model" not in draw(gaps, by="stage")


def test_stages_have_a_hint_where_layers_are_possible_and_in_no_file() -> None:
    comparison = compare(small(), nothing("Nothing"))
    assert "--by layer" in draw(comparison, layers=True)
    assert "--by layer" not in draw(comparison, by="stage")
    for format in ("markdown", "latex", "html"):
        assert "by layer" not in draw(comparison, format, layers=True).replace("-{}-", "--")
