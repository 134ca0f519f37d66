"""Processes that tests start: how long they are waited for, what they print, load, read and hold."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

PATIENCE = 1800
"""Seconds after which a process is held to hang. It measures nothing: on a busy machine importing torch
alone may take minutes, and a test that fails earlier than it must says nothing of cnnstat."""

HEAVY = frozenset({"torch", "torchvision", "timm", "pandas", "numpy", "fvcore"})
"""Packages that only what builds or runs a network may load."""

PEAK = """
def peak():
    # Not getrusage: its maximum is inherited from the process that started this one.
    import pathlib, resource, sys
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
"""
"""Defines `peak()`: the most bytes that the process has held so far."""

READS = """
import os, sys
_opened = []
sys.addaudithook(lambda event, args: _opened.append(args[0]) if event == "open" else None)
def reads(*files):
    names = [os.path.realpath(os.fsdecode(file)) for file in _opened if not isinstance(file, int)]
    return [names.count(os.path.realpath(file)) for file in files]
"""
"""Defines `reads(file, …)`: how often the process has opened each of these files so far."""

PROBES = PEAK + READS

RUN = """
from cnnstat.cli.app import main
try: main({args!r})
except SystemExit as left: assert not left.code
"""
"""The command line with `args`, which must succeed."""

_MODULES = "\nimport sys; print('\\nMODULES', *sys.modules)"


def call(command: Sequence[object], **options: Any) -> subprocess.CompletedProcess[str]:
    """A command that has ended, whatever its exit code, with what it printed."""
    # Named, because readline, which pytest loads, sets COLUMNS behind Python's back.
    options.setdefault("env", dict(os.environ))
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
        **options,
    )


def finish(process: subprocess.Popen[bytes], given: bytes | None = None) -> tuple[bytes, bytes]:
    """What a process prints on both its streams until it ends; it does not outlive the test."""
    try:
        return process.communicate(given, timeout=PATIENCE)
    finally:
        process.kill()


def run(code: str, **options: Any) -> str:
    """Standard output of a fresh interpreter, in which `peak()` and `reads()` are defined."""
    done = call([sys.executable, "-c", PROBES + textwrap.dedent(code)], **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules(code: str, **options: Any) -> set[str]:
    """Every module that is loaded when `code` has run in a fresh interpreter."""
    names = run(textwrap.dedent(code) + _MODULES, **options).rpartition("MODULES")[2].split()
    assert "cnnstat" in names
    return set(names)


def loaded(code: str, **options: Any) -> set[str]:
    """The packages of these modules."""
    return {name.partition(".")[0] for name in modules(code, **options)}
