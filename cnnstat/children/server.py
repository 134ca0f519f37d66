"""The other side: a server that forks a child for each call, and a process that makes one call.

The server imports once what is expensive and runs nothing of a model's. It watches over its child, so that
nothing is left where the process that asked has gone: then its standard input is at its end.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from typing import IO, Any, NamedTuple

from cnnstat.children.ending import kill_group
from cnnstat.children.message import OUT_OF_MEMORY, perform

_LOOK = 0.01
"""Seconds between two looks at the child."""


class Asked(NamedTuple):
    """A call to make."""

    request: bytes
    """What to call."""
    timeout: float | None = None
    """Seconds that it may take; `None`: any number."""
    here: bool = False
    """Whether to make it in the server, for the sake of the children to come; then nobody is answered."""


class Ended(NamedTuple):
    """What became of a child."""

    code: int
    """Its exit code, negative for a signal."""
    late: bool
    """Whether it was killed because it took too long."""
    answer: bytes
    """What it left."""


def serve() -> None:
    """What the server process runs: calls from its standard input, and what became of each to its output."""
    requests, replies = _streams()
    with suppress(EOFError, OSError):  # nobody asks any more, or nothing can be forked
        while True:
            asked: Asked = pickle.load(requests)
            if asked.here:
                perform(asked.request)
                gc.freeze()  # Shared with the children, as long as nobody touches it.
                continue
            # While there is a child, the sign to leave is the end of the input.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with tempfile.TemporaryFile() as file:
                pid = _fork(asked.request, file, (requests, replies))
                _send(replies, pid)
                _send(replies, _watch(pid, asked.timeout, file, requests))
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os._exit(0)


def call_once() -> None:
    """What a process without a server runs: one call, from the file that is its input to its output."""
    requests, answers = _streams()
    _answer(requests.read(), answers)


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and output as files of our own; to a model they are empty, and the standard error."""
    own = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return own


def _fork(request: bytes, file: IO[bytes], held: tuple[IO[bytes], ...]) -> int:
    """A child that makes the call; its process id."""
    with warnings.catch_warnings():
        # The threads of numpy's library know how to be forked, and torch has not made any.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()  # a group of its own, and no terminal to read a password from
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for stream in held:
            os.close(stream.fileno())
        _answer(request, file)
    finally:
        os._exit(1)


def _answer(request: bytes, file: IO[bytes]) -> None:
    """Make a call and leave, without a word to what the model has left to be done at the end."""
    try:
        answer = perform(request)
    except MemoryError:
        answer = OUT_OF_MEMORY
    file.seek(0)
    file.truncate()
    file.write(answer)
    file.flush()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(0)


def _watch(pid: int, timeout: float | None, file: IO[bytes], requests: IO[bytes]) -> Ended:
    """Wait for the child, as long as it may take and as long as somebody waits for us."""
    end = None if timeout is None else time.monotonic() + timeout
    late = False
    try:
        # Not reaped yet: its number is nobody else's before its group is ended.
        while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) and not late:
            if select.select([requests], [], [], _LOOK)[0]:
                raise EOFError  # nobody asks a second time before the answer
            late = end is not None and time.monotonic() > end
    finally:
        kill_group(pid)  # what it started ends with it
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    file.seek(0)
    return Ended(os.waitstatus_to_exitcode(status), late, file.read())


def _send(replies: IO[bytes], what: Any) -> None:
    pickle.dump(what, replies)
    replies.flush()
