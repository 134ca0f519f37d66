"""What is not asked for is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "timm", "pandas", "numpy", "fvcore")
RUN = """
from cnnstat.cli.app import main
try: main({args!r})
except SystemExit as left: assert not left.code
"""


def loaded(code: str) -> set[str]:
    """Names of the top-level modules after running `code` in a fresh interpreter."""
    code += "\nimport sys; print('\\nMODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = done.stdout.rpartition("MODULES")[2].split()
    assert "cnnstat" in names
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    "code",
    [
        "import cnnstat; cnnstat.Report; cnnstat.CnnstatError; dir(cnnstat)",
        "import cnnstat; cnnstat.MemoryReport; import cnnstat.render.memory",
        "import cnnstat.render.base as base; [base.renderer(name) for name in base.FORMATS]",
        RUN.format(args=["--version"]),
        RUN.format(args=["summary", "--help"]),
        RUN.format(args=["memory", "--help"]),
        RUN.format(args=["rules"]),
    ],
)
def test_light_paths_load_nothing_heavy(code: str) -> None:
    assert not loaded(code) & {*HEAVY}


@pytest.mark.parametrize("format", ["table", "json", "csv", "markdown", "latex", "html"])
def test_a_saved_report_is_drawn_without_torch_and_pandas(saved: Path, format: str) -> None:
    code = RUN.format(
        args=["summary", str(saved), "-f", format, "-c", "fvcore", "--color", "always"]
    )
    assert not loaded(code) & {*HEAVY}


def test_the_version_loads_neither_rich_nor_pydantic() -> None:
    assert not loaded(RUN.format(args=["--version"])) & {"rich", "pydantic"}
