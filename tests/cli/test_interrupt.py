"""Ctrl-C: exit code 130, one line, and nothing is left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import start
from tests.processes import finish

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and named pipes")

# The pipe is held open while forward runs: whoever reads it to its end knows that it has ended.
NET = """\
import time
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        with open("running", "wb") as held:
            held.write(b"running")
            held.flush()
            time.sleep(60)
            held.write(b", not ended")
"""


def default() -> None:
    """A shell that starts the tests in the background has them ignore Ctrl-C, and all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    "args",
    [
        ("summary",),
        ("summary", "--timeout", "500"),
        ("fit", "--timeout", "500"),
        ("check", "--max-params", "1", "-f", "json"),
    ],
    ids=" ".join,
)
def test_ctrl_c_while_a_model_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    os.mkfifo("running")
    command, *options = args
    process = start(
        command, "net.py:Net", "-i", "1x3", *options, "-o", "r.json", preexec_fn=default
    )
    with Path("running").open("rb") as running:  # which waits until forward runs
        assert running.read(7) == b"running"
        process.send_signal(signal.SIGINT)
        out, err = finish(process)
        assert running.read() == b""
    assert (process.returncode, out, err) == (130, b"", b"cnnstat: error: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.py", "running"]


def test_ctrl_c_while_a_report_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "report.json"
    os.mkfifo(fifo)
    process = start("summary", fifo, "-o", tmp_path / "r.md", preexec_fn=default)
    with fifo.open("wb"):  # which waits until the other side reads
        process.send_signal(signal.SIGINT)
        # Not closed before it has ended: what it waits for never comes.
        out, err = finish(process)
    assert (process.returncode, out, err) == (130, b"", b"cnnstat: error: interrupted\n")
    assert list(tmp_path.iterdir()) == [fifo]
