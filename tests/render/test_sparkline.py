"""Lines of characters by hand."""

from __future__ import annotations

import pytest

from cnnstat.render.sparkline import columns, ruler, sparkline, stacked

STEP = ["forward"] * 12 + ["backward"] * 12 + ["optimizer"] * 6


def test_levels() -> None:
    assert sparkline(range(8), 0, 8, 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5], 5, 5, 3) == "▁▁▁"
    assert sparkline([], 0, 1, 8) == ""


def test_a_peak_between_others_is_not_lost() -> None:
    values = [0] * 1000
    values[537] = 9
    assert sparkline(values, 0, 9, 10) == "▁▁▁▁▁█▁▁▁▁"


def test_few_values_are_drawn_wide() -> None:
    assert sparkline([0, 8], 0, 8, 6) == "▁▁▁███"


@pytest.mark.parametrize("cells", [1, 7, 80, 240])
@pytest.mark.parametrize("count", [1, 2, 79, 80, 81, 5000])
def test_every_value_has_a_cell(count: int, cells: int) -> None:
    found = columns(count, cells)
    assert len(found) == cells
    assert {place for places in found for place in places} == set(range(count))
    assert all(found)


def test_phases_and_the_peak() -> None:
    assert ruler(STEP, 20, 60) == ("├forward────────────────├backward───────▲───────├optimizer──")
    assert ruler(STEP, 1, 60).startswith("├─▲forward───")
    assert ruler(STEP, 0, 60).startswith("▲forward")
    assert ruler([], 0, 60) == ""


@pytest.mark.parametrize("cells", [1, 3, 10, 30, 200])
@pytest.mark.parametrize("peak", [0, 11, 12, 29])
def test_the_ruler_is_as_long_as_the_sparkline(cells: int, peak: int) -> None:
    line = ruler(STEP, peak, cells)
    assert len(line) == len(sparkline(range(30), 0, 30, cells)) == cells
    assert line.count("▲") == 1
    assert peak in columns(30, cells)[line.index("▲")]


def test_bars_one_after_the_other() -> None:
    assert stacked([("a", 50), ("b", 25), ("c", 25)], 8) == "aaaabbcc"
    assert stacked([("a", 1), ("b", 0), ("c", 999)], 10) == "a" + "c" * 9
    assert stacked([("a", 1), ("b", 1), ("c", 1)], 10) == "aaaabbbccc"
    assert stacked([("a", 0)], 10) == ""
