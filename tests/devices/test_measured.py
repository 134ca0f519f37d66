"""Published times beside their bounds: the papers' own numbers, referred to and not copied."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cnnstat.devices.catalogue import find
from cnnstat.devices.measured import TIMINGS, TimedRow, Timing, memory_rows, timed_rows
from cnnstat.memory.folding import plan_graph
from cnnstat.published.computing import Measured
from cnnstat.published.tables import read_table
from tests.measured import analyze
from tests.memory.recorded import named

REPORTS = Measured(lambda spec, input: analyze(spec, inputs=input))


def rows(table: str, column: str) -> dict[str, TimedRow]:
    timing = next(t for t in TIMINGS if (t.table, t.column) == (table, column))
    return {row.name: row for row in timed_rows(timing, REPORTS)}


@pytest.mark.parametrize("timing", TIMINGS, ids=lambda t: f"{t.table}-{t.column}")
def test_each_column_is_one_of_milliseconds_with_a_device(timing: Timing) -> None:
    column = next(c for c in read_table(timing.table).columns if c.key == timing.column)
    assert column.unit == "ms"
    assert find(timing.device).rate(timing.dtype) is not None
    if timing.size is not None:
        assert column.label == "{}x{}".format(*timing.size)


@pytest.mark.parametrize("timing", TIMINGS, ids=lambda t: f"{t.table}-{t.column}")
def test_no_published_time_is_below_its_bound(timing: Timing) -> None:
    found = timed_rows(timing, REPORTS)
    assert any(row.ratio for row in found)
    for row in found:
        if row.ratio is None:
            assert row.reason
        else:
            assert row.ratio > 1 and row.bound_ms is not None and row.layered_ms is not None
            assert row.bound_ms <= row.layered_ms < row.published_ms


def test_shufflenet_on_one_core() -> None:
    found = rows("shufflenet_v1_table8", "ms_224x224")
    mobilenet = found["1.0 MobileNet-224"]
    # 568,740,352 MACs, two operations each, at 2.15 GHz x 16: 33.07 ms, of 110 that were measured
    assert mobilenet.published_ms == 110 and mobilenet.verified
    assert mobilenet.bound_ms == pytest.approx(1000 * 2 * 568_740_352 / (2.15e9 * 16))
    assert mobilenet.ratio == pytest.approx(3.33, abs=0.01)
    assert mobilenet.roofline is not None
    assert mobilenet.roofline.marks["bandwidth"] == "unverified"
    assert mobilenet.roofline.marks["fp32"].startswith("derived: one Kryo core")
    assert "one core" in mobilenet.timing.assumes


def test_other_resolutions() -> None:
    found = rows("shufflenet_v1_table8", "ms_720x1280")
    small = found["ShuffleNet 0.5x (g=3)"]
    assert small.input == (1, 3, 720, 1280) and small.published_ms == Decimal("260.1")
    assert small.ratio == pytest.approx(6.5, abs=0.1)
    alexnet = found["AlexNet"]
    assert alexnet.bound_ms is alexnet.ratio is None and "one size" in alexnet.reason


def test_what_cannot_be_measured_says_why() -> None:
    found = rows("mobilenet_v3_table3", "p1_ms")["Mnas-small"]
    assert found.roofline is None and found.reason.startswith("MnasNet-small is described")


def test_memory_on_microcontrollers() -> None:
    # MCUNetV2: 16 channels of 112×112 become 96, in 8 bits; MCUNet: 8 of 72×72 become 48, less than printed.
    found = memory_rows(lambda spec, resolution: plan_graph(named(spec, resolution)))
    assert [(row.figure.published_kb, row.bound_bytes) for row in found] == [
        (1372, 112 * 112 * (16 + 96)),
        (308, 72 * 72 * (8 + 48)),
    ]
    assert found[0].ratio == 1
    assert found[1].ratio == pytest.approx(1.086, abs=0.001)
