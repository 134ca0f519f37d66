"""`cnnstat check` with what is estimated for a device, as it is typed."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.conftest import Result, Run
from tests.forked import Done, module

NET = """\
import torch
from torch import nn

WIDTH = 8

class Net(nn.Module):
    # 3·8·9 = 216 and 8·4 = 32 weights: 992 bytes. Input 768 bytes, then 1,152, then 576; 8,928 MACs.
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, bias=False)
        self.head = nn.Conv2d(WIDTH, 4, 1, bias=False)

    def forward(self, x):
        print("in the way")
        return self.head(self.stem(x))

class Told(Net):
    def forward(self, x):
        return self.head(self.stem(x)) if float(x.sum()) > 0 else x
"""
PEAK = 992 + 768 + 1152 + 576  # in the second convolution
ARENA = 192 + 288  # bytes of int8 in the first

CONFIG = """\
[devices.my-board]
name = "My board"
kind = "sbc"
memory_bytes = {memory}
bandwidth = "1 GB/s"
rates = {{ fp32 = "1 G" }}
runtimes = ["litert"]

[[check]]
name = "net"
model = "net.py:Net"
input = [1, 3, 8, 8]
device = "my-board"
fits = {fits}
max = {{ peak-memory = "{peak} B", roofline = "{least} ns" }}
growth = {{ arena = "0%", roofline = "+1 us" }}
"""
NEEDED = 992 + 1920  # weights and a plan in fp32
MARGIN = 992  # XNNPACK may pack the weights a second time


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return tmp_path


def installed(*args: object) -> Done:
    """The command in a process of its own."""
    return module("cnnstat", "check", *args)


def configure(
    memory: int = NEEDED + MARGIN, fits: str = "true", peak: int = PEAK, least: int = 17_856
) -> None:
    text = CONFIG.format(memory=memory, fits=fits, peak=peak, least=least)
    Path("cnnstat.toml").write_text(text, encoding="utf-8")


@pytest.fixture
def check(run: Run) -> Run:
    """The same in this process, where torch is imported once."""

    def check(*args: object) -> Result:
        return run("check", *args)

    return check


LITTLE = ("net.py:Net", "-i", "1x3x8x8")


def test_vgg16_does_not_fit_the_first_pixel_and_mobilenet_does() -> None:
    # 138,357,544 weights of 4 bytes are 527.8 MiB; an app may have 512 MiB. 3,504,872 are 13.4 MiB.
    done = installed("vgg16", "--device", "pixel-1", "--fits")
    assert done.returncode == 1
    assert "memory with margin over by" in done.stdout
    assert "of pixel-1): --fits" in done.stdout
    assert "pixel-1 in fp32: does not fit, by an estimate: 552.3 MiB of memory" in done.stdout
    done = installed("mobilenet_v2", "--device", "pixel-1", "--fits", "--max-roofline", "20ms")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pixel-1 in fp32: fits, by an estimate" in done.stdout


def test_limits_of_the_command_line_to_the_byte(check: Run) -> None:
    assert check(*LITTLE, "--max-peak-memory", PEAK).code == 0
    done = check(*LITTLE, "--max-peak-memory", PEAK - 1)
    assert done.code == 1
    assert f"peak memory over by 1 B ({PEAK:,} B > {PEAK - 1:,} B)" in done.out
    assert "most is alive in head" in done.out
    assert "in the way" not in done.out
    on = ("--device", "stm32f746")  # in int8, by TFLM
    assert check(*LITTLE, *on, "--max-arena", ARENA).code == 0
    assert check(*LITTLE, *on, "--max-arena", ARENA - 1).code == 1
    assert check(*LITTLE, "--max-arena", 4 * ARENA - 1).code == 1  # fp32


def test_a_configuration_with_a_device_of_its_own(check: Run) -> None:
    configure()
    assert check("--update").code == 0
    done = check()
    assert done.code == 0
    cells = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert "17.86 µs" in cells["measured"]
    configure(memory=NEEDED + MARGIN - 1)
    done = check()
    assert done.code == 1
    assert (
        f"memory with margin over by 1 B ({NEEDED:,} B + {MARGIN} B > {NEEDED + MARGIN - 1:,} B of "
        "my-board): fits true at cnnstat.toml:14"
    ) in done.out
    configure(memory=NEEDED, fits='"tight"')
    assert check().code == 0
    configure(memory=NEEDED - 1, fits='"tight"')
    assert check().code == 1
    configure(least=17_855)
    done = check()
    assert done.code == 1
    assert "roofline over by 1 ns (17,856 ns > 17,855 ns): max.roofline 17855 ns" in done.out


def test_a_board_whose_ram_is_not_known(check: Run) -> None:
    board = '[devices.b]\nname = "b"\nkind = "mcu"\nmemory_bytes = "2MiB"\nflash_bytes = "{}"\n'
    Path("cnnstat.toml").write_text(board.format("1MiB"), encoding="utf-8")
    done = check(*LITTLE, "--device", "b", "--fits")
    assert done.code == 2 and "cannot tell: no RAM of b is known" in done.out
    # The weights alone are too many: 248 bytes.
    Path("cnnstat.toml").write_text(board.format("247 B"), encoding="utf-8")
    done = check(*LITTLE, "--device", "b", "--fits")
    assert done.code == 1 and "flash with margin over by" in done.out


def test_a_part_of_the_least_time_is_enough_to_exceed(check: Run) -> None:
    # 17,856 operations at the rate of a board whose bandwidth nobody knows.
    board = (
        '[devices.b]\nname = "b"\nkind = "sbc"\nmemory_bytes = "1MiB"\nrates = { fp32 = "1 G" }\n'
    )
    Path("cnnstat.toml").write_text(board, encoding="utf-8")
    done = check(*LITTLE, "--device", "b", "--max-roofline", "17855ns")
    assert done.code == 1
    assert "roofline over by at least 1 ns" in done.out
    assert "no bandwidth is known for b; its arithmetic alone takes 17.86 µs" in done.out
    done = check(*LITTLE, "--device", "b", "--max-roofline", "17856ns", "--max-params", 1)
    assert done.code == 2
    assert "cannot tell: no bandwidth is known for b" in done.out
    assert "[devices.my-board] of cnnstat.toml" in done.out
    assert "params over by 247" in done.out
    assert done.out.rstrip().endswith("cannot be told: net.py:Net (params exceeded).")


def test_the_help_is_in_sentences(check: Run) -> None:
    text = " ".join(check("--help").out.replace("│", " ").split())
    assert "At most this many parameters." in text
    assert "At most this much time on the device, by a bound that no run can beat." in text
    assert "No more" not in text


def test_a_device_of_the_project_serves_the_command_line_too(check: Run) -> None:
    configure()
    assert check("--update").code == 0
    assert check(*LITTLE, "--device", "my-board", "--fits").code == 0
    done = check("net", "--fits", "--max-arena", 1)
    assert done.code == 1
    assert "--max-arena, --fits of the command line, with the rest of the check net" in done.out


def test_the_baseline_holds_them_and_rises_only_when_it_may(check: Run) -> None:
    configure(memory=1 << 20, peak=1 << 20, least=1 << 20)
    assert check("--update").code == 0
    entry = json.loads(Path("cnnstat-baseline.json").read_text(encoding="utf-8"))["checks"]["net"]
    assert (entry["peak_memory"], entry["arena"], entry["roofline"]) == (PEAK, 4 * ARENA, 17_856)
    assert (entry["device"], entry["dtype"], entry["runtime"]) == ("my-board", "fp32", "greedy")
    assert check().code == 0
    # 9 channels: the arena's second tensor grows by 36 numbers of 4 bytes.
    Path("net.py").write_text(NET.replace("WIDTH = 8", "WIDTH = 9"), encoding="utf-8")
    done = check()
    assert done.code == 1
    assert "arena over by 144 B (2,064 B > 1,920 B): growth.arena 0%" in done.out
    done = check("--update")
    assert done.code == 1
    assert "would rise: net: arena 1,920 B → 2,064 B (+144 B)" in done.out
    assert check("--update", "--allow-increase").code == 0
    assert check().code == 0


def test_every_format_shows_them(check: Run) -> None:
    configure(memory=NEEDED, peak=PEAK - 1)
    texts = {
        name: check("-f", name).out
        for name in ("json", "markdown", "github", "junit", "csv", "html", "latex")
    }
    found = {f["metric"]: f for f in json.loads(texts["json"])["findings"]}
    assert (found["peak-memory"]["measured"], found["peak-memory"]["exceeded"]) == (PEAK, True)
    assert found["roofline"]["bounds"][0]["allowed"] == 17_856
    assert found["fits-memory"]["room"] == {
        "name": "memory",
        "device": "my-board",
        "needed": NEEDED,
        "available": NEEDED,
        "over": MARGIN,
        "under": 0,
    }
    (made,) = json.loads(texts["json"])["reports"]
    assert made["extra"] == {"peak_memory": PEAK, "arena": 4 * ARENA, "roofline": 17_856}
    for name in ("markdown", "github", "junit"):
        assert "peak memory over by 1 B" in texts[name]
        assert "never measured" in texts[name]  # what the estimate is worth
    assert texts["junit"].count("never measured") == 1
    assert [found[name]["unit"] for name in ("roofline", "arena")] == ["ns", "bytes"]
    assert (found["peak-memory"]["dtype"], found["arena"]["dtype"]) == ("fp32", "fp32")
    assert "roofline,17856,17856,,,False,ns,fp32" in texts["csv"]
    cases = {case.get("name"): case for case in ET.fromstring(texts["junit"]).iter("testcase")}
    assert set(cases) == {"peak memory", "arena", "roofline", "memory with margin"}
    assert cases["memory with margin"].find("failure") is not None
    assert cases["arena"].find("failure") is None
    for name in ("csv", "html", "latex"):
        assert "roofline" in texts[name]


def test_a_saved_report_tells_its_peak_where_it_was_saved_with_it(run: Run, check: Run) -> None:
    for name, more in (("plain", ()), ("full", ("--memory",))):
        assert run("summary", *LITTLE, *more, "-o", f"{name}.json").code == 0
    done = check("plain.json", "--max-peak-memory", "1GiB")
    assert done.code == 2
    assert "cannot tell: peak memory is not in plain.json" in done.out
    assert "cnnstat summary MODEL --memory" in done.out
    assert check("full.json", "--max-peak-memory", PEAK).code == 0
    assert check("full.json", "--max-peak-memory", PEAK - 1).code == 1
    assert check("plain.json", "--device", "pixel-1", "--max-roofline", "79ns").code == 0
    assert check("plain.json", "--device", "pixel-1", "--max-roofline", "78ns").code == 1
    assert check("plain.json", "--device", "pixel-1", "--fits").code == 2


def test_what_nobody_knows_is_not_guessed(check: Run) -> None:
    done = check(*LITTLE, "--device", "stm32f746", "--max-roofline", "1s")
    assert done.code == 2
    assert "cannot tell: no bandwidth is known for stm32f746" in done.out
    done = check(*LITTLE, "--device", "pixel-1", "--dtype", "int8", "--max-roofline", "1s")
    assert done.code == 2
    assert "no int8 rate is known for pixel-1" in done.out
    # A model whose operations depend on its data is run for real, and estimated all the same.
    assert check("net.py:Told", *LITTLE[1:], "--max-peak-memory", "1GiB").code in (0, 2)


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        (("--fits",), "--fits: 'fits' is about a device, and none is given"),
        (("--max-roofline", "5ms"), "--max-roofline: 'roofline' is about a device"),
        (("--max-roofline", "5", "--device", "pixel-1"), "--max-roofline: '5' is not a time"),
        (("--max-peak-memory", "5ms"), "--max-peak-memory: '5ms' is not a size"),
        (("--max-peak-memory", "-1"), "--max-peak-memory: '-1' is negative"),
        (("--max-arena", "9" * 400), "--max-arena: '99999999999999999999'… is too long"),
        (("--device", "pixl-1", "--fits"), "--device: no device 'pixl-1'; close: pixel-1"),
        (("--device", "", "--fits"), "--device: expected a name, found ''"),
        (("--device", "::error::x\n", "--fits"), "--device: no device '::error::x\\n'"),
        (("--device", "pixel-1", "--max-params", "1"), "--device: 'device' changes nothing here"),
        (("--dtype", "int3", "--max-arena", "1"), "--dtype: unknown dtype 'int3'"),
        (("--runtime", "onnx", "--max-arena", "1"), "--runtime: unknown runtime 'onnx'"),
        (
            ("--device", "pixel-1", "--runtime", "tflm", "--max-arena", "1"),
            "--runtime: pixel-1 does not run tflm; it runs litert, onnxruntime, executorch",
        ),
        (("--train", "--device", "pixel-1", "--fits"), "--fits: 'fits' is about inference"),
    ],
)
def test_wrong_values_take_one_clear_line(check: Run, args: tuple[str, ...], wrong: str) -> None:
    done = check(*LITTLE, *args)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"cnnstat: error: {wrong}")
    assert done.err.count("\n") == 1


def test_an_unknown_device_of_the_configuration_is_said_with_its_line(check: Run) -> None:
    configure()
    text = (
        Path("cnnstat.toml")
        .read_text(encoding="utf-8")
        .replace('device = "my-board"', 'device = "my-bord"')
    )
    Path("cnnstat.toml").write_text(text, encoding="utf-8")
    done = check()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "cnnstat: error: cnnstat.toml:13: no device 'my-bord'; close: my-board"
    )
    Path("cnnstat.toml").write_text(
        text.replace("my-bord", "my-board").replace("3904", "-1"), encoding="utf-8"
    )
    done = check()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("cnnstat: error: cnnstat.toml:4: ")
