"""README's commands and figures are those of the program."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

import cnnstat
from tests.forked import Done, shell

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Every `cnnstat …` line of the console blocks, without its comment."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.S)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("cnnstat ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run, and write their files."""
    return tmp_path_factory.mktemp("readme")


@cache
def cli(line: str, folder: Path) -> Done:
    """A command as a shell would run it, once for all that read what it prints."""
    return shell(line.partition("|")[0].replace("examples/", f"{ROOT}/examples/"), folder)


def test_every_command_runs(folder: Path) -> None:
    found = commands()
    assert len(found) >= 8
    for line in found:
        done = cli(line, folder)
        assert done.returncode == 0, (line, done.stderr)
    assert {path.name for path in folder.iterdir()} == {"r.json", "r.md", "r.csv"}


def test_the_demo_shows_the_real_figures(folder: Path) -> None:
    shown = re.search(r"\$ make demo\n(.*?)…", README, re.S)
    assert shown
    figures = re.findall(r"[\d,]{9,}", shown[1])
    printed = cli("cnnstat summary resnet50", folder).stdout
    assert len(figures) == 4
    assert all(figure in printed for figure in figures)


def test_the_conventions_are_the_real_figures(folder: Path) -> None:
    shown = re.search(r"```\nconvention +number.*?```", README, re.S)
    assert shown
    rows = re.findall(r"^([a-z-]+) +([\d,]+) +[\d.]+ [MG] +([\d.]+)", shown[0], re.M)
    assert len(rows) == 7
    printed = cli("cnnstat explain vit_b_16", folder).stdout
    for row in rows:
        assert any(set(row) <= set(line.split()) for line in printed.splitlines()), row


def test_the_table_is_the_real_one(folder: Path) -> None:
    shown = re.search(r"```\nType  .*?```", README, re.S)
    assert shown
    printed = cli("cnnstat tables mobilenet_v1_table2", folder).stdout
    for line in shown[0].splitlines()[1:-1]:
        assert line in printed.splitlines()


def test_the_memory_is_the_real_one(folder: Path) -> None:
    section = README.partition("## Memory")[2].partition("\n## ")[0]
    command, block = re.findall(r"```(?:console)?\n(.*?)```", section, re.S)
    shown = [line for line in block.splitlines() if line not in ("", "…")]
    assert len(shown) > 15
    line = command.splitlines()[0].partition(" #")[0]
    printed = cli(f"{line} --width 95", folder).stdout.splitlines()
    for line in shown:
        assert any(row.startswith(line) for row in printed), line


def test_the_fit_is_the_real_one(folder: Path) -> None:
    section = README.partition("## Fit")[2].partition("\n## ")[0]
    command, block = re.findall(r"```(?:console)?\n(.*?)```", section, re.S)
    shown = [line for line in block.splitlines() if line not in ("", "…")]
    assert len(shown) > 8
    line = command.splitlines()[0].partition(" #")[0]
    printed = cli(f"{line} --width 95", folder).stdout.splitlines()
    assert [line for line in shown if line not in printed] == []


def test_the_walk_through_an_article_runs(folder: Path) -> None:
    text = (ROOT / "examples" / "mobilenet_article.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 11
    for line in lines:
        done = cli(line, folder)
        assert done.returncode == 0, (line, done.stderr)


PLACES = re.findall(r"`([a-z_]+(?:\.py|/))`", README.partition("## How it is built")[2])


@pytest.mark.parametrize("place", PLACES)
def test_the_architecture_names_what_there_is(place: str) -> None:
    homes = [ROOT / "cnnstat", *(ROOT / "cnnstat").iterdir()]
    assert any((home / place).exists() for home in homes)


def test_the_python_example() -> None:
    example = re.search(r"```python\n(.*?)```", README, re.S)
    assert example
    names: dict[str, object] = {}
    exec(example[1], names)  # the text is ours
    report = names["report"]
    assert isinstance(report, cnnstat.Report)
    assert report.totals.macs == 4089184256
