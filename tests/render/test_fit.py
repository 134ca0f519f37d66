"""Fits as documents: every format, every width, and every mark with its key."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

import cnnstat
from cnnstat.devices.catalogue import find
from cnnstat.devices.device import Device
from cnnstat.devices.fitting import Fit
from cnnstat.devices.rooms import Room
from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.fit import devices_document, fit_document, matrix_document

SPECS = ["squeezenet1_1", "vgg11"]
NAMED = ["gtx580", "tpu-v4", "raspberry-pi-4", "pixel-1", "stm32f746", "esp32"]


@pytest.fixture(scope="module")
def fits() -> list[Fit]:
    return cnnstat.fit(SPECS, NAMED, thorough=True)


def documents(fits: list[Fit]) -> dict[str, Document]:
    one = [fit for fit in fits if fit.spec == SPECS[0]]
    return {
        "detail": fit_document(fits[:2]),
        "layers": fit_document(one[:1], layers=True),
        "devices": devices_document(one),
        "matrix": matrix_document(fits),
    }


@pytest.mark.parametrize("name", ["detail", "layers", "devices", "matrix"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format(fits: list[Fit], name: str, format: str) -> None:
    text = renderer(format).draw(documents(fits)[name], View())
    assert text.endswith("\n") and "squeezenet1" in text.replace("\\", "")
    if format == "json":
        assert json.loads(text)["schema"] == 1
    if format == "csv":
        rows = list(csv.reader(io.StringIO(text)))
        assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", ["detail", "layers", "devices", "matrix"])
def test_no_line_is_wider_than_the_room(fits: list[Fit], name: str, width: int) -> None:
    lines = renderer("table").draw(documents(fits)[name], View(width=width)).splitlines()
    wide = [line for line in lines if len(line) > width]
    assert not wide or width == 60, wide


def quiet(document: Document) -> str:
    return "\n".join(b.text for b in document.blocks if isinstance(b, Text))


def test_every_sign_has_its_key(fits: list[Fit]) -> None:
    drawn = renderer("table").draw(documents(fits)["devices"], View())
    rows = {line.split()[0]: line for line in drawn.splitlines() if line.split()}
    assert "~32.00 GiB" in rows["tpu-v4"] and "~" not in rows["gtx580"]
    assert "*3.500 GiB" in rows["raspberry-pi-4"]
    assert rows["stm32f746"].endswith(" ms a") and "*" in rows["stm32f746"]
    assert rows["tpu-v4"].endswith(" µs m")
    keys = quiet(documents(fits)["devices"])
    assert all(f"\n{sign} " in keys for sign in "~*am")
    alone = devices_document([fit for fit in fits if fit.device.id == "gtx580"][:1])
    assert not any(f"\n{sign} " in quiet(alone) for sign in "~*am")


def test_every_time_of_a_layer_has_its_mark() -> None:
    (fit,) = cnnstat.fit(SPECS[0], "pixel-1", thorough=False)
    document = fit_document([fit], layers=True)
    *_, last = [block for block in document.blocks if isinstance(block, Figure)]
    assert all(cell.startswith("~") for cell in last.table.column("least"))
    assert len(document.records) == len(last.table.lines) - 1
    record = document.records[0]
    assert record["path"] == "features.0" and record["seconds"]
    assert record["roofline_marks"] == "fp32 unverified; bandwidth verified"


def test_a_matrix_says_what_it_does_not_show(fits: list[Fit]) -> None:
    unknown = replace(fits[0], device=find("h100"), rooms=(), reason="for a reason")
    document = matrix_document([*fits, unknown])
    assert "without an answer: h100" in quiet(document)
    assert document.data["results"][-1]["verdict"] == "unknown"
    assert document.data["results"][-1]["reason"] == "for a reason"


def test_rows_and_columns_of_a_matrix(fits: list[Fit]) -> None:
    lines = renderer("table").draw(documents(fits)["matrix"], View(width=80)).splitlines()
    words = [line.split() for line in lines]
    assert ["pixel-1", "fp32", "fits", "does", "not", "fit"] in words
    assert ["gtx580", "fp32", "fits", "fits"] in words
    assert ["esp32", "int8", "does", "not", "fit~", "does", "not", "fit~"] in words


def test_names_cannot_print_into_the_document() -> None:
    device = Device(id="x", name="a\nb\x1b[31m", kind="phone", memory_bytes=10, app_note="c\rd")
    room = Room("memory", 1, 10, "memory_bytes")
    fit = Fit("m\x1b", device, "fp32", rooms=(room,), reason="e\nf")
    for document in (fit_document([fit]), devices_document([fit]), matrix_document([fit])):
        text = renderer("table").draw(document, View())
        assert "\x1b" not in text and "\r" not in text


def drawn(document: Document, width: int | None = 80) -> str:
    text = renderer("table").draw(document, View(width=width))
    return text.replace("\n", " ") if width else text


def test_columns_without_room_are_told(fits: list[Fit]) -> None:
    boards = [fit for fit in fits if fit.device.kind == "mcu" and fit.spec == SPECS[0]]
    document = devices_document(boards)
    narrow, wide = drawn(document), drawn(document, None)
    assert "no room for dtype · largest batch" in narrow and ": --width " in narrow
    assert "bound: no run is faster" not in narrow and "a arithmetic alone" not in narrow
    assert "bound: no run is faster" in wide and "a arithmetic alone" in wide
    assert "no room" not in wide and "~ made of figures" in narrow


def test_an_id_is_never_shortened() -> None:
    id = "a-board-with-a-long-name-that-is-copied-from-here-and-typed"
    device = Device(id=id, name="x", kind="phone", memory_bytes=10)
    room = Room("memory", 1, 10, "memory_bytes")
    found = [Fit(spec, device, "fp32", rooms=(room,)) for spec in ("m", "n")]
    for document in (devices_document(found[:1]), matrix_document(found)):
        assert f" {id} " in drawn(document)


def test_formats_of_one_device_are_told_apart() -> None:
    device = find("stm32f746")
    rooms = (Room("RAM", 1, 10, "ram_bytes"), Room("flash", 1, 10, "flash_bytes"))
    found = [Fit("m", device, dtype, rooms=rooms) for dtype in ("fp32", "int8")]
    assert " int8 " in drawn(devices_document(found), 60)


def test_what_weights_are(fits: list[Fit]) -> None:
    assert "weights and buffers " in drawn(fit_document(fits[:1]))
    (training,) = cnnstat.fit("zoo:lenet5", "h100", optimizer="adam")
    assert "weights, buffers and optimizer state " in drawn(fit_document([training]), 200)


def test_both_memories_have_a_margin(fits: list[Fit]) -> None:
    board = next(fit for fit in fits if fit.device.id == "stm32f746")
    (figure,) = [b for b in fit_document([board]).blocks if isinstance(b, Figure)]
    assert figure.table.column("what").count("margin") == 2
    assert "3.9 % larger" in drawn(fit_document([board]), 200)


def test_an_engine_has_memories_of_its_own() -> None:
    found = cnnstat.fit(SPECS[:1], ["max78000"])
    for document in (fit_document(found), devices_document(found), matrix_document(found)):
        assert "max78000: the memories of its engine for networks (cnn_data, cnn_we" in quiet(
            document
        )


def test_nothing_known() -> None:
    device = Device(id="x", name="x", kind="mcu", memory_bytes=0)
    text = renderer("table").draw(fit_document([Fit("m", device, "int8", reason="why")]), View())
    assert "m on x in int8: –" in text and "why" in text
