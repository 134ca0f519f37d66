"""Modules that lead back to themselves are named; deep trees are counted as far as torch runs them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from cnnstat import analyze, crosscheck, estimate_memory
from cnnstat.errors import TraceError

SHAPE = (1, 3, 8, 8)


class Wrap(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def nested(depth: int, kind: Callable[[nn.Module], nn.Module] = nn.Sequential) -> nn.Module:
    """3·3 + 3 = 12 parameters, 9·64 = 576 MACs on 8×8, under so many others."""
    net: nn.Module = nn.Conv2d(3, 3, 1)
    for _ in range(depth):
        net = kind(net)
    return net


def itself() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    net[0].parent = net
    return net


def longer() -> nn.Module:
    net = nn.Sequential(nn.ReLU(), nn.ModuleDict({"b": nn.Sequential(nn.ReLU())}))
    net[1]["b"].append(net[1])
    return net


def listed() -> nn.Module:
    net = nn.Sequential(nn.Module())
    net[0].owners = nn.ModuleList([nn.ReLU(), net])
    return net


def at_once() -> nn.Module:
    net = Wrap(nn.ReLU())
    net.inner = net
    return net


CIRCLES = {
    itself: "0.parent is the model itself",
    longer: "1.b.1 is 1",
    listed: "0.owners.1 is the model itself",
    at_once: "inner is the model itself",
}


@pytest.mark.parametrize("make", CIRCLES)
@pytest.mark.parametrize("verb", [analyze, estimate_memory, crosscheck])
def test_a_circle_is_named(make: Callable[[], nn.Module], verb: Callable[..., object]) -> None:
    net = make()
    before = {name: dict(vars(module)) for name, module in net.named_modules()}
    with pytest.raises(TraceError) as caught:
        verb(net, SHAPE)
    assert caught.value.message == f"the modules form a circle: {CIRCLES[make]}"
    assert {name: dict(vars(module)) for name, module in net.named_modules()} == before


def test_what_is_shared_is_no_circle() -> None:
    shared = nn.Conv2d(3, 3, 1)
    net = nn.Sequential(shared, nn.Sequential(shared, shared), shared)
    net.none = None
    net.register_module("empty", None)
    assert (
        analyze(nn.Sequential(shared, nn.Sequential(shared, shared)), SHAPE).totals.macs == 3 * 576
    )
    assert analyze(Wrap(shared), SHAPE).totals.params == 12
    with pytest.raises(
        TraceError, match="forward failed"
    ):  # `None` cannot be called, nor is it a circle
        analyze(net, SHAPE)


def _runs(net: nn.Module) -> bool:
    try:
        net.eval()(torch.zeros(SHAPE))
    except RecursionError:
        return False
    return True


@pytest.mark.parametrize("kind", [nn.Sequential, Wrap])
def test_as_deep_as_torch_itself_goes(kind: Callable[[nn.Module], nn.Module]) -> None:
    least, most = 1, 2000
    while most - least > 1:
        depth = (least + most) // 2
        least, most = (depth, most) if _runs(nested(depth, kind)) else (least, depth)
    assert 100 < least < 1000
    report = analyze(nested(least, kind), SHAPE)
    assert (report.totals.params, report.totals.macs) == (12, 576)
    # Weights and input, then a second tensor of the input's size: all are float32.
    assert estimate_memory(nested(least, kind), SHAPE).eager.live.nbytes == 48 + 2 * 768


def test_too_deep_is_one_line() -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(TraceError, match=r"RecursionError|recursion limit") as caught:
        analyze(nested(5 * limit), SHAPE)
    assert len(caught.value.message) < 400
    assert sys.getrecursionlimit() == limit


@pytest.fixture
def more_recursion() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20 * limit)
    yield
    sys.setrecursionlimit(limit)


def test_a_limit_of_the_user_s_own_counts(more_recursion: None) -> None:
    limit = sys.getrecursionlimit()
    assert _runs(nested(1000))
    assert analyze(nested(1000), SHAPE).totals.params == 12
    assert sys.getrecursionlimit() == limit


class Endless(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self(x)


def test_endless_recursion_is_the_model_s_failure() -> None:
    with pytest.raises(TraceError, match=r"forward failed.*RecursionError") as caught:
        analyze(Endless(), SHAPE)
    assert "input that it expects" not in caught.value.hint
