"""Several updates of one baseline at once lose nothing, also where one of them is killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from cnnstat.budgets import locking
from cnnstat.budgets.checking import Measured, hold, update
from cnnstat.budgets.limits import Check
from cnnstat.budgets.locking import lock_file, locked
from cnnstat.errors import OutputError
from tests.budgets.test_checking import CONFIG, Project, net, start
from tests.budgets.test_checking import project as project  # a fixture
from tests.cli.conftest import start as command

NAMES = ("one", "two", "three", "four")

HOLDER = """
import sys, time
from pathlib import Path
from cnnstat.budgets.locking import locked
with locked(Path(sys.argv[1]), "it", print):
    print("held", flush=True)
    time.sleep(600)
"""


def entries(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.baseline.read_text())["checks"]
    return found


def saved(project: Project) -> None:
    """Four checks of saved reports, which no process needs torch for."""
    for n, name in enumerate(NAMES):
        (project.folder / f"{name}.json").write_text(net(8 + n).to_json())
    tables = (f'[[check]]\nname = "{n}"\nmodel = "{n}.json"\ngrowth = "0%"\n' for n in NAMES)
    project.say("".join(tables))


def updates(project: Project) -> list[subprocess.Popen[bytes]]:
    return [command("check", name, "--update", cwd=project.folder) for name in NAMES]


def test_four_processes_at_once_make_four_entries(project: Project) -> None:
    saved(project)
    before = {path.name for path in project.folder.iterdir()}
    for process in updates(project):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (out, err)
    assert {name: entry["params"] for name, entry in entries(project).items()} == {
        name: 3 * (8 + n) for n, name in enumerate(NAMES)
    }
    # No lock and nothing half-written is left for anyone to commit.
    assert {path.name for path in project.folder.iterdir()} == before | {"cnnstat-baseline.json"}


def test_they_wait_for_one_another_and_say_so(project: Project) -> None:
    saved(project)
    with FileLock(lock_file(project.baseline)):
        processes = updates(project)
        for process in processes:
            assert process.stderr
            line = process.stderr.readline().decode()
            assert line == (
                "cnnstat: waiting for another `cnnstat check --update` that is writing "
                "cnnstat-baseline.json\n"
            )
        assert not project.baseline.exists()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    # Each has read what the others wrote, though all had measured before.
    assert entries(project).keys() == {*NAMES}


def test_a_lock_goes_with_its_process_however_that_ends(project: Project) -> None:
    root = Path(__file__).parents[2]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(project.baseline)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(OSError, match="lock"):
        FileLock(lock_file(project.baseline)).acquire(timeout=0)
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=60)
    told: list[str] = []
    assert update(project.order(), project.measure, tell=told.append).code == 0
    assert told == []


def test_nobody_waits_for_ever(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "PATIENCE", 0.01)
    monkeypatch.setattr(locking, "LONGEST", 0.1)
    told: list[str] = []
    with FileLock(lock_file(project.baseline)), pytest.raises(OutputError) as caught:
        update(project.order(), project.measure, tell=told.append)
    assert caught.value.message.startswith(
        "cannot write cnnstat-baseline.json: another `cnnstat check --update` has held it for "
    )
    assert len(told) == 1
    assert not project.baseline.exists()


# What is there now, and not what was there before it was measured


def meanwhile(project: Project, other: Project, *names: str) -> Any:
    """Measures as the project does, while somebody else updates the same baseline once."""
    done: list[bool] = []

    def measure(check: Check) -> Measured:
        if not done:
            done.append(True)
            assert update(other.order(*names), other.measure, allow_increase=True).code == 0
        return project.measure(check)

    return measure


def test_what_others_write_meanwhile_stays(project: Project) -> None:
    outcome = update(project.order("one"), meanwhile(project, project, "two"))
    assert outcome.code == 0
    assert entries(project).keys() == {"one", "two"}
    assert list(outcome.notes())[:1] == ["one: new in the baseline"]


def test_a_rise_is_one_above_what_others_write_meanwhile(project: Project) -> None:
    project.models["first"] = lambda: net(9)
    update(project.order(), project.measure)
    other = Project(project.folder)
    other.models["first"] = lambda: net(7)
    # Nine are what they were when this began, and more than the seven of now.
    outcome = update(project.order(), meanwhile(project, other))
    assert (outcome.code, outcome.update and outcome.update.fate) == (1, "refused")
    assert "would rise: one: params 21 → 27 (+6)" in list(outcome.notes())
    assert entries(project)["one"]["params"] == 21


def test_what_has_vanished_is_dropped_and_what_has_just_come_is_not(project: Project) -> None:
    project.say(CONFIG.replace('"two"', '"old"'))
    update(project.order(), project.measure)
    project.say(CONFIG)
    other = Project(project.folder)
    other.say(CONFIG.replace('"two"', '"new"'))
    outcome = update(project.order(), meanwhile(project, other, "new"))
    assert entries(project).keys() == {"one", "two", "new"}
    assert outcome.update and outcome.update.dropped == ("old",)


# Whole or not at all


@pytest.mark.parametrize("how", ["write", "chmod", "replace"])
def test_what_a_killed_update_leaves_is_removed_by_the_next(project: Project, how: str) -> None:
    update(project.order(), project.measure)
    foreign = project.folder / ".cnnstat-other.tmp"  # of a document that somebody is writing
    foreign.write_text("half")
    before = {path.name for path in project.folder.iterdir()}
    for _ in range(2):
        start(project, how).communicate(timeout=60)
    # The second has removed what the first left, before it was killed itself.
    left = {path.name for path in project.folder.iterdir()} - before
    assert len(left) == 1
    project.models["first"] = lambda: net(7)
    assert update(project.order(), project.measure).code == 0
    assert {path.name for path in project.folder.iterdir()} == before


def test_it_reaches_the_disk_before_it_takes_the_place(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append("fsync"), fsync(file))[1])
    monkeypatch.setattr(
        Path, "replace", lambda path, to: (steps.append("replace"), replace(path, to))[1]
    )
    update(project.order(), project.measure)
    assert steps == ["fsync", "replace"]


# Folders that cannot be written


def test_a_folder_that_is_read_only_is_one_line_before_anything_is_measured(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    project.models.clear()
    with pytest.raises(OutputError, match="read-only file system") as caught:
        update(project.order(), project.measure)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("given", ["a file", "a relative path", "nothing"])
def test_without_a_folder_for_caches_the_lock_lies_where_temporary_files_do(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str
) -> None:
    (tmp_path / "file").write_text("")
    caches = {"a file": str(tmp_path / "file"), "a relative path": "caches", "nothing": ""}[given]
    monkeypatch.setenv("XDG_CACHE_HOME", caches)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert lock_file(project.baseline).parent == tmp_path
    assert update(project.order(), project.measure).code == 0
    assert hold(project.order(), project.measure).code == 0


def test_a_lock_is_of_one_file_whatever_way_leads_there(project: Project, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project.folder)
    assert lock_file(link / "cnnstat-baseline.json") == lock_file(project.baseline)
    assert lock_file(tmp_path / "other.json") != lock_file(project.baseline)


def test_where_nothing_can_be_locked_it_is_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> Path:
        return path / "under" / "a file"

    monkeypatch.setattr(locking, "lock_file", refuse)
    project.baseline.write_text("{}")
    with (
        pytest.raises(OutputError, match=r"^cannot lock it: ") as caught,
        locked(project.baseline, "it", print),
    ):
        raise AssertionError("not reached")
    assert "\n" not in caught.value.message
