from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cnnstat.budgets.checking import Measured, Order, hold, update
from cnnstat.budgets.config import read_config
from cnnstat.budgets.limits import Check
from cnnstat.errors import BuildError, ConfigError, OutputError
from cnnstat.render.base import View
from cnnstat.render.check_formats import carries_notes, check_text
from cnnstat.report import Report
from tests.processes import finish
from tests.reports import conv, module, normal, report, unknown

CONFIG = """\
[[check]]
model = "first"
name = "one"
max.params = "1 M"
growth.params = "0%"
[[check]]
model = "second"
name = "two"
max.params = "1 M"
"""


def net(width: int) -> Report:
    return report(
        "net",
        module("", "Net", "container", (1, 3, 8, 8), (1, width, 8, 8)),
        conv("stem", "pointwise", (1, 3, 8, 8), (1, width, 8, 8), 1),
    )


class Project:
    """A folder with a configuration, whose models are what the test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models: dict[str, Callable[[], Report]] = {
            "first": lambda: net(8),
            "second": lambda: net(16),
        }
        self.say(CONFIG)

    def say(self, text: str) -> None:
        (self.folder / "cnnstat.toml").write_text(text, encoding="utf-8")
        self.config = read_config(self.folder / "cnnstat.toml")

    def order(self, *names: str) -> Order:
        checks = [check for check in self.config.checks if not names or check.name in names]
        return Order(tuple(checks), self.config, all=not names)

    def measure(self, check: Check) -> Measured:
        return Measured(self.models[check.model]())

    @property
    def baseline(self) -> Path:
        return self.config.baseline


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def test_a_first_run_of_limits_alone_passes_and_says_what_to_do(project: Project) -> None:
    project.say(CONFIG.replace('growth.params = "0%"\n', ""))
    outcome = hold(project.order(), project.measure)
    assert outcome.code == 0
    assert list(outcome.notes()) == [
        "no baseline for one, two; run `cnnstat check --update` and commit the file"
    ]
    assert outcome.verdict() == "2 checks passed."
    assert not project.baseline.exists()


def test_growth_without_a_baseline_cannot_be_told_until_an_update_writes_one(
    project: Project,
) -> None:
    outcome = hold(project.order(), project.measure)
    assert (outcome.code, [r.status for r in outcome.results]) == (2, ["unknown", "passed"])
    assert outcome.results[0].lack == (
        "cannot tell: growth.params cannot be held: the baseline has no entry for one",
        "run `cnnstat check --update` and commit the file",
    )
    assert "cannot be told: one" in outcome.verdict()
    assert hold(project.order(), project.measure, strict=True, exit_zero=True).code == 2
    assert not project.baseline.exists()
    # What writes it is no verdict on growth, and passes.
    assert update(project.order(), project.measure).code == 0
    assert hold(project.order(), project.measure).code == 0


@pytest.mark.parametrize("left", ["no file", "another name", "no such number", "no check at all"])
def test_a_baseline_that_lost_what_growth_is_held_against_passes_nothing(
    project: Project, left: str
) -> None:
    update(project.order(), project.measure)
    document = json.loads(project.baseline.read_text())
    if left == "no file":
        project.baseline.unlink()
    elif left == "another name":
        project.say(CONFIG.replace('"one"', '"renamed"'))
    elif left == "no such number":
        del document["checks"]["one"]["params"]
        project.baseline.write_text(json.dumps(document))
    else:
        project.baseline.write_text(json.dumps(document | {"checks": {}}))
    outcome = hold(project.order(), project.measure)
    assert outcome.code == 2
    (first, _) = outcome.results
    assert "growth.params cannot be held: the baseline " in first.reason
    assert first.hint == "run `cnnstat check --update` and commit the file"
    assert update(project.order(), project.measure).code == 0
    assert hold(project.order(), project.measure).code == 0


@pytest.mark.parametrize("where", ["of all", "of one"])
def test_where_it_is_said_growth_passes_without_a_baseline_and_that_is_said(
    project: Project, where: str
) -> None:
    line = 'missing-baseline = "pass"\n'
    project.say(line + CONFIG if where == "of all" else CONFIG.replace('"0%"\n', f'"0%"\n{line}'))
    outcome = hold(project.order(), project.measure)
    assert outcome.code == 0
    place = f"cnnstat.toml:{1 if where == 'of all' else 6}"
    note = (
        f'missing-baseline = "pass" at {place}: growth.params cannot be held: the baseline has no '
        "entry for one; run `cnnstat check --update` and commit the file"
    )
    assert outcome.results[0].notes[0] == note
    assert "growth is not held for one, which the baseline does not know" in outcome.verdict()
    assert list(outcome.notes()) == [
        "no baseline for two; run `cnnstat check --update` and commit the file"
    ]
    view = View()
    for name in ("table", "json", "markdown", "github", "junit", "html", "latex"):
        text = html.unescape(check_text(outcome, name, view)).replace("\\", "")
        assert "missing-baseline" in text or not carries_notes(name), name
    # It forgives nothing else.
    assert update(project.order(), project.measure).code == 0
    assert "not held" not in hold(project.order(), project.measure).verdict()
    project.models["first"] = lambda: net(9)
    assert hold(project.order(), project.measure).code == 1


def test_one_check_may_hold_what_the_others_need_not(project: Project) -> None:
    project.say(
        'missing-baseline = "pass"\n'
        + CONFIG.replace('"0%"\n', '"0%"\nmissing-baseline = "fail"\n')
        + 'growth.macs = "0%"\n'
    )
    outcome = hold(project.order(), project.measure)
    assert [result.status for result in outcome.results] == ["unknown", "passed"]
    assert [result.unheld for result in outcome.results] == [(), ("growth.macs",)]


def test_an_update_then_nothing_to_say(project: Project) -> None:
    outcome = update(project.order(), project.measure)
    assert (outcome.code, outcome.update.fate if outcome.update else "") == (0, "written")
    text = project.baseline.read_text(encoding="utf-8")
    outcome = hold(project.order(), project.measure)
    assert (outcome.code, list(outcome.notes())) == (0, [])
    outcome = update(project.order(), project.measure)
    assert outcome.update
    assert outcome.update.fate == "unchanged"
    assert project.baseline.read_text(encoding="utf-8") == text


def test_growth_exceeds_and_an_update_refuses_to_raise(project: Project) -> None:
    update(project.order(), project.measure)
    before = project.baseline.read_bytes()
    project.models["first"] = lambda: net(9)
    outcome = hold(project.order(), project.measure)
    assert outcome.code == 1
    assert outcome.verdict().startswith("1 of 2 checks failed: one params.")
    outcome = update(project.order(), project.measure)
    assert outcome.code == 1
    assert project.baseline.read_bytes() == before
    notes = list(outcome.notes())
    assert "would rise: one: params 24 → 27 (+3)" in notes
    assert "--allow-increase" in notes[-1]
    assert "the baseline was not written" in outcome.verdict()
    # Also where the budget itself is no reason, and where failing is not wanted.
    assert update(project.order(), project.measure, exit_zero=True).code == 1
    project.models["first"], project.models["second"] = lambda: net(8), lambda: net(17)
    assert hold(project.order(), project.measure).code == 0
    assert update(project.order(), project.measure).code == 1
    assert project.baseline.read_bytes() == before


def test_an_increase_that_is_allowed_is_written_and_accepted(project: Project) -> None:
    update(project.order(), project.measure)
    project.models["first"] = lambda: net(9)
    outcome = update(project.order(), project.measure, allow_increase=True)
    assert outcome.code == 0
    assert "one: params 24 → 27 (+3)" in list(outcome.notes())
    assert json.loads(project.baseline.read_text(encoding="utf-8"))["checks"]["one"]["params"] == 27
    assert hold(project.order(), project.measure).code == 0


def test_what_is_over_its_maximum_stays_so_when_it_is_updated(project: Project) -> None:
    project.models["first"] = lambda: net(10**6)
    assert update(project.order(), project.measure).code == 1
    assert project.baseline.exists()


def test_an_update_lowers_freely(project: Project) -> None:
    update(project.order(), project.measure)
    project.models["first"] = lambda: net(4)
    assert update(project.order(), project.measure).code == 0
    assert json.loads(project.baseline.read_text(encoding="utf-8"))["checks"]["one"]["params"] == 12
    project.models["first"] = lambda: net(8)
    assert hold(project.order(), project.measure).code == 1


def test_some_checks_are_updated_and_the_others_stay(project: Project) -> None:
    update(project.order(), project.measure)
    before = json.loads(project.baseline.read_text(encoding="utf-8"))["checks"]["two"]
    project.models = {"first": lambda: net(4), "second": lambda: net(4)}
    update(project.order("one"), project.measure)
    after = json.loads(project.baseline.read_text(encoding="utf-8"))["checks"]
    assert (after["one"]["params"], after["two"]) == (12, before)


def test_a_vanished_check_is_visible_and_dropped_by_an_update(project: Project) -> None:
    update(project.order(), project.measure)
    project.say(CONFIG.replace('"two"', '"renamed"'))
    outcome = hold(project.order(), project.measure)
    first, second = outcome.notes()
    assert "no baseline for renamed" in first
    assert "the baseline has two, and no check is called that any more" in second
    update(project.order("one"), project.measure)
    assert "two" in json.loads(project.baseline.read_text(encoding="utf-8"))["checks"]
    outcome = update(project.order(), project.measure)
    assert "two: dropped from the baseline" in list(outcome.notes())
    assert set(json.loads(project.baseline.read_text(encoding="utf-8"))["checks"]) == {
        "one",
        "renamed",
    }


def broken() -> Report:
    raise BuildError("net.py:3: no way", hint="mend it")


@pytest.mark.parametrize("model", [broken, unknown, lambda: sys.exit("bye")])
def test_exceeded_and_unknown_are_told_together(
    project: Project, model: Callable[[], Report]
) -> None:
    update(project.order(), project.measure)
    project.models = {"first": lambda: net(10**6), "second": model}
    outcome = hold(project.order(), project.measure)
    assert outcome.code == 2
    assert [result.status for result in outcome.results] == ["exceeded", "unknown"]
    assert "failed: one params" in outcome.verdict()
    assert "cannot be told: two" in outcome.verdict()
    assert hold(project.order("one"), project.measure).code == 1
    assert hold(project.order("two"), project.measure).code == 2


def test_an_update_writes_nothing_where_something_cannot_be_told(project: Project) -> None:
    update(project.order(), project.measure)
    before = project.baseline.read_bytes()
    project.models = {"first": lambda: net(4), "second": broken}
    for level in ("error", "warn"):
        project.say(CONFIG + f"level = '{level}'\n")
        outcome = update(project.order(), project.measure)
        assert outcome.code == 2
        assert project.baseline.read_bytes() == before
        assert any("was not written: two cannot be told" in note for note in outcome.notes())


@pytest.mark.parametrize(
    ("level", "strict", "exit_zero", "exceeded", "cannot"),
    [
        ("error", False, False, 1, 2),
        ("error", False, True, 0, 2),
        ("warn", False, False, 0, 0),
        ("warn", True, False, 1, 2),
        ("warn", True, True, 0, 2),
        ("off", True, False, 0, 0),
    ],
)
def test_levels(
    project: Project, level: str, strict: bool, exit_zero: bool, exceeded: int, cannot: int
) -> None:
    update(project.order(), project.measure)
    project.say(CONFIG + f"level = '{level}'\n")
    project.models["second"] = lambda: net(10**6)
    assert hold(project.order(), project.measure, strict, exit_zero).code == exceeded
    project.models["second"] = broken
    assert hold(project.order(), project.measure, strict, exit_zero).code == cannot


def test_what_is_off_is_not_measured_and_keeps_its_baseline(project: Project) -> None:
    update(project.order(), project.measure)
    project.say(CONFIG + "level = 'off'\n")
    project.models["second"] = broken
    outcome = update(project.order(), project.measure)
    assert outcome.code == 0
    assert set(json.loads(project.baseline.read_text(encoding="utf-8"))["checks"]) == {"one", "two"}
    assert "1 off" in outcome.verdict()


def test_the_advice_names_the_line(project: Project) -> None:
    update(project.order(), project.measure)
    project.models["first"] = lambda: net(10**6)
    verdict = hold(project.order(), project.measure).verdict()
    assert verdict.endswith("Raise `max.params` at cnnstat.toml:4, or shrink the model.")


def test_a_damaged_baseline_is_an_error_and_stays(project: Project) -> None:
    project.baseline.write_text("{}", encoding="utf-8")
    for run in (hold, update):
        with pytest.raises(ConfigError, match=r"^cnnstat-baseline.json:1: not a baseline"):
            run(project.order(), project.measure)
    assert project.baseline.read_text(encoding="utf-8") == "{}"


def test_a_baseline_that_cannot_be_written_is_told_before_anything_is_measured(
    project: Project,
) -> None:
    project.say('baseline = "no/such/folder.json"\n' + CONFIG)
    project.models.clear()
    with pytest.raises(OutputError, match="there is no folder"):
        update(project.order(), project.measure)


def test_a_budget_of_the_command_line_has_no_baseline(project: Project) -> None:
    update(project.order(), project.measure)
    check = replace(project.config.checks[0], place=None, growth=())
    outcome = hold(Order((check,), project.config), project.measure)
    assert (outcome.code, outcome.missing, outcome.results[0].entry) == (0, (), None)
    for order in (Order((check,)), Order((check,), project.config)):
        with pytest.raises(ConfigError, match="only checks of a configuration"):
            update(order, project.measure)


# Killed midway

UPDATES = """
import os, signal, sys
from pathlib import Path
from cnnstat.budgets.checking import Measured, Order, update
from cnnstat.budgets.config import read_config
from tests.budgets.test_checking import net

config = read_config(Path(sys.argv[1]))
order = Order(config.checks, config, all=True)

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "loop":
    for n in range(10**6):
        update(order, lambda check: Measured(net(8 + n % 2)), allow_increase=True)
        print("done", flush=True)
elif sys.argv[2] == "write":
    class Half:
        def __init__(self, file): self.file = file
        def __enter__(self): return self
        def __exit__(self, *rest): pass
        def write(self, content):
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            die()
    fdopen = os.fdopen
    os.fdopen = lambda handle, mode: Half(fdopen(handle, mode))
else:
    setattr(Path, sys.argv[2], die)
update(order, lambda check: Measured(net(9)), allow_increase=True)
"""


def start(project: Project, how: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", UPDATES, str(project.config.path), how],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("how", ["write", "chmod", "replace"])
def test_killed_at_any_point_an_update_leaves_the_old_baseline_whole(
    project: Project, how: str
) -> None:
    update(project.order(), project.measure)
    before = project.baseline.read_bytes()
    process = start(project, how)
    finish(process)
    assert process.returncode == -signal.SIGKILL
    assert project.baseline.read_bytes() == before


def test_killed_at_any_time_there_is_one_whole_baseline_or_the_other(project: Project) -> None:
    whole = set()
    for width in (8, 9):
        project.models = dict.fromkeys(("first", "second"), lambda width=width: net(width))
        update(project.order(), project.measure, allow_increase=True)
        whole.add(project.baseline.read_bytes())
    for n in range(8):
        process = start(project, "loop")
        assert process.stdout
        for _ in range(n + 1):
            assert process.stdout.readline() == b"done\n"
        process.kill()  # somewhere in the next ones
        finish(process)
        assert project.baseline.read_bytes() in whole


def test_normal_reports_pass_through(project: Project) -> None:
    project.models = {"first": normal, "second": normal}
    assert update(project.order(), project.measure).code == 0
    assert hold(project.order(), project.measure).code == 0
