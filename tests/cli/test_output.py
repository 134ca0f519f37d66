from __future__ import annotations

import json
import os
import re
import sys
from io import StringIO
from pathlib import Path

import pytest

from cnnstat.cli.output import colored, room, show
from cnnstat.render.table import width
from tests.cli.conftest import start
from tests.processes import PATIENCE, call, finish


class Terminal(StringIO):
    """A standard output that says it is a terminal, of no known size."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


def test_the_width_is_as_given_or_as_columns_says_or_unlimited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert room(None) is None
    for text, expected in [("90", 90), ("0", None), ("wide", None), ("", None)]:
        monkeypatch.setenv("COLUMNS", text)
        assert room(None) == expected
        assert room(33) == 33


def test_colour_is_as_chosen_or_as_wished_or_where_a_terminal_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not colored("auto")
    assert colored("always")
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert colored("auto")
    assert not colored("never")
    monkeypatch.setenv("TERM", "dumb")
    assert not colored("auto")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert colored("auto")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colored("auto")
    assert colored("always")


def test_forced_colour_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert room(None) is None


def test_a_stream_that_cannot_be_reconfigured_is_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    show("1×3\n")
    assert out.getvalue() == "1×3\n"


def test_a_pipe_gets_utf8_whatever_the_locale(saved: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = call([sys.executable, "-m", "cnnstat", "summary", saved], env=env)
    assert done.returncode == 0, done.stderr
    assert "1×16×32×32" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_gets_its_width_and_colours(saved: Path, columns: int) -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = start("summary", saved, stdout=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert process.wait(PATIENCE) == 0
    process.communicate()
    decoded = text.decode()
    assert "\x1b[" in decoded
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in decoded.splitlines()]
    assert max(map(width, lines)) in range(columns - 15, columns + 1)


def test_what_a_model_and_its_children_print_is_not_in_the_document(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import os, subprocess, sys\n"
        "from torch import nn\n"
        "def build():\n"
        "    print('a')\n"
        "    os.write(1, b'b\\n')\n"
        "    subprocess.run(['echo', 'c'])\n"
        "    sys.__stdout__.write('d\\n')\n"
        "    return nn.Linear(2, 3)\n",
        encoding="utf-8",
    )
    process = start("summary", f"{tmp_path}/loud.py:build", "-i", "1x2", "--json")
    out, err = finish(process)
    assert json.loads(out)["totals"]["macs"] == 6
    assert {b"a", b"b", b"c", b"d"} <= set(err.split())


def test_what_is_no_exception_is_one_line_and_2(tmp_path: Path) -> None:
    (tmp_path / "skips.py").write_text(
        "import pytest\ndef build():\n    return pytest.importorskip('nonexistent_package')\n",
        encoding="utf-8",
    )
    for args in (("summary",), ("check", "--max-macs", "1")):
        process = start(args[0], f"{tmp_path}/skips.py:build", *args[1:], "-i", "1x2")
        out, err = finish(process)
        assert process.returncode == 2, (args, out, err)
        assert b"Traceback" not in err
