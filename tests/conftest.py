"""Options and fixtures for all tests, and what they see of the machine: none of its settings."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import forked

# Before torch is imported: the workers share the cores, and more threads in each only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# All objects of the process are looked through ten times more seldom: torch and what tests keep stay anyway.
gc.set_threshold(700, 10, 100)

# Hypothesis fails an example that takes 0.2 s, and one that is slow to make, except where CI is set.
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")

SETTINGS = (
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PY_COLORS"),
    *("CNNSTAT_DEBUG", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "PYTEST_ADDOPTS"),
)
"""What people and CI set to see more, or elsewhere, or in colour. Not CI and GITHUB_ACTIONS: with these
cnnstat prints the same."""

Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing"
    )


@pytest.fixture(autouse=True, scope="session")
def own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The locks of baselines lie beside those of nobody else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with a file kept beside the tests, or write it with --update-golden."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        assert path.exists(), f"{path} is missing; write it with pytest --update-golden"
        assert path.read_bytes().decode() == text

    return compare


@pytest.fixture(scope="session", autouse=True)
def plain() -> Iterator[None]:
    """No setting of whoever runs the tests changes what they see."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        patch.setenv("TERM", "xterm-256color")
        yield
    forked.stop()
