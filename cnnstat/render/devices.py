"""Devices as documents: what each holds and does at best, and how well that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from cnnstat.devices.device import DTYPE_BITS, KINDS, UNVERIFIED, VERIFIED, Device, Source
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.figures import numeric, signed
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.units import grouped, short, short_bytes

SCHEMA = 1
"""Version of the JSON form."""

_KEYS = {
    "~": "~ not read in a source",
    "*": "* computed: `cnnstat devices ID` shows the rule",
}
_UNITS = "rates are operations a second at most, a multiply–add counting two, without sparsity"
_LABELS = {
    "memory_bytes": "memory",
    "app_bytes": "for one app",
    "ram_bytes": "RAM",
    "flash_bytes": "flash",
    "bandwidth": "bandwidth",
    "tdp_watts": "power",
}
_Cell = Callable[[Device], str]


def list_document(devices: Sequence[Device]) -> Document:
    """Devices by kind, one line each."""
    blocks: list[Text | Figure] = []
    for kind, some in groupby(devices, key=lambda device: device.kind):
        table = _table(list(some), kind)
        blocks.append(Figure(table, title=f"{KINDS[kind]} ({kind})", key=kind))
    blocks.append(Text(_UNITS, "quiet"))
    tables = [block.table for block in blocks if isinstance(block, Figure)]
    shown = {text[:1] for table in tables for line in table.lines for text in line.cells[1:]}
    blocks += [Text(text, "quiet") for sign, text in _KEYS.items() if sign in shown]
    return Document(
        title=("devices",),
        circumstances=(f"{len(devices)} device{'' if len(devices) == 1 else 's'}",),
        blocks=tuple(blocks),
        data=_data(devices),
        records=tuple(map(_record, devices)),
    )


def device_document(device: Device) -> Document:
    """One device with all its figures and where they are from."""
    columns = (
        Column(key="figure", title="figure"),
        Column(key="value", title="value", numeric=True),
        Column(key="exactly", title="exactly", numeric=True, priority=10),
        Column(key="known", title="how it is known", prose=True),
    )
    lines = tuple(
        Line(cells=(_label(device, name), *_values(device, name), visible(_known(device, name))))
        for name in device.figures
    )
    texts = [Text(_UNITS, "quiet")]
    if device.runtimes:
        texts.append(Text(f"runs networks with {visible(', '.join(device.runtimes))}"))
    texts += [Text(visible(device.note))] if device.note else []
    texts += [Text(_source(number, source)) for number, source in enumerate(device.sources, 1)]
    return Document(
        title=(visible(device.name),),
        circumstances=tuple(
            text
            for text in (
                device.id,
                device.kind,
                str(device.year or ""),
                f"from {visible(device.place)}" if device.place else "",
            )
            if text
        ),
        blocks=(Figure(Table(columns=columns, lines=lines), key=device.id), *texts),
        data=_data([device]),
        records=(_record(device),),
    )


# ---- the list


def _table(devices: Sequence[Device], kind: str) -> Table:
    """The columns of which some device of the kind has a figure. Names leave first, rates never."""

    def size(key: str) -> _Cell:
        return lambda device: _short(device, key)

    cells: list[tuple[Column, _Cell]] = [
        (Column(key="id", title="id"), lambda device: visible(device.id)),
        (Column(key="name", title="name", priority=5), lambda device: visible(device.name)),
        (numeric("year", "year", 10), lambda device: str(device.year or "")),
    ]
    if kind == "mcu":
        cells.append((numeric("ram_bytes", "RAM"), size("ram_bytes")))
        cells.append((numeric("flash_bytes", "flash"), size("flash_bytes")))
    else:
        cells.append((numeric("memory_bytes", "memory"), size("memory_bytes")))
    cells += [
        (numeric("app_bytes", "one app", 20), size("app_bytes")),
        (numeric("bandwidth", "bandwidth", 60), size("bandwidth")),
        (numeric("fp32", "fp32"), size("fp32")),
        (numeric("fp16", "fp16/bf16"), _half),
        (numeric("int8", "int8"), size("int8")),
    ]
    texts = [(column, [cell(device) for device in devices]) for column, cell in cells]
    texts = [(column, column_texts) for column, column_texts in texts if any(column_texts)]
    return Table(
        columns=tuple(column for column, _ in texts),
        lines=tuple(
            Line(cells=tuple(cells)) for cells in zip(*(own for _, own in texts), strict=True)
        ),
    )


def _half(device: Device) -> str:
    return _short(device, "fp16") or _short(device, "bf16")


def _short(device: Device, name: str) -> str:
    """`~3.35 TB/s`: the sign says how well it is known."""
    if name not in device.figures:
        return ""
    return signed(device, name) + _values(device, name)[0]


# ---- one device


def _values(device: Device, name: str) -> tuple[str, str]:
    """The figure in short and in full, with its unit."""
    value = device.figures[name]
    if name == "tdp_watts":
        return f"{value} W", f"{grouped(value)} W"
    if name == "bandwidth":
        return f"{_plain(short(value))}B/s", f"{grouped(value)} B/s"
    if name in device.rates:
        return _plain(short(value)), grouped(value)
    return _plain(short_bytes(value)), f"{grouped(value)} B"


def _plain(text: str) -> str:
    """`80 GiB` for `80.00 GiB`."""
    number, space, unit = text.partition(" ")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + space + unit


def _label(device: Device, name: str) -> str:
    if name in device.rates:
        return f"{name} rate"
    return _LABELS.get(name, name.replace("_", " "))


def _known(device: Device, name: str) -> str:
    mark = device.mark(name)
    texts = ["given in " + device.place if device.place and mark == VERIFIED else mark]
    if mark == UNVERIFIED and name in device.derived:
        texts.append(f"derived: {device.derived[name]}")
    if name == "app_bytes" and device.app_note:
        texts.append(device.app_note)
    return "; ".join(texts)


def _source(number: int, source: Source) -> str:
    read = "" if source.read else " (not read)"
    return visible(f"[{number}] {source.title}{read}" + (f": {source.url}" if source.url else ""))


# ---- as data


def _data(devices: Sequence[Device]) -> dict[str, Any]:
    return {"schema": SCHEMA, "devices": [_device(device) for device in devices]}


def _device(device: Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "name": device.name,
        "kind": device.kind,
        "year": device.year,
        "memory_bytes": device.memory_bytes,
        "app_bytes": device.app_bytes,
        "app_note": device.app_note,
        "ram_bytes": device.ram_bytes,
        "flash_bytes": device.flash_bytes,
        "memories": dict(device.memories),
        "bandwidth": device.bandwidth,
        "rates": dict(device.rates),
        "tdp_watts": device.tdp_watts,
        "runtimes": list(device.runtimes),
        "note": device.note,
        "marks": device.marks,
        "sources": [asdict(source) for source in device.sources],
        "place": device.place,
    }


def _record(device: Device) -> Mapping[str, object]:
    whole = _device(device)
    keys = ("id", "name", "kind", "year", "memory_bytes", "app_bytes", "ram_bytes", "flash_bytes")
    return {
        **{key: whole[key] for key in keys},
        "bandwidth": device.bandwidth,
        **{dtype: device.rate(dtype) for dtype in DTYPE_BITS},
        "tdp_watts": device.tdp_watts,
        "unverified": " ".join(device.unverified),
        "derived": " ".join(device.derived),
    }
