"""`cnnstat check` as it is installed: what a CI relies on, whatever the project holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import Done, module
from tests.odd import ODD
from tests.processes import call, finish
from tests.reports import huge, normal, unknown

PARAMS = normal().totals.params

NET = """\
import sys
from torch import nn
import torch

class Net(nn.Module):
    # 3·8·9 = 216 parameters; 216·36 MACs on 8×8.
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, bias=False)

    def forward(self, x):
        return self.stem(x)

def raising(): raise RuntimeError("no weights\\n::error::here")
def leaving(): sys.exit(0)
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with saved reports and a network."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "CNNSTAT_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    for name, report in (("little", normal()), ("gappy", unknown()), ("huge", huge())):
        (folder / f"{name}.json").write_text(report.to_json(), encoding="utf-8")
    (folder / "net.py").write_text(NET + ODD, encoding="utf-8")
    return folder


def installed(*args: object) -> Done:
    """The command in a process of its own."""
    return module("cnnstat", "check", *args)


def configure(*checks: str) -> None:
    """Write pyproject.toml with these tables."""
    tables = (f"[[tool.cnnstat.check]]\n{check}\n" for check in checks)
    Path("pyproject.toml").write_text("\n".join(tables), encoding="utf-8")


# Exit codes


@pytest.mark.parametrize(
    ("model", "limit", "code"),
    [
        ("net.py:Net", 216, 0),
        ("net.py:Net", 215, 1),
        ("net.py:Odd", 216, 2),
        ("net.py:raising", 216, 2),
        ("net.py:leaving", 216, 2),
        ("absent.py:Net", 216, 2),
    ],
)
def test_the_same_code_from_the_command_line_and_from_a_configuration(
    model: str, limit: int, code: int
) -> None:
    given = installed(model, "-i", "1x3x8x8", "--max-params", limit)
    configure(f'model = "{model}"\ninput = [1, 3, 8, 8]\nmax = {{ params = {limit} }}')
    written = installed()
    assert (given.returncode, written.returncode) == (code, code), given.stderr + written.stderr
    for done in (given, written):
        last = {
            0: "1 check passed.",
            1: "1 of 1 check failed: ",
            2: "1 of 1 check cannot be told: ",
        }
        assert done.stdout.splitlines()[-1].startswith(last[code])
        assert "Traceback" not in done.stderr


def test_an_unknown_check_goes_before_an_exceeded_one() -> None:
    configure(
        'model = "little.json"\nmax.params = 1',
        'model = "gappy.json"\nmax.params = "1 G"',
        f'name = "holds"\nmodel = "little.json"\nmax.params = {PARAMS}',
    )
    done = installed()
    assert done.returncode == 2
    assert "1 of 3 checks failed: little.json params" in done.stdout
    assert "1 of 3 checks cannot be told: gappy.json" in done.stdout
    # Whoever wants reports alone still learns that one could not be made.
    assert installed("--exit-zero").returncode == 2
    assert installed("--exit-zero", "little.json").returncode == 0
    assert installed("holds").returncode == 0


def test_warnings_pass_unless_they_are_strict() -> None:
    configure(
        'model = "little.json"\nmax.params = 1\nlevel = "warn"',
        'model = "gappy.json"\nmax.params = 1\nlevel = "warn"',
    )
    assert [installed(name).returncode for name in ("little.json", "gappy.json")] == [0, 0]
    strict = [installed(name, "--strict").returncode for name in ("little.json", "gappy.json")]
    assert strict == [1, 2]


def test_as_a_module_the_codes_are_the_same() -> None:
    for limit, code in ((PARAMS, 0), (PARAMS - 1, 1), ("many", 2)):
        command = [sys.executable, "-m", "cnnstat", "check", "little.json", "--max-params", limit]
        done = call(command)
        assert done.returncode == code


def test_a_reader_that_leaves_changes_no_verdict() -> None:
    command = Path(sys.executable).with_name("cnnstat")
    process = subprocess.Popen(
        [str(command), "check", "little.json", "--max-params", "1", "-f", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    _, said = finish(process)
    assert process.returncode != 0
    assert b"Traceback" not in said


# One more than the limit


@pytest.mark.parametrize("format", ["table", "json", "markdown", "github", "junit", "html"])
def test_one_more_in_nineteen_digits_is_seen(format: str) -> None:
    macs = huge().totals.macs
    assert len(str(macs)) == 19
    assert installed("huge.json", "--max-macs", macs, "-f", format).returncode == 0
    done = installed("huge.json", "--max-macs", macs - 1, "-f", format)
    assert done.returncode == 1
    if format == "json":
        (finding,) = json.loads(done.stdout)["findings"]
        assert finding["measured"] - finding["bounds"][0]["allowed"] == 1
        assert finding["bounds"][0]["over"] == 1
        return
    shown = done.stdout.replace("\\", "").replace("&gt;", ">")
    assert f"MACs over by 1 ({macs:,} > {macs - 1:,})" in shown


def test_one_more_is_seen_in_the_numbers_beside_each_other() -> None:
    macs = huge().totals.macs
    done = installed("huge.json", "--max-macs", macs - 1)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[1] for row in rows if row and row[0] in ("measured", "limit")] == [
        f"{macs:,}",
        f"{macs - 1:,}",
    ]


# Without torch


def test_a_saved_report_is_checked_where_torch_does_not_import(tmp_path: Path) -> None:
    poison = tmp_path / "poison"
    poison.mkdir()
    for name in ("torch", "torchvision", "timm", "numpy", "pandas", "fvcore"):
        (poison / f"{name}.py").write_text(
            f"raise ImportError('{name} was imported')\n", encoding="utf-8"
        )
    env = {**os.environ, "PYTHONPATH": str(poison)}

    def installed(*args: object) -> Done:
        """What pip put beside the interpreter, which imports all that it needs."""
        return call([Path(sys.executable).with_name("cnnstat"), "check", *args], env=env)

    configure('model = "little.json"\ngrowth = "0%"\nname = "little"')
    assert installed("--update").returncode == 0
    assert installed().returncode == 0
    for format in ("json", "markdown", "github", "junit"):
        assert installed("-f", format).returncode == 0
    assert installed("little.json", "--max-params", PARAMS - 1).returncode == 1
    # It is no accident: a network that must be built is another matter.
    assert installed("net.py:Net", "--max-params", "1G").returncode == 2


# Hostile configurations

CHECK = 'model = "little.json"\nmax.params = 1\n'


@pytest.mark.parametrize(
    "text",
    [
        "[[tool.cnnstat.check]]\nmodel = " + "[" * 50_000,
        "[[tool.cnnstat.check]]\nmodel = " + "{a=" * 5_000,
        "[tool.cnnstat]\n" + "a." * 5_000 + "b = 1",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = " + "9" * 5_000,
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = '" + "9" * 5_000 + "'",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = nan",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = inf",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = 1e300",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = 1979-05-27",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = true",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax = []",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax = {}",
        "[[tool.cnnstat.check]]\nmodel = 5\nmax.params = 1",
        "[[tool.cnnstat.check]]\nmax.params = 1",
        "[[tool.cnnstat.check]]\nmodel = 'x'\ngrowth.params = '-1%'",
        "[[tool.cnnstat.check]]\nmodel = 'x'\ngrowth.params = '1" + "0" * 100 + "%'",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = 1\nbatch = 0",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = 1\ninput = [1, -3]",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = 1\ninput = '1x3; rm -rf .'",
        "[[tool.cnnstat.check]]\nmodel = 'x'\nmax.params = 1\nlevel = 'quiet'",
        "[tool.cnnstat]\ncheck = 'all'",
        "[tool.cnnstat]\ncheck = [1]",
        "[tool]\ncnnstat = 1",
        "[tool.cnnstat]\nbaseline = '/etc/passwd'\n[[tool.cnnstat.check]]\n" + CHECK,
        "[tool.cnnstat]\nbaseline = 'net.py'\n[[tool.cnnstat.check]]\n" + CHECK,
        "[tool.cnnstat]\nbaseline = 'away/b.json'\n[[tool.cnnstat.check]]\n" + CHECK,
        '[tool.cnnstat]\nbaseline = "a\\u0000b.json"\n[[tool.cnnstat.check]]\n' + CHECK,
        "\x00",
        "[tool.cnnstat]\n\x1b[2J = 1",
        '[tool.cnnstat]\n"\\u001b[2J" = 1',
        '[tool.cnnstat]\n"\\n::error::gotcha" = 1',
    ],
    ids=range(31),
)
def test_a_hostile_configuration_is_one_line(project: Path, text: str) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    (project / "away").symlink_to(outside)
    Path("pyproject.toml").write_text(text, encoding="utf-8")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    done = installed("--update", "--allow-increase")
    assert (done.returncode, done.stdout) == (2, "")
    first, *rest = done.stderr.splitlines()
    assert first.startswith("cnnstat: error: ")
    assert len(first) < 500
    # What can be pasted where there is no budget is the one text that takes more lines.
    assert not rest or "no budget to hold" in first
    assert "\x1b" not in done.stderr
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    assert not list(outside.iterdir())


@pytest.mark.parametrize("format", ["table", "json", "github", "junit"])
def test_names_are_only_names(format: str) -> None:
    configure(
        'model = "little.json"\nmax.params = 1\nname = "a\\n::error::gotcha\\u001b[31m\\r##[error]b"',
        'model = "gappy.json"\nmax.params = 1\nname = "\\u001b]0;gotcha\\u0007"',
    )
    done = installed("-f", format)
    assert done.returncode == 2
    text = done.stdout + done.stderr
    assert "\x1b" not in text
    assert not any(line.startswith(("::error::", "##[")) for line in text.splitlines())


def test_a_baseline_is_not_followed_out_of_the_project(project: Path) -> None:
    precious = project.parent / "precious.json"
    precious.write_text("{}", encoding="utf-8")
    Path("cnnstat-baseline.json").symlink_to(precious)
    configure(CHECK)
    done = installed("--update", "--allow-increase")
    assert (done.returncode, done.stdout) == (2, "")
    assert "leads out of the project" in done.stderr
    assert precious.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"schema": 1, "checks": {"little": {"params": -1}}}',
        '{"schema": 1, "checks": {"little": {"params": NaN}}}',
        '{"schema": 1, "checks": {"little": {"params": ' + "9" * 5_000 + "}}}",
        '{"schema": 2, "checks": {}}',
        "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n",
        "",
    ],
    ids=["deep", "negative", "nan", "long", "newer", "merge", "empty"],
)
def test_a_baseline_that_cannot_be_read_is_no_pass(content: str) -> None:
    configure('name = "little"\nmodel = "little.json"\ngrowth = "0%"')
    Path("cnnstat-baseline.json").write_text(content, encoding="utf-8")
    for args in ((), ("--update", "--allow-increase")):
        done = installed(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("cnnstat: error: cnnstat-baseline.json:")
        assert done.stderr.count("\n") == 1
        assert Path("cnnstat-baseline.json").read_text(encoding="utf-8") == content
