"""A model on which somebody else's engine may be let loose: one's own, seeded, in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from torch import nn

from cnnstat.analysis import Prepared
from cnnstat.trace.arguments import arguments, parameter_types
from cnnstat.trace.isolation import isolated
from cnnstat.trace.modules import ORIGINAL_RAN, ModuleStack
from cnnstat.trace.nesting import refuse_circle, room_to_nest
from cnnstat.trace.recorder import Recorder
from cnnstat.trace.twin import in_place
from cnnstat.trace.untouched import Untouched

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ready:
    """A model with its arguments, and who is watching it."""

    model: nn.Module
    """In evaluation mode."""
    args: tuple[Any, ...]
    """Arguments by position."""
    kwargs: dict[str, Any]
    """Arguments by keyword."""
    recorder: Recorder
    """Not active yet. On the meta device it stands in for the arithmetic."""
    stack: ModuleStack
    """Not watching yet."""
    on_meta: bool
    """Whether there are no weights."""


@room_to_nest()
def run(
    prepared: Prepared, how: str, make: Callable[[bool], Recorder], body: Callable[[Ready], T]
) -> T:
    """What `body` returns for the model, without weights where `how` is `"meta"`, or for real.

    `make` makes the recorder. Weights and inputs are those of cnnstat's own run. Afterwards everything
    is as before: random state, the user's module, global settings.
    """
    makers, real = prepared.makers, how == "cpu"
    get = makers.real if real else makers.skeleton
    while True:
        with prepared.subject.environment(), Untouched(makers.root) as done:
            outcome = _once(get, prepared, how, make, body, done)
        if outcome is not _ORIGINAL:
            return outcome
        # The copy's own code holds on to the module that it is a copy of: that one has to run.
        assert makers.original is not None
        get = partial(in_place, makers.original, weights=real)


_ORIGINAL: Any = object()
"""The outcome of a run in which the original ran."""


def _once(
    get: Callable[[], AbstractContextManager[nn.Module]],
    prepared: Prepared,
    how: str,
    make: Callable[[bool], Recorder],
    body: Callable[[Ready], T],
    done: Untouched,
) -> T:
    """One run; a function of its own, so that nothing refers to the model when it is over."""
    with isolated(), get() as model:
        refuse_circle(model)
        model.eval()
        args, kwargs = arguments(prepared.inputs.typed(parameter_types(model)), how)
        recorder = make(how != "cpu")
        done.recorders.append(recorder)
        own = prepared.makers.originals - set(map(id, model.modules()))
        stack = ModuleStack(model, recorder.describe, originals=own)
        recorder.modules = stack
        try:
            result = body(Ready(model, tuple(args), kwargs, recorder, stack, on_meta=how != "cpu"))
        except Exception:
            if stack.strayed != ORIGINAL_RAN:
                raise
        finally:
            recorder.modules = None  # they refer to each other
        return _ORIGINAL if stack.strayed == ORIGINAL_RAN else result
