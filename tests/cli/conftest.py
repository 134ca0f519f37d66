"""Running the command line in this process, with a stand-in for torch, or in a new one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cnnstat.children import Children
from cnnstat.cli.app import main
from cnnstat.report import Report
from tests.reports import normal


@dataclass
class Result:
    """What one run of the command line left."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on the standard error of a run that failed."""
        assert self.code == 2
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err.strip()


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `run` measures is measured in this process, where torch is imported once.

    What child processes do is shown by the installed command.
    """

    def call(children: Children, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        for name in ("timeout", "hint"):
            named.pop(name)
        return function(*args, **named)

    monkeypatch.setattr(Children, "call", call)
    monkeypatch.setattr(Children, "warm", lambda *_: None)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*args: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return Result(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A saved report."""
    path = tmp_path / "saved.json"
    path.write_text(normal().to_json(), encoding="utf-8")
    return path


@dataclass
class Analyze:
    """Stands in for `analyze`: remembers its arguments and answers as told."""

    answer: Callable[[], Report] = normal
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, spec: str, **options: Any) -> Report:
        self.calls.append({"spec": spec, **options})
        return self.answer()


@pytest.fixture
def analyze(monkeypatch: pytest.MonkeyPatch) -> Analyze:
    """In the place of the module that imports torch."""
    stand_in, module = Analyze(), ModuleType("cnnstat.analysis")
    module.analyze = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cnnstat.analysis", module)
    return stand_in


def start(*args: object, **options: Any) -> subprocess.Popen[bytes]:
    """The command line in a process of its own, with pipes for its streams."""
    for stream in ("stdin", "stdout", "stderr"):
        options.setdefault(stream, subprocess.PIPE)
    return subprocess.Popen(
        [sys.executable, "-m", "cnnstat", *map(str, args)], env=dict(os.environ), **options
    )
