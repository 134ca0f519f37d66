"""Counts one call of a function or module along every path on which its operations can arrive.

torch hands the same call to a recorder whole, taken apart, or as another kernel, depending on autograd,
device and data. `PATHS` are these ways; `work_on` counts a call on one of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from cnnstat.analysis import analyze
from cnnstat.counting import count
from cnnstat.record import OpCall, TensorSpec, Trace
from cnnstat.report import Report, Work
from cnnstat.rules import rule_for
from cnnstat.trace.isolation import isolated
from cnnstat.trace.modules import ModuleStack
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


class Call(nn.Module):
    """A module that calls a function or another module."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = copy.deepcopy(call) if isinstance(call, nn.Module) else call

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)


def report_of(
    call: Callable[..., Any],
    *args: Any,
    path: str = "meta",
    convention: str = "macs",
    **kwargs: Any,
) -> Report:
    """The report of `call(*args, **kwargs)`, recorded along one path."""
    way = PATHS[path]
    model = Call(call)
    recorder = Recorder(meta=way.device == "meta", whole=way.whole)
    with ExitStack() as stack:
        stack.enter_context(isolated())
        fake = FakeTensorMode() if way.device == "fake" else None

        def place(tensor: torch.Tensor) -> torch.Tensor:
            if way.device == "meta":  # lengths and indices keep their values
                return tensor.to("meta") if tensor.is_floating_point() else tensor
            return fake.from_tensor(tensor) if fake else tensor

        model._apply(place) if way.device == "meta" else _place(model, place)
        args, kwargs = tree_map_only(torch.Tensor, place, (args, kwargs))
        if way.autograd:
            stack.enter_context(torch.enable_grad())
        else:
            stack.enter_context(torch.inference_mode() if way.whole else torch.no_grad())
        stack.enter_context(fake or nullcontext())
        recorder.modules = modules = ModuleStack(model, recorder.describe)
        with recorder, modules.watching():
            model(*args, **kwargs)
        tree = modules.tree()
        recorder.close()
    trace = Trace(ops=tuple(recorder.ops), modules=tree)
    return count(trace, {"name": "test"}, convention=convention)


def _place(model: nn.Module, place: Callable[[torch.Tensor], torch.Tensor]) -> None:
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in list(held.items()):
                if tensor is not None:
                    held[name] = place(tensor)


def work_in(report: Report) -> Work:
    """All work in a report, without the bytes moved, which depend on how a call is taken apart."""
    work = sum((tally.work for layer in report.layers for tally in layer.tallies), Work())
    return replace(work, moved=0)


def work_of(call: Callable[..., Any], *args: Any, path: str = "meta", **kwargs: Any) -> Work:
    """The work of `call(*args, **kwargs)`, every operation of which must be known."""
    report = report_of(call, *args, path=path, **kwargs)
    assert report.uncounted == ()
    return work_in(report)


def same_on_every_path(call: Callable[..., Any], *args: Any, but: str = "", **kwargs: Any) -> Work:
    """The work of a call, which has to be the same on each of `PATHS`, but for those named in `but`."""
    works = {
        path: work_of(call, *args, path=path, **kwargs)
        for path in PATHS
        if path not in but.split("; ")
    }
    expected = works["cpu"]
    assert works == dict.fromkeys(works, expected)
    return expected


def flop_counter_macs(
    call: Callable[..., Any], *args: Any, backward: bool = False, **kwargs: Any
) -> int:
    """MACs by torch's own counter, on the CPU."""
    with isolated(), FlopCounterMode(display=False) as counter:
        with torch.set_grad_enabled(backward):
            output = call(*args, **kwargs)
        if backward:
            output.backward(torch.ones_like(output))
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


def backward_macs(model: nn.Module, inputs: Any, engine: str = "auto") -> int:
    """What `backward=True` adds to the MACs of a model."""
    both = analyze(model, inputs, backward=True, engine=engine)
    forward = analyze(model, inputs, engine=engine)
    assert both.uncounted == () == forward.uncounted
    return both.totals.macs - forward.totals.macs


def spec(*shape: int, dtype: str = "float32") -> TensorSpec:
    """A tensor that an operation saw."""
    return TensorSpec(shape, dtype)


def count_op(op: str, outputs: Any, **args: Any) -> Work:
    """What the rule for `op` counts, without torch: for kernels that this machine does not have."""
    outputs = (outputs,) if isinstance(outputs, TensorSpec) else tuple(outputs)
    rule = rule_for(op)
    assert rule is not None, f"no rule for {op}"
    return rule.count(OpCall(index=0, op=op, scope="", args=args, outputs=outputs))
