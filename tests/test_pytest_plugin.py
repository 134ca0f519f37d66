"""The pytest plugin in runs of pytest of their own, on small networks."""

from __future__ import annotations

import os
from pathlib import Path

from cnnstat import pytest_plugin
from tests.forked import Done, module
from tests.odd import ODD
from tests.processes import modules, run

NET = """\
import pytest
import torch
from torch import nn

class Net(nn.Module):
    # 3·8·9 + 8·4 = 248 parameters; on 8×8 216·36 + 32·36 = 8,928 MACs.
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, bias=False)
        self.head = nn.Conv2d(8, 4, 1, bias=False)

    def forward(self, x):
        return self.head(self.stem(x))

INPUT = (1, 3, 8, 8)
"""


def pytest_run(folder: Path, *args: str) -> Done:
    """pytest as a user of the installed package starts it, at home: it prints more where `CI` is set."""
    env = {name: text for name, text in os.environ.items() if name not in {"CI", "BUILD_NUMBER"}}
    # In a fork cnnstat is there before pytest can rewrite it.
    quiet = ("-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    return module("pytest", *quiet, "--strict-markers", *args, cwd=folder, env=env)


def outcomes(done: Done) -> dict[str, str]:
    """Of each test of a run with `-rA`: passed, failed or error."""
    lines = done.stdout.rpartition("short test summary info")[2].splitlines()
    words = [line.split() for line in lines if "::" in line]
    return {word[1].partition("::")[2]: word[0] for word in words}


def error_lines(done: Done) -> list[str]:
    return [line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E ")]


def test_the_package_registers_the_plugin(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, "--markers")
    assert "@pytest.mark.cnnstat_budget(macs=" in done.stdout
    done = pytest_run(tmp_path, "--markers", "-p", "no:cnnstat")
    assert "cnnstat_budget" not in done.stdout


def test_estimates_for_a_device_are_held_too(tmp_path: Path) -> None:
    # 992 bytes of weights, 768 of input, 1,152 and 576 of outputs; in int8 192 + 288 in the arena.
    (tmp_path / "test_net.py").write_text(
        NET
        + """
@pytest.mark.cnnstat_budget(peak_memory="3488 B", arena="480 B", device="stm32f746", fits=True)
def test_holds(cnnstat):
    report = cnnstat.report(Net(), INPUT)
    assert report.extra == {"peak_memory": 3488, "arena": 480}

@pytest.mark.cnnstat_budget(peak_memory=3487, roofline="1 s", device="my-board", fits="tight")
def test_over(cnnstat):
    cnnstat.report(Net(), INPUT)

@pytest.mark.cnnstat_budget(device="stm32f746", runtime="tflm")
class TestTarget:
    @pytest.mark.cnnstat_budget(arena=480)
    def test_of_the_class(self, cnnstat):
        cnnstat.report(Net(), INPUT)

    @pytest.mark.cnnstat_budget(arena=480, dtype="fp32")
    def test_of_its_own(self, cnnstat):
        cnnstat.report(Net(), INPUT)

@pytest.mark.cnnstat_budget(fits=True)
def test_no_device(cnnstat):
    cnnstat.report(Net(), INPUT)

@pytest.mark.cnnstat_budget(fits=True, device="pixl-1")
def test_unknown_device(cnnstat):
    cnnstat.report(Net(), INPUT)

@pytest.mark.cnnstat_budget(fits="loose", device="pixel-1")
def test_wrong_fits(cnnstat):
    cnnstat.report(Net(), INPUT)

@pytest.mark.cnnstat_budget(arena=1, dtype=8)
def test_wrong_dtype(cnnstat):
    cnnstat.report(Net(), INPUT)

@pytest.mark.cnnstat_budget(peak_memory="1 GiB")
def test_training(cnnstat):
    cnnstat.report(Net(), INPUT, train=True)
""",
        encoding="utf-8",
    )
    (tmp_path / "cnnstat.toml").write_text(
        '[devices.my-board]\nname = "Mine"\nmemory_bytes = 2911\nbandwidth = 1\nrates.fp32 = 1000000\n'
        'runtimes = ["litert"]\n',
        encoding="utf-8",
    )
    done = pytest_run(tmp_path, "-rA")
    assert outcomes(done) == {
        "test_holds": "PASSED",
        "test_over": "FAILED",
        "TestTarget::test_of_the_class": "PASSED",
        "TestTarget::test_of_its_own": "FAILED",
        "test_no_device": "ERROR",
        "test_unknown_device": "ERROR",
        "test_wrong_fits": "ERROR",
        "test_wrong_dtype": "ERROR",
        "test_training": "FAILED",
    }
    text = "\n".join(error_lines(done))
    assert "peak memory over by 1 B (3,488 B > 3,487 B): cnnstat_budget peak_memory 3487" in text
    assert "least memory over by 1 B (2,912 B > 2,911 B of my-board): cnnstat_budget fits" in text
    # 2,336 bytes at one a second.
    assert "roofline over by 2,335,000,000,000 ns" in text
    assert "arena over by 1,440 B (1,920 B > 480 B)" in text
    for wrong in (
        "fits: 'fits' is about a device, and none is given",
        "device: no device 'pixl-1'",
        "fits='loose': expected True, or 'tight'",
        "dtype=8: expected a name",
        "'peak-memory' is about inference",
    ):
        assert wrong in done.stdout


def test_a_report_is_held_to_the_budget(tmp_path: Path) -> None:
    (tmp_path / "test_net.py").write_text(
        NET
        + """
@pytest.mark.cnnstat_budget(params=248, macs="8928", param_bytes="992 B", flops=1e9)
def test_holds(cnnstat):
    report = cnnstat.report(Net(), INPUT)
    assert (report.totals.params, report.totals.macs) == (248, 8928)

@pytest.mark.cnnstat_budget(params=247, macs="1 M")
def test_over_by_one(cnnstat):
    cnnstat.report(Net(), INPUT)

def test_without_a_budget(cnnstat):
    assert cnnstat.report(Net(), INPUT, batch=2).totals.macs == 2 * 8928

@pytest.mark.cnnstat_budget(quoted="10 k")
def test_options_are_those_of_analyze(cnnstat):
    cnnstat.report(Net(), INPUT, convention="two-per-mac")

@pytest.mark.cnnstat_budget(params=248)
def test_every_report_is_held(cnnstat):
    cnnstat.report(Net(), INPUT)
    cnnstat.report(nn.Linear(100, 10), (1, 100))

@pytest.mark.cnnstat_budget(params=1)
class TestNearest:
    @pytest.mark.cnnstat_budget(params=248, macs="1 M")
    def test_a_test_goes_before_its_class(self, cnnstat):
        cnnstat.report(Net(), INPUT)

    @pytest.mark.cnnstat_budget(macs="1 M")
    def test_a_class_adds_what_its_test_leaves_open(self, cnnstat):
        cnnstat.report(Net(), INPUT)

@pytest.mark.cnnstat_budget(params=1)
def test_an_assertion(cnnstat):
    with pytest.raises(AssertionError):
        cnnstat.report(Net(), INPUT)
""",
        encoding="utf-8",
    )
    done = pytest_run(tmp_path, "-rA")
    assert outcomes(done) == {
        "test_holds": "PASSED",
        "test_over_by_one": "FAILED",
        "test_without_a_budget": "PASSED",
        "test_options_are_those_of_analyze": "FAILED",
        "test_every_report_is_held": "FAILED",
        "TestNearest::test_a_test_goes_before_its_class": "PASSED",
        "TestNearest::test_a_class_adds_what_its_test_leaves_open": "FAILED",
        "test_an_assertion": "PASSED",
    }
    errors = error_lines(done)
    assert errors[0] == "AssertionError: params over by 1 (248 > 247): cnnstat_budget params 247"
    assert "measured     248  8.928 k" in errors
    assert "heaviest in params: stem 216 (87.1 %), head 32 (12.9 %)" in errors
    # Whoever reads it sees their own line, and none of ours.
    assert ">       cnnstat.report(Net(), INPUT)" in done.stdout
    assert "pytest_plugin.py" not in done.stdout
    assert (
        "AssertionError: quoted over by 7,856 (17,856 > 10,000): cnnstat_budget quoted 10 k"
        in errors
    )


def test_unknown_operations_fail_unless_they_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "test_odd.py").write_text(
        NET
        + ODD
        + """
@pytest.mark.cnnstat_budget(macs="1 G")
def test_nobody_can_tell(cnnstat):
    cnnstat.report(Odd(), INPUT)

@pytest.mark.cnnstat_budget(macs="1 G", uncounted=["mylib.fused"])
def test_allowed(cnnstat):
    assert not cnnstat.report(Odd(), INPUT).complete

def test_not_held(cnnstat):
    assert not cnnstat.report(Odd(), INPUT).complete
""",
        encoding="utf-8",
    )
    done = pytest_run(tmp_path, "-rA")
    assert outcomes(done) == {
        "test_nobody_can_tell": "FAILED",
        "test_allowed": "PASSED",
        "test_not_held": "PASSED",
    }
    errors = error_lines(done)
    assert errors[0].startswith("AssertionError: cannot tell: 1 operation has no rule")
    assert "mylib.fused ×1 in (root)" in errors[0]
    assert 'uncounted = ["mylib.fused"]' in errors[1]


WRONG = {
    "macs='many'": "macs: 'many' is not a count such as 4.2G, 26M or 25557032",
    "macs=-1": "macs: -1 is negative; expected 0 or more",
    "macs=1.5": "macs: 1.5 is not a number such as 26 or '26 M'",
    "macs=True": "macs: True is not a number such as 26 or '26 M'",
    "mac=5": "mac: unknown metric 'mac'; expected one of params, trainable-params, ",
    "'320 M'": 'expected limits by name, such as macs="320 M"',
    "": 'expected limits by name, such as macs="320 M"',
    "uncounted=['a::b']": 'holds nothing; give it a limit, such as macs="320 M"',
    "macs=1, uncounted='a::b'": "uncounted='a::b': expected a list of names such as ",
    "macs=1, uncounted=5": "uncounted=5: expected a list of names such as ",
    "macs=1, uncounted=[5]": "uncounted=[5]: expected a list of names such as ",
}


def test_a_wrong_marker_is_an_error_in_one_line(tmp_path: Path) -> None:
    text = "import pytest\n" + "".join(
        f"@pytest.mark.cnnstat_budget({marker})\ndef test_{n}(cnnstat): pass\n"
        for n, marker in enumerate(WRONG)
    )
    (tmp_path / "test_wrong.py").write_text(text, encoding="utf-8")
    done = pytest_run(tmp_path, "-rA")
    assert outcomes(done) == {f"test_{n}": "ERROR" for n in range(len(WRONG))}
    errors = done.stdout.partition("= ERRORS =")[2].partition("short test summary")[0]
    lines = [line for line in errors.splitlines() if line and line[0] not in "=_"]
    assert len(lines) == len(WRONG)
    for line, message in zip(lines, WRONG.values(), strict=True):
        assert line.startswith(f"cnnstat_budget: {message}")


def test_a_budget_that_holds_nothing_is_no_pass(tmp_path: Path) -> None:
    (tmp_path / "test_idle.py").write_text(
        """\
import pytest

@pytest.mark.cnnstat_budget(macs=1)
def test_without_the_fixture(): pass

@pytest.mark.cnnstat_budget(macs=1)
def test_without_a_report(cnnstat): pass

@pytest.mark.cnnstat_budget(macs=1)
def test_that_is_skipped(cnnstat): pytest.skip("not here")

@pytest.mark.cnnstat_budget(macs=1)
def test_that_fails_by_itself(cnnstat): assert False, "another reason"

def test_without_a_budget(cnnstat): pass
""",
        encoding="utf-8",
    )
    done = pytest_run(tmp_path, "-rA")
    assert outcomes(done) == {
        "test_without_the_fixture": "ERROR",
        "test_without_a_report": "FAILED",
        "test_that_fails_by_itself": "FAILED",
        "test_without_a_budget": "PASSED",
    }
    assert "needs the fixture: def test_without_the_fixture(cnnstat)" in done.stdout
    assert done.stdout.count("the test measured nothing; call cnnstat.report(model, inputs)") == 1
    assert "1 skipped" in done.stdout


def test_what_cannot_be_measured_fails_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "test_bad.py").write_text(
        NET
        + """
@pytest.mark.cnnstat_budget(macs=1)
def test_bad(cnnstat):
    cnnstat.report(Net(), (1, 4, 8, 8))
""",
        encoding="utf-8",
    )
    done = pytest_run(tmp_path, "-rA")
    assert outcomes(done) == {"test_bad": "FAILED"}
    assert any(line.startswith("cnnstat.errors.TraceError: ") for line in error_lines(done))
    assert "measured nothing" not in done.stdout


def test_it_works_on_several_workers(tmp_path: Path) -> None:
    (tmp_path / "test_net.py").write_text(
        NET
        + """
@pytest.mark.parametrize("limit", [247, 248])
@pytest.mark.parametrize("again", range(2))
def test_held(request, cnnstat, limit, again):
    request.applymarker(pytest.mark.cnnstat_budget(params=limit))
    cnnstat.report(Net(), INPUT)

@pytest.mark.parametrize(
    "limit",
    [pytest.param(n, marks=pytest.mark.cnnstat_budget(params=n)) for n in (247, 248)],
)
def test_each(cnnstat, limit):
    cnnstat.report(Net(), INPUT)
""",
        encoding="utf-8",
    )
    done = pytest_run(tmp_path, "-rA", "-n", "2")
    found = outcomes(done)
    assert (found["test_each[247]"], found["test_each[248]"]) == ("FAILED", "PASSED")
    assert any("params over by 1 (248 > 247)" in line for line in done.stdout.splitlines())
    # A marker that a test applies while it runs counts as well.
    held = {name: word for name, word in found.items() if "test_held" in name}
    assert len(held) == 4
    assert all((word == "FAILED") == ("247" in name) for name, word in held.items())


# Without being used


def loaded(folder: Path, *args: str) -> set[str]:
    """Modules that are imported when pytest has run."""
    code = (
        "import sys, pytest\n"
        f"code = pytest.main({['-p', 'no:cacheprovider', *args]!r})\n"
        "print('\\nMODULES', *sys.modules)\n"
        "sys.exit(code)"
    )
    return set(run(code, cwd=folder).rpartition("MODULES")[2].split())


def of_cnnstat(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "cnnstat"}


def test_collecting_imports_nothing_but_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_plain(): pass\n"
        "@pytest.mark.cnnstat_budget(macs='320 M')\n"
        "def test_held(cnnstat): pass\n",
        encoding="utf-8",
    )
    modules = loaded(tmp_path, "--collect-only", "--strict-markers")
    assert of_cnnstat(modules) == {"cnnstat", "cnnstat.pytest_plugin"}
    assert not modules & {"torch", "torchvision", "timm", "numpy", "pandas", "typer", "rich"}


def test_running_other_tests_imports_nothing_but_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_plain(): pass\n", encoding="utf-8")
    modules = loaded(tmp_path)
    assert of_cnnstat(modules) == {"cnnstat", "cnnstat.pytest_plugin"}
    assert "torch" not in modules


def test_the_plugin_imports_nothing_that_pytest_does_not() -> None:
    new = modules("import cnnstat.pytest_plugin, pytest") - modules("import cnnstat, pytest")
    assert new == {"cnnstat.pytest_plugin"}


def test_names_are_those_of_the_documentation() -> None:
    assert (pytest_plugin.FIXTURE, pytest_plugin.MARKER) == ("cnnstat", "cnnstat_budget")
