"""What a fresh interpreter prints, and how much memory it took."""

from __future__ import annotations

import subprocess
import sys
import textwrap

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


def run(code: str) -> str:
    """Standard output of a fresh interpreter, in which `peak()` is defined."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
