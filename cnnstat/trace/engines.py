"""Runs a model once on the cheapest engine that can: meta, then fake, then the real CPU.

meta   no data at all; constants that the model computes for itself keep their values
fake   CPU tensors without data (`FakeTensorMode`): the same operations that a CPU would choose
cpu    the real thing, with seeded weights and inputs, for models whose shapes depend on their data
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnstat.errors import CnnstatError, TraceError
from cnnstat.inputs import Inputs, InputSpec
from cnnstat.record import Trace
from cnnstat.trace.gradient import GradientScopes
from cnnstat.trace.isolation import isolated
from cnnstat.trace.meta import NeedsValues
from cnnstat.trace.modules import ModuleStack, is_lazy, tensors_of
from cnnstat.trace.recorder import Recorder
from cnnstat.trace.twin import on_meta

ENGINES = ("meta", "fake", "cpu")

Model = AbstractContextManager[nn.Module]


def record(
    skeleton: Callable[[], Model],
    real: Callable[[], Model],
    inputs: Inputs,
    *,
    engine: str = "auto",
    train: bool = False,
    backward: bool = False,
    expected: Inputs | None = None,
) -> Trace:
    """The record of one pass.

    `skeleton` and `real` give a module that may be changed, the first without weights; `engine` is
    `"auto"` or one of `ENGINES`; `expected` is the model's own input, for the hint. Raises
    `TraceError`, naming the layer, where the model's forward raises or no engine can run it.
    """
    rungs = ENGINES if engine == "auto" else (engine,)
    reasons: list[str] = []
    needed = 0  # bytes of the weights, where a cheaper engine has found out
    for rung in rungs:
        if rung == "cpu" and needed > _memory_to_spare():
            reasons.append(f"cpu: its weights take {needed / 2**30:.1f} GiB, more than is free")
            break
        with isolated(), (real if rung == "cpu" else skeleton)() as model:
            run = _Run(rung, model.train(train), inputs, backward)
            try:
                return run.trace(reasons)
            except Exception as error:
                if isinstance(error, CnnstatError):
                    raise
                if rung == "cpu" or not _wants_values(error):
                    raise _failure(run, error, expected) from error
                needed = sum(p.nbytes for p in model.parameters() if not is_lazy(p))
                reasons.append(f"{rung}: {_first_line(error)}")
    raise TraceError(
        f"the model needs values that {' and '.join(rungs[: len(reasons)])} cannot give "
        f"({'; '.join(reasons)})",
        hint="give the tensors themselves as inputs, or another --engine",
    )


class _Run:
    """One pass of one model on one engine."""

    def __init__(self, engine: str, model: nn.Module, inputs: Inputs, backward: bool) -> None:
        self.engine, self.model, self.inputs, self.backward = engine, model, inputs, backward
        self.recorder = Recorder(meta=engine == "meta", whole=not backward and engine != "fake")
        self.stack = ModuleStack(model, self.recorder.describe)
        self.recorder.modules = self.stack

    def trace(self, reasons: list[str]) -> Trace:
        recorder, stack = self.recorder, self.stack
        with ExitStack() as context:
            if self.engine == "fake":
                context.enter_context(_fake(self.model))
            if self.backward:
                context.enter_context(torch.enable_grad())
            elif self.engine == "fake":  # inference mode and fake tensors do not go together
                context.enter_context(torch.no_grad())
            else:
                context.enter_context(torch.inference_mode())
            args, kwargs = self._tensors()
            given = recorder.existing(tensors_of((args, kwargs)))
            recorder.existing(stack.held())
            gradients = GradientScopes(stack) if self.backward else None
            with recorder, stack.watching():
                output = self.model(*args, **kwargs)
            returned = tuple(map(recorder.describe, tensors_of(output)))
            if gradients is not None:
                recorder.phase = "backward"
                recorder.scope_of_gradient = gradients.current
                with recorder:
                    gradients.run(output)
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
            },
        )

    def _tensors(self) -> tuple[list[Any], dict[str, Any]]:
        make = {"meta": _on_meta, "fake": _on_fake, "cpu": _on_cpu}[self.engine]
        args = [_fill(value, make) for value in self.inputs.args]
        return args, {name: _fill(value, make) for name, value in self.inputs.kwargs.items()}


def _fill(value: Any, make: Callable[[Any], torch.Tensor]) -> Any:
    """Replace every input specification and tensor in a nested structure."""
    if isinstance(value, InputSpec | torch.Tensor):
        return make(value)
    if isinstance(value, Mapping):
        return {name: _fill(item, make) for name, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_fill(item, make) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _on_meta(value: InputSpec | torch.Tensor) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        # Lengths, masks and indices may be asked for their values.
        return on_meta(value) if value.is_floating_point() else value.detach().cpu().clone()
    return torch.empty(value.shape, dtype=getattr(torch, value.dtype), device="meta")


def _on_fake(value: InputSpec | torch.Tensor) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype)
    return torch.empty(value.shape, dtype=getattr(torch, value.dtype))


def _on_cpu(value: InputSpec | torch.Tensor) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    dtype: torch.dtype = getattr(torch, value.dtype)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(value.shape).to(dtype)
    return torch.randint(0, 2, value.shape).to(dtype)  # an index that every embedding has


@contextmanager
def _fake(model: nn.Module) -> Iterator[None]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        twins: dict[int, torch.Tensor] = {}  # tied parameters stay tied
        for module in model.modules():
            holders: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for held in holders:
                for name, tensor in list(held.items()):
                    if tensor is not None and tensor.is_meta and not is_lazy(tensor):
                        held[name] = twins.setdefault(id(tensor), _fake_like(tensor))
        yield


def _fake_like(tensor: torch.Tensor) -> torch.Tensor:
    size, stride = tensor.size(), tensor.stride()
    twin = torch.empty_strided(size, stride, dtype=tensor.dtype, device="cpu")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin


_VALUE_ERRORS = ("DataDependentOutputException", "DynamicOutputShapeException")
_VALUE_WORDS = ("meta tensor", "meta device", "'meta'", "device meta", "meta is not", " meta ")


def _wants_values(error: BaseException) -> bool:
    """Whether another engine may succeed where this one raised `error`."""
    while True:
        text = str(error).lower()
        if (
            isinstance(error, NeedsValues | NotImplementedError)
            or type(error).__name__ in _VALUE_ERRORS
            or "faketensor" in text
            or "inference tensor" in text
            or "does not require grad" in text  # forward takes a gradient itself
            or "data-dependent" in text
            or any(word in text for word in _VALUE_WORDS)
        ):
            return True
        inner = error.__cause__ or error.__context__
        if inner is None:
            return False
        error = inner


def _failure(run: _Run, error: BaseException, expected: Inputs | None) -> TraceError:
    failed = run.stack.failed_at(error)
    where = ""
    if failed is not None and failed[0]:
        path, given = failed
        kind = type(run.model.get_submodule(path)).__name__
        shapes = ", ".join("x".join(map(str, spec.shape)) for spec in given)
        where = f" in {path} ({kind}{', which received ' + shapes if shapes else ''})"
    hint = "give the input that the model expects: -i 1x3x224x224"
    if expected is not None and expected != run.inputs:
        hint = f"its own input is {expected}"
    return TraceError(
        f"forward failed{where} with input {run.inputs or 'as given'}: "
        f"{type(error).__name__}: {_first_line(error)}{_place(error)}",
        hint=hint,
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _place(error: BaseException) -> str:
    """` (net.py:12)`: the innermost line of the user's own code, if the error came through it."""
    place, step = "", error.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if not any(part in name for part in ("site-packages", "cnnstat" + os.sep, sys.prefix)):
            place = f" ({os.path.relpath(name)}:{step.tb_lineno})" if Path(name).exists() else place
        step = step.tb_next
    return place


def _memory_to_spare() -> int:
    """Bytes that a real run may take: half of what is free, where the system tells."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 8 << 30
