"""Records of models, for the tests of what is read off them."""

from __future__ import annotations

from functools import cache
from typing import Any

from cnnstat.analysis import prepare
from cnnstat.record import Trace
from cnnstat.trace.engines import record


def record_of(model: Any, inputs: Any = None, resolution: int | None = None) -> Trace:
    prepared = prepare(model, inputs, resolution=resolution)
    with prepared.subject.environment():
        return record(prepared.makers, prepared.inputs)


@cache
def named(spec: str, resolution: int | None = None) -> Trace:
    return record_of(spec, resolution=resolution)
