"""`cnnstat check` as it is typed: the installed command where the exit code matters."""

from __future__ import annotations

import html
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from cnnstat.render.check_formats import CHECK_FORMATS
from cnnstat.report import Report
from tests.cli.conftest import Analyze, Run, start
from tests.forked import Done, module
from tests.odd import ODD
from tests.processes import HEAVY, RUN, call, finish, loaded
from tests.processes import run as python
from tests.reports import normal, unknown

PARAMS = normal().totals.params
MACS = normal().totals.macs

CONFIG = """\
[tool.cnnstat]

[[tool.cnnstat.check]]
model = "little.json"
name = "little"
max = {{ params = {params} }}
"""

NET = """\
import torch
from torch import nn

WIDTH = 8

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, bias=False)
        self.head = nn.Conv2d(WIDTH, 4, 1, bias=False)

    def forward(self, x):
        return self.head(self.stem(x))
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two saved reports and a network."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "little.json").write_text(normal().to_json(), encoding="utf-8")
    (tmp_path / "gappy.json").write_text(unknown().to_json(), encoding="utf-8")
    (tmp_path / "net.py").write_text(NET + ODD, encoding="utf-8")
    return tmp_path


def installed(*args: object, **options: Any) -> Done:
    """The command in a process of its own."""
    return module("cnnstat", "check", *args, **options)


def configure(text: str, name: str = "pyproject.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


# Exit codes


def test_exit_codes_from_the_command_line() -> None:
    def installed(*args: object) -> Done:
        """What pip put beside the interpreter."""
        return call([Path(sys.executable).with_name("cnnstat"), "check", *args])

    assert installed("little.json", "--max-params", PARAMS).returncode == 0
    assert installed("little.json", "--max-params", PARAMS - 1).returncode == 1
    assert installed("gappy.json", "--max-params", "1G").returncode == 2
    assert installed("missing.json", "--max-params", "1G").returncode == 2


def test_the_example_of_the_help() -> None:
    # torchvision publishes 25,557,032 parameters and 4.089 G operations.
    assert installed("resnet50", "--max-macs", "4.2G", "--max-params", "26M").returncode == 0
    done = installed("resnet50", "--max-params", "25557031", "--max-macs", "4.2G")
    assert done.returncode == 1
    assert "params over by 1 (25,557,032 > 25,557,031)" in done.stdout
    assert "MACs over" not in done.stdout


def test_exit_codes_from_a_configuration() -> None:
    configure(CONFIG.format(params=PARAMS))
    done = installed()
    assert (done.returncode, done.stderr) == (0, "")
    configure(CONFIG.format(params=PARAMS - 1))
    done = installed()
    assert (done.returncode, done.stderr) == (1, "")
    configure(CONFIG.format(params=PARAMS).replace("little.json", "gappy.json"))
    assert installed().returncode == 2
    configure(CONFIG.format(params='"many"'))
    done = installed()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cnnstat: error: pyproject.toml:6: max.params: 'many'")


def test_one_more_than_the_limit_fails_and_can_be_seen() -> None:
    done = installed("little.json", "--max-params", PARAMS - 1)
    assert (
        f"params over by 1 ({PARAMS:,} > {PARAMS - 1:,}): --max-params {PARAMS - 1}" in done.stdout
    )
    rows = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    cells = dict(row for row in rows if row and row[0] in ("measured", "limit"))
    assert cells["measured"] != cells["limit"]


def test_a_network_is_measured_and_its_layer_named() -> None:
    # 3·8·9 + 8·4 = 248 parameters.
    check = '[[check]]\nmodel = "net.py:Net"\ninput = [1, 3, 8, 8]\ngrowth = "0%"\n'
    configure(check, "cnnstat.toml")
    assert installed("--update").returncode == 0
    assert (
        json.loads(Path("cnnstat-baseline.json").read_text(encoding="utf-8"))["checks"][
            "net.py:Net"
        ]["params"]
        == 248
    )
    assert installed().returncode == 0
    Path("net.py").write_text(NET.replace("WIDTH = 8", "WIDTH = 9"), encoding="utf-8")
    done = installed(cwd=Path.cwd())
    assert done.returncode == 1
    assert "largest change: stem +27 params (216 → 243; Conv2d 3→9, was 3→8)" in done.stdout
    before = Path("cnnstat-baseline.json").read_bytes()
    done = installed("--update")
    assert (done.returncode, Path("cnnstat-baseline.json").read_bytes()) == (1, before)
    assert "would rise: net.py:Net: params 248 → 279 (+31)" in done.stdout
    assert installed("--update", "--allow-increase").returncode == 0
    assert installed().returncode == 0


def test_operations_without_a_rule_must_be_allowed() -> None:
    args = ("net.py:Odd", "-i", "1x3x8x8", "--max-macs", "1G")
    done = installed(*args)
    assert done.returncode == 2
    assert "mylib.fused ×1 in (root)" in done.stdout
    assert installed(*args, "--uncounted", "mylib.fused").returncode == 0


# What is checked


def test_the_configuration_is_looked_for_above_and_paths_start_from_it(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(CONFIG.format(params=PARAMS))
    (project / "src" / "deep").mkdir(parents=True)
    monkeypatch.chdir(project / "src" / "deep")
    result = run("check", "--update")
    assert result.code == 0
    assert (project / "cnnstat-baseline.json").exists()
    assert "../../pyproject.toml" in result.out


def test_a_specification_is_seen_from_its_configuration(
    run: Run, analyze: Analyze, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def answer() -> Report:
        seen.append(Path.cwd())
        return normal()

    analyze.answer = answer
    configure(
        '[[check]]\nmodel = "net.py:Net"\ninput = [1, 3, 8, 8]\nmax.quoted = "1 T"\n'
        'batch = 4\ntrain = true\nbackward = true\nconvention = "fvcore"\n',
        "cnnstat.toml",
    )
    (project / "src").mkdir()
    monkeypatch.chdir(project / "src")
    assert run("check").code == 0
    assert seen == [project]
    assert Path.cwd() == project / "src"
    assert analyze.calls == [
        {
            "spec": "net.py:Net",
            "inputs": ["1x3x8x8"],
            "batch": 4,
            "resolution": None,
            "train": True,
            "backward": True,
            "convention": "fvcore",
            "engine": "auto",
        }
    ]


def test_named_checks_alone(run: Run, analyze: Analyze) -> None:
    text = "".join(f'[[check]]\nmodel = "m{n}"\nname = "{n}"\nmax.params = 1\n' for n in "abc")
    configure(text, "cnnstat.toml")
    run("check", "c", "a", "c")
    assert [call["spec"] for call in analyze.calls] == ["mc", "ma"]
    analyze.calls.clear()
    result = run("check", "resnet", "--max-params", "1G")
    assert (result.code, [call["spec"] for call in analyze.calls]) == (0, ["resnet"])
    # The command line goes before the configuration.
    assert run("check", "a").code == 1
    assert run("check", "a", "--max-params", "1G").code == 0


def test_several_models_and_all_limits(run: Run, analyze: Analyze) -> None:
    totals = normal().totals
    limits = {
        "params": totals.params,
        "macs": totals.macs,
        "flops": totals.flops,
        "activations": totals.activations,
        "param-bytes": totals.param_bytes,
    }
    args = [text for name, value in limits.items() for text in (f"--max-{name}", value)]
    assert run("check", "one", "two", *args, "-b", "4", "-i", "1x3x8x8").code == 0
    assert [(c["spec"], c["batch"], c["inputs"]) for c in analyze.calls] == [
        ("one", 4, ["1x3x8x8"]),
        ("two", 4, ["1x3x8x8"]),
    ]
    for name, value in limits.items():
        result = run("check", "one", f"--max-{name}", value - 1)
        assert result.code == 1
        assert "over by 1" in result.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["resnet50"], "no budget to hold"),
        ([], "no budget to hold"),
        (["--max-macs", "4G"], "--max-macs needs a model"),
        (["x", "--max-macs", "4 parsecs"], "--max-macs: '4 parsecs' is not a count"),
        (["x", "--max-params", "-1"], "--max-params: '-1' is negative"),
        (["x", "--max-params", "1", "--update"], "only checks of a configuration have a baseline"),
        (["x", "--max-params", "1", "--allow-increase"], "--allow-increase goes with --update"),
        (["x", "--max-params", "1", "-f", "yaml"], "junit"),
        (["x", "--max-params", "1", "-f", "junit", "--json"], "contradict"),
        (["x", "--max-params", "1", "-o", "a.xml", "-o", "./a.xml"], "given twice"),
        (["--config", "none.toml"], "none.toml: cannot be read: no such file"),
    ],
    ids=" ".join,
)
def test_wrong_usage(run: Run, analyze: Analyze, args: list[str], words: str) -> None:
    result = run("check", *args)
    assert (result.code, result.out) == (2, "")
    assert words in result.err.splitlines()[0]
    assert "Traceback" not in result.err
    assert analyze.calls == []


def test_without_a_budget_there_is_one_to_paste(run: Run, analyze: Analyze) -> None:
    result = run("check", "net.py:Net")
    assert result.code == 2
    _, _, sample = result.err.partition("\n")
    configure(sample)
    assert run("check").code == 2  # its growth has no baseline yet
    assert run("check", "--update").code == 0
    assert run("check", "--max-params", "1G", "net.py:Net").code == 0
    assert analyze.calls[-1]["spec"] == "net.py:Net"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["litle"], "no check named 'litle' in pyproject.toml; did you mean 'little'?"),
        (["other"], "checks: little"),
        (["little", "-b", "4"], "--batch: for a model of the command line"),
        (["-i", "1x3"], "--input: for a model of the command line"),
    ],
)
def test_wrong_usage_beside_a_configuration(run: Run, args: list[str], words: str) -> None:
    configure(CONFIG.format(params=PARAMS))
    assert words in run("check", *args).error


# Hostile configurations


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (CONFIG.format(params='"1 M"') + "max = 5\n", "pyproject.toml:7: not valid TOML"),
        (CONFIG.format(params=-5), "pyproject.toml:6: max.params: -5 is negative"),
        (CONFIG.format(params="[1]"), "pyproject.toml:6: max.params: [1] is not a number"),
        (
            CONFIG.format(params=1) + "maks = {}\n",
            "pyproject.toml:7: unknown key of a check 'maks'",
        ),
        (CONFIG.format(params=1) * 2, "pyproject.toml:7: not valid TOML"),
        (
            CONFIG.format(params=1) + CONFIG.format(params=1)[15:],
            "pyproject.toml:10: a second check named 'little'; the first is at pyproject.toml:3",
        ),
        (
            CONFIG.format(params=1).replace("nnstat]\n", "nnstat]\nbaseline = '../x.json'\n", 1),
            "pyproject.toml:2: the baseline '../x.json' leads out of the project",
        ),
        ("[tool.cnnstat]\n" + "# long\n" * 1_500_000, "pyproject.toml:1: larger than 1 MiB"),
        (b"[tool.cnnstat]\nbaseline = '\xff'\n", "pyproject.toml:2: not UTF-8"),
    ],
)
@pytest.mark.parametrize("args", [(), ("--update", "--allow-increase")], ids=["check", "update"])
def test_hostile_configurations(
    run: Run, project: Path, content: str | bytes, place: str, args: tuple[str, ...]
) -> None:
    (project / "cnnstat-baseline.json").write_text("precious", encoding="utf-8")
    if isinstance(content, bytes):
        Path("pyproject.toml").write_bytes(content)
    else:
        configure(content)
    result = run("check", *args)
    assert result.error.startswith(f"cnnstat: error: {place}")
    assert result.out == ""
    assert (project / "cnnstat-baseline.json").read_text(encoding="utf-8") == "precious"
    assert sorted(path.name for path in project.iterdir()) == [
        *("cnnstat-baseline.json", "gappy.json", "little.json", "net.py", "pyproject.toml")
    ]


def test_an_unreadable_baseline_is_no_pass(run: Run) -> None:
    configure(CONFIG.format(params=PARAMS))
    Path("cnnstat-baseline.json").write_text('{"schema": 1,\n oops', encoding="utf-8")
    for args in ((), ("--update",)):
        assert "cnnstat-baseline.json:2: not a baseline" in run("check", *args).error


# Growth and its baseline

GROWTH = """\
[[check]]
name = "little"
model = "little.json"
max.params = "1 G"
growth = {{ params = "0%", macs = "1%" }}
{more}"""


@pytest.mark.parametrize("args", [(), ("--strict",), ("--exit-zero",), ("little",), ("-q",)])
def test_growth_without_a_baseline_is_exit_code_2_with_the_command_that_writes_it(
    run: Run, args: tuple[str, ...]
) -> None:
    configure(GROWTH.format(more=""), "cnnstat.toml")
    result = run("check", *args)
    assert result.code == 2
    assert "growth.params and growth.macs cannot be held: the baseline has no entry" in result.out
    assert "run `cnnstat check --update` and commit the file" in result.out
    assert run("check", "--update").code == 0
    assert run("check", *args).code == 0
    Path("cnnstat-baseline.json").unlink()
    assert run("check", *args).code == 2


@pytest.mark.parametrize("name", CHECK_FORMATS)
def test_what_passes_without_a_baseline_and_what_is_far_below_is_said_in_every_format(
    run: Run, name: str
) -> None:
    configure(GROWTH.format(more='missing-baseline = "pass"\n'), "cnnstat.toml")
    result = run("check", "-f", name)
    assert result.code == 0
    said = html.unescape(html.unescape(result.out + result.err)).replace("\\", "")
    assert "missing-baseline = " in said
    assert "cnnstat.toml:6: growth.params and growth.macs cannot be held" in said
    assert "below its limit (lower it: max.params = " in said
    assert "at cnnstat.toml:4)" in said
    # Far below is far below with --update too, and none of it is said where it is not so.
    run("check", "--update")
    result = run("check", "-f", name)
    assert "missing-baseline" not in result.out + result.err


def test_many_annotations_leave_out_no_word_of_growth_that_is_not_held(run: Run) -> None:
    text = "".join(
        f'[[check]]\nname = "{n}"\nmodel = "little.json"\nmax.params = 1\nlevel = "error"\n'
        for n in range(12)
    )
    configure('missing-baseline = "pass"\n' + text + GROWTH.format(more=""), "cnnstat.toml")
    last = run("check", "-f", "github").out.splitlines()[-1]
    assert last.startswith("cnnstat check: 1 passed, 12 exceeded, 0 unknown; ")
    assert "growth not held for 1" in last


# Where it goes


def test_the_standard_output_holds_one_document(run: Run) -> None:
    configure(CONFIG.format(params=PARAMS - 1))
    result = run("check", "--json")
    assert (result.code, result.err) == (1, "")
    document = json.loads(result.out)
    assert document["findings"][0]["measured"] == PARAMS
    assert document["exit_code"] == 1


def test_what_a_model_prints_is_not_in_the_document() -> None:
    Path("net.py").write_text("print('noise')\n" + NET, encoding="utf-8")
    done = installed("net.py:Net", "-i", "1x3x8x8", "--max-params", "1k", "-f", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "passed"


def test_files_by_their_extension(run: Run) -> None:
    files = ["r.xml", "r.json", "r.md", "r.txt", "r.csv"]
    args = [arg for file in files for arg in ("-o", file)]
    result = run("check", "little.json", "--max-params", 1, *args)
    assert (result.code, result.out) == (1, "")
    assert "1 of 1 check failed: little.json params" in result.err
    assert ET.parse("r.xml").getroot().tag == "testsuites"
    assert json.loads(Path("r.json").read_text(encoding="utf-8"))["status"] == "exceeded"
    assert Path("r.md").read_text(encoding="utf-8").startswith("<!-- cnnstat:check -->\n")
    assert run("check", "little.json", "--max-params", "1M", "-q", "-o", "r.xml").err == ""


def test_the_summary_of_a_job_is_added_to(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("summary.md").write_text("before\n", encoding="utf-8")
    run("check", "little.json", "--max-params", 1)
    assert Path("summary.md").read_text(encoding="utf-8") == "before\n"
    result = run("check", "little.json", "--max-params", 1, "-f", "github")
    assert result.out.startswith("::error title=")
    text = Path("summary.md").read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- cnnstat:check -->\n")
    assert "over by" in text
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "no/such/folder")
    result = run("check", "little.json", "--max-params", "1M", "-f", "github")
    assert (result.code, "GITHUB_STEP_SUMMARY" in result.err) == (0, True)


def test_an_annotation_points_at_the_line(run: Run) -> None:
    configure(CONFIG.format(params=1))
    assert run("check", "-f", "github").out.startswith(
        "::error file=pyproject.toml,line=6,title=cnnstat%3A little params::params over by "
    )


def test_exit_zero_and_strict(run: Run) -> None:
    configure(CONFIG.format(params=1))
    assert run("check", "--exit-zero").code == 0
    configure(CONFIG.format(params=1) + "level = 'warn'\n")
    assert run("check").code == 0
    assert run("check", "--strict").code == 1
    configure(CONFIG.format(params=1) + "level = 'off'\n")
    assert run("check", "--strict").code == 0


def test_help(run: Run) -> None:
    result = run("check", "--help")
    assert result.code == 0
    assert "--max-param-bytes 98MiB" in " ".join(result.out.split())


# Without torch


def test_a_saved_report_is_checked_without_torch_and_everything_read_once() -> None:
    configure(CONFIG.format(params=PARAMS))
    installed("--update")
    files = ["little.json", "cnnstat-baseline.json", "pyproject.toml"]
    code = RUN.format(args=["check"]) + f"print('READS', *reads(*{files}))\n"
    assert not loaded(code) & (HEAVY | {"rich"})
    assert python(code).splitlines()[-1] == "READS 1 1 1"


def test_a_report_on_the_standard_input() -> None:
    process = start("check", "-", "--max-params", PARAMS, "--max-macs", MACS)
    out, err = finish(process, Path("little.json").read_bytes())
    assert (process.returncode, err) == (0, b"")
    assert out.decode().splitlines()[-1] == "1 check passed."


# The command line beside a configuration


def test_a_limit_of_the_command_line_holds_whatever_the_level_of_the_check(run: Run) -> None:
    for level in ("off", "warn", "error"):
        configure(CONFIG.format(params=PARAMS) + f"level = '{level}'\n")
        result = run("check", "little", "--max-macs", 1)
        assert result.code == 1
        assert (
            "--max-macs of the command line, with the rest of the check little at pyproject.toml:3, "
            "at level error"
        ) in " ".join(result.out.split())
        assert run("check", "little", "--max-macs", MACS).code == 0
    configure(CONFIG.format(params=1) + "level = 'off'\n")
    assert "of the command line" not in run("check", "little").out


@pytest.mark.parametrize("content", ["[tool.cnnstat]\nbaselin = 1\n", "[tool.cnnstat\n"])
def test_a_broken_configuration_nearby_does_not_stop_a_model_of_the_command_line(
    run: Run, content: str
) -> None:
    configure(content)
    result = run("check", "little.json", "--max-params", PARAMS)
    assert result.code == 0
    assert result.err.startswith("cnnstat: note: the configuration cannot be read, so the limits")
    assert "pyproject.toml:" in result.err
    assert run("check", "little.json", "--max-params", PARAMS - 1).code == 1
    # One that is asked for is another matter, and so are checks by name.
    asked = run("check", "little.json", "--max-params", PARAMS, "--config", "pyproject.toml")
    assert asked.error.startswith("cnnstat: error: pyproject.toml:")
    for args in ((), ("little",), ("--max-params", PARAMS)):
        assert run("check", *args).error.startswith("cnnstat: error: pyproject.toml:")


def test_a_model_of_the_command_line_reads_no_baseline(run: Run) -> None:
    configure(CONFIG.format(params=PARAMS))
    Path("cnnstat-baseline.json").write_text("broken", encoding="utf-8")
    result = run("check", "little.json", "--max-params", PARAMS)
    assert (result.code, result.err) == (0, "")
    assert "baseline" not in result.out
    both = run("check", "little", "little.json", "--max-params", PARAMS)
    assert "cnnstat-baseline.json:1: not a baseline" in both.error


def test_notes_of_checks_stand_beside_csv(run: Run) -> None:
    args = ("gappy.json", "--max-params", "1G", "-f", "csv")
    args += ("--uncounted", "mylib::fused", "--uncounted", "mylib.mix")
    result = run("check", *args)
    assert result.code == 0
    note = "cnnstat: note: gappy.json: without a rule, as allowed: mylib.fused ×3\n"
    assert note in result.err
    assert run("check", *args, "-q").err == ""


def test_no_output_takes_the_place_of_what_is_read() -> None:
    configure(CONFIG.format(params=PARAMS))
    installed("--update")
    for name in ("cnnstat-baseline.json", "pyproject.toml"):
        before = Path(name).read_bytes()
        for args in ((), ("--update",), ("saved.json", "--max-macs", "1")):
            done = installed(*args, "-f", "json", "-o", name)
            assert done.returncode == 2
            assert "would overwrite what is read" in done.stderr
        assert Path(name).read_bytes() == before
