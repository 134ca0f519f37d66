"""Devices of one's own: what is accepted, and the one line for what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.budgets.config_file import read_table
from cnnstat.budgets.config_table import ConfigTable
from cnnstat.budgets.toml_lines import TomlLines
from cnnstat.devices.catalogue import built_in
from cnnstat.devices.device import Device, Source
from cnnstat.devices.estimators import runtime_words
from cnnstat.devices.reading import RUNTIMES, devices_in_config, devices_in_file
from cnnstat.errors import ConfigError

BOARD = '[[device]]\nid = "board"\nname = "B"\nmemory_bytes = 1000\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str) -> tuple[Device, ...]:
    Path("boards.toml").write_text(text, encoding="utf-8")
    return devices_in_file(read_table(Path("boards.toml")))


def test_every_key() -> None:
    (device,) = read(
        """
        [[device]]
        id = "My_Board.2"
        name = "My board"
        kind = "sbc"
        year = 2024
        memory_bytes = "16G"
        app_bytes = "512MiB"
        app_note = "what the container gets"
        memories = { on_chip = "8 MiB" }
        bandwidth = "25.6 GB/s"
        rates = { fp32 = "38.4 G", fp16 = 1e11, int8 = 1_000 }
        tdp_watts = 12
        runtimes = ["litert"]
        note = "a prototype"
        unverified = ["bandwidth"]
        derived = { fp32 = "4 x 1.2 GHz x 8" }
        sources = [{ title = "its datasheet", url = "https://example.org" }, { title = "x", read = false }]
        """
    )
    assert device.id == "My_Board.2" and device.place == "boards.toml:2"
    assert (device.memory_bytes, device.app_bytes) == (16_000_000_000, 512 * 2**20)
    assert device.memories == {"on_chip": 8 * 2**20} and device.bandwidth == 25_600_000_000
    assert device.rates == {"fp32": 38_400_000_000, "fp16": 10**11, "int8": 1000}
    assert device.mark("bandwidth") == "unverified" and device.mark("fp16") == "verified"
    assert device.mark("fp32") == "derived: 4 x 1.2 GHz x 8"
    assert device.sources[1] == Source("x", read=False)


def test_the_memory_of_a_microcontroller_is_the_sum() -> None:
    (device,) = read('[[device]]\nid="m"\nname="M"\nram_bytes="64KiB"\nflash_bytes="1MiB"\n')
    assert device.memory_bytes == 65536 + 1048576


def test_a_configuration() -> None:
    Path("pyproject.toml").write_text(
        '[project]\nname = "x"\n\n[tool.cnnstat.devices.a]\nname = "A"\nmemory_bytes = 1\n\n'
        '[tool.cnnstat.devices."b.2"]\nname = "B"\nmemory_bytes = 2\n',
        encoding="utf-8",
    )
    devices = devices_in_config(read_table(Path("pyproject.toml")))
    assert [(d.id, d.place) for d in devices] == [
        ("a", "pyproject.toml:4"),
        ("b.2", "pyproject.toml:8"),
    ]
    Path("cnnstat.toml").write_text("convention = 'macs'\n", encoding="utf-8")
    assert devices_in_config(read_table(Path("cnnstat.toml"))) == ()


NEW = '[[device]]\nid = "n"\nname = "N"\n'


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "no device here"),
        ("device = 1\n", 1, "'device' is 1; expected tables, each under [[device]]"),
        ("device = [1]\n", 1, "expected tables"),
        ("[device]\nid = 'x'\n", 1, "expected tables, each under [[device]]"),
        ("[[devices]]\nid = 'x'\n", 1, "unknown key 'devices'"),
        ("[[device]]\nname = 'x'\n", 1, "a device without an id"),
        ("[[device]]\nid = 3\n", 2, "'id' is 3; expected a text"),
        ("[[device]]\nid = 'a b'\nname = 'x'\n", 2, "'a b' is no id"),
        ("[[device]]\nid = '-x'\nname = 'x'\n", 2, "'-x' is no id"),
        ("[[device]]\nid = 'x'\nmemory_bytes = 1\n", 1, "device 'x' has no name"),
        ("[[device]]\nid = 'x'\nname = ''\nmemory_bytes = 1\n", 3, "'name' is ''; expected a text"),
        ("[[device]]\nid = 'x'\nname = \"a\\nb\"\nmemory_bytes = 1\n", 3, "not printable"),
        (NEW, 1, "device 'n' has no memory_bytes"),
        (
            NEW + "kind = 'mcu'\n",
            1,
            "'n', an mcu, has no ram_bytes and flash_bytes; expected ram_b",
        ),
        (NEW + "kind = 'mcu'\nram_bytes = 9\n", 1, 'no flash_bytes; expected flash_bytes = "1MiB"'),
        (NEW + "memory_bytes = 0\n", 4, "'memory_bytes' is 0; expected a size above 0"),
        (NEW + "memory_bytes = -5\n", 4, "'memory_bytes' is -5; expected a size above 0"),
        (NEW + "memory_bytes = true\n", 4, "'memory_bytes' is true; expected a size above 0"),
        (NEW + "memory_bytes = 1.5\n", 4, "'memory_bytes' is 1.5; expected a size"),
        (NEW + "memory_bytes = nan\n", 4, "expected a size above 0"),
        (NEW + "memory_bytes = inf\n", 4, "expected a size above 0"),
        (NEW + "memory_bytes = 'much'\n", 4, "'memory_bytes': 'much' is not a size"),
        (NEW + "memory_bytes = '-1GiB'\n", 4, "expected a size above 0"),
        (NEW + "memory_bytes = [1]\n", 4, "'memory_bytes' is a list"),
        (NEW + "memory_bytes = 1979-05-27\n", 4, "expected a size above 0"),
        (NEW + f"memory_bytes = {10**30}\n", 4, "expected a size above 0"),
        (BOARD + "app_bytes = 1001\n", 5, "app_bytes is more than memory_bytes, 1,000"),
        (BOARD + "bandwidth = 0\n", 5, "'bandwidth' is 0; expected bytes a second above 0"),
        (BOARD + "bandwidth = 'fast'\n", 5, "'bandwidth': 'fast' is not a size"),
        (BOARD + "rates = 5\n", 5, "'rates' is 5; expected a table"),
        (BOARD + "rates = { fp32 = 0 }\n", 5, "'fp32' is 0; expected operations a second above 0"),
        (BOARD + "rates = { fp32 = true }\n", 5, "'fp32' is true; expected operations"),
        (BOARD + "rates.fp32 = 1\nrates.fp33 = 1\n", 6, "'fp33' is no dtype"),
        (BOARD + "rates = { fp16_sparse = 1 }\n", 5, "is no rate: rates are dense peaks"),
        (BOARD + "[device.rates]\nint8_sparsity = 1\n", 6, "is no rate: rates are dense peaks"),
        (BOARD + "tdp_watts = '5 W'\n", 5, "'tdp_watts': '5 W' is not a count"),
        (BOARD + "kind = 'laptop'\n", 5, "kind 'laptop'; expected one of gpu, tpu"),
        (BOARD + "year = '2020'\n", 5, "'year' is '2020'; expected a year"),
        (BOARD + "year = true\n", 5, "'year' is true; expected a year"),
        (BOARD + "colour = 'red'\n", 5, "unknown key of a device 'colour'"),
        (BOARD + "memory = 1\n", 5, "unknown key of a device 'memory'"),
        (BOARD + "runtimes = 'litert'\n", 5, "'runtimes' is 'litert'; expected a list of texts"),
        (
            BOARD + "unverified = ['bandwidth']\n",
            5,
            "unverified names 'bandwidth', which is no figure",
        ),
        (BOARD + "derived.int8 = 'x'\n", 5, "derived names 'int8', which is no figure"),
        (BOARD + "derived = 'x'\n", 5, "'derived' is 'x'; expected a table"),
        (BOARD + "memories.int8 = 1\n", 5, "'int8' is no name of a memory"),
        (BOARD + "sources = ['x']\n", 5, "'sources' is a list; expected a list of tables"),
        (BOARD + "sources = [{ url = 'x' }]\n", 5, "a source without a title"),
        (BOARD + BOARD, 5, "a second device 'board'; the first is at boards.toml:1"),
        (BOARD + BOARD.replace("board", "BOARD"), 5, "a second device 'BOARD'"),
        ("[[device]\n", 1, "not valid TOML"),
    ],
)
def test_one_line_for_what_is_wrong(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    error = caught.value
    assert error.message.startswith(f"boards.toml:{line}: "), error.message
    assert message in error.message
    assert "\n" not in error.message + error.hint


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ("RAM = 1\n", "did you mean 'ram_bytes'?"),
        ("vram = 1\n", "did you mean 'memory_bytes'?"),
        ("flash = 1\n", "did you mean 'flash_bytes'?"),
        ("runtime = 1\n", "did you mean 'runtimes'? expected one of name, kind"),
        ("runtimes = ['cuda']\n", "did you mean 'pytorch-eager'? expected one of pytorch-eager, "),
        ("runtimes = ['litert', 'Torch (2.9)']\n", "did you mean 'pytorch-eager'? "),
        ("runtimes = ['tflite']\n", "did you mean 'litert'? "),
        ("runtimes = ['open-vino']\n", "did you mean 'openvino'? "),
        ("runtimes = ['vram']\n", "expected one of pytorch-eager, "),
    ],
)
def test_what_is_meant(more: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=r"^boards\.toml:5: unknown (key|runtime)") as caught:
        read(BOARD + more)
    assert caught.value.hint.replace("id, name", "name").startswith(hint)


def test_the_runtimes_are_those_of_the_built_in_devices() -> None:
    assert {word for device in built_in() for word in runtime_words(device)} == set(RUNTIMES)
    assert read(BOARD + "runtimes = ['PyTorch-Eager (ROCm)']\n")


def test_bytes_that_are_no_text() -> None:
    Path("boards.toml").write_bytes(b"\n\xff")
    with pytest.raises(ConfigError, match=r"boards\.toml:2: not UTF-8"):
        read_table(Path("boards.toml"))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("devices = 1\n", 1, "'devices' is 1; expected tables such as [devices.my-board]"),
        ("[devices]\nx = 1\n", 2, "'x' is 1; expected a table [devices.my-board]"),
        ("[[device]]\nid = 'y'\n", 1, "unknown key 'device'"),
        ("[devices.x]\nid = 'y'\n", 2, "unknown key of a device 'id'"),
        ("[devices.x]\nname = 'y'\n", 1, "device 'x' has no memory_bytes"),
        ("[devices.'a b']\nname = 'y'\n", 1, "'a b' is no id"),
    ],
)
def test_a_wrong_configuration(text: str, line: int, message: str) -> None:
    Path("cnnstat.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        devices_in_config(read_table(Path("cnnstat.toml")))
    assert caught.value.message.startswith(f"cnnstat.toml:{line}: ") and message in str(
        caught.value
    )


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(
    "id name kind year memory_bytes app_bytes rates memories bandwidth sources unverified note x".split()
)


@given(st.dictionaries(KEYS, VALUES))
def test_anything_is_a_device_or_one_line(item: dict[str, Any]) -> None:
    item = {key: value for key, value in item.items() if value is not None}
    table = {"id": "x", "name": "X", "memory_bytes": 1, **item}
    try:
        (device,) = devices_in_file(ConfigTable({"device": [table]}, (), TomlLines(""), "f.toml"))
    except ConfigError as error:
        assert error.message.startswith("f.toml:1: ") and "\n" not in error.message
    else:
        assert all(value > 0 for value in device.figures.values())
