"""Devices from TOML tables, checked key by key: whatever is wrong is said with file and line.

    [[device]]                           # in a file of devices; several
    id = "my-board"
    name = "My board"                    # needed, as is memory_bytes
    memory_bytes = "512MiB"              # a number, or a text with a unit
    kind = "sbc"
    bandwidth = "3.6 GB/s"
    rates = { fp32 = "38.4 G", int8 = 76_800_000_000 }

In a configuration the same keys stand without `id` under `[tool.cnnstat.devices.my-board]` (in cnnstat.toml
`[devices.my-board]`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from cnnstat.budgets.config_table import ConfigTable
from cnnstat.devices.device import DTYPE_BITS, KINDS, Device, Source
from cnnstat.errors import ConfigError
from cnnstat.units import parse_bytes, parse_count

_SIZES = ("memory_bytes", "app_bytes", "ram_bytes", "flash_bytes")
_TEXTS = ("app_note", "note")
KEYS = (
    *("name", "kind", "year", *_SIZES, "app_note", "memories", "bandwidth", "rates", "tdp_watts"),
    *("runtimes", "note", "sources", "unverified", "derived"),
)
RUNTIMES = (
    *("pytorch-eager", "pytorch-xla", "jax", "tensorflow", "tensorrt", "onnxruntime", "openvino"),
    *("litert", "coreml", "executorch", "qnn", "hiai"),
    *("tflm", "stm32cube-ai", "tinyengine", "esp-dl", "ai8x-synthesis", "none"),
)
"""What runs networks somewhere; a remark may follow: `"pytorch-eager (ROCm)"`."""
_MEANT = {
    **dict.fromkeys(("cuda", "pytorch", "rocm", "torch"), "pytorch-eager"),
    **dict.fromkeys(("onnx", "ort"), "onnxruntime"),
    "tflite": "litert",
    "trt": "tensorrt",
    "sram": "ram_bytes",
    "vram": "memory_bytes",
}
"""What people write for runtimes and keys, where spelling does not tell."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_MOST = 10**24
"""No device has more of anything; a longer number is a slip."""
_LONGEST_NAME = 120

_SIZE = ("a size above 0, such as 536870912 or '512MiB'", parse_bytes)
_RATE = ("operations a second above 0, such as 38400000000 or '38.4 G'", parse_count)
_WATTS = ("watts, a whole number above 0", parse_count)


def devices_in_file(top: ConfigTable, *, own: bool = True) -> tuple[Device, ...]:
    """The devices under `[[device]]`. `own`: they remember their place. Raises `ConfigError`."""
    top.only(("device",), "key")
    listed = top.value.get("device", [])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        top.expect("device", "tables, each under [[device]]")
    if not listed:
        top.wrong("no device here", hint="expected tables, each under [[device]]")
    found = []
    for n, item in enumerate(listed):
        table = ConfigTable(item, ("device", n), top.lines, top.shown)
        id = table.text("id")
        if id is None:
            table.wrong('a device without an id; expected id = "my-board"')
        found.append(_device(_checked_id(id, table, "id"), table, ("id", *KEYS), own))
    return unlike(tuple(found))


def devices_in_config(top: ConfigTable) -> tuple[Device, ...]:
    """The devices of a configuration, whose ids are the names of their tables. Raises `ConfigError`."""
    header = ".".join(map(str, (*top.path, "devices", "my-board")))
    if "device" in top.value:
        top.wrong("unknown key 'device'", "device", hint=f"a device stands here under [{header}]")
    if "devices" not in top.value:
        return ()
    tables = top.table("devices", f"tables such as [{header}]")
    found = []
    for id, item in tables.value.items():
        if not isinstance(item, dict):
            tables.expect(id, f"a table [{header}]")
        table = tables.table(id, "a table")
        found.append(_device(_checked_id(id, table), table, KEYS, own=True))
    return tuple(found)


def unlike(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """The devices, where no two have one id. Raises `ConfigError`, naming both places."""
    first: dict[str, Device] = {}
    for device in devices:
        other = first.setdefault(device.id.lower(), device)
        if other is not device:
            where = f"the first is at {other.place}" if other.place else "there is one built in"
            raise ConfigError(
                f"{device.place}: a second device {device.id!r}; {where}",
                hint="give each an id of its own",
            )
    return devices


def _checked_id(id: str, table: ConfigTable, *keys: str) -> str:
    if not _ID.fullmatch(id):
        table.wrong(
            f"{id[:60]!r} is no id; expected letters, digits, dots, hyphens and underscores", *keys
        )
    return id


def _device(id: str, table: ConfigTable, keys: tuple[str, ...], own: bool) -> Device:
    _check_keys(table, keys)
    name = table.text("name")
    if name is None:
        table.wrong(f'device {id!r} has no name; expected name = "My board"')
    if len(name) > _LONGEST_NAME or not name.isprintable():
        table.wrong(f"the name is longer than {_LONGEST_NAME} characters or not printable", "name")
    sizes = {key: _number(table, key, *_SIZE) for key in _SIZES}
    kind = _kind(table)
    memory = _memory(id, kind, table, sizes)
    rates = _numbers(table, "rates", _RATE, "{ fp32 = 38400000000 }", _check_rate)
    device = Device(
        id=id,
        name=name,
        kind=kind,
        memory_bytes=memory,
        year=_year(table),
        app_bytes=sizes["app_bytes"],
        ram_bytes=sizes["ram_bytes"],
        flash_bytes=sizes["flash_bytes"],
        **{key: table.text(key, "") or "" for key in _TEXTS},
        memories=_numbers(table, "memories", _SIZE, "{ on_chip = 8388608 }", _check_memory),
        bandwidth=_number(
            table, "bandwidth", "bytes a second above 0, such as '25.6 GB/s'", _bandwidth
        ),
        rates=rates,
        tdp_watts=_number(table, "tdp_watts", *_WATTS),
        runtimes=_runtimes(table),
        sources=_sources(table),
        unverified=_texts(table, "unverified", '["bandwidth"]'),
        derived=_derived(table),
        place=str(table.place()) if own else "",
    )
    _check_marks(device, table)
    return device


def _check_keys(table: ConfigTable, keys: tuple[str, ...]) -> None:
    """A size without its unit is told from what is misspelt: `ram` is nearer to `name` by its letters."""
    for key in table.value:
        meant = _MEANT.get(key.casefold(), f"{key.casefold()}_bytes")
        if key not in keys and meant in keys:
            table.wrong(f"unknown key of a device {key!r}", key, hint=f"did you mean {meant!r}?")
    table.only(keys, "key of a device")


def _runtimes(table: ConfigTable) -> tuple[str, ...]:
    """Which estimate holds depends on these words, so an unknown one is no detail."""
    found = _texts(table, "runtimes", '["litert"]')
    for word in (text.split()[0].casefold() for text in found):
        if word not in RUNTIMES:
            close = difflib.get_close_matches(word, RUNTIMES, n=1, cutoff=0.5)
            meant = _MEANT.get(word) or (close[0] if close else "")
            hint = f"did you mean {meant!r}? " if meant in RUNTIMES else ""
            table.wrong(
                f"unknown runtime {word[:40]!r}",
                "runtimes",
                hint=f"{hint}expected one of {', '.join(RUNTIMES)}",
            )
    return found


def _memory(id: str, kind: str, table: ConfigTable, sizes: Mapping[str, int | None]) -> int:
    memory, ram, flash = (sizes[key] for key in ("memory_bytes", "ram_bytes", "flash_bytes"))
    if memory is None and ram is not None and flash is not None:
        memory = ram + flash
    if memory is None and kind == "mcu":
        missing = [
            f'{key} = "{size}"'
            for key, size in (("ram_bytes", "320KiB"), ("flash_bytes", "1MiB"))
            if sizes[key] is None
        ]
        names = " and ".join(text.partition(" ")[0] for text in missing)
        table.wrong(f"device {id!r}, an mcu, has no {names}; expected {' and '.join(missing)}")
    if memory is None:
        table.wrong(f'device {id!r} has no memory_bytes; expected memory_bytes = "8GiB"')
    for key, size in sizes.items():
        if size is not None and size > memory:
            table.wrong(f"{key} is more than memory_bytes, {memory:,}", key)
    return memory


def _kind(table: ConfigTable) -> str:
    kind = table.text("kind", "other") or "other"
    if kind not in KINDS:
        table.wrong(f"kind {kind!r}; expected one of {', '.join(KINDS)}", "kind")
    return kind


def _year(table: ConfigTable) -> int | None:
    year = table.value.get("year")
    if year is None or (type(year) is int and 1940 <= year <= 2100):
        return year
    table.expect("year", "a year such as 2024")


def _number(
    table: ConfigTable, key: str, expected: str, parse: Callable[[str | int], int]
) -> int | None:
    given = table.value.get(key)
    if given is None:
        return None
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int | str) or len(str(given)) > 60:
        table.expect(key, expected)
    try:
        value = parse(given)
    except ValueError as error:
        table.wrong(f"{key!r}: {error}", key)
    if not 0 < value <= _MOST:
        table.expect(key, expected)
    return value


def _bandwidth(given: str | int) -> int:
    return parse_bytes(re.sub(r"\s*/\s*s\s*$", "", given) if isinstance(given, str) else given)


def _numbers(
    table: ConfigTable,
    key: str,
    form: tuple[str, Callable[[str | int], int]],
    example: str,
    check: Callable[[ConfigTable, str], None],
) -> dict[str, int]:
    if key not in table.value:
        return {}
    numbers = table.table(key, f"a table such as {example}")
    found = {}
    for name in numbers.value:
        check(numbers, name)
        value = _number(numbers, name, *form)
        assert value is not None  # TOML has no value that is none.
        found[name] = value
    return found


def _check_rate(rates: ConfigTable, name: str) -> None:
    if name in DTYPE_BITS:
        return
    known = ", ".join(DTYPE_BITS)
    if "spars" in name.lower():
        rates.wrong(
            f"{name!r} is no rate: rates are dense peaks",
            name,
            hint="give what the device does without sparsity, half of a 2:4 sparse rate",
        )
    rates.wrong(f"{name!r} is no dtype", name, hint=f"expected one of {known}")


def _check_memory(memories: ConfigTable, name: str) -> None:
    if name in (*KEYS, *DTYPE_BITS) or not re.fullmatch(r"[a-z][a-z0-9_]{0,29}", name):
        memories.wrong(f"{name[:40]!r} is no name of a memory; expected one such as on_chip", name)


def _texts(table: ConfigTable, key: str, example: str) -> tuple[str, ...]:
    given = table.value.get(key, [])
    if not isinstance(given, list) or not all(
        isinstance(item, str) and item.strip() for item in given
    ):
        table.expect(key, f"a list of texts such as {example}")
    return tuple(given)


def _derived(table: ConfigTable) -> dict[str, str]:
    if "derived" not in table.value:
        return {}
    rules = table.table("derived", 'a table such as { fp32 = "4 cores x 1.5 GHz x 8" }')
    return {figure: rules.text(figure) or "" for figure in rules.value}


def _sources(table: ConfigTable) -> tuple[Source, ...]:
    given: Any = table.value.get("sources", [])
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        table.expect("sources", 'a list of tables such as [{ title = "datasheet", url = "…" }]')
    found = []
    for n, item in enumerate(given):
        source = ConfigTable(item, (*table.path, "sources", n), table.lines, table.shown)
        source.only(("title", "url", "read"), "key of a source")
        title = source.text("title")
        if title is None:
            source.wrong('a source without a title; expected title = "datasheet"')
        read = source.flag("read") if "read" in item else True
        found.append(Source(title, source.text("url", "") or "", read))
    return tuple(found)


def _check_marks(device: Device, table: ConfigTable) -> None:
    for key, names in (("unverified", device.unverified), ("derived", device.derived)):
        for name in names:
            if name not in device.figures:
                table.wrong(
                    f"{key} names {name[:40]!r}, which is no figure of the device",
                    *((key, name) if key == "derived" else (key,)),
                    hint=f"expected one of {', '.join(device.figures)}",
                )
