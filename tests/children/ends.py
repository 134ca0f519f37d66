"""Functions that are called in child processes: ways to end one, and ways to be in the way."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from cnnstat.errors import BuildError

LONG = 60
"""Seconds that a process sleeps unless somebody ends it; then it says so in its pipe."""


def sleep_in(pipe: Path) -> None:
    """Holds the pipe open while it sleeps: whoever reads it to its end knows that this has ended."""
    with pipe.open("wb") as held:
        held.write(b"held")
        held.flush()
        time.sleep(LONG)
        held.write(b", not ended")


def start_sleeper(pipe: Path) -> str:
    """Leaves a process behind that has everything open that this one has."""
    with pipe.open("wb") as held:
        held.write(b"held")
        os.set_inheritable(held.fileno(), True)
        code = f"import os, time; time.sleep({LONG}); os.write({held.fileno()}, b', not ended')"
        subprocess.Popen([sys.executable, "-c", code], close_fds=False)
    return "done"


def fork_sleeper(pipe: Path) -> str:
    """The same by a fork, which inherits also what no other program does."""
    with pipe.open("wb") as held:
        held.write(b"held")
        held.flush()
        if os.fork() == 0:
            time.sleep(LONG)
            held.write(b", not ended")
            os._exit(0)
    return "done"


def kill_parent_and_sleep(pipe: Path) -> None:
    with pipe.open("wb") as held:
        held.write(b"held")
        held.flush()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(LONG)
        held.write(b", not ended")


def exit_in_thread() -> None:
    threading.Thread(target=os._exit, args=(0,)).start()
    time.sleep(LONG)


def leave_thread_behind() -> str:
    threading.Thread(target=time.sleep, args=(LONG,)).start()
    return "done"


def recurse_in_c() -> None:
    chain: itertools.chain[int] = itertools.chain()
    for _ in range(3_000_000):
        chain = itertools.chain(chain)
    next(chain, None)


def recurse_in_python(depth: int = 0) -> None:
    recurse_in_python(depth + 1)


def run_out_of_memory() -> None:
    import resource

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (64 << 20),) * 2)
    kept = [bytearray(1 << 20) for _ in range(1 << 20)]
    raise AssertionError(len(kept))


def close_everything() -> str:
    os.closerange(0, 256)
    return "done"


def spoil_everything(leave: bool) -> str:
    for number in range(3, 64):
        try:
            os.write(number, b"rubbish")
        except OSError:
            continue
    if leave:
        os._exit(0)
    return "done"


def be_loud(count: int) -> str:
    print("x" * count)
    os.write(1, b"y" * count)
    return "done"


def close_errors() -> str:
    os.close(2)
    return "done"


def wrong_spec() -> None:
    raise BuildError("net.py:3: no weights", hint="give them")


class Strange:
    """Not a value that anybody else knows."""


def strange() -> Strange:
    return Strange()


def unpicklable() -> object:
    return lambda: None


def note(file: Path) -> None:
    with file.open("a") as lines:
        lines.write(f"{os.getpid()}\n")
