"""Python in a process of its own that has torch already: a fork of one that has only imported it.

The process is one as the system makes it, with an exit code, streams, a folder and an environment of its own.
That torch is not imported it cannot show; for that `tests.processes` starts a fresh interpreter.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from tests.processes import PATIENCE, PROBES, call
from tests.processes import run as run_fresh

Done = subprocess.CompletedProcess[str]

_servers: dict[str, subprocess.Popen[str]] = {}


def shell(line: str, folder: Path) -> Done:
    """A line as it is typed in `folder`: cnnstat and pytest as forks, all else by the shell."""
    name, *args = shlex.split(line)
    if name in ("cnnstat", "pytest"):
        return module(name, *args, cwd=folder)
    return call(["sh", "-c", line], cwd=folder)


def module(
    name: str, *args: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Done:
    """A module that has ended, with its exit code and what it printed."""
    command = [name, *map(str, args)]
    environment = dict(os.environ if env is None else env)
    if not hasattr(os, "fork"):
        return call([sys.executable, "-m", *command], cwd=cwd, env=environment)
    return _ask("all", command, cwd or Path.cwd(), environment)


def run(code: str) -> str:
    """`tests.processes.run` where torch has been imported, and nothing else."""
    if not hasattr(os, "fork"):
        return run_fresh(code)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "code.py")
        file.write_text(PROBES + textwrap.dedent(code), encoding="utf-8")
        done = _ask("torch", [str(file)], Path.cwd(), dict(os.environ))
        assert done.returncode == 0, done.stderr
        return done.stdout


def _ask(imported: str, command: list[str], cwd: Path, environment: dict[str, str]) -> Done:
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        order = {
            "command": command,
            "folder": str(cwd),
            "environment": environment,
            "streams": [os.devnull, str(out), str(err)],
        }
        server = _server(imported)
        assert server.stdin and server.stdout
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return Done(command, code, *(file.read_text(encoding="utf-8") for file in (out, err)))


def _server(imported: str) -> subprocess.Popen[str]:
    """The one that imports, once; it ends when nobody can ask it any more."""
    if imported not in _servers:
        _servers[imported] = subprocess.Popen(
            [sys.executable, "-m", "tests.forked", imported],
            cwd=Path(__file__).parent.parent,
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
    return _servers[imported]


def stop() -> None:
    """End all servers, and wait for them."""
    while _servers:
        _, server = _servers.popitem()
        server.communicate()


def serve(imported: str) -> None:
    """Fork a child for each order, and say its exit code. Nothing else runs: torch has no threads here."""
    import torch  # noqa: F401

    if imported == "all":
        _import_all()
    gc.freeze()  # what is here stays, and is not copied to be looked at
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            answers.close()
            _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _import_all() -> None:
    """What a command may need."""
    import pytest  # noqa: F401

    import cnnstat.children
    import cnnstat.cli.app
    import cnnstat.fitting  # noqa: F401
    from cnnstat.sources.torchvision_operators import importable_torchvision

    with importable_torchvision():
        import torchvision.models  # noqa: F401


def _become(
    command: list[str], folder: str, environment: dict[str, str], streams: list[str]
) -> NoReturn:
    """This process as the one that was asked for."""
    signal.alarm(PATIENCE)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, (file, how) in enumerate(zip(streams, "rww", strict=True)):
        with Path(file).open(how) as stream:
            os.dup2(stream.fileno(), number)
    sys.stdin = os.fdopen(0)
    # An installed command does not find modules of the folder that it is started in; `python -m` does.
    sys.path[:1] = [] if command[0] == "cnnstat" else [folder]
    sys.argv = ["", *command[1:]]
    if "cnnstat.children.calling" in sys.modules:
        sys.modules["cnnstat.children.calling"]._python = _forked_again  # type: ignore[attr-defined]
    code: Any = 0
    try:
        if command[0].endswith(".py"):
            runpy.run_path(command[0], run_name="__main__")
        else:
            runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as left:
        code = left.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    # Not by taking torch apart, which takes longer than most of what is run here.
    os._exit(int(code))


def _forked_again(name: str, **streams: Any) -> subprocess.Popen[bytes]:
    """In the place of an interpreter that the command starts, which would import torch: a fork of it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Popen connects the streams, and calls this in the child instead of starting a program.
    return subprocess.Popen(
        [sys.executable], preexec_fn=partial(_serve_again, name), start_new_session=True, **streams
    )


def _serve_again(name: str) -> None:
    os.closerange(3, 1024)  # among them what Popen waits for
    getattr(sys.modules["cnnstat.children.server"], name)()


if __name__ == "__main__":
    serve(sys.argv[1])
