"""`cnnstat memory` and `cnnstat summary --memory`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnstat.cli.look_alikes import ERRORS
from cnnstat.estimation import DEFAULT_OPTIMIZER
from cnnstat.report import Report
from tests.cli.conftest import Analyze, Run
from tests.reports import REPORTS

NET = """
import torch
class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
        print("built")
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    """A model that prints; its weights take 2,064 bytes."""
    path = tmp_path / "net.py"
    path.write_text(NET, encoding="utf-8")
    return f"{path}:Net"


def test_the_document_alone_is_printed(run: Run, net: str) -> None:
    result = run("memory", net, "-i", "1x3x16x16", "--json")
    assert result.code == 0
    data = json.loads(result.out)
    assert data["eager"]["weight_bytes"] == 2064
    assert data["training"] is None
    assert data["limit_bytes"] is None


def test_options_reach_the_estimate(run: Run, net: str) -> None:
    result = run(
        *("memory", net, "-i", "1x3x16x16", "--batch", "4", "--resolution", "32", "--json"),
        *("--runtime", "tflm", "--dtype", "int8", "--optimizer", "adamw", "--amp", "bf16"),
        *("--limit", "4 GiB"),
    )
    data = json.loads(result.out)
    assert data["meta"]["inputs"][0]["shape"] == [4, 3, 32, 32]
    assert (data["planned"]["runtime"], data["planned"]["dtype"]) == ("tflm", "int8")
    assert data["training"]["step"] == "adamw, autocast to bfloat16"
    assert data["limit_bytes"] == 4 << 30
    assert data["largest_batch"] > 4


@pytest.mark.parametrize(
    ("options", "step"),
    [
        (["--train"], DEFAULT_OPTIMIZER),
        (["--optimizer", "adam"], "adam"),
        (["--train", "--optimizer", "sgd"], "sgd"),
    ],
)
def test_what_asks_for_training(run: Run, net: str, options: list[str], step: str) -> None:
    data = json.loads(run("memory", net, "-i", "1x3x16x16", "--json", *options).out)
    assert data["training"]["step"] == step.replace("?", "(") + (")" if "?" in step else "")


def test_files(run: Run, net: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"m.{end}" for end in ("txt", "json", "csv", "md", "tex", "html")]
    outputs = [part for path in paths for part in ("-o", path)]
    result = run("memory", net, "-i", "1x3x16x16", "--train", *outputs)
    assert (result.code, result.out) == (0, "")
    texts = {path.suffix: path.read_text(encoding="utf-8") for path in paths}
    assert all("2064" in text.replace(",", "") for text in texts.values())
    assert "├" in texts[".txt"]
    assert "├" not in texts[".tex"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--runtime", "trt"], "unknown runtime 'trt'; one of: tflm"),
        (["--dtype", "fp8"], "unknown dtype 'fp8'; one of: fp32"),
        (["--optimizer", "adamm"], "unknown optimizer 'adamm'; did you mean adam?"),
        (["--optimizer", "lbfgs"], "unknown optimizer 'lbfgs'"),
        (["--optimizer", ""], "--optimizer is empty"),
        (["--amp", " "], "--amp is empty; bf16 or fp16"),
        (["--optimizer", "?lr=1"], "has no name"),
        (["--optimizer", "sgd?momentum"], "'momentum' is no argument"),
        (["--optimizer", "sgd?lr=fast"], "optimizer sgd(lr=fast)"),
        (["--optimizer", "sgd?nesterov=true"], "Nesterov momentum requires a momentum"),
        (["--amp", "fp8"], "cannot autocast to 'fp8'; one of: bf16, fp16"),
        (["--limit", "lots"], "--limit: 'lots' is not a size such as 200MiB"),
        (["--limit", "-3"], "--limit -3: expected more than nothing"),
        (["--limit", "0"], "--limit 0: expected more than nothing"),
        (["--batch", "0"], "batch 0: expected 1 or more"),
        (["--batch", "two"], "'two' is not a whole number"),
        (["--resolution", "0"], "resolution 0: expected 1 or more"),
        (["-i", "1x3"], "forward failed in conv1"),
        (["-f", "yaml"], "unknown format 'yaml'"),
        (["-o", "m.yaml"], "cannot tell the format"),
        (["--width", "0"], "--width 0"),
    ],
    ids=" ".join,
)
def test_wrong_input_gets_one_line(run: Run, args: list[str], words: str) -> None:
    result = run("memory", "resnet18", *args)
    assert words in result.error
    assert result.out == ""


@pytest.mark.parametrize("spec", ["saved.json", "-"])
@pytest.mark.parametrize("more", [[], ["--amp", "bf16"]])
def test_a_saved_report_does_not_say_what_lives_when(run: Run, spec: str, more: list[str]) -> None:
    assert "is a saved report" in run("memory", spec, *more).error


def test_summary_with_memory(run: Run, net: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    run("summary", net, "-i", "1x3x16x16", "--memory", "-o", path)
    report = Report.from_json(path.read_text(encoding="utf-8"))
    assert [layer.output_bytes for layer in report.layers] == [2304, 6272, 6272, 2304]
    again = run("summary", path, "--memory", "--json")
    assert Report.from_json(again.out) == report
    shown = run("summary", path, "--width", "80").out
    assert "output bytes  live bytes  param bytes" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_summary_without_memory_asks_for_none(run: Run, analyze: Analyze) -> None:
    assert "live bytes" not in run("summary", "net").out
    run("summary", "net", "--memory")
    assert ["memory" in call for call in analyze.calls] == [False, True]


def test_a_report_that_was_saved_without(run: Run, saved: Path) -> None:
    error = run("summary", saved, "--memory").error
    assert f"{str(saved)!r} was saved without memory" in error
    assert f"cnnstat summary zoo:littlenet --memory -o {saved}" in error


def test_a_report_that_was_saved_with(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "with.json"
    path.write_text(REPORTS["remembered"]().to_json(), encoding="utf-8")
    assert "152,280" in run("summary", path, "--memory").out


def test_memory_by_layer_is_of_inference(run: Run) -> None:
    error = run("summary", "resnet18", "--memory", "--train").error
    assert "cnnstat memory MODEL --train" in error


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("▁▄█ ├forward─▲", "_:# +forward-^"),
        ("1×3 · ≥ 2 … 模", "1x3 - > 2 . ?"),
        ("█▓▒░▚▪▬▫", "#%=-o.~,"),
    ],
)
def test_a_terminal_without_such_letters_gets_others(text: str, plain: str) -> None:
    assert text.encode("ascii", ERRORS) == plain.encode()
    assert text.encode("utf-8", ERRORS).decode() == text
