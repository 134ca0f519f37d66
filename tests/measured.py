"""Reports of named models, each made once for all tests of a process: nothing can change a report."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cnnstat.analysis
from cnnstat.report import Report

_analyze = cnnstat.analysis.analyze
"""As it is before a test puts another in its place."""


@lru_cache(maxsize=256)
def analyze(spec: str, inputs: tuple[int, ...] | None = None, **options: Any) -> Report:
    """`cnnstat.analyze` of a model that only its name decides: not of a module, nor of a file."""
    assert isinstance(spec, str), spec
    return _analyze(spec, inputs, **options)
