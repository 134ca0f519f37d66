from __future__ import annotations

import pytest

from cnnstat.report import Report, Work
from tests.reports import REPORTS, normal, unknown


def test_work_adds_up() -> None:
    one = Work(macs=1, adds=2, muls=3, compares=4, special=5, moved=6, activations=7)
    assert sum([one, one, Work()]) == one + one
    assert (one + one).macs == 2
    assert one.other == 2 + 3 + 4 + 5
    assert one.flops == 2 * 1 + 14


def test_totals_are_the_sums_of_the_layers() -> None:
    report = normal()
    assert report.totals.macs == sum(layer.macs for layer in report.layers)
    assert report.totals.params == sum(layer.params for layer in report.layers)
    assert report.subtree("") == report.totals
    # dw 288, pw 1024, gc 2304, fc1 264, fc2 288
    assert report.subtree("block").params == 4168
    assert report.subtree("block.se").macs == 512


def test_a_subtree_is_not_what_starts_with_the_same_letters() -> None:
    with pytest.raises(KeyError, match="no layer 'b' in"):
        normal().subtree("b")


@pytest.mark.parametrize("name", REPORTS)
def test_kinds_partition_the_totals(name: str) -> None:
    report = REPORTS[name]()
    for field in ("params", "macs", "flops", "activations"):
        parts = sum(getattr(total, field) for total in report.kinds.values())
        assert parts == getattr(report.totals, field)


def test_a_layer_is_found_by_its_path() -> None:
    assert normal().layer("block.dw").kind == "depthwise"
    assert normal().layer("block.dw").name == "dw"
    assert normal().layer("block.dw").depth == 2
    with pytest.raises(KeyError, match="nowhere"):
        normal().layer("nowhere")


def test_only_a_report_without_gaps_is_complete() -> None:
    assert normal().complete
    assert not unknown().complete
    assert "4 uncounted operations" in repr(unknown())


@pytest.mark.parametrize("name", REPORTS)
def test_a_frame_has_a_row_per_layer_and_integers(name: str) -> None:
    report: Report = REPORTS[name]()
    frame = report.to_frame()
    assert list(frame["path"]) == [layer.path for layer in report.layers]
    for column in ("params", "macs", "flops", "activations", "quoted", "calls", "buffers"):
        assert sum(frame[column]) == sum(getattr(layer, column) for layer in report.layers)
        assert all(int(value) == value for value in frame[column])
