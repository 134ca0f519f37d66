"""Devices as people and programs read them."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from io import StringIO

import pytest

from cnnstat.devices.catalogue import built_in, find, matching
from cnnstat.devices.device import KINDS, Device, Source
from cnnstat.devices.measured import TIMINGS, TimedRow
from cnnstat.devices.roofline import roofline
from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.render.devices import device_document, list_document
from cnnstat.render.document import Document, Figure
from cnnstat.render.measured import measured_document
from cnnstat.render.table import width
from tests.reports import normal

ALL = list_document(matching(built_in()))

HOSTILE = Device(
    id="b",
    name="<b>100 % & \x1b[31m_red_ | $x$",
    kind="other",
    memory_bytes=1000,
    note="a|b\tc",
    runtimes=("<i>",),
    rates={"fp32": 999_999_999},
    derived={"fp32": "a | b"},
    sources=(Source("#1 \x07", "https://example.org/a_b?c=1&d=2"),),
    place="boards.toml:3",
)


def text(document: Document, room: int | None = 80, format: str = "table") -> str:
    return renderer(format).draw(document, View(width=room))


def line(shown: str, start: str) -> list[str]:
    return next(row for row in shown.splitlines() if row.startswith(start + " ")).split()


@pytest.mark.parametrize("room", [80, 100, 200])
def test_the_list_fits(room: int) -> None:
    shown = text(ALL, room)
    assert max(map(width, shown.splitlines())) <= room
    for device in built_in():
        assert line(shown, device.id)
    for kind, words in KINDS.items():
        assert (f"{words} ({kind})" in shown) == (kind != "other")


def test_rates_and_marks_stay_at_80_columns() -> None:
    shown = text(ALL)
    assert line(shown, "h100") == [
        *("h100", "80", "GiB", "79.18", "GiB", "3.35", "TB/s"),
        *("66.9", "T", "989.4", "T", "1.979", "P"),
    ]
    assert line(shown, "tpu-v5e")[-4:] == ["197", "T", "~394", "T"]
    assert line(shown, "gtx1080ti")[-4:] == ["177.2", "G", "*45.4", "T"]
    assert line(shown, "stm32f746")[2:6] == ["320", "KiB", "1", "MiB"]
    assert "~ not read in a source" in shown and "* computed: `cnnstat devices ID`" in shown


def test_no_limit_shows_names_and_years() -> None:
    shown = text(ALL, None)
    assert "NVIDIA H100 SXM5 80 GB" in shown and "2022" in line(shown, "h100")


def test_a_key_stands_only_where_its_sign_does() -> None:
    shown = text(list_document([find("h100")]))
    assert "1 device\n" in shown and "~" not in shown and "*" not in shown


def test_one_device_shows_everything() -> None:
    device = find("kirin-970")
    shown = text(device_document(device), 200)
    for value in device.figures.values():
        assert f"{value:,}" in shown
    assert "derived: 1866 MHz x 2 x 8 bytes" in shown and "unverified" in shown
    assert device.note in shown and device.sources[0].title in shown


@pytest.mark.parametrize("device", [*built_in(), HOSTILE], ids=lambda device: device.id)
def test_the_table_of_a_device_fits(device: Device) -> None:
    shown = text(device_document(device), 80)
    long = [row for row in shown.splitlines() if width(row) > 80]
    assert all(row.startswith("http") for row in long)  # an address stays in one piece


def test_a_device_of_ones_own_says_where_it_is_from() -> None:
    shown = text(device_document(HOSTILE))
    assert "from boards.toml:3" in shown and "given in boards.toml:3" in shown
    assert "\x1b" not in shown and "\x07" not in shown and "\t" not in shown


@pytest.mark.parametrize("format", FORMATS)
def test_every_format(format: str) -> None:
    for document in (ALL, device_document(HOSTILE), list_document([HOSTILE])):
        shown = text(document, None, format)
        if format != "json":
            assert "\x1b[31m" not in shown.replace("\\x1b", "") or format == "csv"
    assert "<i>" not in text(device_document(HOSTILE), None, "html")


def test_json_is_all_of_it_in_whole_numbers() -> None:
    data = json.loads(text(ALL, format="json"))
    assert data["schema"] == 1 and len(data["devices"]) == 69
    for item in data["devices"]:
        device = find(item["id"])
        assert item["rates"] == device.rates and item["marks"] == device.marks
        assert item["memory_bytes"] == device.memory_bytes and item["year"] == device.year
        assert [source["title"] for source in item["sources"]] == [s.title for s in device.sources]
    (one,) = json.loads(text(device_document(find("h100")), format="json"))["devices"]
    assert one == next(item for item in data["devices"] if item["id"] == "h100")


def test_csv() -> None:
    rows = list(csv.DictReader(StringIO(text(ALL, format="csv"))))
    assert len(rows) == 69
    h100 = next(row for row in rows if row["id"] == "h100")
    assert h100["fp16"] == "989400000000000" and h100["binary"] == "" and h100["unverified"] == ""
    pi = next(row for row in rows if row["id"] == "raspberry-pi-3")
    assert pi["unverified"] == "tdp_watts bandwidth" and pi["derived"].split()[0] == "app_bytes"


# ---- times


def timed(device: str, reason: str = "") -> TimedRow:
    bound = None if reason else roofline(normal(), find(device), "fp32")
    return TimedRow(TIMINGS[0], 1, "net|1", Decimal("15.20"), False, None, bound, reason)


def test_times_beside_their_bounds() -> None:
    rows = [timed("snapdragon-820"), timed("h100", "it is described nowhere")]
    document = measured_document([rows, []])
    shown = text(document)
    cells = line(shown, "net|1")
    assert cells[1] == "15.20?" and cells[2].startswith("~")
    assert "– it is described nowhere" in shown
    assert "its figures: fp32 derived: one Kryo core" in shown and "bandwidth unverified" in shown
    assert sum(isinstance(block, Figure) for block in document.blocks) == 1
    data = json.loads(text(document, format="json"))
    assert data["measured"][0]["published_ms"] == 15.2 and not data["measured"][0]["bound_verified"]
    assert data["measured"][1]["bound_ms"] is None and data["measured"][1]["reason"]
    assert max(map(width, shown.splitlines())) <= 80


def test_figures_that_were_read_have_no_sign() -> None:
    shown = text(measured_document([[timed("h100")]]))
    assert "~" not in shown
