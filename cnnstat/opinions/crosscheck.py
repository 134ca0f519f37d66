"""`crosscheck`: what others count for the same model, and why it is another number."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cnnstat.analysis import Prepared, measure, prepare
from cnnstat.errors import SpecError
from cnnstat.opinions import flop_counter, fvcore
from cnnstat.opinions.base import Check, CrossCheck
from cnnstat.opinions.differences import compare
from cnnstat.pause import no_collection
from cnnstat.report import Report
from cnnstat.trace.engines import check_memory

if TYPE_CHECKING:
    from torch import nn

_ENGINES = {"fvcore": fvcore, "flop-counter": flop_counter}

ENGINES = tuple(_ENGINES)
"""Names of the engines that can be asked."""


def crosscheck(
    model: str | nn.Module,
    inputs: Any = None,
    *,
    batch: int | None = None,
    resolution: int | None = None,
    engines: Iterable[str] = ENGINES,
) -> CrossCheck:
    """What other engines count for the same model and inputs, every difference with its kind.

    `model`, `inputs`, `batch` and `resolution` are as in `analyze`; a module comes back untouched.
    `engines` are `"fvcore"` (`fvcore.nn.FlopCountAnalysis`) and `"flop-counter"` (torch's `FlopCounterMode`).
    An engine that cannot run the model gives no opinion, and says why.

    Raises a `CnnstatError` where cnnstat itself cannot measure the model.
    """
    names = list(dict.fromkeys(engines))
    unknown = [name for name in names if name not in _ENGINES]
    if unknown or not names:
        what = f"unknown engine {unknown[0]!r}" if unknown else "no engine to cross-check with"
        raise SpecError(what, hint=f"one of: {', '.join(ENGINES)}")
    with no_collection():
        prepared = prepare(model, inputs, batch, resolution)
        report = _measured(prepared)
        return CrossCheck(report, tuple(_check(report, prepared, _ENGINES[name]) for name in names))


def _measured(prepared: Prepared) -> Report:
    """The report, with operations as they were called: fake tensors show only what they are made of."""
    report = measure(prepared)
    return measure(prepared, engine="cpu") if report.meta.get("engine") == "fake" else report


def _check(report: Report, prepared: Prepared, engine: ModuleType) -> Check:
    """The opinion formed without weights; where it is none, or unexplained, that of a real run."""
    # A network that cnnstat had to run for real depends on its data: so must this one.
    ways = ["meta", "cpu"] if report.meta.get("engine") == "meta" else ["cpu"]
    check: Check | None = None
    for how in ways:
        try:
            if how == "cpu":
                check_memory(report.totals.param_bytes)
            opinion = engine.opinion(prepared, how)
        except Exception as error:  # somebody else's engine may raise anything
            opinion = engine.unheard(_told(error))
        found = compare(report, replace(opinion, notes=engine.notes(report, opinion)))
        if check is None or check.opinion.failure or not found.opinion.failure:
            check = found
        if check.explained:
            break
    assert check is not None
    return check


def _told(error: BaseException) -> str:
    """The exception, its first line, and which function of fvcore raised it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = ": ".join([type(error).__name__, *lines[:1]])
    frame = deque(traceback.walk_tb(error.__traceback__), maxlen=1)
    inside = frame[0][0].f_globals.get("__name__", "") if frame else ""
    if inside.startswith("fvcore."):
        told += f" (in its {frame[0][0].f_code.co_name})"
    return told
