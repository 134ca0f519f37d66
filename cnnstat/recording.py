"""The records of a network that is ready to run: of a step, and of the pass that is counted and planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnstat.trace.engines import record

if TYPE_CHECKING:
    from cnnstat.analysis import Prepared
    from cnnstat.memory.step import Step
    from cnnstat.record import Trace


def record_step(prepared: Prepared, step: Step) -> Trace:
    """The record of a step on CPU tensors without data, or on real ones where it depends on values."""
    with prepared.subject.environment():
        return record(prepared.makers, prepared.inputs, expected=prepared.subject.inputs, step=step)


def record_whole(prepared: Prepared) -> Trace:
    """The record from which work is counted and a plan is made: composite operations in one piece."""
    with prepared.subject.environment():
        return record(prepared.makers, prepared.inputs, expected=prepared.subject.inputs)
