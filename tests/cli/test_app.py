from __future__ import annotations

import csv
import json
import os
from io import StringIO
from pathlib import Path

import pytest

from cnnstat import __version__
from cnnstat.errors import TraceError
from cnnstat.report import Report
from tests.cli.conftest import Analyze, Run, start
from tests.processes import finish
from tests.reports import normal, unknown


def test_version(run: Run) -> None:
    assert run("--version").out == f"cnnstat {__version__}\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", [(), ("summary",), ("memory",), ("models",), ("rules",)])
def test_help(run: Run, command: tuple[str, ...], flag: str) -> None:
    result = run(*command, flag)
    assert result.code == 0
    assert result.out.startswith("Usage:")
    assert result.err == ""


def test_nothing_asked_shows_the_help(run: Run) -> None:
    result = run()
    assert result.code == 2
    assert "cnnstat summary resnet50" in result.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["sumary"], "did you mean 'summary'"),
        (["summary"], "missing argument 'SPEC'"),
        (["summary", "a", "b"], "b"),
        (["summary", "x", "--depht", "2"], "--depth"),
        (["summary", "x", "--depth", "two"], "'two' is not a whole number"),
        (["summary", "x", "--depth", "-1"], "--depth -1: expected 0 or more"),
        (["summary", "x", "--top", "0"], "--top 0: expected 1 or more"),
        (["summary", "x", "--width", "0"], "--width 0"),
        (["summary", "x", "--engine", "gpu"], "'gpu' is not one of 'auto', 'meta', 'fake', 'cpu'"),
        (["summary", "x", "--color", "red"], "'red'"),
        (["summary", "x", "--by", "beauty"], "unknown column 'beauty'; expected one of macs"),
        (["summary", "x", "--all", "--depth", "1"], "contradict"),
        (["summary", "x", "-f", "yaml"], "unknown format 'yaml'; expected one of table, json"),
        (["summary", "x", "--json", "-f", "csv"], "contradict"),
        (["summary", "x", "-o", "a.yaml"], ".json, .csv"),
        (["summary", "x", "-o", "nowhere/a.md"], "there is no folder"),
        (["summary", "x", "-o", "."], "directory"),
        (["summary", "x", "-o", "a.md", "-o", "./a.md"], "given twice"),
        (["summary", "missing.json"], "cannot read 'missing.json': no such file"),
        (["models", "-f", "xml"], "'xml'"),
    ],
    ids=" ".join,
)
def test_wrong_input_gets_one_line_before_anything_is_measured(
    run: Run, analyze: Analyze, args: list[str], words: str
) -> None:
    result = run(*args)
    assert words.lower() in result.error.lower()
    assert result.error.startswith("cnnstat")
    assert result.out == ""
    assert analyze.calls == []
    assert not Path("a.md").exists()


def test_options_reach_the_analysis(run: Run, analyze: Analyze) -> None:
    run(
        *("summary", "net.py:Net", "-i", "1x3x8x8", "-i", "mask=1x8:bool", "--batch", "4"),
        *("--resolution", "96", "--train", "--backward", "-c", "fvcore", "--engine", "fake"),
    )
    run("summary", "resnet50")
    assert analyze.calls == [
        {
            "spec": "net.py:Net",
            "inputs": ["1x3x8x8", "mask=1x8:bool"],
            "batch": 4,
            "resolution": 96,
            "train": True,
            "backward": True,
            "convention": "fvcore",
            "engine": "fake",
        },
        {
            "spec": "resnet50",
            "inputs": None,
            "batch": None,
            "resolution": None,
            "train": False,
            "backward": False,
            "convention": "macs",
            "engine": "auto",
        },
    ]


# A saved report


def test_a_saved_report_reads_as_the_measured_one(run: Run, analyze: Analyze, saved: Path) -> None:
    assert run("summary", saved).out == run("summary", "littlenet").out
    assert len(analyze.calls) == 1


def test_a_report_on_the_standard_input(saved: Path) -> None:
    done = start("summary", "-", "--json")
    out, err = finish(done, saved.read_bytes())
    assert out == saved.read_bytes()
    assert err == b""
    assert done.returncode == 0


@pytest.mark.parametrize(
    "option", [("-i", "1x3"), ("--batch", "2"), ("--train",), ("--backward",), ("--engine", "cpu")]
)
def test_a_saved_report_cannot_be_measured_again(
    run: Run, saved: Path, option: tuple[str, ...]
) -> None:
    assert "is a saved report" in run("summary", saved, *option).error


def test_a_saved_report_is_quoted_by_another_convention(run: Run, saved: Path) -> None:
    assert "fvcore flops" in run("summary", saved, "-c", "fvcore").out
    assert "'nobody'" in run("summary", saved, "-c", "nobody").error


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"schema": 2}', '{"schema": 1}', "é"])
def test_a_damaged_report_is_named(run: Run, tmp_path: Path, content: str) -> None:
    path = tmp_path / "damaged.json"
    path.write_bytes(content.encode("latin-1"))
    assert "damaged.json: " in run("summary", path).error


def test_a_truncated_report_is_named(run: Run, saved: Path) -> None:
    whole = saved.read_text(encoding="utf-8")
    for end in range(0, len(whole) - 1, 997):
        saved.write_text(whole[:end], encoding="utf-8")
        assert "saved.json" in run("summary", saved).error


def test_a_folder_is_no_report(run: Run, tmp_path: Path) -> None:
    (tmp_path / "dir.json").mkdir()
    assert "is a directory" in run("summary", tmp_path / "dir.json").error


# Outputs


@pytest.mark.parametrize("args", [("-f", "json"), ("--json",)])
def test_json_is_one_document(run: Run, saved: Path, args: tuple[str, ...]) -> None:
    assert Report.from_json(run("summary", saved, *args, "--top", "1").out) == normal()


def test_several_files_from_one_trace(run: Run, analyze: Analyze, tmp_path: Path) -> None:
    names = ["r.json", "r.csv", "r.md", "r.tex", "r.html", "r.txt"]
    args = [arg for name in names for arg in ("-o", tmp_path / name)]
    result = run("summary", "littlenet", *args)
    assert result.code == 0
    assert result.out == ""
    assert result.err == "".join(f"wrote {tmp_path / name}\n" for name in names)
    assert len(analyze.calls) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert Report.from_json((tmp_path / "r.json").read_bytes()) == normal()
    assert (tmp_path / "r.txt").read_text(encoding="utf-8") == run("summary", "littlenet").out


def test_files_and_the_standard_output(run: Run, saved: Path, tmp_path: Path) -> None:
    result = run("summary", saved, "-o", tmp_path / "r.csv", "-o", "-", "-q")
    assert "littlenet · zoo" in result.out
    assert result.err == ""
    assert (tmp_path / "r.csv").read_text(encoding="utf-8").startswith("path,")


def test_a_format_is_for_files_too(run: Run, saved: Path, tmp_path: Path) -> None:
    run("summary", saved, "-f", "markdown", "-o", tmp_path / "report")
    assert (tmp_path / "report").read_text(encoding="utf-8").startswith("## littlenet")


def test_a_report_may_replace_itself(run: Run, saved: Path) -> None:
    before = saved.read_bytes()
    assert run("summary", saved, "-o", saved).code == 0
    assert saved.read_bytes() == before


def test_notes_go_to_stderr_where_the_format_has_no_place_for_them(
    run: Run, analyze: Analyze
) -> None:
    analyze.answer = unknown
    result = run("summary", "gappy", "-f", "csv")
    assert len(list(csv.DictReader(StringIO(result.out)))) == 4
    assert "cnnstat: note: 4 operations have no rule" in result.err
    assert run("summary", "gappy", "-f", "csv", "-q").err == ""
    assert run("summary", "gappy").err == ""


def test_what_the_model_prints_stays_out_of_the_document(run: Run, analyze: Analyze) -> None:
    def chatty() -> Report:
        print("hello from forward")
        return normal()

    analyze.answer = chatty
    result = run("summary", "chatty", "--json")
    assert json.loads(result.out)["schema"] == 1
    assert "hello from forward" in result.err


# Failures


def failing(error: BaseException) -> Report:
    raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TraceError("layer1: shapes\n differ", hint="try -i 1x3x8x8"), "differ; try -i 1x3x8x8"),
        (SystemExit(0), "the model's code ended the program: sys.exit(0)"),
        (RuntimeError("boom\nbang"), "unexpected RuntimeError: boom bang"),
        (RecursionError(), "unexpected RecursionError"),
        (MemoryError(), "unexpected MemoryError"),
    ],
)
def test_a_failure_is_one_line_and_leaves_files_as_they_were(
    run: Run, analyze: Analyze, tmp_path: Path, error: BaseException, words: str
) -> None:
    analyze.answer = lambda: failing(error)
    old = tmp_path / "old.json"
    old.write_text("old", encoding="utf-8")
    result = run("summary", "x", "-o", old, "-o", tmp_path / "new.md")
    assert words in result.error
    assert old.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_an_interruption_has_a_code_of_its_own(run: Run, analyze: Analyze, tmp_path: Path) -> None:
    analyze.answer = lambda: failing(KeyboardInterrupt())
    result = run("summary", "x", "-o", tmp_path / "new.md")
    assert (result.code, result.out, result.err) == (130, "", "cnnstat: error: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_verbose_shows_the_traceback(
    run: Run, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    analyze.answer = lambda: failing(RuntimeError("boom"))
    if how == "variable":
        monkeypatch.setenv("CNNSTAT_DEBUG", "1")
    result = run("summary", "x", *(["-v"] if how == "flag" else []))
    assert result.code == 2
    assert "Traceback" in result.err
    assert result.err.endswith("boom (this is a bug; -v shows the traceback)\n")


def test_an_unknown_kind_lists_the_known_ones(run: Run, saved: Path) -> None:
    error = run("summary", saved, "--kind", "fancy").error
    assert "unknown kind 'fancy'" in error
    assert "depthwise" in error


@pytest.mark.skipif(os.name == "nt", reason="pipes")
def test_a_reader_that_leaves_is_no_error(saved: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start("summary", saved, "--all", stdout=writing)
    os.close(writing)
    _, err = finish(process)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(saved: Path) -> None:
    for args, stdout in [((), "/dev/full"), (("-f", "csv", "-o", "/dev/full"), os.devnull)]:
        with Path(stdout).open("wb") as out:
            process = start("summary", saved, *args, stdout=out)
            _, err = finish(process)
        assert process.returncode == 2
        assert b"no space left" in err.lower()
        assert err.count(b"\n") == 1


# Lists


def test_models(run: Run) -> None:
    result = run("models", "lenet*", "--source", "zoo")
    assert result.code == 0
    assert result.out.splitlines()[0].split() == ["name", "source"]
    assert "'nowhere'" in run("models", "--source", "nowhere").error
    assert isinstance(json.loads(run("models", "-f", "json", "--source", "zoo").out), list)


def test_rules(run: Run) -> None:
    assert "aten.convolution" in run("rules").out
    rows = list(csv.DictReader(StringIO(run("rules", "-f", "csv").out)))
    assert {"name", "family", "ops", "formula", "source"} == set(rows[0])


def test_the_module_runs_too() -> None:
    process = start("--version")
    assert finish(process)[0].decode().strip() == f"cnnstat {__version__}"
