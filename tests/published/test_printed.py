"""Numbers in print."""

from decimal import Decimal

import pytest

from cnnstat.published.printed import Printed, as_printed, text_of


def D(text: str) -> Decimal:
    return Decimal(text)


@pytest.mark.parametrize(
    ("value", "low", "high", "step"),
    [
        (569, "569", "569", "1"),
        (D("4.20"), "4.20", "4.20", "0.01"),
        ("235K", "235000", "235000", "1000"),
        ("0.5K", "500", "500", "100"),
        ("475MB", "475", "475", "1"),
        ("727 MFLOPs", "727000000", "727000000", "1000000"),
        ("5.289~5.724", "5.289", "5.724", "0.001"),
        ("90-100", "90", "100", "1"),
        ("~50", "50", "50", "1"),
        ("> 1,500", "1500", "1500", "1"),
    ],
)
def test_what_stands_in_a_table(value, low, high, step):
    suffix = {"235K": "K", "0.5K": "K", "727 MFLOPs": "M"}.get(str(value), "")
    assert Printed.of(value) == Printed(D(low), D(high), D(step), suffix)


@pytest.mark.parametrize("value", [None, "", "none", True, [2, 2]])
def test_what_is_no_number(value):
    assert Printed.of(value) is None


@pytest.mark.parametrize(
    ("computed", "nearest", "cut"),
    [("4.15", True, False), ("4.249", True, True), ("4.29", False, True), ("4.3", False, False)],
)
def test_rounding(computed, nearest, cut):
    printed = Printed.of(D("4.2"))
    assert printed is not None
    assert printed.agrees(D(computed), "nearest") == nearest
    assert printed.agrees(D(computed), "cut") == cut
    assert printed.agrees(D(computed), "either") == (nearest or cut)


def test_a_stated_step():
    printed = Printed.of(15300, D(100))
    assert printed is not None
    assert printed.agrees(D("15346.6"), "nearest")
    assert not printed.agrees(D("15470.3"), "nearest")
    assert as_printed(D("15346.6"), D(100), "nearest") == 15300
    assert as_printed(D("290.7"), D(1), "cut") == 290


def test_difference_is_from_the_nearer_end():
    printed = Printed.of("90-100")
    assert printed is not None
    assert [printed.difference(D(n)) for n in (80, 95, 103)] == [-10, 0, 3]


def test_text_keeps_digits():
    assert [text_of(v) for v in (D("4.20"), 15300, [3, 4], True, None)] == [
        "4.20",
        "15,300",
        "3 4",
        "yes",
        "",
    ]
