"""`cnnstat fit`, from the command line to the document."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

DEVICES = """\
[[device]]
id = "small-board"
name = "A small board"
kind = "mcu"
memory_bytes = "1MiB"
ram_bytes = "{ram}"
flash_bytes = "{flash}"
runtimes = ["tflm"]
"""
KEYS = [
    "spec",
    "device",
    "dtype",
    "verdict",
    "needed_bytes",
    "available_bytes",
    "largest_batch",
    "roofline_seconds",
]


def boards(folder: Path, ram: str = "256KiB", flash: str = "768KiB") -> Path:
    path = folder / "boards.toml"
    path.write_text(DEVICES.format(ram=ram, flash=flash), encoding="utf-8")
    return path


def test_a_device_in_detail(run: Run) -> None:
    done = run("fit", "vgg16", "--device", "pixel-1", "--width", 100)
    assert done.code == 0, done.err
    assert "vgg16 on Google Pixel (1st; Snapdragon 821) in fp32: does not fit" in done.out
    assert "107.9 % of it is needed" in done.out
    assert "a lower bound, never a prediction" in done.out
    assert "~ made of figures that were not read in a source" in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    assert done.err == ""


def test_json(run: Run) -> None:
    done = run("fit", "squeezenet1_1", "--device", "h100", "--device", "stm32f746", "-f", "json")
    document = json.loads(done.out)
    assert list(document) == ["schema", "results"] and document["schema"] == 1
    card, board = document["results"]
    assert list(card)[:8] == KEYS
    assert (card["spec"], card["device"], card["dtype"]) == ("squeezenet1_1", "h100", "fp32")
    assert card["verdict"] == "fits" and card["roofline_seconds"] > 0
    assert (board["dtype"], board["verdict"]) == ("int8", "does-not-fit")
    assert [room["name"] for room in board["rooms"]] == ["RAM", "flash"]
    assert board["roofline_seconds"] is None and board["arithmetic_seconds"] > 0
    assert "layers" not in card


def test_json_with_layers(run: Run) -> None:
    done = run("fit", "squeezenet1_1", "--device", "h100", "--layers", "--json")
    (result,) = json.loads(done.out)["results"]
    layers = result["layers"]
    assert layers[0]["path"] == "features.0" and layers[0]["kind"] == "standard"
    assert sum(layer["seconds"] for layer in layers) == pytest.approx(result["layered_seconds"])


def test_csv_with_layers_has_a_row_for_each_layer(run: Run) -> None:
    done = run("fit", "squeezenet1_1", "--device", "h100", "--layers", "-f", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["path"] for row in rows[:2]] == ["features.0", "features.1"]
    assert {row["device"] for row in rows} == {"h100"} and all(row["seconds"] for row in rows)


def test_csv_has_a_row_for_each(run: Run) -> None:
    done = run("fit", "squeezenet1_1", "-f", "csv", "--kind", "mcu", "--kind", "phone")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 19
    assert {row["spec"] for row in rows} == {"squeezenet1_1"}
    assert rows[0]["memory_needed_bytes"] and not rows[0]["flash_needed_bytes"]
    assert rows[-1]["flash_needed_bytes"] and not rows[-1]["memory_needed_bytes"]


def test_every_device_by_kind(run: Run) -> None:
    done = run("fit", "squeezenet1_1", "--width", 80)
    assert done.code == 0, done.err
    titles = [line for line in done.out.splitlines() if line.endswith(")") and line[0].islower()]
    assert titles[0] == "graphics cards (gpu)" and titles[-1] == "microcontrollers (mcu)"
    assert max(map(len, done.out.splitlines())) <= 80
    assert "bound: no run is faster" in done.out


def test_a_matrix_of_three_in_80_columns(run: Run) -> None:
    models = ["squeezenet1_1", "mobilenet_v3_large", "vgg16"]
    done = run("fit", *models, "--kind", "phone", "--kind", "mcu", "--width", 80)
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert ["pixel-1", "fp32", "fits", "fits", "does", "not", "fit"] in [x.split() for x in lines]
    assert all(name in done.out for name in models)


def test_training(run: Run) -> None:
    done = run("fit", "alexnet", "-b", 128, "--train", "--kind", "gpu", "--kind", "mcu", "--json")
    found = {result["device"]: result for result in json.loads(done.out)["results"]}
    assert found["gtx580"]["verdict"] == "fits"
    assert found["gtx580-1.5gb"]["verdict"] == "tight"
    assert found["gtx580"]["step"] == "sgd(momentum=0.9)" and found["gtx580"]["batch"] == 128
    assert found["esp32"]["verdict"] == "unknown" and "nothing trains" in found["esp32"]["reason"]
    assert found["esp32"]["needed_bytes"] is None
    shown = run("fit", "alexnet", "--train", "--kind", "gpu", "--kind", "mcu")
    assert "without an answer: max78000" in shown.out and "bound" not in shown.out


def test_devices_of_ones_own(run: Run, tmp_path: Path) -> None:
    done = run("fit", "squeezenet1_1", "--devices", boards(tmp_path), "--device", "small-board")
    assert "on A small board in int8: does not fit" in done.out
    assert "smallest" not in done.out
    output = tmp_path / "out.html"
    done = run(
        *("fit", "squeezenet1_1", "--devices", boards(tmp_path), "--kind", "mcu", "-o", output)
    )
    assert done.code == 0 and "small-board" in output.read_text(encoding="utf-8")


def test_autocast_is_shown(run: Run) -> None:
    done = run("fit", "resnet18", "--device", "h100", "--amp", "bf16", "--width", 120)
    assert "inference, autocast to bfloat16, batch 1" in done.out
    assert "no run is faster, were all of it in bf16" in done.out and "7.064 µs" in done.out
    assert "measured for training in fp32 on an A100" in done.out
    done = run("fit", "resnet18", "--kind", "gpu", "--kind", "phone", "--amp", "bf16")
    assert (
        "without an answer: pixel-1" in done.out
        and "are assumed for the others" in done.out.replace("\n", " ")
    )


def test_a_memory_that_is_not_known(run: Run, tmp_path: Path) -> None:
    path = boards(tmp_path)
    path.write_text(
        path.read_text(encoding="utf-8").replace('ram_bytes = "256KiB"\n', "", 1), encoding="utf-8"
    )
    args = ("zoo:lenet5", "--devices", path, "--device", "small-board")
    assert "no RAM of small-board is known" in run("fit", *args).out
    (result,) = json.loads(run("fit", *args, "--json").out)["results"]
    assert (result["verdict"], result["largest_batch"]) == ("unknown", None)
    assert result["reason"] == "no RAM of small-board is known"


def test_a_blank_runtime(run: Run, tmp_path: Path) -> None:
    path = boards(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace('["tflm"]', '[" "]'), encoding="utf-8")
    assert "a list of texts" in run("fit", "zoo:lenet5", "--devices", path).error


def test_two_formats_and_a_device_twice(run: Run) -> None:
    done = run(
        *("fit", "squeezenet1_1", "--device", "h100", "--device", "H100"),
        *("--dtype", "fp16", "--dtype", "int8", "--dtype", "fp16", "--json"),
    )
    found = json.loads(done.out)["results"]
    assert [(r["device"], r["dtype"]) for r in found] == [("h100", "fp16"), ("h100", "int8")]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--device", "pixl-1"], "no device 'pixl-1'; close: pixel-1"),
        (["--dtype", "fp8"], "unknown dtype 'fp8'; one of: fp32, fp16, bf16, int8"),
        (["--kind", "toaster"], "no kind 'toaster'"),
        (["--train", "--device", "esp32"], "nothing trains on a microcontroller such as esp32"),
        (["--train", "--kind", "mcu"], "nothing trains on a microcontroller"),
        (["--train", "--dtype", "int8"], "nothing trains in int8"),
        (["--optimizer", "adm"], "unknown optimizer 'adm'; did you mean adam?"),
        (["--optimizer", " "], "--optimizer is empty"),
        (["--optimizer", "sgd?speed=3"], "optimizer sgd(speed=3)"),
        (["--amp", ""], "--amp is empty; bf16 or fp16"),
        (["--amp", "bf16", "--device", "pixel-1"], "autocast is torch's"),
        (["--device", ""], "no device ''"),
        (["--amp", "fp8"], "cannot autocast to 'fp8'; one of: bf16, fp16"),
        (["--layers", "--train", "--device", "h100"], "a step of training has none"),
        (["--layers"], "--layers shows one device in detail"),
        (["--device", "h100", "--kind", "gpu"], "--device and --kind contradict each other"),
        (["-b", "0", "--device", "h100"], "batch 0: expected 1 or more"),
        (["-f", "xml"], "unknown format 'xml'"),
        (["--devices", "nowhere.toml"], "nowhere.toml: cannot be read"),
    ],
)
def test_wrong_inputs(run: Run, args: list[str], says: str) -> None:
    assert says in run("fit", "squeezenet1_1", *args).error


@pytest.mark.parametrize(
    ("ram", "flash", "says"), [("-1", "1MiB", "ram_bytes"), ("64KiB", "much", "flash_bytes")]
)
def test_wrong_figures(run: Run, tmp_path: Path, ram: str, flash: str, says: str) -> None:
    error = run("fit", "squeezenet1_1", "--devices", boards(tmp_path, ram, flash)).error
    assert "boards.toml:" in error and says in error


def test_missing_figures(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text('[[device]]\nid = "b"\nname = "b"\nkind = "other"\n', encoding="utf-8")
    assert "memory_bytes" in run("fit", "squeezenet1_1", "--devices", path).error


def test_a_saved_report_is_no_model(run: Run, saved: Path) -> None:
    error = run("fit", saved, "--device", "h100").error
    assert "is a saved report, which does not say what lives when" in error


def test_the_devices_that_are_read_are_not_overwritten(run: Run, tmp_path: Path) -> None:
    path = boards(tmp_path)
    assert "would overwrite" in run("fit", "squeezenet1_1", "--devices", path, "-o", path).error
