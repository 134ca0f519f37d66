"""docs/devices.md: its files are read as they stand."""

import re
from pathlib import Path

import pytest

from cnnstat.devices.catalogue import all_devices, find
from cnnstat.devices.device import KINDS
from cnnstat.devices.reading import KEYS

DOC = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the files of the text."""
    for text in re.findall(r"```toml\n(.*?)```", DOC, re.DOTALL):
        name = text.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_devices(folder: Path) -> None:
    devices = all_devices(folder / "boards.toml")
    mcu, card, phone = (find(id, devices) for id in ("my-mcu", "my-card", "my-phone"))
    assert (mcu.ram_bytes, mcu.flash_bytes) == (320 * 1024, 2**20)
    assert mcu.memory_bytes == 320 * 1024 + 2**20
    assert (card.memory_bytes, card.bandwidth, card.rate("fp16")) == (
        24 * 2**30,
        936 * 10**9,
        71 * 10**12,
    )
    assert phone.mark("app_bytes") == "unverified"


def test_its_keys_are_all_there_are() -> None:
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", DOC, re.MULTILINE))))
    assert told == {"id", *KEYS}


def test_its_kinds_are_all_there_are() -> None:
    row = next(line for line in DOC.splitlines() if line.startswith("| `kind`"))
    assert set(re.findall(r"`(\w+)`", row)) == {"kind", *KINDS}
