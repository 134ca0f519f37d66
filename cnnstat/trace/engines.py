"""Runs a model once on the cheapest engine that can: meta, then fake, then the real CPU.

meta   no data at all; constants that the model computes for itself keep their values
fake   CPU tensors without data (`FakeTensorMode`): the same operations that a CPU would choose
cpu    the real thing, with seeded weights and inputs, for models whose shapes depend on their data
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnstat.errors import CnnstatError, TraceError, causes
from cnnstat.inputs import Inputs, InputSpec
from cnnstat.memory.step import Step
from cnnstat.record import Trace
from cnnstat.trace.arguments import arguments, parameter_types
from cnnstat.trace.failing import Failed, failure
from cnnstat.trace.fake import fake_tensors
from cnnstat.trace.gradient import GradientScopes
from cnnstat.trace.isolation import isolated
from cnnstat.trace.lazy import materialized_on
from cnnstat.trace.meta import NeedsValues
from cnnstat.trace.modules import ORIGINAL_RAN, ModuleStack, is_lazy, tensors_of
from cnnstat.trace.nesting import refuse_circle, room_to_nest
from cnnstat.trace.recorder import Recorder
from cnnstat.trace.step import autocast, primed_optimizer, state_of, without_gradient
from cnnstat.trace.twin import in_place
from cnnstat.trace.untouched import Untouched

ENGINES = ("meta", "fake", "cpu")

Model = AbstractContextManager[nn.Module]


@dataclass(frozen=True, slots=True)
class Makers:
    """How to come by a module that may be run, as a context in which it is one's own."""

    skeleton: Callable[[], Model]
    """Without weights."""
    real: Callable[[], Model]
    """With weights."""
    original: nn.Module | None = None
    """What both are copies of, where they are copies."""
    build: Callable[[], nn.Module] | None = None
    """What makes them, where they are made."""

    @property
    def root(self) -> Any:
        """From where everything can be reached that a pass may change."""
        return self.build if self.original is None else self.original

    @property
    def originals(self) -> frozenset[int]:
        """Identities of the modules that must not run in the place of their copies."""
        return frozenset(map(id, () if self.original is None else self.original.modules()))


def record(makers: Makers, inputs: Inputs, **options: Any) -> Trace:
    """The record of one pass, or of one whole step of inference or training; the options are `_climb`'s.

    A network whose first parameter is complex may take complex numbers or, as Fourier layers do, real ones:
    where only a shape is given, both are tried. Raises what `_climb` raises.
    """
    try:
        return _without_sparse(_climb(makers, inputs, **options), options.get("step"))
    except TraceError as error:
        real = _REAL_OF.get(error.types[0] if error.types and inputs.untyped else "")
        if real is None:
            raise
        try:
            trace = _climb(makers, inputs.of_type(real), **options)
        except CnnstatError:
            raise error from error.__cause__
        return replace(trace, meta={**trace.meta, "types": [real, *error.types]})


def _without_sparse(trace: Trace, step: Step | None) -> Trace:
    """The record; of a step, whose bytes are asked for, nobody knows what sparse tensors take."""
    found = next((call for call in trace.ops if step is not None and call.is_sparse), None)
    if found is not None:
        where = f" in {found.scope}" if found.scope else ""
        raise TraceError(
            f"the memory of sparse tensors is not estimated: {found.op}{where}",
            hint="their work is counted: cnnstat summary",
        )
    return trace


_REAL_OF = {"complex64": "float32", "complex128": "float64"}


@room_to_nest()
def _climb(
    makers: Makers,
    inputs: Inputs,
    *,
    engine: str = "auto",
    train: bool = False,
    backward: bool = False,
    expected: Inputs | None = None,
    step: Step | None = None,
) -> Trace:
    """The record made by the cheapest engine that can.

    `engine` is `"auto"` or one of `ENGINES`; `expected` is the model's own input, for the hint. Raises
    `TraceError`, naming the layer, where the model's forward raises or no engine can run it, and
    `SpecError` where the step's optimizer cannot be made.
    """
    if step is not None:
        train = backward = step.trains
    # The meta device takes other kernels for attention than a CPU does, and leaves autocast out.
    able = ENGINES if step is None else ENGINES[1:]
    rungs = list(able if engine == "auto" else (engine,))
    reasons: list[str] = []
    first: TraceError | None = None
    suspect: tuple[Any, ...] = ()
    needed = 0  # bytes of the weights, where a cheaper engine has found out
    while rungs:
        rung = rungs.pop(0)
        if rung == "cpu":
            check_memory(needed)
        try:
            outcome = _attempt(rung, makers, inputs, _Way(train, backward, step), reasons)
        except (
            CnnstatError
        ) as error:  # not for us to run, where a cheaper engine has told why it fails
            raise first or error from error.__cause__
        if isinstance(outcome, Trace):
            return outcome
        failed = outcome
        needed = failed.needed
        reasons.append(f"{rung}: {failed.reason}")
        if failed.wants:
            continue
        message = failure(failed, expected)
        # What two engines refuse in the same layer, or the real one refuses, is wrong with the model; so
        # is what a CPU has no kernel for.
        if failed.final or rung == "cpu" or engine != "auto" or suspect == failed.place:
            raise (first or message) from failed.error
        first, suspect = first or message, failed.place
    if first is not None:
        raise first
    tried = " and ".join(reason.partition(":")[0] for reason in reasons)
    raise TraceError(
        f"the model needs values that {tried} cannot give ({'; '.join(reasons)})",
        hint="give the tensors themselves as inputs, or another --engine",
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """How the model is to run."""

    train: bool
    backward: bool
    step: Step | None


def _attempt(
    rung: str, makers: Makers, inputs: Inputs, way: _Way, reasons: list[str]
) -> Trace | Failed:
    """One engine; again with the original itself, or with autograd on, where that is what it takes."""
    make = makers.real if rung == "cpu" else makers.skeleton
    # Fake tensors and inference mode do not go together; a step keeps what autograd does apart.
    inference = rung != "fake" and way.step is None
    while True:
        with Untouched(makers.root) as done:
            try:
                outcome = _once(rung, make, makers, inputs, way, inference, reasons, done)
            except _OriginalRan:
                assert makers.original is not None
                make = partial(in_place, makers.original, weights=rung == "cpu")
                continue
        if isinstance(outcome, Trace):
            left: dict[str, Any] = {"left": list(done.left)} if done.left else {}
            if rung == "cpu":
                left["seeded"] = _seeded(makers, inputs)
            return replace(outcome, meta={**outcome.meta, **left})
        if rung == "cpu" and inference and _wants_gradients(outcome.error):
            inference = False
            continue
        return outcome


def _seeded(makers: Makers, inputs: Inputs) -> list[str]:
    """What was drawn at random: not the weights of a module that was given, nor given tensors."""
    shapes = any(isinstance(leaf, InputSpec) for leaf in inputs.leaves)
    drawn = {"weights": makers.original is None, "inputs": shapes}
    return [name for name in drawn if drawn[name]]


def _once(
    rung: str,
    make: Callable[[], Model],
    makers: Makers,
    inputs: Inputs,
    way: _Way,
    inference: bool,
    reasons: list[str],
    done: Untouched,
) -> Trace | Failed:
    """One pass; a function of its own, so that nothing refers to the model when it is over."""
    with isolated(), make() as model:
        refuse_circle(model)
        own = makers.originals - set(map(id, model.modules()))
        run = _Run(rung, model.train(way.train), inputs, way, inference, own)
        done.recorders.append(run.recorder)
        try:
            return run.trace(reasons)
        except (_OriginalRan, CnnstatError):
            raise
        except Exception as error:
            done.errors.append(error)
            wants = bool(run.recorder.wanted) or _wants_values(error)
            return Failed(error, run, wants and rung != "cpu")
        finally:
            run.recorder.modules = None  # they refer to each other


class _OriginalRan(Exception):
    """The copy's own code ran the module that it is a copy of."""


class _Run:
    """One pass of one model on one engine."""

    def __init__(
        self,
        engine: str,
        model: nn.Module,
        inputs: Inputs,
        way: _Way,
        inference: bool,
        originals: frozenset[int],
    ) -> None:
        self.engine, self.model, self.backward = engine, model, way.backward
        self.types = parameter_types(model)
        self.inputs, self.untyped = inputs.typed(self.types), inputs.untyped
        self.step = way.step or Step()
        self.inference = inference and not self.backward
        self.recorder = Recorder(meta=engine == "meta", whole=self.inference)
        self.recorder.layouts = way.step is not None
        self.stack = ModuleStack(model, self.recorder.describe, originals=originals)
        self.recorder.modules = self.stack

    def trace(self, reasons: list[str]) -> Trace:
        recorder, stack = self.recorder, self.stack
        with ExitStack() as context:
            if self.engine == "fake":
                context.enter_context(fake_tensors(self.model))
            if self.engine != "cpu":
                context.enter_context(materialized_on(self.model, self.engine))
            if self.inference:
                context.enter_context(torch.inference_mode())
            else:
                context.enter_context(torch.set_grad_enabled(self.backward))
            args, kwargs = arguments(self.inputs, self.engine)
            given = recorder.existing(tensors_of((args, kwargs)), "input")
            lazy = any(map(is_lazy, (*self.model.parameters(), *self.model.buffers())))
            self._describe_held()
            gradients = GradientScopes(stack) if self.backward else None
            optimizer = self._optimizer()
            try:
                with recorder, stack.watching(), autocast(self.step):
                    output = self.model(*args, **kwargs)
            finally:
                if stack.strayed == ORIGINAL_RAN:
                    raise _OriginalRan
            if recorder.wanted:  # the model's own code caught the exception that said so
                raise NeedsValues(recorder.wanted)
            if stack.strayed:
                raise TraceError(
                    f"{stack.strayed}, where its operations cannot be recorded",
                    hint="run the model in one thread",
                )
            if lazy:  # what got its shape on the way is weights like any other
                self._describe_held()
            returned = tuple(map(recorder.describe, tensors_of(output)))
            if gradients is not None:
                recorder.phase = "backward"
                recorder.scope_of_gradient = gradients.current
                stack.recomputing = True
                with recorder, stack.watching():
                    gradients.run(output)
                    recorder.gradients(
                        p.grad for p in self.model.parameters() if p.grad is not None
                    )
            if optimizer is not None:
                recorder.absent(without_gradient(optimizer))
                recorder.phase, recorder.scope_of_gradient = "optimizer", str
                with recorder:
                    optimizer.step()
            modules = stack.tree()
            recorder.close()
        return Trace(
            ops=tuple(recorder.ops),
            modules=modules,
            inputs=given,
            outputs=returned,
            storages=tuple(recorder.storages.values()),
            meta={
                "engine": self.engine,
                "mode": "train" if self.model.training else "eval",
                "phases": ["forward", "backward"] if self.backward else ["forward"],
                "tried": list(reasons),
                "types": list(self.types) if self.untyped else [],
            },
        )

    def _describe_held(self) -> None:
        held = list(self.stack.held())
        self.recorder.existing((t for t in held if isinstance(t, nn.Parameter)), "weight")
        self.recorder.existing(held, "buffer")
        self.recorder.packed(self.stack.packed())

    def _optimizer(self) -> torch.optim.Optimizer | None:
        """The optimizer of a training step, its state described as there before anything ran."""
        if not self.step.trains:
            return None
        optimizer = primed_optimizer(self.step, self.model)
        self.recorder.existing(state_of(optimizer), "optimizer")
        return optimizer


_VALUE_ERRORS = ("DataDependentOutputException", "DynamicOutputShapeException")
_VALUE_WORDS = (
    *("meta tensor", "meta device", "'meta'", "device meta", "meta is not", " meta ", "faketensor"),
    *("inference tensor", "data-dependent", "does not require grad", "tolist()", ".numpy()"),
    *("unallocated storage", "tensor subclasses"),
)


def _wants_values(error: BaseException) -> bool:
    """Whether an engine without data raised `error` because it has none."""
    return any(
        isinstance(link, NeedsValues | NotImplementedError)
        or type(link).__name__ in _VALUE_ERRORS
        or any(word in str(link).lower() for word in _VALUE_WORDS)
        for link in causes(error)
    )


def _wants_gradients(error: BaseException) -> bool:
    """Whether forward takes a gradient itself, which inference mode does not allow."""
    words = ("does not require grad", "inference tensor")
    return any(word in str(link).lower() for link in causes(error) for word in words)


def check_memory(needed: int) -> None:
    """Raises `TraceError` where running a model for real would take more memory than there is."""
    if needed > _memory_to_spare():
        raise TraceError(
            f"its weights take {needed / 2**30:.1f} GiB to run for real, more than is free",
            hint="the shapes of this model depend on its data; try it on a larger machine",
        )


def _memory_to_spare() -> int:
    """Bytes that a real run may take: half of what is available, where the system tells."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 // 2
    except (OSError, ValueError, IndexError):
        pass
    return 8 << 30
