"""Counts one call of a function or module along every path on which its operations can arrive.

torch hands the same call to a recorder whole, taken apart, or as another kernel, depending on autograd,
device and data. `PATHS` are these ways; `work_on` counts a call on one of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only

from cnnstat.counting import count
from cnnstat.record import OpCall, TensorSpec, Trace
from cnnstat.report import Report, Work
from cnnstat.rules import rule_for
from cnnstat.trace.isolation import isolated
from cnnstat.trace.recorder import Recorder


@dataclass(frozen=True)
class Path:
    """One way in which operations reach the recorder."""

    device: str
    """`"meta"`, `"fake"` or `"cpu"`."""
    autograd: bool
    """Whether gradients could be asked for: torch then takes composite operations apart."""
    whole: bool
    """Whether the recorder keeps composite operations as they were called."""


PATHS: Mapping[str, Path] = {
    "meta": Path("meta", autograd=False, whole=True),
    "meta, autograd": Path("meta", autograd=True, whole=False),
    "fake": Path("fake", autograd=False, whole=False),
    "fake, autograd": Path("fake", autograd=True, whole=False),
    "cpu": Path("cpu", autograd=False, whole=True),
    "cpu, autograd": Path("cpu", autograd=True, whole=False),
    "cpu, no grad": Path("cpu", autograd=False, whole=False),
}


def trace_of(call: Callable[..., Any], *args: Any, path: str = "meta", **kwargs: Any) -> Trace:
    """The record of `call(*args, **kwargs)`; a module is copied first."""
    way = PATHS[path]
    recorder = Recorder(meta=way.device == "meta", whole=way.whole)
    with ExitStack() as stack:
        stack.enter_context(isolated())
        if isinstance(call, nn.Module):
            call = copy.deepcopy(call)
        fake = FakeTensorMode() if way.device == "fake" else None

        def place(tensor: torch.Tensor) -> torch.Tensor:
            if way.device == "meta":  # what says lengths and indices keeps its values
                return tensor.to("meta") if tensor.is_floating_point() else tensor
            return fake.from_tensor(tensor) if fake else tensor

        if isinstance(call, nn.Module) and way.device == "meta":
            call = call.to("meta")
        elif isinstance(call, nn.Module) and fake:
            for module in call.modules():
                for held in (module._parameters, module._buffers):
                    held.update(
                        {k: v if v is None else fake.from_tensor(v) for k, v in held.items()}
                    )
        args, kwargs = tree_map_only(torch.Tensor, place, (args, kwargs))
        if way.autograd:
            stack.enter_context(torch.enable_grad())
        else:
            stack.enter_context(torch.inference_mode() if way.whole else torch.no_grad())
        stack.enter_context(fake or nullcontext())
        with recorder:
            call(*args, **kwargs)
        recorder.close()
    return Trace(ops=tuple(recorder.ops), modules=())


def work_in(trace: Trace) -> Work:
    """The work of all operations in a record, without the bytes moved, which decomposing changes."""
    rules = [(rule_for(call.op), call) for call in trace.ops]
    return sum((rule.count(call) for rule, call in rules if rule is not None), Work())


def work_of(call: Callable[..., Any], *args: Any, path: str = "meta", **kwargs: Any) -> Work:
    """The work of `call(*args, **kwargs)`."""
    return work_in(trace_of(call, *args, path=path, **kwargs))
