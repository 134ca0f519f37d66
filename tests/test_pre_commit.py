"""The manifest of the pre-commit hook says what pre-commit needs."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


def test_the_hook() -> None:
    (hook,) = HOOKS
    assert hook["id"] == "cnnstat-check"
    assert hook["language"] == "python"
    assert hook["pass_filenames"] is False
    assert hook["always_run"] is True
    # torch takes seconds to import, which is too much for every commit.
    assert hook["stages"] == ["pre-push"]
    # The first one that knows the stage by this name.
    assert hook["minimum_pre_commit_version"] == "3.2.0"


def test_its_entry_is_a_command_of_the_package() -> None:
    (hook,) = HOOKS
    command, *args = hook["entry"].split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert command in project["scripts"]
    assert args == ["check"]
    assert shutil.which(command, path=str(Path(sys.executable).parent))


def test_it_is_part_of_the_source_distribution() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = pyproject["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {".pre-commit-hooks.yaml", "action.yml", "scripts", "docs", "examples"} <= {*included}
    assert all((ROOT / name).exists() for name in included)
