"""The recipes of docs/ci.md: what can be run is run, in a copy of the example."""

from __future__ import annotations

import re
import shutil
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnnstat.budgets.config import read_config
from tests.forked import shell

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "ci-budget"
TEXT = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
TOOLS = ("GitHub", "GitLab", "pre-commit")
HOOK = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


def section(title: str) -> list[Any]:
    """The YAML documents of a section."""
    part = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.S | re.M)
    assert part
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", part[1], re.S)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project", ignore=ignored))


def test_the_configuration_is_that_of_the_example(tmp_path: Path) -> None:
    sample, _ = blocks("toml")
    (tmp_path / "pyproject.toml").write_text(sample, encoding="utf-8")
    (check,) = read_config(tmp_path / "pyproject.toml").checks
    assert check.level == "error"
    told = tomllib.loads(sample)["tool"]["cnnstat"]
    del told["check"][0]["level"]
    example = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))
    assert told == example["tool"]["cnnstat"]


def test_the_check_for_a_device_holds_for_the_example(project: Path) -> None:
    _, phone = blocks("toml")
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{phone}")
    done = shell("cnnstat check phone", project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pixel-1 in fp32: fits, by an estimate" in done.stdout


def test_the_workflow_asks_for_nothing_but_reading() -> None:
    (workflow,) = section("GitHub")
    assert workflow["permissions"] == {"contents": "read"}
    # YAML 1.1 reads the key `on` as true.
    assert list(workflow[True]) == ["pull_request"]
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    uses = [step["uses"].partition("@")[0] for step in job["steps"]]
    assert uses == ["actions/checkout", "actions/setup-python", "OWNER/cnnstat"]
    assert not any("run" in step for step in job["steps"])


def test_every_input_of_the_action_is_told() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    told = re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.M)
    assert told == [*action["inputs"]]
    assert all(f"`{name}`" in TEXT for name in action["outputs"])


def test_the_commands_for_gitlab_write_the_file_that_it_collects(project: Path) -> None:
    (jobs,) = section("GitLab")
    job = jobs["budget"]
    install, check = job["script"]
    assert install.startswith("pip install ")
    assert job["artifacts"]["when"] == "always"
    report = project / job["artifacts"]["reports"]["junit"]
    done = shell(check, project)
    assert done.returncode == 0
    assert "1 check passed." in done.stdout
    suite = ET.parse(report).getroot()[0]
    assert {case.get("name") for case in suite} == {"params", "MACs"}
    assert suite.get("failures") == "0"
    assert shell("patch -p1 < heavier.patch", project).returncode == 0
    assert shell(check, project).returncode == 1
    suite = ET.parse(report).getroot()[0]
    assert suite.get("failures") == "2"
    failure = suite[1].find("failure")
    assert failure is not None and failure.text
    assert "block4.pointwise" in failure.text


def test_the_hooks_are_the_one_that_there_is() -> None:
    ours, local = section("pre-commit")
    (repo,) = ours["repos"]
    assert [hook["id"] for hook in repo["hooks"]] == [HOOK["id"]]
    (repo,) = local["repos"]
    (hook,) = repo["hooks"]
    assert hook.pop("language") == "system"
    assert hook == {name: HOOK[name] for name in hook}


def test_the_recipes_of_the_readme_are_these() -> None:
    readme = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    first = [re.search(rf"^## {title}\n.*?```yaml\n(.*?)```", TEXT, re.S | re.M) for title in TOOLS]
    assert readme == [recipe[1] for recipe in first if recipe]
    assert len(readme) == len(TOOLS)


def test_the_version_is_this_one() -> None:
    import cnnstat

    versions = re.findall(r"(?:cnnstat@|rev: )v([\d.]+)", TEXT)
    assert len(versions) == 3
    assert set(versions) == {cnnstat.__version__}


def test_the_test_passes_and_fails(project: Path) -> None:
    (sample,) = blocks("python")
    (project / "test_net.py").write_text(sample, encoding="utf-8")
    command = "pytest -q -p no:cacheprovider --strict-markers"
    done = shell(command, project)
    assert done.returncode == 0, done.stdout
    (project / "test_net.py").write_text(sample.replace("50 k", "32 k"), encoding="utf-8")
    done = shell(command, project)
    assert done.returncode == 1
    assert "params over by 202 (32,202 > 32,000): cnnstat_budget params 32 k" in done.stdout
