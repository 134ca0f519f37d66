"""Collectives are named with their bytes, do no arithmetic, and leave a report complete."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional

from tests.rules.record import report_of


@pytest.fixture
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_all_reduce() -> None:
    """Ten floats in and ten out, by the collective and by what wraps it: at least 80 bytes."""

    def call(x: torch.Tensor) -> torch.Tensor:
        return functional.all_reduce(x, "sum", dist.group.WORLD) @ x

    report = report_of(call, torch.zeros(10), path="cpu")
    assert report.uncounted == ()
    assert (report.totals.macs, report.totals.flops) == (10, 20)
    tallies = [t for layer in report.layers for t in layer.tallies if t.kind == "communication"]
    assert sum(tally.work.moved for tally in tallies) >= 80


@pytest.mark.usefixtures("group")
def test_in_place() -> None:
    def call(x: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(x)
        dist.broadcast(x, 0)
        return x

    report = report_of(call, torch.zeros(10), path="cpu")
    assert (report.uncounted, report.totals.flops) == ((), 0)


@pytest.mark.usefixtures("group")
def test_a_note_names_it_with_its_bytes() -> None:
    """Two times ten floats of four bytes are handed over; waiting for them is no more of them."""

    def call(x: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(x)
        return functional.all_reduce(x, "sum", dist.group.WORLD) + 1

    (note,) = [n for n in report_of(call, torch.zeros(10)).notes if n.kind == "communication"]
    assert note.text.endswith("allreduce ×1, all_reduce ×1 of 80 bytes")
