"""The example of a budget, as its README tells it, in a copy."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.forked import shell

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "ci-budget"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "ci-budget", ignore=ignored))


def told() -> list[tuple[str, int]]:
    """The commands of the README, each with the exit code that it promises."""
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```console\n(.*?)```", text, re.S)
    assert block
    found = []
    for text in block[1].splitlines():
        line, _, comment = text.partition("#")
        code = re.match(r" ([012]):", comment)
        found.append((line.strip(), int(code[1]) if code else 0))
    return found


def test_the_commands_leave_the_codes_that_the_readme_promises(project: Path) -> None:
    found = told()
    assert [code for _, code in found] == [0, 0, 1, 1, 0]
    for line, code in found:
        done = shell(line, project)
        assert done.returncode == code, (line, done.stdout, done.stderr)
    assert shell("cnnstat check", project).returncode == 0


def test_the_layer_that_did_it_is_named(project: Path) -> None:
    for line, _ in told()[:2]:
        assert shell(line, project).returncode == 0
    done = shell("cnnstat check", project)
    assert (done.returncode, done.stderr) == (1, "")
    # 128·32·36 more in the block, 32·10 more in the head.
    assert "MACs over by 147,776 (2,805,568 > 2,657,792): growth.macs 0%" in done.stdout
    assert (
        "largest change: block4.pointwise +147.5 k MACs "
        "(589.8 k → 737.3 k; Conv2d 128→160, was 128→128)" in done.stdout
    )
    assert "max.macs" not in done.stdout
    assert "1 of 1 check failed: net params and MACs." in done.stdout


def test_the_baseline_rises_when_it_is_allowed_alone(project: Path) -> None:
    baseline = project / "cnnstat-baseline.json"
    before = baseline.read_bytes()
    (check, _), (change, _), *_ = told()
    assert shell(f"{check} --update", project).returncode == 0
    assert shell(change, project).returncode == 0
    done = shell(f"{check} --update", project)
    assert done.returncode == 1
    assert "would rise: net: MACs 2,657,792 → 2,805,568 (+147.8 k)" in done.stdout
    assert json.loads(baseline.read_bytes())["checks"] == json.loads(before)["checks"]
    assert shell(f"{check} --update --allow-increase", project).returncode == 0
    assert json.loads(baseline.read_bytes())["checks"]["net"]["macs"] == 2_805_568


def test_the_committed_baseline_is_what_is_measured(project: Path) -> None:
    baseline = project / "cnnstat-baseline.json"
    committed = json.loads(baseline.read_bytes())
    baseline.unlink()
    assert shell("cnnstat check --update", project).returncode == 0
    written = json.loads(baseline.read_bytes())
    for checks in (committed["checks"], written["checks"]):
        checks["net"].pop("made_by", None)
    assert written["checks"] == committed["checks"]
    # By hand: the stem 432, the blocks 752, 2,528, 9,152 and 18,048, the head 1,290.
    assert written["checks"]["net"]["params"] == 32_202
    assert written["checks"]["net"]["macs"] == 2_657_792
