from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.budgets.limits import METRICS, Check, Growth, Limit, metric_named
from tests.reports import normal

COUNTS = st.integers(0, 10**20)


def test_every_metric_is_a_total_of_a_report_and_a_sum_of_its_layers() -> None:
    report = normal()
    for metric in METRICS.values():
        if metric.extra:
            continue
        assert metric.of(report) == getattr(report.totals, metric.key)
        assert sum(metric.of_layer(layer) for layer in report.layers) == metric.of(report)
    assert METRICS["params"].of(report) > 0
    assert METRICS["moved-bytes"].key == "moved_bytes"


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("params", "3.5 M", 3_500_000),
        ("params", 25_557_032, 25_557_032),
        ("param_bytes", "200 MiB", 200 * 2**20),
        ("param-bytes", "12 MB", 12_000_000),
        ("macs", "4.2G", 4_200_000_000),
        ("macs", "0", 0),
    ],
)
def test_a_limit_is_what_people_write(name: str, given: str | int, value: int) -> None:
    limit = Limit.of(name, given)
    assert (limit.value, limit.allowed(None)) == (value, value)
    assert limit.rule == f"max.{name.replace('_', '-')}"


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("params", "-1", "negative"),
        ("params", -1, "negative"),
        ("params", True, "True"),
        ("params", 1.5, "1.5"),
        ("params", "many", "'many'"),
        ("params", "1.5", "whole number"),
        ("params", "9" * 100, "too long"),
        ("params", 10**30, "more than any network has"),
        ("params", "12 MiB s", "12 MiB s"),
        ("beauty", "1", "unknown metric 'beauty'; expected one of params"),
    ],
)
def test_a_limit_that_is_none(name: str, given: str | int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Limit.of(name, given)


@pytest.mark.parametrize(
    ("given", "before", "allowed"),
    [
        ("0%", 1000, 1000),
        ("1%", 1000, 1010),
        ("1 %", 1099, 1109),  # 10.99 may be added, and there is no part of a parameter
        ("+0.5%", 1000, 1005),
        ("0.1%", 999, 999),
        ("+10 k", 1000, 11_000),
        ("+1", 0, 1),
        ("100%", 0, 0),
    ],
)
def test_growth(given: str, before: int, allowed: int) -> None:
    assert Growth.of("params", given).allowed(before) == allowed


@given(COUNTS, st.integers(0, 10**6))
def test_growth_in_percent_is_exact(before: int, thousandths: int) -> None:
    share = f"{thousandths // 1000}.{thousandths % 1000:03}%"
    allowed = Growth.of("macs", share).allowed(before)
    assert allowed is not None
    most = before * (1 + Fraction(thousandths, 100_000))
    assert allowed <= most < allowed + 1


def test_growth_without_a_baseline_forbids_nothing() -> None:
    assert Growth.of("macs", "0%").allowed(None) is None


@pytest.mark.parametrize(
    "given", ["-1%", "10 k", "%", "+", "+x", "+-5", "1%%", "", 5, None, "1e9%"]
)
def test_growth_that_is_none(given: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Growth.of("params", given)


@given(st.lists(COUNTS, min_size=1, max_size=4), st.sampled_from(["params", "param-bytes"]))
def test_different_numbers_look_different(values: list[int], name: str) -> None:
    texts = metric_named(name).apart(values)
    assert len(set(texts)) == len(set(values))


def test_numbers_are_no_longer_than_it_takes() -> None:
    macs = METRICS["macs"]
    assert macs.apart([4_089_184_256, 4_200_000_000]) == ["4.089 G", "4.200 G"]
    assert macs.apart([4_089_184_256, 4_089_384_256]) == ["4.0892 G", "4.0894 G"]
    assert macs.apart([25_557_032, 25_557_033]) == ["25,557,032", "25,557,033"]
    assert METRICS["param-bytes"].apart([2**20, 2**20 + 1]) == ["1,048,576 B", "1,048,577 B"]


def test_a_check_looks_at_what_it_limits_in_one_order() -> None:
    check = Check(
        name="a",
        model="a",
        limits=(Limit.of("macs", 1), Limit.of("params", 1)),
        growth=(Growth.of("flops", "0%"), Growth.of("macs", "0%")),
    )
    assert [metric.name for metric in check.metrics] == ["params", "macs", "flops"]
