"""The GitHub action: its steps run as a runner runs them, with the environment that GitHub sets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import call
from tests.reports import normal, unknown

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
PARAMS = normal().totals.params

CONFIG = """\
[tool.cnnstat]

[[tool.cnnstat.check]]
model = "{model}.json"
name = "little"
max = {{ params = {params} }}
"""


@dataclass(frozen=True)
class Job:
    """A workspace with what a runner puts around it."""

    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "work" / "project"

    @property
    def summary(self) -> Path:
        return self.folder / "summary.md"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def env(self) -> dict[str, str]:
        """What GitHub sets, and a python that is found by its name."""
        kept = ("HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP", "COVERAGE_PROCESS_START")
        return {name: os.environ[name] for name in kept if name in os.environ} | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_ACTOR": "someone",
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_JOB": "budget",
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_REF": "refs/pull/1/merge",
            "GITHUB_REPOSITORY": "someone/project",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_OS": "Linux",
        }

    def step(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """The step that checks, given the action's inputs, in the shell that it asks for."""
        step = next(step for step in STEPS if step.get("id") == "check")
        given = {name: spec["default"] for name, spec in ACTION["inputs"].items()} | inputs
        env = {
            name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: given[found[1]], value)
            for name, value in step["env"].items()
        }
        bash = shutil.which("bash")
        assert bash and step["shell"] == "bash"
        command = [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return call(command, cwd=self.workspace, env=self.env() | env)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    job = Job(tmp_path)
    job.workspace.mkdir(parents=True)
    job.summary.write_text("from a step before\n", encoding="utf-8")
    job.output.write_text("name=from a step before\n", encoding="utf-8")
    (job.workspace / "little.json").write_text(normal().to_json(), encoding="utf-8")
    (job.workspace / "gappy.json").write_text(unknown().to_json(), encoding="utf-8")
    (job.workspace / "pyproject.toml").write_text(
        CONFIG.format(model="little", params=PARAMS), encoding="utf-8"
    )
    return job


def configure(job: Job, model: str, params: int) -> None:
    text = CONFIG.format(model=model, params=params)
    (job.workspace / "pyproject.toml").write_text(text, encoding="utf-8")


# What it says


def test_nothing_that_is_given_is_part_of_a_shell_line() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert len(STEPS) == 2
    for step in STEPS:
        assert "${{" not in step["run"]
        assert "eval" not in step["run"]
        # What a step is given by variables stands in quotes.
        assert "$" not in re.sub(r'"[^"]*"', "", step["run"])


def test_it_uses_no_other_action_and_asks_for_no_permission() -> None:
    assert not any("uses" in step for step in STEPS)
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert "permissions:" not in text
    assert "token" not in text


def test_every_input_is_described_and_used() -> None:
    used = {name for step in STEPS for name in re.findall(r"inputs\.([a-z-]+)", str(step))}
    assert used == set(ACTION["inputs"])
    assert all(spec["description"] for spec in ACTION["inputs"].values())


def test_what_it_installs_is_its_own_version() -> None:
    install = STEPS[0]["run"].partition("install ")[2]
    for extras, wanted in (
        ("", "/a b"),
        ("timm", "/a b[timm]"),
        ("; rm -rf /", "/a b[; rm -rf /]"),
    ):
        done = call(
            ["bash", "-c", f"printf '%s\\n' {install}"],
            env={"GITHUB_ACTION_PATH": "/a b", "CNNSTAT_EXTRAS": extras},
        )
        assert done.stdout == wanted + "\n"


# What it does


@pytest.mark.parametrize(
    ("model", "params", "code"),
    [("little", PARAMS, 0), ("little", PARAMS - 1, 1), ("gappy", 10**9, 2)],
)
def test_the_exit_code_passes_through(job: Job, model: str, params: int, code: int) -> None:
    configure(job, model, params)
    done = job.step()
    assert done.returncode == code, done.stderr
    assert job.output.read_text(encoding="utf-8") == f"name=from a step before\nexit-code={code}\n"
    assert done.stdout.splitlines()[-1].endswith(f"exit code {code}")
    text = job.summary.read_text(encoding="utf-8")
    assert text.startswith("from a step before\n<!-- cnnstat:check -->\n## ")
    assert {0: "✅", 1: "❌", 2: "⚠️"}[code] in text


def test_an_annotation_points_at_the_line_of_the_budget(job: Job) -> None:
    configure(job, "little", PARAMS - 1)
    done = job.step()
    assert done.stdout.startswith(
        "::error file=pyproject.toml,line=6,title=cnnstat%3A little params::params over by 1 "
    )


def test_a_project_in_a_folder_of_the_repository(job: Job) -> None:
    inner = job.workspace / "some net"
    inner.mkdir()
    for name in ("little.json", "pyproject.toml"):
        (job.workspace / name).rename(inner / name)
    assert job.step().returncode == 2
    assert job.step(**{"working-directory": "some net"}).returncode == 0
    text = CONFIG.format(model="little", params=PARAMS - 1)
    (inner / "pyproject.toml").write_text(text, encoding="utf-8")
    done = job.step(**{"working-directory": "some net"})
    assert done.stdout.startswith("::error file=some net/pyproject.toml,line=6,")


def test_arguments_are_those_of_the_command(job: Job) -> None:
    assert job.step(args=f"little.json --max-params {PARAMS - 1}").returncode == 1
    assert job.step(args=f"'little.json' --max-params '{PARAMS}'").returncode == 0
    assert (
        job.step(args=f"little.json\n  --max-params {PARAMS - 1}\n  --exit-zero\n").returncode == 0
    )
    (job.workspace / "my net.json").write_text(normal().to_json(), encoding="utf-8")
    assert job.step(args=f"'my net.json' --max-params {PARAMS}").returncode == 0


def test_the_summary_can_be_left_alone(job: Job) -> None:
    assert job.step(summary="false").returncode == 0
    assert job.summary.read_text(encoding="utf-8") == "from a step before\n"


@pytest.mark.parametrize(
    "args",
    [
        "; rm -rf .",
        "&& touch pwned",
        "| tee pwned",
        "> pwned",
        "$(touch pwned)",
        "`touch pwned`",
        '"; touch pwned; "',
        "' ; touch pwned ; '",
        "--max-params $(touch pwned)",
        "\n touch pwned\n",
        "${IFS}touch${IFS}pwned",
        "*",
        "'unbalanced",
        "little \x00 touch pwned".replace("\x00", "\x01"),
        "--no-such-option",
        "::error::gotcha",
        "'a\n::error::gotcha'",
    ],
)
def test_hostile_arguments_are_only_arguments(job: Job, args: str) -> None:
    before = {path: path.read_bytes() for path in job.workspace.rglob("*")}
    done = job.step(args=args)
    assert done.returncode == 2
    assert {path: path.read_bytes() for path in job.workspace.rglob("*")} == before
    assert job.output.read_text(encoding="utf-8").endswith("exit-code=2\n")
    assert "Traceback" not in done.stderr
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("::")]
    assert not any("gotcha" in line for line in said)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"args": "'open"}, "args: no closing quotation"),
        ({"args": "open\\"}, "args: no escaped character"),
        ({"working-directory": "no/such"}, "working-directory: there is no such folder"),
        ({"working-directory": "little.json"}, "working-directory: there is no such folder"),
        ({"summary": "maybe"}, 'summary: expected "true" or "false"'),
    ],
)
def test_wrong_inputs(job: Job, inputs: dict[str, str], message: str) -> None:
    done = job.step(**inputs)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == f"::error title=cnnstat::{message}\n"


def test_a_module_of_the_repository_is_not_taken_for_one_of_ours(job: Job) -> None:
    for name in ("cnnstat", "typer", "json", "shlex"):
        (job.workspace / f"{name}.py").write_text("raise SystemExit('taken')\n", encoding="utf-8")
    done = job.step()
    assert (done.returncode, done.stderr) == (0, "")


def test_without_cnnstat_nobody_can_tell(job: Job) -> None:
    # Isolated and without site-packages: a python that has nothing installed.
    command = [sys.executable, "-I", "-S", ROOT / "scripts" / "action.py"]
    done = call(command, cwd=job.workspace, env=job.env())
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=cnnstat::cnnstat is not installed")


def test_the_verdict_does_not_depend_on_the_outputs(job: Job) -> None:
    configure(job, "little", PARAMS - 1)
    job.output.unlink()
    job.output.mkdir()
    done = job.step()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "GITHUB_OUTPUT cannot be written" in done.stderr


def test_outside_of_github_it_is_the_command_alone(job: Job) -> None:
    env = {name: text for name, text in job.env().items() if not name.startswith("GITHUB_")}
    done = call([sys.executable, ROOT / "scripts" / "action.py"], cwd=job.workspace, env=env)
    assert (done.returncode, done.stderr) == (0, "")
