from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.units import (
    grouped,
    parse_bytes,
    parse_count,
    parse_time,
    percent,
    short,
    short_bytes,
    short_seconds,
    short_time,
)

COUNTS = st.integers(min_value=0, max_value=10**20)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4.2G", 4_200_000_000),
        ("4.2 g", 4_200_000_000),
        ("1.5B", 1_500_000_000),
        ("320 M", 320_000_000),
        ("25_557_032", 25_557_032),
        ("25,557,032", 25_557_032),
        ("1e9", 1_000_000_000),
        ("2.5e-1k", 250),
        (".5k", 500),
        (7, 7),
    ],
)
def test_parse_count(text: str | int, value: int) -> None:
    assert parse_count(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("200MiB", 200 << 20), ("12 MB", 12_000_000), ("512", 512), ("512 B", 512), ("1.5 Ki", 1536)],
)
def test_parse_bytes(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 ms", 5_000_000),
        ("120us", 120_000),
        ("120 µs", 120_000),  # the sign of Latin-1
        ("120 μs", 120_000),  # the Greek letter
        ("0.5 s", 500_000_000),
        ("1e-3 s", 1_000_000),
        ("1_000 ns", 1000),
    ],
)
def test_parse_time(text: str, value: int) -> None:
    assert parse_time(text) == value


@pytest.mark.parametrize(
    "text", ["", "5", "ms", "5 MS", "5 m", "5 min", "0.5 ns", "nan s", "5 µ", "µs"]
)
def test_a_time_needs_its_unit(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_time(text)


def test_times_in_the_unit_that_suits_them() -> None:
    values = (0, 999, 1000, 17_856, 1_207_929, 999_999_999, 62_129_575_582, 3600 * 10**9)
    texts = ["0 ns", "999 ns", "1.000 µs", "17.86 µs", "1.208 ms", "1.000 s", "62.13 s", "3600 s"]
    assert [short_time(value) for value in values] == texts


def test_seconds_in_the_unit_that_suits_them() -> None:
    values = (0.0, 2.5e-13, 5e-10, 5.125e-7, 999.99e-6, 0.999_999, 14.42e-3, 62.13)
    texts = ["0 s", "0 s", "500 ps", "512.5 ns", "1.000 ms", "1.000 s", "14.42 ms", "62.13 s"]
    assert [short_seconds(value) for value in values] == texts


@pytest.mark.parametrize("text", ["", "G", "1.5", "4 apples", "1e999999999", "nan", "--1", "1.2.3"])
@pytest.mark.parametrize("parse", [parse_count, parse_bytes])
def test_a_text_that_is_no_number_is_named(parse: object, text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse(text)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.000 k"),
        (99_994, "99.99 k"),
        (99_996, "100.0 k"),  # four digits, not five
        (999_949, "999.9 k"),
        (999_950, "1.000 M"),
        (4_089_184_256, "4.089 G"),
        (10**19, "10000 P"),
    ],
)
def test_short(value: int, text: str) -> None:
    assert short(value) == text


def test_short_bytes() -> None:
    assert [short_bytes(n) for n in (0, 1023, 1024, 102_228_128)] == [
        *("0 B", "1023 B", "1.000 KiB", "97.49 MiB"),
    ]
    assert short_bytes((1 << 20) - 1) == "1.000 MiB"


@given(COUNTS)
def test_short_is_right_to_four_digits(value: int) -> None:
    text = short(value)
    assert abs(parse_count(text) - value) <= Decimal(value) / 2000
    assert len(text.split()[0].replace(".", "")) == 4 or value < 1000 or value >= 10**19


@given(COUNTS)
def test_grouped_keeps_every_digit(value: int) -> None:
    assert parse_count(grouped(value)) == value


@given(COUNTS, COUNTS)
def test_percent_says_all_and_nothing_only_where_it_is_so(part: int, rest: int) -> None:
    text = percent(part, part + rest)
    assert (text == "100.0 %") == (rest == 0 and part > 0)
    assert (text == "0.0 %") == (part == 0 and rest > 0)
    assert (text == "–") == (part == rest == 0)


@pytest.mark.parametrize("text", ["4,2 M", "0,3M", "1,5", "25,557,03", "4,200M", "٤ M", "1,,000"])
def test_a_decimal_comma_is_not_forty_two_million(text: str) -> None:
    with pytest.raises(ValueError, match="is not a count"):
        parse_count(text)


def test_commas_between_thousands() -> None:
    assert parse_count("25,557,032") == 25_557_032
    assert parse_bytes("1,000") == 1000


@pytest.mark.parametrize("text", ["4 MiB", "4Mi", "1KiB"])
def test_a_count_has_no_binary_units(text: str) -> None:
    with pytest.raises(ValueError, match="is not a count"):
        parse_count(text)


def test_percent_of_any_integers() -> None:
    assert percent(1, 10**4000) == "<0.1 %"
    assert percent(10**4000 - 1, 10**4000) == "99.9 %"
