"""What a check needs beside the counts: memory, the least time, whether it fits. Nothing runs unasked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnstat.budgets.baseline import circumstances_of
from cnnstat.budgets.checking import Measured
from cnnstat.budgets.config_file import find_table
from cnnstat.budgets.limits import METRICS, Check
from cnnstat.budgets.target import FITTED, Room, estimates, own_dtype
from cnnstat.devices.device import VERIFIED, Device
from cnnstat.devices.estimators import Estimator, estimator_for
from cnnstat.devices.roofline import Roofline, roofline
from cnnstat.devices.rooms import Room as Fitted
from cnnstat.devices.rooms import lacking, rooms, verdict
from cnnstat.devices.target import dtype_of, runtime_of
from cnnstat.errors import ConfigError
from cnnstat.report import Note, Report
from cnnstat.units import short_bytes, short_time

if TYPE_CHECKING:
    from cnnstat.analysis import Prepared


def extended(
    check: Check,
    report: Report,
    device: Device | None = None,
    prepare: Callable[[], Prepared] | None = None,
) -> Measured:
    """A report with what the check needs beside the counts, and the rooms of the device that it must fit.

    `prepare` makes the model ready to run. Without it, as of a saved report, only the least time is known,
    and the peak where it was saved with the memory of each layer.
    Raises a `CnnstatError` where the model cannot be estimated.
    """
    wanted = estimates(check)
    if not wanted:
        return Measured(report)
    dtype, runtime = dtype_of(check.target, device), runtime_of(check.target, device)
    found: list[_Number] = []
    rooms: tuple[Room, ...] = ()
    notes: tuple[Note, ...] = ()
    if "roofline" in wanted and device:
        found.append(_least_time(report, device, dtype, check))
    if "peak-memory" in wanted and not prepare and report.has_memory:
        found.append(_saved_peak(report))
    if prepare and set(wanted) - {"roofline"}:
        from cnnstat.pause import no_collection

        with no_collection():
            prepared = prepare()
            found += [_peak(prepared, own_dtype(report))] if "peak-memory" in wanted else []
            found += [_arena(prepared, runtime, dtype)] if "arena" in wanted else []
            if FITTED in wanted and device:
                rooms, notes = _fitting(prepared, device, dtype, check)
    about = {"device": device.id if device else "", "dtype": dtype, "runtime": runtime}
    used = {name for number in found for name in METRICS[number.name].within}
    used |= {"device", "dtype"} if rooms else set()
    # What a saved report has for a target is for its own, not for this one.
    kept = [m for m in METRICS.values() if m.extra and m.known(report) and not m.within]
    extra = {metric.key: metric.of(report) for metric in kept}
    extra |= {METRICS[n.name].key: n.value for n in found if n.value is not None}
    made = replace(
        report,
        extra=extra,
        notes=(*report.notes, *(Note(n.name, n.text, n.hint) for n in found), *notes),
        meta={**report.meta, **{name: about[name] for name in about if name in used}},
    )
    return Measured(made, rooms, {n.name: n.floor for n in found if n.floor is not None})


@dataclass(frozen=True, slots=True)
class _Number:
    """One estimate."""

    name: str
    """Of the metric."""
    value: int | None
    """How much; `None`: nobody can tell."""
    text: str
    """What to know of it, or why nobody can tell."""
    hint: str = ""
    """What to do about that."""
    floor: int | None = None
    """How much it is at least, where nobody can tell how much it is."""


def _peak(prepared: Prepared, dtype: str) -> _Number:
    from cnnstat.estimation import record_step
    from cnnstat.memory.step import Step
    from cnnstat.memory.usage import Usage

    peak = Usage.of(record_step(prepared, Step.of())).live
    where = f"in {peak.layer or '(root)'}, at {peak.op}" if peak.op else "before anything runs"
    return _Number("peak-memory", peak.nbytes, _peak_text(dtype, where))


def _peak_text(dtype: str, where: str) -> str:
    """As torch runs it, which no `--dtype` changes."""
    dtype = dtype or "its own number formats"
    return f"peak memory: as torch runs the model, in {dtype}; most is alive {where}; an estimate"


def _saved_peak(report: Report) -> _Number:
    """The same, read off the layers: a module has what is alive while anything below it runs."""
    peak = max(layer.live_bytes or 0 for layer in report.layers)
    paths = [layer.path for layer in report.layers if layer.live_bytes == peak]
    deepest = max(paths, key=lambda path: path.count(".") + bool(path), default="")
    if not peak:
        return _Number("peak-memory", None, "nothing ran in the report, so its peak is not known")
    text = _peak_text(own_dtype(report), f"in {deepest or '(root)'}")
    return _Number("peak-memory", peak, text)


def _arena(prepared: Prepared, runtime: str, dtype: str) -> _Number:
    from cnnstat.estimation import planned, record_whole

    plan = planned(record_whole(prepared), runtime, dtype).plan
    where = f"; fullest at {plan.step.path or '(root)'}" if plan.step else ""
    whose = "in a greedy plan" if runtime == "greedy" else f"as {runtime} plans them"
    besides = "without weights, constants and what the runtime takes besides"
    text = f"arena: tensors of {dtype} {whose}{where}; {besides}"
    return _Number("arena", plan.arena_bytes, text)


def _least_time(report: Report, device: Device, dtype: str, check: Check) -> _Number:
    about = circumstances_of(report)
    if about.get("mode") == "train" or "backward" in about.get("passes", ""):
        text = "the roofline is about inference, and the report is about training"
        return _Number("roofline", None, text, "give the model's specification")
    line = roofline(report, device, dtype)
    if line.rate is None or line.bandwidth is None:
        # A device without a figure is no reason to pass, nor to guess one; what is known may exceed.
        floor = nanoseconds(line)
        reasons = "; ".join(line.reasons)
        text = reasons if floor is None else f"{reasons}; {_part(line, floor)}"
        hint = f"choose another dtype or device, or {_own_figures(check)}"
        return _Number("roofline", None, text, hint, floor)
    return _Number("roofline", nanoseconds(line), f"roofline: {_bounds(line)}")


def nanoseconds(line: Roofline) -> int | None:
    """The least time by what is known of the device, rounded up to whole nanoseconds."""
    arithmetic = -(-2 * line.macs * 10**9 // line.rate) if line.rate else None
    moved = (line.weight_bytes + line.io_bytes) * 10**9
    memory = -(-moved // line.bandwidth) if line.bandwidth else None
    return max((part for part in (arithmetic, memory) if part is not None), default=None)


def _bounds(line: Roofline) -> str:
    what = "its memory" if line.memory_bound else "its arithmetic"
    where = f"{line.device.id} in {line.dtype}"
    return f"no run on {where} is faster, bound by {what}{_marks(line)}; no prediction"


def _part(line: Roofline, floor: int) -> str:
    what = "arithmetic" if line.rate else "memory"
    return f"its {what} alone takes {short_time(floor)} in {line.dtype}{_marks(line)}"


def _marks(line: Roofline) -> str:
    known = [f"{name} {mark}" for name, mark in line.marks.items() if mark != VERIFIED]
    return f" ({'; '.join(known)})" if known else ""


def _own_figures(check: Check) -> str:
    """Where a device of one's own is written; outside pyproject.toml the prefix is left out."""
    name = Path(check.place.file).name if check.place else ""
    if not name:
        with suppress(ConfigError):  # The command line's models do without a configuration.
            found = find_table(Path.cwd())
            name = found[0].name if found else ""
    prefix = "tool.cnnstat." if name in ("", "pyproject.toml") else ""
    return f"give the figures of your own: [{prefix}devices.my-board] of {name or 'pyproject.toml'}"


def _fitting(
    prepared: Prepared, device: Device, dtype: str, check: Check
) -> tuple[tuple[Room, ...], tuple[Note, ...]]:
    from cnnstat.fitting import Measured as Network
    from cnnstat.memory.step import Step

    estimator = estimator_for(device, dtype)
    demand = Network(prepared, Step.of()).demand(estimator, dtype)
    found = rooms(device, estimator, demand) if demand else ()
    if not found:
        text = lacking(device) or f"what it needs on {device.id} is not known"
        hint = f"cnnstat devices lists others, or {_own_figures(check)}"
        return (), (Note(FITTED, text, hint),)
    held = (Room(r.name, device.id, r.needed, r.available, r.over, r.under) for r in found)
    return tuple(held), (Note(FITTED, _evidence(device, dtype, estimator, found)),)


def _evidence(device: Device, dtype: str, estimator: Estimator, found: Sequence[Fitted]) -> str:
    """What the reader of an estimate must know: what it comes to, what it follows, how sure it is."""
    needs = []
    for room in found:
        mark = device.mark(room.figure)
        less = f" or {short_bytes(room.under)} less" if room.under else ""
        needs.append(
            f"{short_bytes(room.needed)} of {room.name}, perhaps {short_bytes(room.over)} more{less}, "
            f"where it has {short_bytes(room.available)} "
            f"({room.figure}{'' if mark == VERIFIED else ', ' + mark})"
        )
    fits = verdict(found).replace("-", " ")  # the word of data, as people say it
    return (
        f"{device.id} in {dtype}: {fits}, by an estimate: {' and '.join(needs)}; "
        f"{estimator.what}; {estimator.evidence}"
    )
