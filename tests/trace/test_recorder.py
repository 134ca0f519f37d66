"""The record: operations, scopes, storages and their lives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnstat.inputs import Inputs
from cnnstat.record import Trace
from cnnstat.rules import ZERO, rule_for
from cnnstat.sources.base import resolve
from cnnstat.sources.skeleton import build_skeleton
from cnnstat.trace.engines import Makers, record
from cnnstat.trace.recorder import WHOLE
from cnnstat.trace.twin import stand_in


def trace_of(module: nn.Module, *shapes: tuple[int, ...], **options: Any) -> Trace:
    return record(
        Makers(partial(stand_in, module), partial(stand_in, module, weights=True), module),
        Inputs.of(list(shapes)) or Inputs(),
        **options,
    )


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.last(self.act(self.conv(x)))


def test_operations_stand_under_the_layer_that_ran_them() -> None:
    trace = trace_of(Block(), (1, 3, 8, 8))
    assert [(call.op, call.scope) for call in trace.ops] == [
        ("aten.conv2d", "conv"),
        ("aten.relu_", "act"),
        ("aten.conv2d", "last"),
        ("aten.add", ""),
    ]
    conv = trace.ops[0]
    assert conv.args["padding"] == (1, 1)
    assert [spec.shape for spec in conv.inputs] == [(1, 3, 8, 8), (4, 3, 3, 3)]
    assert conv.output.shape == (1, 4, 8, 8)
    assert conv.output.nbytes == 4 * 8 * 8 * 4


def test_storages_say_who_shares_memory_and_when_it_is_free() -> None:
    trace = trace_of(Block(), (1, 3, 8, 8))
    conv, relu, last, add = trace.ops
    assert relu.output.storage == conv.output.storage  # in place
    assert len({conv.output.storage, last.output.storage, add.output.storage}) == 3
    lives = {storage.id: storage for storage in trace.storages}
    hidden = lives[conv.output.storage]
    # Made by operation 0, held by `last` until it has run: gone before operation 3, the addition.
    assert (hidden.born, hidden.died, hidden.nbytes) == (0, 3, 4 * 8 * 8 * 4)
    assert lives[add.output.storage].died is None  # it is the result
    for tensor in (*trace.inputs, *trace.modules[1].params):
        assert (lives[tensor.storage].born, lives[tensor.storage].died) == (-1, None)


def test_the_tree_has_parameters_shapes_and_calls() -> None:
    trace = trace_of(Block(), (2, 3, 8, 8))
    root, conv, act, last = trace.modules
    assert (root.path, root.type, conv.path, conv.type) == ("", "Block", "conv", "Conv2d")
    assert [(p.name, p.shape) for p in last.params] == [("weight", (3, 4, 1, 1)), ("bias", (3,))]
    assert act.inputs[0].shape == (2, 4, 8, 8)
    assert trace.outputs[0].shape == (2, 3, 8, 8)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = self.a
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.a.weight
        self.idle = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        return self.tied(self.b(self.a(x))) + nn.ReLU()(extra)


def test_shared_tied_and_idle_modules() -> None:
    trace = trace_of(Shared(), (2, 4), (2, 4))
    by_path = {module.path: module for module in trace.modules}
    assert sorted(by_path) == ["", "a", "idle", "tied"]
    assert (by_path["a"].calls, by_path["a"].aliases) == (2, ("b",))
    assert by_path["idle"].calls == 0
    assert by_path["tied"].params[0].tied_to == "a.weight"
    assert [(call.scope, call.call) for call in trace.ops if call.op == "aten.linear"] == [
        ("a", 0), ("a", 1), ("tied", 0)
    ]  # fmt: skip
    # A module made during forward has no path: its caller ran its operations.
    assert [call.scope for call in trace.ops if call.op == "aten.relu"] == [""]


class Recovers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bad, self.good = nn.Linear(9, 9), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            self.bad(x)
        except RuntimeError:
            x = x + 1
        return self.good(x) * 2


def test_a_layer_that_fails_and_is_caught_does_not_confuse_the_scopes() -> None:
    trace = trace_of(Recovers(), (2, 4))
    assert [(call.op, call.scope) for call in trace.ops] == [
        ("aten.add", ""),
        ("aten.linear", "good"),
        ("aten.mul", ""),
    ]


def test_keyword_arguments_and_nested_outputs_are_described() -> None:
    class Keyed(nn.Module):
        def forward(self, *, x: torch.Tensor) -> dict[str, Any]:
            return {"a": [x * 2], "b": (x, 3)}

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Keyed()

        def forward(self, x: torch.Tensor) -> Any:
            return self.inner(x=x)

    trace = trace_of(Outer(), (2, 3))
    inner = trace.modules[1]
    assert [spec.shape for spec in inner.inputs] == [(2, 3)]
    assert [spec.shape for spec in inner.outputs] == [(2, 3), (2, 3)]


@pytest.mark.parametrize("op", sorted(WHOLE))
def test_what_is_recorded_whole_has_a_rule(op: str) -> None:
    assert rule_for(op) is not None or op in ZERO


@pytest.mark.parametrize(
    "wrap",
    [lambda net: net, torch.compile, torch.jit.script],
    ids=["plain", "compiled", "scripted"],
)
def test_compiled_and_scripted_submodules(wrap: Callable[[nn.Module], nn.Module]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
    trace = trace_of(nn.Sequential(wrap(net), nn.Flatten()), (1, 3, 8, 8))
    convolutions = [call.args["weight"].shape for call in trace.ops if "conv" in call.op]
    assert convolutions == [(4, 3, 3, 3), (4, 4, 1, 1)]


REAL = """
    alexnet densenet121 googlenet mnasnet0_5 mobilenet_v3_small shufflenet_v2_x0_5 squeezenet1_1
    swin_t vit_b_32
"""


@pytest.mark.parametrize("name", REAL.split())
def test_shapes_are_those_of_a_real_run(name: str) -> None:
    """What the meta device and its memory say, beside the same network run for real."""
    subject = resolve(f"tv:{name}")

    def seen(engine: str) -> list[Any]:
        trace = record(
            Makers(
                lambda: nullcontext(build_skeleton(subject.build)),
                lambda: nullcontext(subject.build()),
            ),
            subject.inputs or Inputs(),
            engine=engine,
        )
        return [
            (call.op, call.scope, [(s.shape, s.dtype) for s in (*call.inputs, *call.outputs)])
            for call in trace.ops
            if rule_for(
                call.op
            )  # strides decide on copies: attention kernels lay out their results
        ]

    assert seen("meta") == seen("cpu")


def test_functional_calls() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(4, 3, 3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = F.conv2d(x, self.w).flatten(2)
            return torch.einsum("bcn,bdn->bcd", y, y) @ torch.matmul(y, y.mT)

    ops = [call.op for call in trace_of(Functional(), (1, 3, 6, 6)).ops]
    assert [op for op in ops if op in ("aten.conv2d", "aten.bmm", "aten.matmul")] == [
        "aten.conv2d", "aten.bmm", "aten.matmul", "aten.matmul"
    ]  # fmt: skip
