"""`cnnstat compare`, with reports saved by hand and a stand-in for measuring."""

from __future__ import annotations

import csv
import io
import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cnnstat.report import Report
from tests.cli.conftest import Run
from tests.processes import HEAVY, RUN, loaded
from tests.processes import run as python
from tests.reports import conv, module, normal, report, unknown
from tests.work import instructions


def other() -> Report:
    """A network of another family."""
    return report(
        "other",
        module("", "Other", "container", (1, 3, 32, 32), (1, 8, 16, 16)),
        conv("only", "standard", (1, 3, 32, 32), (1, 8, 16, 16), 3),
    )


@pytest.fixture
def files(tmp_path: Path) -> SimpleNamespace:
    paths = {}
    for name, made in {"one": normal(), "two": other(), "gaps": unknown()}.items():
        paths[name] = tmp_path / f"{name}.json"
        paths[name].write_text(made.to_json(), encoding="utf-8")
    return SimpleNamespace(**paths)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """In the place of the module that imports torch: what was asked of it."""
    calls: list[dict[str, Any]] = []
    stand_in = ModuleType("cnnstat.analysis")

    def analyze(spec: str, **options: Any) -> Report:
        calls.append({"spec": spec, **options})
        return report(spec, *other().layers)

    stand_in.analyze = analyze  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cnnstat.analysis", stand_in)
    return calls


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "missing argument 'SPEC...'"),
        (["x"], "one model given, 'x', and a comparison needs two; cnnstat summary x"),
        (["-", "-"], "'-' is given twice"),
        (["a", "b", "c", "--by", "layer"], "--by layer aligns two models, and 3 were given"),
        (["a", "b", "--by", "colour"], "'colour' is not one of 'layer', 'stage'"),
        (["a", "b", "--sort", "beauty"], "unknown column 'beauty'; expected one of given, macs"),
        (["a", "b", "--top", "3"], "--top is about layers; add --layers"),
        (["a", "b", "--all"], "--all is about layers; add --layers"),
        (["a", "b", "--layers", "--top", "0"], "--top 0: expected 1 or more"),
        (["a", "b", "--layers", "--top", "few"], "'few' is not a whole number"),
        (["a", "b", "--layers", "--all", "--top", "2"], "contradict"),
        (["a", "b", "--by", "stage", "--top", "2"], "--top and --by stage contradict"),
        (["a", "b", "--by", "stage", "--all"], "--all and --by stage contradict"),
        (["a", "b", "c", "--layers", "--top", "2"], "--top is about two models layer by layer"),
        (
            ["a", "b", "c", "--layers", "--all"],
            "and 3 were given; leave it out, or give two models",
        ),
        (["a", "b", "--width", "0"], "--width 0"),
        (["a", "b", "-f", "yaml"], "unknown format 'yaml'"),
        (["a", "b", "-o", "nowhere/x.md"], "there is no folder"),
        (["missing.json", "also.json"], "cannot read 'missing.json'"),
    ],
    ids=" ".join,
)
def test_wrong_input_gets_one_line_before_anything_is_measured(
    run: Run, measured: list[dict[str, Any]], args: list[str], words: str
) -> None:
    result = run("compare", *args)
    assert words.lower() in result.error.lower()
    assert result.out == ""
    assert measured == []


def test_an_unknown_baseline(run: Run, files: SimpleNamespace) -> None:
    result = run("compare", files.one, files.two, "--baseline", "vgg")
    assert "no model 'vgg' in the comparison; one of: 'littlenet', 'other'" in result.error


def test_saved_reports_cannot_be_measured_again(run: Run, files: SimpleNamespace) -> None:
    assert "is a saved report, and --batch" in run("compare", files.one, files.two, "-b", 2).error


def test_files_and_models_may_be_mixed(
    run: Run, files: SimpleNamespace, measured: list[dict[str, Any]]
) -> None:
    result = run(
        "compare", files.one, "net", "-b", "2", "-c", "fvcore", "--train", "--engine", "fake"
    )
    assert result.code == 0
    assert measured == [
        {
            "spec": "net",
            "inputs": None,
            "batch": 2,
            "resolution": None,
            "train": True,
            "backward": False,
            "engine": "fake",
            "convention": "fvcore",
        }
    ]
    assert "littlenet" in result.out


def test_a_model_given_twice_is_measured_once(run: Run, measured: list[dict[str, Any]]) -> None:
    result = run("compare", "net", "net", "other", "--json")
    assert [call["spec"] for call in measured] == ["net", "other"]
    assert json.loads(result.out)["comparison"] == ["net", "net #2", "other"]


def test_files_of_one_model_are_told_apart_by_their_names(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("old.json", "new.json"):
        Path(name).write_text(normal().to_json(), encoding="utf-8")
    result = run("compare", "old.json", "new.json", "--baseline", "new.json", "--json")
    document = json.loads(result.out)
    assert document["comparison"] == ["old.json", "new.json"]
    assert document["baseline"] == "new.json"


def test_one_report_may_come_from_the_standard_input(
    run: Run, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(other().to_json().encode()), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    result = run("compare", files.one, "-", "--json")
    assert json.loads(result.out)["comparison"] == ["littlenet", "other"]


def test_every_format(run: Run, files: SimpleNamespace, tmp_path: Path) -> None:
    names = ["out.txt", "out.json", "out.csv", "out.md", "out.tex", "out.html"]
    args = [option for name in names for option in ("-o", tmp_path / name)]
    result = run("compare", files.one, files.two, "--layers", *args)
    assert result.code == 0
    assert result.out == ""
    assert result.err.count("wrote ") == 6
    texts = {name: (tmp_path / name).read_text(encoding="utf-8") for name in names}
    for name in ("out.txt", "out.md", "out.tex", "out.html"):
        assert "1,368,896" in texts[name], name
    assert json.loads(texts["out.json"])["models"][0]["values"]["macs"] == 1368896
    rows = list(csv.DictReader(io.StringIO(texts["out.csv"])))
    macs = sum(int(row["macs"]) for row in rows if row["model"] == "littlenet")
    assert macs == 1368896


def test_csv_has_no_place_for_notes(run: Run, files: SimpleNamespace) -> None:
    result = run("compare", files.one, files.gaps, "-f", "csv")
    assert "cnnstat: note: gappy: 4 operations have no rule" in result.err
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert {row["at_least"] for row in rows if row["model"] == "gappy"} == {"True", "False"}
    assert run("compare", files.one, files.gaps, "-f", "csv", "-q").err == ""


@pytest.mark.parametrize("width", [80, 120, 200])
def test_nothing_is_wider_than_asked(run: Run, files: SimpleNamespace, width: int) -> None:
    for options in ((), ("--layers",), ("--by", "layer", "--all"), ("--sort", "name")):
        result = run("compare", files.one, files.two, *options, "--width", width)
        assert all(len(line) <= width for line in result.out.splitlines())


def test_the_order_of_the_models(run: Run, files: SimpleNamespace) -> None:
    result = run("compare", files.two, files.one, "--sort", "macs")
    assert result.out.splitlines()[3].split()[0] == "littlenet"
    assert "ratios to other" in result.out

    assert run("compare", files.two, files.one, "--sort", "MACs").out == result.out


@pytest.mark.parametrize("option", [["--top", 2], ["--all"]])
def test_layers_cannot_be_picked_where_none_are_shown(
    run: Run, files: SimpleNamespace, option: list[object]
) -> None:
    result = run("compare", files.one, files.two, "--layers", *option)
    assert f"{option[0]} is about layers side by side, and these models are compared by stage" in (
        result.error
    )
    assert result.error.endswith("leave it out, or add --by layer")
    assert run("compare", files.one, files.two, "--by", "layer", *option).code == 0


def test_csv_says_what_is_not_known(run: Run, files: SimpleNamespace) -> None:
    result = run("compare", files.one, files.gaps, "--by", "layer", "-f", "csv", "-q")
    rows = {row["path_after"]: row for row in csv.DictReader(io.StringIO(result.out))}
    fused = rows["body.fused"]
    assert (fused["at_least_before"], fused["at_least_after"]) == ("False", "True")
    assert (fused["macs_after"], fused["macs_difference"]) == ("0", "")
    assert rows["stem"]["macs_difference"] == "0"


@pytest.mark.parametrize("format", ["table", "json", "csv", "markdown", "latex", "html"])
def test_comparing_saved_reports_loads_nothing_heavy(files: SimpleNamespace, format: str) -> None:
    args = ["compare", str(files.one), str(files.two), "--layers", "-f", format]
    assert not loaded(RUN.format(args=args)) & (HEAVY | {"rich"})


def test_saved_reports_are_read_once_each(files: SimpleNamespace) -> None:
    both = [str(files.one), str(files.two)]
    code = RUN.format(args=["compare", *both, "--layers"]) + f"print('READS', *reads(*{both}))"
    assert python(code).splitlines()[-1] == "READS 1 1"


def test_the_work_of_comparing_grows_as_the_layers_do(run: Run, tmp_path: Path) -> None:
    from cnnstat.analysis import analyze

    paths, layers = [], []
    for name in ("resnet50", "resnet101", "resnet152"):
        made = analyze(name)
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(made.to_json(), encoding="utf-8")
        layers.append(len(made.layers))
    work = []
    for n in (0, 1):
        command = partial(run, "compare", *paths[n : n + 2], "--layers")
        assert command().code == 0  # imports what it needs
        work.append(instructions(command) / sum(layers[n : n + 2]))
    assert work[1] < 1.2 * work[0]
    assert max(work) < 16_000  # 7,800 by Python 3.11, to read, align and draw a layer


def test_what_is_compared_is_not_overwritten(run: Run, files: SimpleNamespace) -> None:
    before = files.one.read_bytes()
    result = run("compare", files.one, files.two, "-o", files.one)
    assert "would overwrite what is read" in result.error
    assert files.one.read_bytes() == before
