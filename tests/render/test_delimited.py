from __future__ import annotations

import csv
from io import StringIO

import pytest

from cnnstat.render.base import View
from cnnstat.render.delimited import COLUMNS, MEMORY_COLUMNS, CsvRenderer
from tests.reports import REPORTS, normal, unknown

INTEGERS = (
    *("params", "trainable_params", "buffers", "param_bytes", "macs", "flops", "activations"),
    *("quoted", "calls", "uncounted"),
)


def read(name: str, view: View) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(CsvRenderer().render(REPORTS[name](), view))))


@pytest.mark.parametrize("view", [View(), View(all=True), View(depth=1), View(by="macs")], ids=str)
@pytest.mark.parametrize("name", REPORTS)
def test_columns_are_integers_and_add_up(name: str, view: View) -> None:
    made, rows = REPORTS[name](), read(name, view)
    assert tuple(rows[0]) == COLUMNS + MEMORY_COLUMNS * made.has_memory
    for column in INTEGERS:
        total = sum(int(row[column]) for row in rows)
        if column == "uncounted":
            assert total == sum(item.count for item in made.uncounted)
        elif column != "calls":
            assert total == getattr(made.totals, column)


@pytest.mark.parametrize("name", REPORTS)
def test_every_module_has_a_line(name: str) -> None:
    assert [row["path"] for row in read(name, View())] == [x.path for x in REPORTS[name]().layers]


def test_shapes_and_gaps_can_be_read_by_a_machine() -> None:
    rows = {row["path"]: row for row in read("unknown", View())}
    assert rows["stem"]["input"] == "1x3x32x32"
    assert rows["stem"]["output"] == "1x16x32x32"
    assert rows["body.fused"]["uncounted"] == "3"
    assert rows["body.fused"]["uncounted_ops"] == "mylib.fused*3(1x16x32x32->1x16x32x32)"
    assert rows[""]["uncounted_ops"] == "mylib.mix*1(1x16x32x32,16->scalar)"


def test_a_picked_list_still_names_the_gaps() -> None:
    assert [row["path"] for row in read("normal", View(top=2))] == ["block.gc", "stem"]
    assert [row["path"] for row in read("unknown", View(top=1))] == ["stem", "", "body.fused"]


def test_memory_has_its_columns() -> None:
    rows = {row["path"]: row for row in read("remembered", View())}
    made = REPORTS["remembered"]()
    # stem puts out 1×16×32×32 floats.
    assert rows["stem"]["output_bytes"] == str(4 * 16 * 32 * 32)
    assert rows["stem"]["live_bytes"] == str(made.layer("stem").live_bytes)
    assert rows["aux"]["live_bytes"] == "0"


def test_pandas_reads_integers() -> None:
    pandas = pytest.importorskip("pandas")
    for made in (normal(), unknown()):
        frame = pandas.read_csv(StringIO(CsvRenderer().render(made, View())))
        assert all(frame[column].dtype.kind == "i" for column in INTEGERS)
        assert frame["macs"].sum() == made.totals.macs
