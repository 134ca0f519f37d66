"""Published tables as people and programs read them."""

from __future__ import annotations

import csv
import json
import re
from io import StringIO

import pytest

from cnnstat.published.computing import FilledTable, Measured, fill
from cnnstat.published.tables import list_tables, read_table
from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.render.document import Document
from cnnstat.render.published import list_document, table_document, tables_document
from cnnstat.render.table import width
from tests.measured import analyze

REPORTS = Measured(lambda spec, input: analyze(spec, input))


def filled(id: str) -> FilledTable:
    return fill(read_table(id), REPORTS)


def text(document: Document, room: int | None = 80, format: str = "table") -> str:
    return renderer(format).draw(document, View(width=room))


def line(shown: str, start: str) -> list[str]:
    return next(row for row in shown.splitlines() if row.startswith(start)).split()


def test_published_beside_computed() -> None:
    shown = text(table_document(filled("mobilenet_v1_table6")))
    assert line(shown, "0.75 MobileNet-224")[2:] == ["68.4", "325", "325", "0", "2.6", "2.6", "0"]
    assert max(map(width, shown.splitlines())) <= 80


def test_a_difference_has_its_footnote() -> None:
    shown = text(table_document(filled("mobilenet_v1_table2")))
    assert "1.91 [1]  +0.72" in shown
    assert "[1] a misprint: the printed column sums to 99.29" in shown


def test_what_is_not_computed_and_not_verified_is_marked() -> None:
    shown = text(table_document(filled("squeezenet_table1")))
    assert line(shown, "fire2")[-6:] == ["11,920?", "11,920", "0", "5,746?", "–", "[1]"]
    assert line(shown, "total")[-6:] == ["1,248,424", "1,248,424", "0", "421,098", "–", "[1]"]
    assert "? published figure not verified" in shown
    assert "[1] not computed: weights that survive pruning" in shown
    assert "?" not in text(table_document(filled("mobilenet_v1_table6")))


@pytest.mark.parametrize(
    "id", ["senet_table3", "mobilenet_v2_table3", "convnet_burden", "mobilenet_v3_table3"]
)
@pytest.mark.parametrize("exact", [False, True])
def test_wide_tables_fit_and_say_what_is_missing(id: str, exact: bool) -> None:
    document = table_document(filled(id), exact)
    for room in (70, 80, 120, 200):
        shown = text(document, room)
        assert max(map(width, shown.splitlines())) <= room
        missing = re.search(r"no room for .*?: --width (\d+)", shown.replace("\n", " "))
        if missing:
            wide = text(document, int(missing[1]))
            assert "no room" not in wide
            assert max(map(width, wide.splitlines())) > room
    assert "no room" not in text(document, None)


def test_costs_with_their_counts_stay_longest() -> None:
    shown = text(table_document(filled("senet_table3")))
    assert line(shown, "Network") == [
        *("Network", "MFLOPs", "counted", "Params", "counted", "MFLOPs,", "SE", "counted")
    ]
    assert "no room for Top-1 · Top-5 · Δ · Top-1, SE · Top-5, SE · Params, SE" in shown
    narrow = text(table_document(filled("mobilenet_v1_table6"), exact=True))
    assert line(narrow, "Model")[:4] == ["Model", "Mult-adds", "counted", "MACs"]
    assert "0.75 MobileNet-224" in narrow


def test_counts_in_the_unit_that_is_printed() -> None:
    shown = text(table_document(filled("deep_compression_table3")))
    assert line(shown, "ip1")[1:4] == ["400K", "400K", "0"]
    assert line(shown, "conv1")[1:4] == ["0.5K", "0.5K", "0"]


def test_exact_counts() -> None:
    shown = text(table_document(filled("mobilenet_v1_table6"), exact=True), None)
    assert line(shown, "1.0 MobileNet-224")[-4:] == [
        "568,740,352",
        "4,231,976",
        "567,716,352",
        "4,209,088",
    ]


def test_digits_that_the_file_dropped_come_back() -> None:
    assert "7.60?" not in (shown := text(table_document(filled("senet_table2")), None))
    assert line(shown, "ResNet-101").count("7.60") == 1


@pytest.mark.parametrize("format", FORMATS)
def test_every_format(format: str) -> None:
    tables = [filled(id) for id in ("mobilenet_v1_table9", "squeezenet_table2")]
    shown = text(tables_document(tables, "two"), None, format)
    assert "1700" in shown.replace(",", "")
    assert shown.endswith("\n")


def test_json_of_a_table() -> None:
    data = json.loads(text(table_document(filled("mobilenet_v1_table9")), None, "json"))
    assert data["schema"] == 1
    assert data["id"] == "mobilenet_v1_table9"
    assert [column["key"] for column in data["columns"]] == [
        "model",
        "top1",
        "mult_adds_m",
        "params_m",
    ]
    row = data["rows"][1]
    assert row["published"]["mult_adds_m"] == 1700
    assert row["published"]["verified"] is True
    assert row["computed"] == {"mult_adds_m": 1665.335872, "params_m": 1.248424}
    assert row["rounded"] == {"mult_adds_m": 1700, "params_m": 1.25}
    assert row["exact"] == {
        "macs": 832_667_936,
        "params": 1_248_424,
        "conv_macs": 832_667_936,
        "weights": 1_244_448,
    }
    assert (row["spec"], row["input"]) == ("zoo:squeezenet1_0", [1, 3, 227, 227])
    difference = row["differences"][0]
    assert (difference["column"], difference["within_rounding"]) == ("mult_adds_m", True)
    assert "counts two operations" in data["footnotes"][difference["footnotes"][0] - 1]


def test_json_of_several() -> None:
    tables = [filled(id) for id in ("mobilenet_v1_table6", "mobilenet_v1_table13")]
    data = json.loads(text(tables_document(tables, "two"), None, "json"))
    assert list(data) == ["schema", "tables"]
    assert [table["id"] for table in data["tables"]] == [
        "mobilenet_v1_table6",
        "mobilenet_v1_table13",
    ]
    row = data["tables"][1]["rows"][0]
    assert (row["computed"], row["exact"], row["spec"]) == ({}, None, None)
    assert set(row["not_computed"]) == {"mult_adds_b", "params_m"}


def test_csv_has_a_line_for_each_value() -> None:
    document = table_document(filled("mobilenet_v1_table2"))
    rows = list(csv.DictReader(StringIO(text(document, None, "csv"))))
    assert len(rows) == 4 * 3
    share = next(r for r in rows if (r["row"], r["column"]) == ("3", "mult_adds_pct"))
    assert (share["published"], share["rounded"]) == ("1.19", "1.91")
    assert share["reason"].startswith("a misprint")


def test_list() -> None:
    tables = [read_table(id) for id in list_tables()]
    shown = text(list_document(tables))
    assert all(id in shown for id in list_tables())
    assert max(map(width, shown.splitlines())) <= 80
    data = json.loads(text(list_document(tables), None, "json"))
    assert data["tables"][0].keys() == {
        "id",
        "title",
        "paper",
        "table",
        "year",
        "kind",
        "rows",
    }
