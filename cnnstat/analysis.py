"""`analyze`: from a model, or the name of one, to what it costs. The one assembly line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnnstat import __version__
from cnnstat.conventions import convention_named
from cnnstat.counting import count
from cnnstat.errors import InputError, SpecError
from cnnstat.inputs import Inputs
from cnnstat.memory.step import Step
from cnnstat.memory.usage import LayerMemory, by_layer
from cnnstat.pause import no_collection
from cnnstat.sources.base import Subject, resolve
from cnnstat.sources.skeleton import build_skeleton
from cnnstat.trace.engines import ENGINES, Makers, record
from cnnstat.trace.isolation import isolated
from cnnstat.trace.twin import stand_in

if TYPE_CHECKING:
    from cnnstat.report import Report


def analyze(
    model: str | nn.Module,
    inputs: Any = None,
    *,
    batch: int | None = None,
    resolution: int | None = None,
    train: bool = False,
    backward: bool = False,
    convention: str = "macs",
    engine: str = "auto",
    memory: bool = False,
) -> Report:
    """What a network costs, layer by layer, from one pass without weights or arithmetic.

    `model` is a specification (`"resnet50"`, `"timm:convnext_tiny"`, `"net.py:Net?width=0.5"`) or a
    module, which comes back untouched. `inputs` is a shape `(1, 3, 224, 224)`, tensors, a tuple of
    these for several arguments, a dictionary for keyword arguments, nested as forward takes them, or
    texts as on the command line; by default what the model's source says. `resolution` replaces height
    and width, `batch` the first size. `train` traces in training mode, `backward` also counts the
    backward pass. `convention` says how work is quoted, `engine` how it is traced: `"auto"`, `"meta"`,
    `"fake"` or `"cpu"`. `memory` adds to each layer the bytes that it puts out and those that are alive
    while it runs, in inference, from a record of its own.

    Raises a `CnnstatError`, one clear line: `SpecError`, `BuildError`, `InputError` or `TraceError`.
    """
    with no_collection():
        convention_named(convention)
        if engine not in ("auto", *ENGINES):
            raise SpecError(
                f"unknown engine {engine!r}", hint=f"one of: auto, {', '.join(ENGINES)}"
            )
        if memory and (train or backward):
            raise InputError(
                "memory by layer is that of inference, and training was asked for",
                hint="leave one out; a step of training: cnnstat memory MODEL --train",
            )
        prepared = prepare(model, inputs, batch, resolution)
        report = measure(prepared, train, backward, convention, engine)
        return with_memory(report, prepared) if memory else report


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that can be run, with what it is fed."""

    subject: Subject
    """What it is."""
    makers: Makers
    """How to come by it."""
    inputs: Inputs
    """What it is fed."""


def prepare(
    model: Any, inputs: Any = None, batch: int | None = None, resolution: int | None = None
) -> Prepared:
    """The model and its inputs, given as to `analyze`; nothing of it has run yet."""
    subject, makers, default = _subject(model)
    given = Inputs.of(inputs)
    with subject.environment():
        fed = given or default() or _no_input(subject)
    if resolution is not None:
        fed = fed.with_resolution(resolution)
    return Prepared(subject, makers, fed if batch is None else fed.with_batch(batch))


def measure(
    prepared: Prepared,
    train: bool = False,
    backward: bool = False,
    convention: str = "macs",
    engine: str = "auto",
) -> Report:
    """The report of one pass of a prepared model."""
    subject, fed = prepared.subject, prepared.inputs
    with subject.environment():
        trace = record(
            prepared.makers,
            fed,
            engine=engine,
            train=train,
            backward=backward,
            expected=subject.inputs,
        )
    root = trace.modules[0].type
    return count(
        trace,
        {
            "name": subject.name,
            "spec": subject.spec,
            "source": subject.source,
            "type": root,
        },
        convention=convention,
        notes=subject.notes,
        meta={
            "inputs": fed.typed(trace.meta["types"]).entries(),
            "cnnstat": __version__,
            "torch": str(torch.__version__),
            **subject.versions,
        },
    )


def with_memory(report: Report, prepared: Prepared) -> Report:
    """The report with what each layer puts out and how much is alive while it runs."""
    with prepared.subject.environment():
        trace = record(
            prepared.makers, prepared.inputs, expected=prepared.subject.inputs, step=Step()
        )
    found = by_layer(trace)
    layers = []
    for layer in report.layers:
        memory = found.get(layer.path, LayerMemory(0, 0))
        layers.append(
            replace(layer, output_bytes=memory.output_bytes, live_bytes=memory.live_bytes)
        )
    return replace(report, layers=tuple(layers))


Default = Callable[[], Inputs | None]


def _subject(model: Any) -> tuple[Subject, Makers, Default]:
    """The subject, how to build it without and with weights, and how to learn its own inputs."""
    if isinstance(model, str):
        return _named(resolve(model))
    if isinstance(model, nn.Module):
        return _given(model)
    hint = "a specification such as 'resnet50', or a torch.nn.Module"
    if isinstance(model, type) and issubclass(model, nn.Module):
        hint = f"call it: {model.__name__}()"
    raise SpecError(f"cannot analyse {type(model).__name__} {model!r:.60}", hint=hint)


def _named(subject: Subject) -> tuple[Subject, Makers, Default]:
    built: list[nn.Module] = []

    @contextmanager
    def skeleton() -> Iterator[nn.Module]:
        # The first use takes the module that was built to ask for its inputs.
        yield built.pop() if built else build_skeleton(subject.build)

    @contextmanager
    def real() -> Iterator[nn.Module]:
        yield subject.build()

    def default() -> Inputs | None:
        if subject.inputs is not None:
            return subject.inputs
        with isolated():
            built.append(build_skeleton(subject.build))
        return Inputs.declared_by(built[0])

    return subject, Makers(skeleton, real, build=subject.build), default


def _given(module: nn.Module) -> tuple[Subject, Makers, Default]:
    name = type(module).__name__
    subject = Subject(name=name, spec="", source="object", build=lambda: module)
    makers = Makers(partial(stand_in, module), partial(stand_in, module, weights=True), module)
    return subject, makers, lambda: Inputs.declared_by(module)


def _no_input(subject: Subject) -> Inputs:
    raise InputError(
        f"{subject.spec or subject.name} does not say what input it takes",
        hint="give it: -i 1x3x224x224, or inputs=(1, 3, 224, 224)",
    )
