"""Functions called in child processes: `Children().call(function, argument, timeout=600)`.

What is promised of each call, whatever the function and what it calls may do:

- it ends: after `timeout` seconds at the latest, with all processes of its group;
- it returns what the function returned, or raises: the `CnnstatError` that the function raised, or a
  `ChildError` that says how the child ended (an exit, a signal, out of memory, too late);
- it changes nothing here: no module is imported, nothing is read from the standard input, and what is
  printed goes to the standard error;
- nothing goes on where this process is interrupted, or killed.

Where processes can be forked, one server forks a child for each call, and what `warm` imports is there
already; elsewhere each call has a fresh interpreter. Results are values of this package's classes and of the
standard library's.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from cnnstat.children.ending import how_it_ended, kill_group, took_too_long
from cnnstat.children.message import request, value
from cnnstat.children.server import Asked, Ended
from cnnstat.errors import ChildError

T = TypeVar("T")

FORKS = sys.platform not in ("win32", "darwin", "emscripten", "wasi")
"""Whether a process that has imported torch can be forked: on macOS its libraries do not allow it."""

_CODE = "import sys; sys.path[:] = {path!r}; from cnnstat.children import server; server.{name}()"
_PATIENCE = 5
"""Seconds that the server has to end its child and itself, which takes a hundredth of one."""


class Children:
    """Makes calls in child processes; leave it as a context, and nothing of them is left.

    `forks=False` does without a server.
    """

    def __init__(self, *, forks: bool = FORKS) -> None:
        self._warm: list[Asked] = []
        self._forks = forks
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self, function: Callable[..., Any], /, *args: Any) -> None:
        """Call a function in the server, before the next child: it must run no code of a model."""
        self._warm.append(Asked(request(function, args), here=True))
        if self._server is not None:
            _ask(self._server, self._warm[-1])

    def call(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        timeout: float | None = None,
        hint: str = "",
        **named: Any,
    ) -> T:
        """What `function(*args, **named)` returns; it must be one that can be imported.

        `hint` says what to do where it takes more than `timeout` seconds.
        """
        asked = Asked(request(partial(function, **named) if named else function, args), timeout)
        ended = self._forked(asked) if self._forks else _started(asked)
        if ended.late:
            assert timeout is not None
            raise ChildError(took_too_long(timeout), hint=hint)
        try:
            found: T = value(ended.answer)
        except ValueError as error:
            if ended.code or not ended.answer:
                raise ChildError(how_it_ended(ended.code)) from None
            raise ChildError(
                f"the model's code spoiled the answer of its process: {error}"
            ) from None
        return found

    def close(self) -> None:
        """End the server, and with it a child that still runs."""
        if self._server is not None:
            _end(self._server)
            self._server = None

    def _forked(self, asked: Asked) -> Ended:
        if self._server is None:
            self._server = self._start()
        server, pid = self._server, 0
        assert server.stdin and server.stdout
        try:
            _ask(server, asked)
            pid = pickle.load(server.stdout)
            ended: Ended = pickle.load(server.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            code = _end(server, pid)
            self._server = None  # the next call has another one
            raise ChildError(
                how_it_ended(code, "the process that starts those of models")
            ) from None
        except BaseException:
            self.close()
            raise
        return ended

    def _start(self) -> subprocess.Popen[bytes]:
        server = _python("serve", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for asked in self._warm:
            _ask(server, asked)
        return server


def _ask(server: subprocess.Popen[bytes], asked: Asked) -> None:
    assert server.stdin
    with suppress(BrokenPipeError):  # it has ended, as whoever waits for an answer learns
        pickle.dump(asked, server.stdin)
        server.stdin.flush()


def _end(server: subprocess.Popen[bytes], pid: int = 0) -> int:
    """End a server, whose input has an end now; its exit code."""
    assert server.stdin and server.stdout
    with suppress(OSError):
        server.stdin.close()
    server.terminate()  # heard where it has no child
    try:
        server.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
    if pid:
        kill_group(pid)
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    server.stdout.close()
    return server.wait()


def _started(asked: Asked) -> Ended:
    """The call in a fresh interpreter."""
    late = False
    # Files and no pipes: whoever else holds one of them keeps nobody waiting.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer:
        given.write(asked.request)
        given.seek(0)
        process = _python("call_once", stdin=given, stdout=answer)
        try:
            process.wait(asked.timeout)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            kill_group(process.pid)
            process.kill()
        code = process.wait()
        answer.seek(0)
        return Ended(code, late, answer.read())


def _python(name: str, **streams: Any) -> subprocess.Popen[bytes]:
    """An interpreter that imports from where this one does, and that no Ctrl-C of a terminal reaches."""
    code = _CODE.format(path=sys.path, name=name)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stderr=None if _is_open(sys.__stderr__) else subprocess.DEVNULL,
        start_new_session=True,
        **streams,
    )


def _is_open(stream: Any) -> bool:
    try:
        return stream is not None and stream.fileno() >= 0
    except (OSError, ValueError):
        return False
