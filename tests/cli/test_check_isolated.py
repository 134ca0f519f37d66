"""`cnnstat check` of models that end, break or keep their process, and one line for every exit with 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnnstat.children import Children
from tests.cli.conftest import Run, start
from tests.cli.test_startup import HEAVY, RUN, loaded
from tests.reports import normal, unknown

# 3·4·9 + 4 = 112 parameters in each; 3·3 + 3 = 12 in `nested`.
MODELS = """\
import ctypes, os, signal, subprocess, sys, threading, time
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.layer(x)

class Exits(Plain):
    def forward(self, x): os._exit(0)

class ExitsLate(Plain):
    def forward(self, x):
        threading.Thread(target=os._exit, args=(0,)).start()
        time.sleep(60)

class ExitsBuilding(Plain):
    def __init__(self): os._exit(0)

class Leaves(Plain):
    def forward(self, x): sys.exit(0)

class Dies(Plain):
    def forward(self, x): os.kill(os.getpid(), signal.SIGSEGV)

class Aborts(Plain):
    def forward(self, x): os.abort()

class ReadsNothing(Plain):
    def forward(self, x): ctypes.string_at(0)

class Hangs(Plain):
    def forward(self, x): time.sleep(60)

class Recurses(Plain):
    def forward(self, x): return self.forward(x)

class OutOfMemory(Plain):
    def forward(self, x): raise MemoryError

class Cyclic(Plain):
    def __init__(self):
        super().__init__()
        self.layer.parent = self

class Loud(Plain):
    def forward(self, x):
        os.write(1, b"loud" * 50_000)
        # It has all that this process has, and ends with it.
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
        return super().forward(x)

def nested(n=200):
    net = nn.Conv2d(3, 3, 1)
    for _ in range(n):
        net = nn.Sequential(net)
    return net
"""

REASONS = {
    "Exits": "ended itself with exit code 0, as os._exit does",
    "ExitsLate": "ended itself with exit code 0, as os._exit does",
    "ExitsBuilding": "ended itself with exit code 0, as os._exit does",
    "Leaves": "the model's code ended the program: sys.exit(0)",
    "Dies": "killed by SIGSEGV",
    "Aborts": "killed by SIGABRT",
    "ReadsNothing": "killed by SIGSEGV",
    "Hangs": "the model took longer than 3 s, and was ended",
    "Recurses": "RecursionError",
    "OutOfMemory": "MemoryError",
    "Cyclic": "the modules form a circle: layer.parent is the model itself",
}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    Path("models.py").write_text(MODELS)
    Path("exits.py").write_text("import os\nos._exit(0)\n")
    for name, report in (("little", normal()), ("gappy", unknown())):
        Path(f"{name}.json").write_text(report.to_json(), encoding="utf-8")
    return tmp_path


def configure(*models: str) -> None:
    checks = [
        f'[[check]]\nname = "{model}"\nmodel = "models.py:{model}"\ninput = [1, 3, 8, 8]\n'
        f"max.params = 112\n{'timeout = 3' if model == 'Hangs' else ''}\n"
        for model in models
    ]
    Path("cnnstat.toml").write_text("".join(checks))


def finished(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out.decode(), err.decode()


def test_what_ends_its_process_cannot_be_told_and_the_others_are() -> None:
    configure("Plain", *REASONS, "Loud", "nested")
    with Path("cnnstat.toml").open("a") as file:
        file.write('[[check]]\nname = "at import"\nmodel = "exits.py:Net"\nmax.params = 1\n')
        file.write('[[check]]\nname = "saved"\nmodel = "little.json"\nmax.params = 1\n')
    code, out, err = finished(start("check", "--json"))
    document = json.loads(out)
    found = {check["name"]: check for check in document["checks"]}
    for name, reason in REASONS.items() | {("at import", REASONS["Exits"])}:
        assert found[name]["status"] == "unknown"
        assert reason in found[name]["reason"]
    statuses = {
        name: check["status"] for name, check in found.items() if check["status"] != "unknown"
    }
    passed = dict.fromkeys(("Plain", "Loud", "nested"), "passed")
    assert statuses == {**passed, "saved": "exceeded"}
    assert (code, document["exit_code"]) == (2, 2)
    assert err.replace("loud", "").count("\n") == 1
    assert f"{len(REASONS) + 1} of {len(found)} checks cannot be told: Exits, ExitsLate" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("model", "words"), [("Exits", "os._exit"), ("Dies", "SIGSEGV")])
def test_a_model_of_the_command_line(model: str, words: str) -> None:
    args = ("-i", "1x3x8x8", "--max-params", "1G", "-o", "r.xml", "-q")
    code, out, err = finished(start("check", f"models.py:{model}", *args))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"cnnstat: error: 1 of 1 check cannot be told: models.py:{model}: ")
    assert words in err
    assert words in Path("r.xml").read_text()


@pytest.mark.parametrize("command", [("summary",), ("memory",), ("fit",)])
def test_a_limit_of_time_for_one_model(command: tuple[str, ...]) -> None:
    args = (*command, "models.py:Hangs", "-i", "1x3x8x8", "--timeout", "3", "-o", "r.json")
    code, out, err = finished(start(*args))
    assert (code, out) == (2, "")
    assert err == (
        "cnnstat: error: the model took longer than 3 s, and was ended; "
        "--timeout SECONDS gives it more time\n"
    )
    assert not Path("r.json").exists()


def test_what_is_measured_in_children_loads_nothing_heavy_here() -> None:
    for args in (
        ["check", "zoo:lenet5", "little.json", "--max-params", "100M"],
        ["summary", "zoo:lenet5", "--timeout", "500"],
    ):
        assert not loaded(RUN.format(args=args)) & {*HEAVY}


def test_a_saved_report_needs_no_child(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    assert run("check", "little.json", "--max-params", "1G").code == 0
    assert run("summary", "little.json", "--timeout", "1").code == 0


@pytest.mark.parametrize("model", ["models.py:nested", "models.py:nested?n=240"])
def test_two_hundred_modules_in_each_other_are_counted(run: Run, model: str) -> None:
    args = (model, "-i", "1x3x8x8")
    assert run("check", *args, "--max-params", 12).code == 0
    assert run("check", *args, "--max-params", 1).code == 1
    assert json.loads(run("summary", *args, "--json").out)["totals"]["params"] == 12


def test_verbose_shows_the_traceback_in_the_child() -> None:
    args = ("-i", "1x3x8x8", "--max-params", "1G", "-v")
    code, _, err = finished(start("check", "models.py:OutOfMemory", *args))
    assert code == 2
    assert "models.py" in err
    assert "def forward(self, x): raise MemoryError" in err
    assert err.splitlines()[-1].startswith("cnnstat: error: 1 of 1 check cannot be told")


# Exit code 2


FORMS: list[tuple[str, ...]] = [
    *[("-f", name) for name in ("table", "json", "markdown", "github", "junit", "csv", "html")],
    *[("-o", f"r.{name}") for name in ("xml", "json", "md", "txt")],
    ("-o", "-", "-o", "r.xml"),
]


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_verdict_that_nobody_can_tell_is_one_line_everywhere(
    run: Run, form: tuple[str, ...]
) -> None:
    args = ("check", "gappy.json", "little.json", "--max-params", "1", *form)
    result = run(*args)
    lines = [line for line in result.err.splitlines() if line.startswith("cnnstat: error: ")]
    assert (result.code, len(lines)) == (2, 1)
    assert "1 of 2 checks cannot be told: gappy.json" in lines[0]
    assert "mylib.fused" in lines[0]
    assert run(*args, "-q").err.splitlines() == lines
    exceeded = run("check", "little.json", "--max-params", "1", *form, "-q")
    assert (exceeded.code, "error: " in exceeded.err) == (1, False)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("models.py:Exits -i 1x3x8x8 --max-params 1", b"os._exit"),
        ("gappy.json --max-params 1 -f json", b"mylib.fused"),
        ("absent --max-params soon", b""),
        ("absent", b""),
    ],
)
def test_without_a_standard_error_the_code_is_the_same(args: str, words: bytes) -> None:
    command = f'"{sys.executable}" -m cnnstat check {args} 2>&-'
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert words in done.stdout


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon", ""])
@pytest.mark.parametrize("command", ["check", "summary", "memory", "fit"])
def test_a_wrong_limit_of_time_is_one_line(run: Run, command: str, given: str) -> None:
    error = run(command, "zoo:lenet5", "--timeout", given).error
    assert f"{given!r} is not a number of seconds above 0" in error


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", '"60"', "true", "[60]"])
def test_a_wrong_limit_of_time_in_a_configuration_is_one_line(run: Run, given: str) -> None:
    text = f'[[check]]\nmodel = "little.json"\nmax.params = 1\ntimeout = {given}\n'
    Path("cnnstat.toml").write_text(text)
    error = run("check").error
    assert error.startswith("cnnstat: error: cnnstat.toml:4: 'timeout' is ")
    assert error.endswith("expected a number of seconds above 0")


def test_whose_limit_of_time_holds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def call(children: Children, function: object, *args: object, **named: Any) -> None:
        seen.append(named["timeout"])
        raise KeyboardInterrupt

    monkeypatch.setattr(Children, "call", call)
    configure("Plain")
    assert run("check").code == 130
    run("check", "--timeout", "7.5")
    configure("Hangs")
    run("check")
    run("check", "--timeout", "7.5")
    run("fit", "zoo:lenet5", "--timeout", "8")
    assert seen == [600, 7.5, 3, 7.5, 8]
