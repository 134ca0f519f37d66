"""`cnnstat devices`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnstat.memory.graph import Buffer, Graph, Step
from cnnstat.render.table import width
from tests.cli.conftest import Analyze, Run
from tests.processes import HEAVY, RUN, loaded

BOARD = '[[device]]\nid = "my-board"\nname = "My board"\nkind = "sbc"\nmemory_bytes = "1GiB"\n'


# 100 elements become 200: 300 bytes at once in 8 bits.
TOY = Graph(
    (Buffer(0, "input", 100), Buffer(1, "layer", 200)),
    (Step("aten.conv2d", "layer", (0,), (1,)),),
    (0,),
    (1,),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ids(run: Run, *args: object) -> list[str]:
    result = run("devices", *args, "--json")
    assert result.code == 0, result.err
    data = json.loads(result.out)
    assert data["schema"] == 1
    return [device["id"] for device in data["devices"]]


def test_list(run: Run) -> None:
    assert len(ids(run)) == 69
    assert "69 devices" in run("devices").out


def test_patterns_and_kinds(run: Run) -> None:
    assert ids(run, "raspberry-pi-?") == ["raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5"]
    assert len(ids(run, "--kind", "mcu")) == 10
    assert ids(run, "--kind", "mcu", "--kind", "tpu", "v5e", "esp32-s3") == ["tpu-v5e", "esp32-s3"]


def test_an_id_shows_one_device_and_several_list_them(run: Run) -> None:
    assert run("devices", "H100").out.startswith("NVIDIA H100 SXM5 80 GB\n")
    assert run("devices", "h100", "t4").out.startswith("devices\n")
    assert run("devices", "h1").out.startswith("devices\n2 devices")


@pytest.mark.parametrize("columns", [80, 200])
def test_it_fits_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(width, run("devices").out.splitlines())) <= columns
    assert max(map(width, run("devices", "--kind", "mcu").out.splitlines())) <= columns


def test_ones_own(run: Run, tmp_path: Path) -> None:
    Path("boards.toml").write_text(BOARD, encoding="utf-8")
    assert ids(run, "my*", "--devices", "boards.toml") == ["my-board"]
    (tmp_path / "pyproject.toml").write_text(
        '[tool.cnnstat.devices.lab]\nname = "Lab"\nmemory_bytes = 5\n', encoding="utf-8"
    )
    assert ids(run, "--kind", "other") == ["lab"]
    assert len(ids(run, "--devices", "boards.toml")) == 71


def test_devices_of_a_project_do_not_trouble_its_checks(run: Run) -> None:
    Path("cnnstat.toml").write_text(
        '[[check]]\nmodel = "resnet18"\nmax.params = 1\n[devices.lab]\nname = "Lab"\nmemory_bytes = 5\n',
        encoding="utf-8",
    )
    assert ids(run, "lab") == ["lab"]
    from cnnstat.budgets.config import find_config

    config = find_config(Path.cwd())
    assert config is not None and len(config.checks) == 1


def test_files(run: Run) -> None:
    result = run(
        "devices", "--kind", "mcu", "-o", "d.md", "-o", "d.csv", "-o", "d.html", "-o", "d.tex"
    )
    assert result.code == 0 and result.out == ""
    assert "esp32-s3" in Path("d.md").read_text(encoding="utf-8") and "esp32-s3" in Path(
        "d.tex"
    ).read_text(encoding="utf-8")


def test_measured(run: Run, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnstat.cli.devices._graph", lambda spec, resolution: TOY)
    data = json.loads(run("devices", "--measured", "--json").out)
    assert {row["bound_bytes"] for row in data["memory"]} == {300}
    assert {row["table"] for row in data["measured"]} >= {
        "shufflenet_v1_table8",
        "mobilenet_v3_table3",
    }
    calls = [(call["spec"], call["inputs"]) for call in analyze.calls]
    assert ("zoo:mobilenet_v1", (1, 3, 480, 640)) in calls
    assert len(calls) == len(set(calls))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--kind", "gpus"], "no kind 'gpus'; expected one of gpu, tpu,"),
        (["nonesuch*"], "no device 'nonesuch*'; `cnnstat devices` lists them"),
        (["jetson-x1"], "no device 'jetson-x1'; close: jetson-tx1"),
        (["--kind", "mcu", "h100"], "no device 'h100' of kind mcu"),
        ([""], "no device ''"),
        (["h100", " "], "no device ' '"),
        (["--kind", "other"], "no device of kind other"),
        (["--measured", "h100"], "--measured shows its own devices"),
        (["--devices", "nowhere.toml"], "nowhere.toml: cannot be read: no such file"),
        (["--devices", "."], "cannot be read"),
        (["-f", "xml"], "unknown format 'xml'"),
    ],
)
def test_errors(run: Run, args: list[str], message: str) -> None:
    assert message in run("devices", *args).error


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("memory_bytes = 1\n", "boards.toml:6: not valid TOML"),
        (
            "rates = { int8_sparse = 5 }\n",
            "boards.toml:6: 'int8_sparse' is no rate: rates are dense",
        ),
        ("app_bytes = true\n", "boards.toml:6: 'app_bytes' is true; expected a size above 0"),
        ("bandwidth = -1\n", "boards.toml:6: 'bandwidth' is -1; expected bytes a second above 0"),
        (BOARD, "boards.toml:6: a second device 'my-board'; the first is at boards.toml:1"),
    ],
)
def test_a_wrong_file_is_one_line(run: Run, more: str, message: str) -> None:
    Path("boards.toml").write_text(BOARD + more, encoding="utf-8")
    assert message in run("devices", "--devices", "boards.toml").error


def test_a_wrong_project_is_one_line(run: Run) -> None:
    Path("pyproject.toml").write_text(
        '[tool.cnnstat.devices.lab]\nname = "Lab"\nmemory_bytes = "0"\n', encoding="utf-8"
    )
    assert "pyproject.toml:3: 'memory_bytes' is '0'; expected a size" in run("devices").error


def test_a_project_with_the_table_of_a_file_is_one_line(run: Run) -> None:
    Path("pyproject.toml").write_text(
        '[[tool.cnnstat.device]]\nid = "lab"\nname = "Lab"\n', encoding="utf-8"
    )
    error = run("devices").error
    assert "pyproject.toml:1: unknown key 'device'; a device stands here under" in error
    assert "[tool.cnnstat.devices.my-board]" in error


def test_the_file_of_devices_is_not_written_over(run: Run) -> None:
    Path("boards.csv").write_text(BOARD, encoding="utf-8")
    error = run("devices", "--devices", "boards.csv", "-o", "boards.csv").error
    assert "would overwrite what is read" in error


def test_nothing_heavy_is_loaded() -> None:
    assert not loaded(RUN.format(args=["devices", "h100"])) & HEAVY
