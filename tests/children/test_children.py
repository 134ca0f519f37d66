"""Whatever a call in a child process does, it ends, says how, and the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from cnnstat.children import Children
from cnnstat.children.calling import FORKS
from cnnstat.errors import BuildError, ChildError
from tests.children import ends

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and named pipes")


@pytest.fixture(
    params=[pytest.param(True, marks=pytest.mark.skipif(not FORKS, reason="forks")), False]
)
def children(request: pytest.FixtureRequest) -> Iterator[Children]:
    with Children(forks=request.param) as children:
        yield children


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def reading(pipe: Path) -> IO[bytes]:
    """The pipe's other end, there before anybody writes."""
    number = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(number, True)
    return os.fdopen(number, "rb")


def test_each_call_has_a_process_of_its_own(children: Children) -> None:
    pids = {children.call(os.getpid), children.call(os.getpid)}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert children.call(divmod, 7, 2, timeout=600) == (3, 1)
    assert children.call(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]


WAYS: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (os._exit, (0,), "ended itself with exit code 0, as os._exit does"),
    (os._exit, (3,), "ended itself with exit code 3, as os._exit does"),
    (sys.exit, (0,), "the model's code ended the program: sys.exit(0)"),
    (os.abort, (), "was killed by SIGABRT"),
    (signal.raise_signal, (signal.SIGSEGV,), "was killed by SIGSEGV"),
    (signal.raise_signal, (signal.SIGTERM,), "was killed by SIGTERM"),
    (
        signal.raise_signal,
        (signal.SIGKILL,),
        "by SIGKILL, as the system does where memory runs out",
    ),
    (ends.exit_in_thread, (), "ended itself with exit code 0"),
    (ends.recurse_in_python, (), "the model's code raised RecursionError"),
    (ends.close_everything, (), "ended itself with exit code 1"),
    (ends.spoil_everything, (True,), "spoiled the answer of its process"),
    (ends.strange, (), "spoiled the answer of its process"),
    (ends.unpicklable, (), "what was measured cannot be handed over"),
    (input, (), "the model's code raised EOFError"),
]


def test_every_end_is_said_and_the_next_call_goes_on(children: Children) -> None:
    for function, args, words in WAYS:
        with pytest.raises(ChildError) as caught:
            children.call(function, *args)
        assert words in caught.value.message
        assert "\n" not in caught.value.message
    assert children.call(int, "7") == 7


def test_a_stack_that_overflows_in_c_is_said(children: Children) -> None:
    # A segmentation fault in the Pythons of today; one that notices raises.
    with pytest.raises(ChildError, match=r"SIGSEGV|RecursionError|out of memory"):
        children.call(ends.recurse_in_c)
    assert children.call(int, "7") == 7


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_out_of_memory_is_said(children: Children) -> None:
    with pytest.raises(ChildError, match="the model's code ran out of memory"):
        children.call(ends.run_out_of_memory)


def test_an_error_of_ours_keeps_its_kind_its_hint_and_its_traceback(children: Children) -> None:
    with pytest.raises(BuildError) as caught:
        children.call(ends.wrong_spec)
    assert (caught.value.message, caught.value.hint) == ("net.py:3: no weights", "give them")
    assert "in wrong_spec" in str(caught.value.__cause__)


def test_what_takes_too_long_is_ended_with_its_group(children: Children, pipe: Path) -> None:
    with pytest.raises(ChildError, match="took longer than 1 s, and was ended") as caught:
        children.call(time.sleep, ends.LONG, timeout=1, hint="be patient")
    assert caught.value.hint == "be patient"
    with reading(pipe) as held:
        with pytest.raises(ChildError, match="took longer than 2 s"):
            children.call(ends.sleep_in, pipe, timeout=2)
        assert held.read() in (b"held", b"")  # nothing, where it did not get as far


@pytest.mark.parametrize("start", [ends.start_sleeper, ends.fork_sleeper])
def test_nobody_waits_for_what_a_call_leaves_behind(
    children: Children, pipe: Path, start: Callable[[Path], str]
) -> None:
    with reading(pipe) as held:
        assert children.call(start, pipe, timeout=ends.LONG) == "done"
        assert held.read() == b"held"
    assert children.call(ends.leave_thread_behind, timeout=ends.LONG) == "done"


def test_what_is_printed_goes_to_the_standard_error(
    children: Children, capfd: pytest.CaptureFixture[str]
) -> None:
    assert children.call(ends.be_loud, 100_000) == "done"
    out, err = capfd.readouterr()
    assert (out, err.count("x"), err.count("y")) == ("", 100_000, 100_000)
    assert children.call(ends.close_errors) == "done"
    assert children.call(ends.spoil_everything, False) == "done"


def test_what_the_verbs_return_comes_back_whole() -> None:
    from cnnstat import analyze, estimate_memory, fit

    with Children() as children:
        for verb in (analyze, estimate_memory, fit):
            assert children.call(verb, "zoo:lenet5") == verb("zoo:lenet5")


# Forked ones


@pytest.mark.skipif(not FORKS, reason="forks")
def test_the_server_is_warmed_once(tmp_path: Path) -> None:
    with Children() as children:
        children.warm(ends.note, tmp_path / "pids")
        parents = {children.call(os.getppid) for _ in range(3)}
    assert {int(line) for line in (tmp_path / "pids").read_text().splitlines()} == parents
    assert len(parents) == 1


@pytest.mark.skipif(not FORKS, reason="forks")
def test_a_server_that_is_killed_takes_its_child_along(pipe: Path) -> None:
    with Children() as children, reading(pipe) as held:
        with pytest.raises(ChildError, match="that starts those of models was killed by SIGKILL"):
            children.call(ends.kill_parent_and_sleep, pipe)
        assert held.read() == b"held"
        assert children.call(int, "7") == 7


@pytest.mark.skipif(not FORKS, reason="forks")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_goes_on_where_the_caller_is_killed(pipe: Path, number: signal.Signals) -> None:
    code = (
        "from pathlib import Path; from cnnstat.children import Children; from tests.children import ends\n"
        f"Children().call(ends.sleep_in, Path({str(pipe)!r}))"
    )
    path = os.pathsep.join(filter(None, sys.path))
    caller = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    with pipe.open("rb") as held:  # which waits until the other side is there
        assert held.read(4) == b"held"
        caller.send_signal(number)
        assert held.read() == b""
    assert caller.wait() == -number
