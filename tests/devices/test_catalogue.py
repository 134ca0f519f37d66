"""The devices that are built in, figure by figure, and finding them."""

from __future__ import annotations

import tomllib
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from cnnstat.devices.catalogue import all_devices, built_in, find, matching
from cnnstat.devices.device import DTYPE_BITS, KINDS, Device
from cnnstat.errors import ConfigError, SpecError

GIB, MIB, KIB = 2**30, 2**20, 2**10


def raw() -> list[dict[str, Any]]:
    text = files("cnnstat").joinpath("data", "devices.toml").read_text(encoding="utf-8")
    devices: list[dict[str, Any]] = tomllib.loads(text)["device"]
    return devices


def test_all_are_read_and_none_twice() -> None:
    devices = built_in()
    assert [device.id for device in devices] == [item["id"] for item in raw()]
    assert len(devices) == len({device.id for device in devices}) == 69
    kinds = Counter(device.kind for device in devices)
    assert kinds == Counter(gpu=29, sbc=10, mcu=10, phone=9, tpu=3, soc=3, cpu=3, accelerator=2)
    assert not any(device.place for device in devices)


@pytest.mark.parametrize("device", built_in(), ids=lambda device: device.id)
def test_each_figure_has_its_mark(device: Device) -> None:
    assert device.kind in KINDS and set(device.rates) <= set(DTYPE_BITS)
    assert all(type(value) is int and value > 0 for value in device.figures.values())
    for name, mark in device.marks.items():
        if name in device.unverified:
            assert mark == "unverified"
        elif name in device.derived:
            assert mark == f"derived: {device.derived[name]}" and len(mark) > len("derived: ")
        else:
            assert mark == "verified"
            assert any(source.read for source in device.sources)
    assert device.sources
    with pytest.raises(KeyError, match=f"no int3 is known for {device.id}"):
        device.mark("int3")


@pytest.mark.parametrize("device", built_in(), ids=lambda device: device.id)
def test_the_figures_of_a_device_agree_with_each_other(device: Device) -> None:
    if device.kind == "mcu":
        ram = device.memories.get("all_ram", device.ram_bytes)
        parts = (ram, device.flash_bytes, device.memories.get("psram"))
        # A bootloader keeps 64 KiB of the Arduino's flash.
        rest = 64 * KIB if device.id == "arduino-nano-33-ble" else 0
        assert device.memory_bytes == sum(part or 0 for part in parts) + rest
    rates = device.rates
    # Half the bits, never less than the rate of twice as many, on one kind of unit.
    for wide, narrow in (
        ("tf32", "fp16"),
        ("bf16", "int8"),
        ("int8", "int4"),
        ("fp16", "fp16_acc16"),
    ):
        if wide in rates and narrow in rates:
            assert rates[narrow] >= rates[wide]
    if "fp16" in rates and "bf16" in rates:
        assert rates["fp16"] == rates["bf16"]


# Each from the maker's datasheet or documentation, as named.
DATASHEETS = [
    # NVIDIA H100 datasheet: SXM 1,979 TFLOPS of fp16 and 3,958 TOPS of int8 "with sparsity": dense is half
    ("h100", "fp16", 989_400_000_000_000),
    ("h100", "int8", 1_979_000_000_000_000),
    ("h100", "bandwidth", 3_350_000_000_000),
    ("h100", "tdp_watts", 700),
    # NVIDIA A100 datasheet: 312 | 624 with sparsity; 80 GB SXM: 2,039 GB/s
    ("a100-80gb", "fp16", 312_000_000_000_000),
    ("a100-80gb", "tf32", 156_000_000_000_000),
    ("a100-80gb", "bandwidth", 2_039_000_000_000),
    # NVIDIA V100 datasheet: SXM2 125 TFLOPS of deep learning, 15.7 in single precision, 900 GB/s, 300 W
    ("v100-16gb", "fp16", 125_000_000_000_000),
    ("v100-16gb", "fp32", 15_700_000_000_000),
    ("v100-16gb", "bandwidth", 900_000_000_000),
    # NVIDIA T4 datasheet: 130 TOPS of int8, 70 W
    ("t4", "int8", 130_000_000_000_000),
    ("t4", "tdp_watts", 70),
    # NVIDIA Ada architecture whitepaper: RTX 4090 165.2 TFLOPS of fp16 with fp32 accumulate, 330.3 with fp16
    ("rtx4090", "fp16", 165_200_000_000_000),
    ("rtx4090", "fp16_acc16", 330_300_000_000_000),
    ("rtx4090", "bandwidth", 1_008_000_000_000),
    # AMD Instinct MI300X data sheet: 1,307.4 TFLOPS of fp16 without sparsity, 5.3 TB/s, 192 GB
    ("mi300x", "fp16", 1_307_400_000_000_000),
    ("mi300x", "bandwidth", 5_300_000_000_000),
    ("mi300x", "memory_bytes", 192 * GIB),
    # Jouppi et al. 2017: 92 TOPS, 28 MiB of on-chip memory
    ("tpu-v1", "int8", 92_000_000_000_000),
    ("tpu-v1", "on_chip", 28 * MIB),
    # Google Cloud documentation of TPU v5e: 197 TFLOPS of bf16, 394 TOPS of int8, 819 GB/s
    ("tpu-v5e", "bf16", 197_000_000_000_000),
    ("tpu-v5e", "int8", 394_000_000_000_000),
    # STM32F746 datasheet DS10916: up to 1 MB of flash, 320 KB of SRAM
    ("stm32f746", "flash_bytes", MIB),
    ("stm32f746", "ram_bytes", 320 * KIB),
    # RP2040 datasheet: 264 kB of SRAM
    ("rp2040", "ram_bytes", 264 * KIB),
    # MAX78000 data sheet: 442 KB of weights
    ("max78000", "cnn_weights", 442_368),
]


@pytest.mark.parametrize(("id", "figure", "value"), DATASHEETS)
def test_datasheets(id: str, figure: str, value: int) -> None:
    assert find(id).figures[figure] == value


# What the rules in the file come to.
DERIVED = [
    ("gtx1080ti", "int8", 4 * 11.34e12),
    ("rtx2080ti", "fp16_acc16", 68 * 8 * 64 * 2 * 1.545e9),
    ("rtx2080ti", "fp16", 68 * 8 * 64 * 1.545e9),
    ("rtx3060", "fp16", 28 * 4 * 128 * 1.777e9),
    ("rtx4060", "int8", 2 * 24 * 4 * 128 * 2 * 2.46e9),
    ("rtx-a6000", "fp16", 84 * 4 * 128 * 2 * 1.8e9),
    ("snapdragon-820", "fp32", 2.15e9 * 16),
    ("kirin-970", "bandwidth", 1866e6 * 2 * 8),
    ("raspberry-pi-3", "fp32", 4 * 1.2e9 * 8),
    ("raspberry-pi-5", "int8", 4 * 2.4e9 * 64),
    ("jetson-orin-nano", "int8", 40e12 / 2),
    ("jetson-orin-nano", "app_bytes", 0.85 * 8 * GIB),
    ("max78000", "int8", 64 * 9 * 2 * 50e6),
    ("stm32f746", "fp32", 216e6 * 2),
    ("stm32f746", "int8", 216e6 * 2 * 2),
    ("stm32h743", "int8", 480e6 * 2 * 2),
    ("arduino-nano-33-ble", "fp32", 64e6 * 2),
    ("esp32", "fp32", 2 * 240e6 * 2),
    ("esp32", "int8", 2 * 240e6 * 2),
    ("esp32", "app_bytes", (320 - 205) * KIB),
    ("esp32-s3", "int8", 2 * 240e6 * 16 * 2),
    ("rp2040", "int8", 2 * 133e6 * 0.5 * 2),
    ("rp2350", "int8", 2 * 150e6 * 2 * 2),
    ("xeon-8380", "fp32", 40 * 2.3e9 * 64),
    ("xeon-8480", "bf16", 56 * 2.0e9 * 1024),
]


@pytest.mark.parametrize(("id", "figure", "value"), DERIVED)
def test_rules_come_to_their_figures(id: str, figure: str, value: float) -> None:
    device = find(id)
    assert figure in device.derived
    assert device.figures[figure] == pytest.approx(value, rel=4e-3)


def test_what_is_computed_from_unverified_figures_is_unverified() -> None:
    assert find("xeon-8380").mark("fp32") == "unverified"
    assert find("raspberry-pi-3").mark("bandwidth") == "unverified"


def test_find() -> None:
    assert find("h100").rate("fp16") == 989_400_000_000_000
    assert find("H100") is find("h100")
    assert find("k80").rate("int8") is None
    with pytest.raises(SpecError, match="no device 'h10'") as caught:
        find("h10")
    assert caught.value.hint.startswith("close: h100-pcie, h100")
    assert caught.value.hint.endswith("`cnnstat devices` lists them")
    with pytest.raises(SpecError) as caught:
        find("toaster oven")
    assert caught.value.hint == "`cnnstat devices` lists them"


def test_matching() -> None:
    devices = built_in()
    assert [d.id for d in matching(devices, ["jetson-orin-*"])] == [
        "jetson-orin-nano",
        "jetson-orin-nano-super",
    ]
    assert [d.id for d in matching(devices, ["PICO", "stm32f41"])] == [
        "stm32f411", "stm32f412", "rp2040", "rp2350"
    ]  # fmt: skip
    assert {d.kind for d in matching(devices, kinds=["mcu", "tpu"])} == {"tpu", "mcu"}
    kinds = [d.kind for d in matching(devices)]
    assert sorted(kinds, key=list(KINDS).index) == kinds and len(kinds) == 69
    with pytest.raises(SpecError, match="no kind 'gpus'"):
        matching(devices, kinds=["gpus"])
    with pytest.raises(SpecError, match="no device 'h100' of kind mcu"):
        matching(devices, ["h100"], ["mcu"])
    with pytest.raises(SpecError, match="no device 'nonesuch'"):
        matching(devices, ["h100", "nonesuch"])


def test_ones_own_devices_come_after_those_built_in(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.cnnstat.devices.board]\nname = "B"\nmemory_bytes = "1GiB"\n', encoding="utf-8"
    )
    file = tmp_path / "more.toml"
    file.write_text(
        '[[device]]\nid = "other-board"\nname = "O"\nmemory_bytes = 1\n', encoding="utf-8"
    )
    (tmp_path / "src").mkdir()
    own = all_devices(file, tmp_path / "src")[69:]
    assert [device.id for device in own] == ["board", "other-board"]
    assert own[0].place.endswith("pyproject.toml:1") and own[1].place.endswith("more.toml:1")


def test_one_id_for_two(tmp_path: Path) -> None:
    file = tmp_path / "more.toml"
    file.write_text('[[device]]\nid = "H100"\nname = "mine"\nmemory_bytes = 1\n', encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"more.toml:1: a second device 'H100'; there is one built"
    ):
        all_devices(file, tmp_path)
    (tmp_path / "cnnstat.toml").write_text(
        '[devices.mine]\nname = "m"\nmemory_bytes = 1\n', encoding="utf-8"
    )
    file.write_text('[[device]]\nid = "mine"\nname = "mine"\nmemory_bytes = 1\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"more.toml:1: .* the first is at .*cnnstat.toml:1"):
        all_devices(file, tmp_path)


def test_a_configuration_is_no_file_of_devices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a configuration, whose devices are read without"):
        all_devices(tmp_path / "cnnstat.toml", tmp_path)
