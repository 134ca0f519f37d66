"""`fit`: from models and devices to whether each fits each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from cnnstat.analysis import Prepared, prepare
from cnnstat.counting import count
from cnnstat.devices.catalogue import all_devices, find
from cnnstat.devices.device import Device
from cnnstat.devices.estimators import Estimator, default_format, estimator_for
from cnnstat.devices.fitting import Fit
from cnnstat.devices.fitting import fit as fit_network
from cnnstat.devices.roofline import Roofline, roofline
from cnnstat.devices.rooms import Demand
from cnnstat.errors import CnnstatError, SpecError
from cnnstat.estimation import record_whole
from cnnstat.inputs import Inputs
from cnnstat.memory.caching_allocator import replay
from cnnstat.memory.folding import plan_graph
from cnnstat.memory.fusion import fusion_for
from cnnstat.memory.graph import Graph
from cnnstat.memory.interpreter import structures
from cnnstat.memory.memory_report import DTYPES
from cnnstat.memory.planners import plan
from cnnstat.memory.scaling import scaled_graph
from cnnstat.memory.step import Step
from cnnstat.memory.temporaries import temporaries
from cnnstat.memory.timeline import Timeline
from cnnstat.memory.weights import prepared_weights
from cnnstat.pause import no_collection
from cnnstat.record import Trace
from cnnstat.report import Report
from cnnstat.step_records import Records, batch_of
from cnnstat.trace.engines import record
from cnnstat.trace.step import check_optimizer


def fit(
    models: Any,
    devices: str | Device | Sequence[str | Device] | None = None,
    dtypes: str | Sequence[str] = (),
    *,
    inputs: Any = None,
    batch: int | None = None,
    resolution: int | None = None,
    optimizer: str = "",
    amp: str = "",
    thorough: bool | None = None,
) -> list[Fit]:
    """Whether each model fits each device, in each number format.

    `models` is what `analyze` takes, or a list of such; `devices` ids or `Device`s, by default all that
    there are; without `dtypes` ("fp32", "fp16", "bf16", "int8") each device's usual one, 8 bits on
    microcontrollers and fp32 elsewhere. `inputs`, `batch` and `resolution` are as for `analyze`.
    `optimizer` asks about a step of training (`"sgd?momentum=0.9"`), `amp` about autocast (`"bf16"`).
    `thorough` also finds the largest image that fits, and what would make it fit; by default where
    devices are named.

    Raises a `CnnstatError`, one clear line, for whatever is wrong with these, and for training on a named
    device where nothing trains; elsewhere such a device is `"unknown"`, with the reason.

    >>> import cnnstat
    >>> [result] = cnnstat.fit("vgg16", "pixel-1")
    >>> result.verdict, result.needed, result.available
    ('does-not-fit', 579120288, 536870912)
    """
    many = list(models) if isinstance(models, list | tuple) else [models]
    if not many:
        raise SpecError("no model is given", hint="such as 'resnet18', or a list of such")
    return fit_each(
        many,
        _devices(devices),
        _dtypes(dtypes),
        named=devices is not None,
        inputs=inputs,
        batch=batch,
        resolution=resolution,
        optimizer=optimizer,
        amp=amp,
        thorough=thorough,
    )


def fit_each(
    models: Sequence[Any],
    devices: Sequence[Device],
    dtypes: Sequence[str] = (),
    *,
    named: bool,
    inputs: Any = None,
    batch: int | None = None,
    resolution: int | None = None,
    optimizer: str = "",
    amp: str = "",
    thorough: bool | None = None,
) -> list[Fit]:
    """As `fit`; `named` says whether the devices were chosen one by one."""
    if unknown := [dtype for dtype in dtypes if dtype not in DTYPES]:
        raise SpecError(f"unknown dtype {unknown[0]!r}", hint=f"one of: {', '.join(DTYPES)}")
    step = Step.of(optimizer, amp)
    check_optimizer(step)
    formats = [(device, dtype) for device in devices for dtype in dtypes or (None,)]
    refused = _refused(formats, step)
    if refused and (named or len(refused) == len(formats)):
        raise next(iter(refused.values()))
    deep = named if thorough is None else thorough
    found = []
    with no_collection():
        for model in models:
            prepared = prepare(model, inputs, batch, resolution)
            network = Measured(prepared, step, model if isinstance(model, str) else "")
            for device, dtype in formats:
                error = refused.get((device.id, dtype))
                if error is None:
                    found.append(fit_network(network, device, dtype, step=step, thorough=deep))
                else:
                    without = Fit(network.spec, device, dtype or default_format(device), str(step))
                    found.append(replace(without, batch=network.batch, reason=error.message))
    return found


def _devices(devices: str | Device | Sequence[str | Device] | None) -> list[Device]:
    if devices is None:
        return list(all_devices())
    given = [devices] if isinstance(devices, str | Device) else devices
    if not isinstance(given, list | tuple) or not all(isinstance(d, str | Device) for d in given):
        raise SpecError(
            f"devices={devices!r}", hint="expected ids and Devices, such as ['pixel-1', 'h100']"
        )
    if not given:
        raise SpecError("no device is given", hint="leave devices out for all that there are")
    known = all_devices() if any(isinstance(device, str) for device in given) else ()
    return [find(device, known) if isinstance(device, str) else device for device in given]


def _dtypes(dtypes: Any) -> Sequence[str]:
    given = [dtypes] if isinstance(dtypes, str) else dtypes
    if not isinstance(given, list | tuple) or not all(isinstance(dtype, str) for dtype in given):
        raise SpecError(
            f"dtypes={dtypes!r}", hint="expected names such as ['fp32', 'int8'], or none: ()"
        )
    return given


def _refused(
    formats: Sequence[tuple[Device, str | None]], step: Step
) -> dict[tuple[str, str | None], SpecError]:
    """Where nothing trains, autocast is not torch's, or no estimate holds, before anything is built."""
    found = {}
    for device, dtype in formats:
        try:
            estimator_for(device, dtype or default_format(device), step.trains, step.amp)
        except SpecError as error:
            found[device.id, dtype] = error
    return found


_BY_TORCH = ("cuda", "cpu")
"""Estimators that follow torch's own run."""

_RAN = "the model ran for real, on random data, since its shapes depend on its data"


_FAMILIAR = ("conv", "linear", "addmm", "pool", "mean", "softmax", "cat", "clone", "pad")
"""Operations of the networks that an interpreter's own structures were measured for, beside elementwise
ones; parts of their names."""


class Measured:
    """A network whose records are made when they are asked for, each once."""

    def __init__(
        self, prepared: Prepared, step: Step, spec: str = "", like: Measured | None = None
    ) -> None:
        self._prepared, self._like = prepared, like
        self.spec = spec or prepared.subject.spec or prepared.subject.name
        # CUDA updates all weights at once, a CPU one by one; without weights to update they are the same.
        self._records: dict[bool, Records] = {
            foreach: Records(
                prepared, replace(step, foreach=foreach), like._records[foreach] if like else None
            )
            for foreach in {step.trains, False}
        }
        self._demands: dict[tuple[str, str, int], Demand | None] = {}
        self._sizes: dict[int, Measured | None] = {}
        self._graphs: dict[str, Graph] = {}

    @cached_property
    def batch(self) -> int:
        """Samples that it is fed; 1 where that cannot be told."""
        return batch_of(self._prepared.inputs) or 1

    @cached_property
    def resolution(self) -> int | None:
        """The longer side of its images."""
        sides = [max(s.shape[-2:]) for s in self._prepared.inputs.specs() if len(s.shape) >= 3]
        return sides[0] if sides else None

    @cached_property
    def report(self) -> Report:
        """Its work."""
        subject = self._prepared.subject
        return count(
            self._whole,
            {"name": subject.name, "spec": subject.spec, "source": subject.source},
            meta={"inputs": self._prepared.inputs.typed(self._whole.meta["types"]).entries()},
        )

    @cached_property
    def _whole(self) -> Trace:
        if self._like is None:
            return record_whole(self._prepared)
        return self._whole_with(self._prepared.inputs, self._like._whole.meta["engine"])

    def _whole_with(self, inputs: Inputs, engine: str) -> Trace:
        """With other inputs, and on the engine that was able to with its own: never slower."""
        subject = self._prepared.subject
        with subject.environment():
            return record(self._prepared.makers, inputs, engine=engine, expected=subject.inputs)

    def demand(self, estimator: Estimator, dtype: str, batch: int | None = None) -> Demand | None:
        """What it needs by an estimator, in a number format; `None`: not known at that batch size."""
        key = (estimator.name, dtype, batch or self.batch)
        if key not in self._demands:
            make = self._as_run if estimator.name in _BY_TORCH else self._as_planned
            try:
                self._demands[key] = make(*key)
            except CnnstatError:
                # What nobody asked for, a size that was tried, does not end the search.
                if self._like is None and key[2] == self.batch:
                    raise
                self._demands[key] = None
        known = self._demands[key]
        return known and replace(known, overhead=known.overhead + estimator.overhead)

    @cached_property
    def convolutional(self) -> bool:
        """Whether it does nothing but what convolutional networks do: no recurrence, no attention."""
        return all(
            step.elementwise or any(word in step.op for word in _FAMILIAR)
            for step in self._graph("tflm").steps
        )

    def at_resolution(self, resolution: int) -> Measured | None:
        """The same at another image size; `None` where it does not run, or would have to run for real."""
        if resolution not in self._sizes:
            self._sizes[resolution] = self._sized(resolution)
        return self._sizes[resolution]

    def _sized(self, resolution: int) -> Measured | None:
        if self._whole.meta["engine"] == "cpu":
            return None
        try:
            inputs = self._prepared.inputs.with_resolution(resolution)
            sized = Measured(replace(self._prepared, inputs=inputs), self._step, self.spec, self)
            _ = sized._whole  # whether it runs shows when it is recorded
        except CnnstatError:
            return None
        return sized

    @property
    def _step(self) -> Step:
        return self._records[False].step

    def roofline(self, device: Device, dtype: str) -> Roofline:
        """The least time of one pass on a device."""
        return roofline(self.report, device, dtype)

    def notes(self, estimator: Estimator) -> tuple[str, ...]:
        """That it had to run, and what its source says of it."""
        by_torch = estimator.name in _BY_TORCH
        trace = self._records_for(estimator.name).own if by_torch else self._whole
        about = tuple(note.text for note in self._prepared.subject.notes)
        return (_RAN, *about) if trace.meta["engine"] == "cpu" else about

    # ---- the estimates

    def _records_for(self, estimator: str) -> Records:
        return self._records[self._step.trains and estimator == "cuda"]

    def _as_run(self, estimator: str, dtype: str, batch: int) -> Demand | None:
        """As torch runs it: the record's storages at that batch, floats in that format."""
        records, itemsize = self._records_for(estimator), DTYPES[dtype]
        own = batch == self.batch
        scaled = None if own else records.scaled_in(itemsize)
        if not own and scaled is None:
            return None
        trace = scaled.at(batch) if scaled else records.own_in(itemsize)
        kept = sum(s.nbytes for s in trace.storages if s.born < 0 and s.role != "input")
        if estimator == "cuda":
            return Demand(kept, replay(trace).reserved - kept)
        peak = kept
        for index, (now, call) in enumerate(zip(Timeline(trace).live, trace.ops, strict=True)):
            beside = 0
            if "convolution" in call.op:
                there = scaled.call_at(index, batch) if scaled else call
                x = there.args["input"]
                beside = temporaries(there) * records.itemsize_in(itemsize, x) // x.itemsize
            peak = max(peak, now + beside)
        return Demand(kept, peak - kept)

    def _as_planned(self, estimator: str, dtype: str, batch: int) -> Demand | None:
        """As a runtime plans it; LiteRT on phones and boards hands the work to XNNPACK, which has its own
        plan."""
        itemsize, graph = DTYPES[dtype], self._graph(estimator)
        if batch != self.batch and not self._grows:
            return None
        weights = prepared_weights(self._whole, graph, itemsize).total
        if estimator in ("greedy", "litert"):
            # All buffers grow alike, and where the greedy plan puts them depends on their order alone.
            arena = plan(graph, "greedy", itemsize).arena_bytes
            return Demand(weights, arena * batch // self.batch)
        graph = scaled_graph(graph, batch, self.batch)
        if estimator == "ort":
            unfused = plan_graph(self._whole, fold=False, fusion=fusion_for("ort"))
            unfused = scaled_graph(unfused, batch, self.batch)
            return Demand(weights, plan(graph, "ort", itemsize, unfused=unfused).high_bytes)
        arena = plan(graph, estimator, itemsize).high_bytes
        return Demand(weights, arena, structures(self._whole, graph))

    @cached_property
    def _grows(self) -> bool:
        """Whether every buffer of the plan grows in proportion with the batch."""
        own, engine = batch_of(self._prepared.inputs), self._whole.meta["engine"]
        if own is None or engine == "cpu":
            return False
        try:
            twice = self._whole_with(self._prepared.inputs.with_batch(2 * own), engine)
        except CnnstatError:
            return False
        buffers = plan_graph(twice, fusion=fusion_for("greedy")).buffers
        scaled = scaled_graph(self._graph("greedy"), 2 * own, own).buffers
        return [b.numel for b in buffers] == [b.numel for b in scaled]

    def _graph(self, runtime: str) -> Graph:
        if runtime not in self._graphs:
            self._graphs[runtime] = plan_graph(self._whole, fusion=fusion_for(runtime))
        return self._graphs[runtime]
