"""What a model keeps outside itself: the trials that went wrong, and what cannot be put back."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn

import cnnstat
from cnnstat.errors import TraceError

TABLES: dict[int, torch.Tensor] = {}


@functools.cache
def positions(n: int, device: Any) -> torch.Tensor:
    return torch.arange(n, device=device).repeat_interleave(2)


@functools.cache
def grid(n: int) -> torch.Tensor:
    return torch.linspace(0, 1, n)


class Grid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * grid(4)


class Table(Grid):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if 8 not in TABLES:
            TABLES[8] = torch.arange(8, device=x.device)
        return self.layer(x * TABLES[8])


class Values(Grid):
    """Asks for values as well, so that one engine hands over to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(4, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keep = x[:, 0] > -1e9
        return self.layer((x + self.embedding[positions(4, x.device)].mean(0))[keep])


@pytest.mark.parametrize("kind", [Grid, Table, Values])
@pytest.mark.parametrize("run", [cnnstat.analyze, cnnstat.estimate_memory, cnnstat.crosscheck])
def test_the_model_runs_and_trains_afterwards(kind: type[nn.Module], run: Any) -> None:
    module = kind()
    run(module, (4, 8))
    assert not TABLES and not grid.cache_info().currsize and not positions.cache_info().currsize
    module(torch.randn(4, 8)).sum().backward()
    assert cnnstat.analyze(module, (4, 8)).totals.macs == 4 * 8 * 4
    for cached in (TABLES.clear, grid.cache_clear, positions.cache_clear):
        cached()


def test_what_was_cached_before_stays_in_a_dictionary() -> None:
    own = TABLES[8] = torch.arange(8)
    cnnstat.analyze(Table(), (4, 8))
    assert TABLES.pop(8) is own and not TABLES


class Elsewhere(nn.Module):
    """Its table is a variable of an object that a library class hides."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functools.wraps.table = x.sum()  # type: ignore[attr-defined]
        return self.layer(x)


def test_what_cannot_be_put_back_is_one_note() -> None:
    report = cnnstat.analyze(Elsewhere(), (4, 8))
    (note,) = [note for note in report.notes if note.kind == "left"]
    assert "wraps.table" in note.text and "\n" not in note.text
    del functools.wraps.table  # type: ignore[attr-defined]


class Raises(Table):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        super().forward(x)
        raise ValueError("as asked")


def test_a_forward_that_raises_leaves_nothing_either() -> None:
    with pytest.raises(TraceError, match="as asked"):
        cnnstat.analyze(Raises(), (4, 8))
    assert not TABLES


class Plain(nn.Linear):
    def forward(self, x: torch.Tensor, fail: bool = False) -> torch.Tensor:
        if fail:
            raise ValueError("as asked")
        return super().forward(x)


def test_who_keeps_nothing_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among all objects of the process, which takes seconds where there are many of them."""
    module = Plain(8, 4)
    monkeypatch.setattr("gc.get_referrers", None)
    assert cnnstat.analyze(module, {"x": (4, 8)}).totals.macs == 4 * 8 * 4
    with pytest.raises(TraceError, match="as asked"):
        cnnstat.analyze(module, {"x": (4, 8), "fail": True})


@functools.cache
def kernel(n: int) -> Any:
    def times(x: torch.Tensor) -> torch.Tensor:
        if x.is_meta:
            raise NotImplementedError("not on the meta device")
        return x * n

    return times


class Kernel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return kernel(3)(x)


def test_a_function_that_raised_and_is_kept_can_be_called_again() -> None:
    assert cnnstat.analyze(Kernel(), (2, 2)).totals.flops == 4
    assert Kernel()(torch.ones(2, 2)).tolist() == [[3, 3], [3, 3]]
    kernel.cache_clear()


def test_another_threads_own_tensors_stay() -> None:
    """Real tensors that the pass did not make are nobody's leftovers, when more than one thread runs."""
    import threading

    started, done, found = threading.Event(), threading.Event(), []

    def work() -> None:
        started.wait(60)
        found.extend(torch.ones(2) for _ in range(3))
        done.set()

    class Waits(Table):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            started.set()
            done.wait(60)
            return super().forward(x)

    thread = threading.Thread(target=work)
    thread.start()
    alive = threading.Event()
    other = threading.Thread(target=alive.wait)
    other.start()
    try:
        cnnstat.analyze(Waits(), (4, 8))
    finally:
        alive.set()
        thread.join()
        other.join()
    assert len(found) == 3 and not TABLES
