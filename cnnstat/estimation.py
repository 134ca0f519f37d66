"""`estimate_memory`: from a model, or the name of one, to what it takes in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from cnnstat import __version__
from cnnstat.analysis import Prepared, prepare
from cnnstat.errors import SpecError
from cnnstat.memory.caching_allocator import replay
from cnnstat.memory.folding import plan_graph
from cnnstat.memory.fusion import fusion_for
from cnnstat.memory.memory_report import DTYPES, MOST_SAMPLES, MemoryReport, Planned
from cnnstat.memory.planners import RUNTIMES, plan
from cnnstat.memory.scaling import Scaled, largest
from cnnstat.memory.step import Step
from cnnstat.memory.usage import Usage, by_layer
from cnnstat.memory.weights import prepared_bytes
from cnnstat.pause import no_collection
from cnnstat.report import Note
from cnnstat.trace.engines import record
from cnnstat.trace.step import check_optimizer

if TYPE_CHECKING:
    from cnnstat.record import Trace

DEFAULT_OPTIMIZER = "sgd?momentum=0.9"
"""What trains where nothing is said: what the papers of the classic networks used."""


def estimate_memory(
    model: Any,
    inputs: Any = None,
    *,
    batch: int | None = None,
    resolution: int | None = None,
    runtime: str = "greedy",
    dtype: str = "fp32",
    optimizer: str = "",
    amp: str = "",
    limit: int | None = None,
) -> MemoryReport:
    """What a network takes in memory, from records on tensors without data; nothing is measured.

    `model`, `inputs`, `batch` and `resolution` are as for `analyze`. `runtime` plans inference: `"tflm"`,
    `"litert"`, `"ort"` or `"greedy"`, with weights and tensors of `dtype`: `"fp32"`, `"fp16"`, `"bf16"` or
    `"int8"`. `optimizer` asks for a step of training, by any optimizer of torch with its arguments
    (`"sgd?momentum=0.9"`, `"adamw"`), `amp` for autocast (`"bf16"`, `"fp16"`). `limit`, in bytes, asks for
    the largest batch, of training where it is asked for, whose CUDA process fits it.

    Raises a `CnnstatError`, one clear line, for whatever is wrong with these.
    """
    check_plan(runtime, dtype)
    check_limit(limit)
    step = Step.of(optimizer, amp)
    check_optimizer(step)
    with no_collection():
        prepared = prepare(model, inputs, batch, resolution)
        eager = record_step(prepared, Step.of("", amp))
        whole = record_whole(prepared)
        subject = prepared.subject
        return MemoryReport(
            subject={"name": subject.name, "spec": subject.spec, "source": subject.source},
            eager=Usage.of(eager, str(Step.of("", amp))),
            planned=planned(whole, runtime, dtype),
            training=trained(prepared, step) if step.trains else None,
            limit=limit,
            largest_batch=None if limit is None else largest_batch(prepared, step, limit),
            layers=by_layer(eager),
            notes=(*_notes(eager), *subject.notes),
            meta={
                "inputs": [
                    {"name": s.name, "shape": list(s.shape), "dtype": s.dtype}
                    for s in prepared.inputs.specs()
                ],
                "engine": eager.meta["engine"],
                "cnnstat": __version__,
                "torch": str(torch.__version__),
                **subject.versions,
            },
        )


def check_plan(runtime: str, dtype: str) -> None:
    """Raise `SpecError` where there is no such runtime or number format."""
    for given, known, what in ((runtime, RUNTIMES, "runtime"), (dtype, DTYPES, "dtype")):
        if given not in known:
            raise SpecError(f"unknown {what} {given!r}", hint=f"one of: {', '.join(known)}")


def check_limit(limit: int | None) -> None:
    """Raise `SpecError` for a limit that leaves no room for anything."""
    if limit is not None and limit < 1:
        raise SpecError(f"limit {limit}: expected a size of 1 byte or more, such as 24GiB")


def record_step(prepared: Prepared, step: Step) -> Trace:
    """The record of a step on CPU tensors without data, or on real ones where it depends on values."""
    with prepared.subject.environment():
        return record(prepared.makers, prepared.inputs, expected=prepared.subject.inputs, step=step)


def record_whole(prepared: Prepared) -> Trace:
    """The record from which work is counted and a plan is made: composite operations in one piece."""
    with prepared.subject.environment():
        return record(prepared.makers, prepared.inputs, expected=prepared.subject.inputs)


def trained(prepared: Prepared, step: Step) -> Usage:
    """A step of training: as a CPU carries it out and, for CUDA, with all weights updated at once."""
    on_cuda = replay(record_step(prepared, replace(step, foreach=True)))
    return replace(Usage.of(record_step(prepared, step), str(step)), cuda=on_cuda)


def planned(trace: Trace, runtime: str, dtype: str) -> Planned:
    """The plan of a runtime for the network of `trace`."""
    itemsize, fusion = DTYPES[dtype], fusion_for(runtime)
    unfused = plan_graph(trace, fold=False, fusion=fusion) if runtime == "ort" else None
    arena = plan(plan_graph(trace, fusion=fusion), runtime, itemsize, unfused=unfused)
    return Planned(arena, dtype, prepared_bytes(trace.modules, itemsize))


def largest_batch(prepared: Prepared, step: Step, limit: int) -> int:
    """Samples in the largest batch of a step whose CUDA process fits `limit` bytes.

    Two records give the storages at any batch; where they do not compare, each size is recorded.
    """
    trace_at = traces(prepared, replace(step, foreach=True))
    return largest(lambda batch: replay(trace_at(batch)).process <= limit, MOST_SAMPLES)


def traces(prepared: Prepared, step: Step) -> Callable[[int], Trace]:
    """What gives the record of a step at any batch size."""

    def recorded(batch: int) -> Trace:
        inputs = prepared.inputs.with_batch(batch)
        return record_step(Prepared(prepared.subject, prepared.makers, inputs), step)

    scaled = Scaled(recorded(2), recorded(4), 2)
    return scaled.at if scaled.regular else recorded


def _notes(trace: Trace) -> list[Note]:
    if trace.meta["engine"] != "cpu":
        return []
    return [
        Note("engine", "the model ran for real on the CPU, since its shapes depend on its data")
    ]
