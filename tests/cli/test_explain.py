"""`cnnstat explain` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cnnstat
from tests.cli.conftest import Run
from tests.processes import run as python


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "resnet18.json"
    path.write_text(cnnstat.analyze("resnet18").to_json(), encoding="utf-8")
    return path


def test_a_layer(run: Run, saved: Path) -> None:
    result = run("explain", saved, "conv1")
    assert (result.code, result.err) == (0, "")
    assert "= 118,013,952" in result.out


def test_a_network(run: Run, saved: Path) -> None:
    result = run("explain", saved, "--json")
    quotes = {q["name"]: q["total"] for q in json.loads(result.out)["conventions"]["quotes"]}
    assert quotes["two-per-mac"] == 2 * quotes["macs"]


def test_a_change(run: Run, saved: Path, tmp_path: Path) -> None:
    result = run("explain", saved, "--what-if", "separable", "-f", "csv")
    assert result.out.startswith("path,kind,built,params_before")
    result = run("explain", saved, "layer1", "--what-if", "groups=2", "-o", tmp_path / "w.md")
    assert result.out == ""
    assert "layer1.0.conv1" in (tmp_path / "w.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["conv9"], "no layer 'conv9'; close: conv1"),
        (["--what-if", "smaller"], "unknown change 'smaller'; expected one of separable"),
        (["layer9", "--what-if", "separable"], "no layer 'layer9'"),
        (["--what-if", "groups=x"], "whole number"),
        (["-i", "1x3x32x32"], "is a saved report"),
        (["-f", "yaml"], "unknown format"),
    ],
)
def test_wrong_input_is_one_line(run: Run, saved: Path, args: list[str], words: str) -> None:
    result = run("explain", saved, *args)
    assert words in result.error
    assert result.out == ""


def test_a_saved_report_needs_no_torch(saved: Path) -> None:
    code = f"""
    import sys
    from cnnstat.cli.app import main
    for args in (["conv1"], [], ["--what-if", "separable"]):
        try:
            main(["explain", {str(saved)!r}, *args, "-o", "/dev/null", "-f", "table", "-q"])
        except SystemExit as done:
            assert not done.code
    print([name for name in ("torch", "pandas", "rich") if name in sys.modules])
    """
    assert python(code) == "[]\n"


def test_what_is_explained_is_not_overwritten(run: Run, saved: Path) -> None:
    before = saved.read_bytes()
    assert "would overwrite what is read" in run("explain", saved, "-o", saved).error
    assert saved.read_bytes() == before


def test_a_document_that_is_no_report_says_what_it_is(
    run: Run, saved: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    assert run("explain", saved, "-o", other).code == 0
    assert "an explanation, not a report" in run("explain", other).error
    assert run("compare", saved, saved, "-o", tmp_path / "c.json").code == 0
    assert "a comparison, not a report" in run("summary", tmp_path / "c.json").error


def test_rows_are_picked_of_a_what_if_alone(run: Run, saved: Path) -> None:
    assert "--what-if" in run("explain", saved, "--top", "3").error
    assert "--what-if" in run("explain", saved, "conv1", "--all").error
