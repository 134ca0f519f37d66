"""`estimate_memory`: from a model, or the name of one, to what it takes in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from cnnstat import __version__
from cnnstat.analysis import Prepared, prepare
from cnnstat.errors import SpecError
from cnnstat.memory.caching_allocator import CONTEXT_ERROR, replay
from cnnstat.memory.folding import plan_graph
from cnnstat.memory.fusion import fusion_for
from cnnstat.memory.memory_report import DTYPES, MOST_SAMPLES, MemoryReport, Planned
from cnnstat.memory.planners import RUNTIMES, plan
from cnnstat.memory.scaling import largest
from cnnstat.memory.step import Step
from cnnstat.memory.usage import Usage, by_layer
from cnnstat.memory.weights import prepared_weights
from cnnstat.notes import left_by
from cnnstat.pause import no_collection
from cnnstat.recording import record_step, record_whole
from cnnstat.report import Note
from cnnstat.step_records import Records, batch_of
from cnnstat.trace.step import check_optimizer
from cnnstat.units import parse_bytes

if TYPE_CHECKING:
    from cnnstat.record import Trace

__all__ = ["DEFAULT_OPTIMIZER", "estimate_memory", "planned", "record_step", "record_whole"]

DEFAULT_OPTIMIZER = "sgd?momentum=0.9"
"""What trains where nothing is said: what the papers of the classic networks used."""

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


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
    limit: int | str | None = None,
) -> MemoryReport:
    """What a network takes in memory, from records on tensors without data; nothing is measured.

    `model`, `inputs`, `batch` and `resolution` are as for `analyze`. `runtime` plans inference: `"tflm"`,
    `"litert"`, `"ort"` or `"greedy"`, with weights and tensors of `dtype`: `"fp32"`, `"fp16"`, `"bf16"` or
    `"int8"`. `optimizer` asks for a step of training, by any optimizer of torch with its arguments
    (`"sgd?momentum=0.9"`, `"adamw"`), `amp` for autocast (`"bf16"`, `"fp16"`). `limit`, in bytes or as
    `"6GiB"`, asks for the largest batch, of training where it is asked for, whose CUDA process fits it.

    Raises a `CnnstatError`, one clear line, for whatever is wrong with these.
    """
    check_plan(runtime, dtype)
    room = None if limit is None else _limit(limit)
    step = Step.of(optimizer, amp)
    check_optimizer(step)
    with no_collection():
        prepared = prepare(model, inputs, batch, resolution)
        # CUDA updates all weights at once. First, since training fails where inference need not.
        on_cuda = Records(prepared, replace(step, foreach=step.trains))
        training = _trained(prepared, step, on_cuda.own) if step.trains else None
        eager = record_step(prepared, Step.of("", amp)) if step.trains else on_cuda.own
        whole = record_whole(prepared)
        batch_found = safe = None
        if room is not None:
            batch_found = largest_batch(prepared, on_cuda, room)
            safe = largest_batch(prepared, on_cuda, int(room / (1 + CONTEXT_ERROR)))
        subject = prepared.subject
        return MemoryReport(
            subject={"name": subject.name, "spec": subject.spec, "source": subject.source},
            eager=Usage.of(eager, str(Step.of("", amp))),
            planned=planned(whole, runtime, dtype),
            training=training,
            limit=room,
            largest_batch=batch_found,
            safe_batch=safe,
            layers=by_layer(eager),
            notes=(
                *_notes(eager, step),
                *left_by(eager),
                *([_unknown_batch(prepared, on_cuda)] if room and batch_found is None else ()),
                *subject.notes,
            ),
            meta={
                "inputs": prepared.inputs.typed(eager.meta["types"]).entries(),
                "engine": eager.meta["engine"],
                "cnnstat": __version__,
                "torch": str(torch.__version__),
                **subject.versions,
            },
        )


def check_plan(runtime: str, dtype: str) -> None:
    """Raise `SpecError` where there is no such runtime or number format."""
    for given, known, what in ((runtime, RUNTIMES, "runtime"), (dtype, DTYPES, "dtype")):
        if not isinstance(given, str) or given not in known:
            raise SpecError(f"unknown {what} {given!r}", hint=f"one of: {', '.join(known)}")


def _limit(given: int | str) -> int:
    """Bytes of a limit. Raises `SpecError` for one that is no size, or leaves no room for anything."""
    try:
        limit = parse_bytes(given)
    except ValueError as error:
        raise SpecError(f"limit: {error}") from None
    if limit < 1:
        raise SpecError(f"limit {given}: expected a size of 1 byte or more, such as 24GiB")
    return limit


def _trained(prepared: Prepared, step: Step, on_cuda: Trace) -> Usage:
    """A step of training: as a CPU carries it out and, for CUDA, from its own record."""
    return replace(Usage.of(record_step(prepared, step), str(step)), cuda=replay(on_cuda))


def planned(trace: Trace, runtime: str, dtype: str) -> Planned:
    """The plan of a runtime for the network of `trace`."""
    itemsize, fusion = DTYPES[dtype], fusion_for(runtime)
    graph = plan_graph(trace, fusion=fusion)
    unfused = plan_graph(trace, fold=False, fusion=fusion) if runtime == "ort" else None
    arena = plan(graph, runtime, itemsize, unfused=unfused)
    weights = prepared_weights(trace, graph, itemsize)
    return Planned(arena, dtype, weights.parameters, weights.constants)


def largest_batch(prepared: Prepared, records: Records, limit: int) -> int | None:
    """Samples in the largest batch of a step whose CUDA process fits `limit` bytes.

    `None` where the records of other batches do not follow from those of a few: the network is then never
    run at growing batches to find out.
    """
    scaled, own = records.scaled, batch_of(prepared.inputs)
    if scaled is None:
        return None

    def fits(batch: int) -> bool:
        # The network's own batch may take another way than those that are scaled from larger ones.
        there = records.own if batch == own else scaled.at(batch)
        return replay(there).process <= limit

    return largest(fits, MOST_SAMPLES)


def _unknown_batch(prepared: Prepared, records: Records) -> Note:
    if batch_of(prepared.inputs) is None:
        why = "no dimension of its inputs is known to be the batch"
    elif records.own.meta["engine"] == "cpu":
        why = "what it takes depends on its data"
    else:
        why = "what it takes does not grow in proportion with the batch, or it runs with this one alone"
    return Note("limit", f"the largest batch is not known: {why}", "try some with -b")


def _notes(trace: Trace, step: Step) -> Iterator[Note]:
    if trace.meta["engine"] == "cpu":
        why = "; ".join(trace.meta.get("tried", ()))
        yield Note("engine", f"the model ran for real on the CPU{f' ({why})' if why else ''}")
    if step.trains and any(m.type in _RECURRENT and m.calls for m in trace.modules):
        yield Note(
            "recurrent",
            "recurrent layers in training are estimated from their parts; the fused kernels of a CPU keep "
            "a workspace besides (3 % of the peak of a measured LSTM), and so do those of cuDNN",
        )
