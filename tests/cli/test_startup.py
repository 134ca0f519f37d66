"""What is not asked for is not imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import HEAVY, RUN, loaded


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
    assert not loaded(code) & HEAVY


@pytest.mark.parametrize("format", ["table", "json", "csv", "markdown", "latex", "html"])
def test_a_saved_report_is_drawn_without_torch_and_pandas(saved: Path, format: str) -> None:
    code = RUN.format(
        args=["summary", str(saved), "-f", format, "-c", "fvcore", "--color", "always"]
    )
    assert not loaded(code) & HEAVY


def test_the_version_loads_neither_rich_nor_pydantic() -> None:
    assert not loaded(RUN.format(args=["--version"])) & {"rich", "pydantic"}
