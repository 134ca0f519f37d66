"""The data of a memory report: its JSON form, schema 1, and the rows of its CSV form. Standard library only.

The document, with every figure in bytes where its name does not say otherwise:

    {"schema": 1,
     "subject": {"name", "spec", "source"},
     "eager": USAGE,
     "planned": {"runtime", "dtype", "weight_bytes", "constant_bytes", "arena_bytes", "low_bytes",
                 "high_bytes", "lower_bound_bytes", "naive_bytes", "total_bytes",
                 "peak": {"op", "layer", "scope"},
                 "alive": [{"bytes", "layer", "offset"}]},
     "training": USAGE or null,
     "limit_bytes", "largest_batch", "safe_batch" (with room for the error): numbers or null,
     "layers": {PATH: {"output_bytes", "live_bytes"}},
     "timeline": [{"op", "phase", "live_bytes"}],
     "notes": [{"kind", "text", "hint", "where"}],
     "meta": {"inputs", "engine", "cnnstat", "torch", …}}

    USAGE: {"step", "weight_bytes", "buffer_bytes", "constant_bytes", "input_bytes", "optimizer_bytes",
            "gradient_bytes", "saved_bytes", "peak_bytes", "peak": {"op", "layer", "phase", "index"},
            "at_peak": {"weight_bytes", "buffer_bytes", "constant_bytes", "input_bytes",
                        "optimizer_bytes", "gradient_bytes", "saved_bytes", "other_bytes"},
            "cpu": {"temporary_bytes", "peak_bytes", "peak"},
            "cuda": {"allocated_bytes", "reserved_bytes", "context_bytes", "process_bytes", "error"},
            "alive": [{"bytes", "layer", "op", "shape", "role", "phase"}]}

`at_peak` adds up to `peak_bytes`. `error` is the share of `process_bytes` that nine in ten measured processes
kept within. The timeline is that of the step of training where there is one, and of inference otherwise.

The CSV form has a row for each part of each answer: `answer` ("eager", "planned", "training", "limit"),
`part`, `value` and `unit` ("bytes", or "samples" of the largest batch).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cnnstat.memory.caching_allocator import CONTEXT_ERROR

if TYPE_CHECKING:
    from cnnstat.memory.memory_report import MemoryReport, Planned
    from cnnstat.memory.usage import Peak, Usage

SCHEMA = 1
"""Version of the JSON form."""


def memory_to_dict(report: MemoryReport) -> dict[str, Any]:
    """The document as plain values, in the order shown above."""
    return {
        "schema": SCHEMA,
        "subject": dict(report.subject),
        "eager": usage_to_dict(report.eager),
        "planned": planned_to_dict(report.planned),
        "training": usage_to_dict(report.training) if report.training else None,
        "limit_bytes": report.limit,
        "largest_batch": report.largest_batch,
        "safe_batch": report.safe_batch,
        "layers": {path: asdict(layer) for path, layer in report.layers.items()},
        "timeline": [
            {"op": index, "phase": phase, "live_bytes": live}
            for index, (phase, live) in enumerate(
                zip(report.usage.phases, report.usage.timeline, strict=True)
            )
        ],
        "notes": [asdict(note) for note in report.notes],
        "meta": dict(report.meta),
    }


def usage_to_dict(usage: Usage) -> dict[str, Any]:
    """The memory of a step."""
    return {
        "step": usage.step,
        "weight_bytes": usage.weights,
        "buffer_bytes": usage.buffers,
        "constant_bytes": usage.constants,
        "input_bytes": usage.input,
        "optimizer_bytes": usage.optimizer,
        "gradient_bytes": usage.gradients,
        "saved_bytes": usage.saved,
        "peak_bytes": usage.live.nbytes,
        "peak": _peak_to_dict(usage.live),
        "at_peak": {f"{part}_bytes": nbytes for part, nbytes in usage.at_peak.items()},
        "cpu": {
            "temporary_bytes": usage.cpu_temporaries,
            "peak_bytes": usage.cpu.nbytes,
            "peak": _peak_to_dict(usage.cpu),
        },
        "cuda": {
            "allocated_bytes": usage.cuda.allocated,
            "reserved_bytes": usage.cuda.reserved,
            "context_bytes": usage.cuda.context,
            "process_bytes": usage.cuda.process,
            "error": CONTEXT_ERROR,
        },
        "alive": [
            {
                "bytes": tensor.nbytes,
                "layer": tensor.layer,
                "op": tensor.op,
                "shape": list(tensor.shape),
                "role": tensor.role,
                "phase": tensor.phase,
            }
            for tensor in usage.alive
        ],
    }


def planned_to_dict(planned: Planned) -> dict[str, Any]:
    """A runtime's plan."""
    plan = planned.plan
    return {
        "runtime": plan.runtime,
        "dtype": planned.dtype,
        "weight_bytes": planned.weight_bytes,
        "constant_bytes": planned.constant_bytes,
        "arena_bytes": plan.arena_bytes,
        "low_bytes": plan.low_bytes,
        "high_bytes": plan.high_bytes,
        "lower_bound_bytes": plan.lower_bound_bytes,
        "naive_bytes": plan.naive_bytes,
        "total_bytes": planned.total_bytes,
        "peak": {
            "op": plan.step.op if plan.step else "",
            "layer": plan.step.path if plan.step else "",
            "scope": plan.scope,
        },
        "alive": [
            {"bytes": block.nbytes, "layer": block.name, "offset": block.offset}
            for block in plan.alive
        ],
    }


def memory_records(report: MemoryReport) -> Iterator[dict[str, Any]]:
    """The rows of the CSV form and of `to_frame`."""
    answers = [("eager", report.eager), ("training", report.training)]
    for answer, usage in answers:
        if usage is not None:
            for part, nbytes in _usage_parts(usage):
                yield _record(answer, part, nbytes)
        if answer == "eager":
            for name, value in planned_to_dict(report.planned).items():
                if name.endswith("_bytes"):
                    yield _record("planned", name.removesuffix("_bytes"), value)
    if report.limit is not None:
        yield _record("limit", "limit", report.limit)
        yield _record("limit", "largest_batch", report.largest_batch, "samples")
        yield _record("limit", "safe_batch", report.safe_batch, "samples")


def _usage_parts(usage: Usage) -> Iterator[tuple[str, int]]:
    data = usage_to_dict(usage)
    for within in ("", "at_peak", "cpu", "cuda"):
        for name, value in (data[within] if within else data).items():
            if name.endswith("_bytes"):
                part = name.removesuffix("_bytes")
                yield f"{within}.{part}" if within else part, value


def _record(answer: str, part: str, value: int | None, unit: str = "bytes") -> dict[str, Any]:
    return {"answer": answer, "part": part, "value": value, "unit": unit}


def _peak_to_dict(peak: Peak) -> dict[str, Any]:
    return {"op": peak.op, "layer": peak.layer, "phase": peak.phase, "index": peak.index}
