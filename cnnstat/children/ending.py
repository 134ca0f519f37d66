"""Ending a process with all that it started, and saying how one ended."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def kill_group(pid: int) -> None:
    """End what is left of the process group that a process led; on Windows there are none."""
    if hasattr(os, "killpg"):
        with suppress(OSError):  # nothing is left
            os.killpg(pid, signal.SIGKILL)


def how_it_ended(code: int, whose: str = "the process of the model") -> str:
    """In words, from the exit code as `subprocess` has it: negative for a signal."""
    if code >= 0:
        return f"{whose} ended itself with exit code {code}, as os._exit does"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    why = ", as the system does where memory runs out" if name == "SIGKILL" else ""
    return f"{whose} was killed by {name}{why}"


def took_too_long(seconds: float) -> str:
    """In words."""
    return f"the model took longer than {seconds:g} s, and was ended"
