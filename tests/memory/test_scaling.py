"""Records at other batch sizes, and the largest number that fits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.analysis import prepare
from cnnstat.estimation import record_step, record_whole
from cnnstat.memory.caching_allocator import replay
from cnnstat.memory.folding import plan_graph
from cnnstat.memory.planners import plan
from cnnstat.memory.scaling import Scaled, largest, scaled_graph
from cnnstat.memory.step import Step
from cnnstat.memory.temporaries import temporaries
from cnnstat.memory.timeline import Timeline
from cnnstat.record import OpCall, Storage, TensorSpec, Trace

NETWORKS = ("resnet18", "mobilenet_v2", "vit_b_16", "convnext_tiny")


def recorded(spec: str, batch: int, step: Step) -> Trace:
    return record_step(prepare(spec, batch=batch), step)


@pytest.mark.parametrize("spec", NETWORKS)
def test_batch_16_from_2_and_4(spec: str) -> None:
    scaled = Scaled(recorded(spec, 2, Step()), recorded(spec, 4, Step()), 2)
    assert scaled.regular
    found, direct = scaled.at(16), recorded(spec, 16, Step())
    assert found.storages == direct.storages
    assert Timeline(found).live == Timeline(direct).live
    assert replay(found) == replay(direct)
    # What convolutions take beside them goes by the shapes.
    there = [scaled.call_at(call.index, 16) for call in direct.ops]
    assert list(map(temporaries, there)) == list(map(temporaries, direct.ops))


def test_training_at_batch_16_from_1_and_2() -> None:
    step = Step.of("sgd?momentum=0.9")
    scaled = Scaled(recorded("resnet18", 1, step), recorded("resnet18", 2, step), 1)
    direct = recorded("resnet18", 16, step)
    assert scaled.at(16).storages == direct.storages
    assert scaled.at(1).storages == scaled.first.storages


@pytest.mark.parametrize("runtime", ["tflm", "litert", "greedy", "ort"])
@pytest.mark.parametrize("spec", ["mobilenet_v2", "googlenet", "densenet121"])
def test_a_plan_at_batch_16(spec: str, runtime: str) -> None:
    graphs = {n: plan_graph(record_whole(prepare(spec, batch=n))) for n in (2, 16)}
    scaled = scaled_graph(graphs[2], 16, 2)
    assert [b.numel for b in scaled.buffers] == [b.numel for b in graphs[16].buffers]
    assert [s.patches for s in scaled.steps] == [s.patches for s in graphs[16].steps]
    assert plan(scaled, runtime).arena_bytes == plan(graphs[16], runtime).arena_bytes


def trace(batch: int, died: int | None = 1, extra: str = "aten.relu") -> Trace:
    """Two operations on a tensor with the batch in it, and on one without."""
    x = TensorSpec((batch, 3), storage=0)
    ops = (
        OpCall(0, "aten.relu", "", {"input": x, "sizes": (x, 7)}, (replace(x, storage=1),)),
        OpCall(1, extra, "", {"input": x}, (replace(x, storage=1),)),
    )
    storages = (
        Storage(0, 12 * batch, -1, role="input"),
        Storage(1, 12 * batch + 8, 0, died),
        Storage(2, 40, -1, role="weight"),
    )
    return Trace(ops, (), storages=storages)


def test_what_grows_is_affine() -> None:
    scaled = Scaled(trace(2), trace(4), 2)
    assert [s.nbytes for s in scaled.at(7).storages] == [84, 92, 40]
    assert [s.nbytes for s in scaled.at(1).storages] == [12, 20, 40]
    assert [s.role for s in scaled.at(7).storages] == ["input", "", "weight"]
    call = scaled.call_at(0, 7)
    assert call.args["input"].shape == call.output.shape == (7, 3)
    assert call.args["sizes"] == (TensorSpec((7, 3), storage=0), 7)


def test_what_does_not_compare() -> None:
    assert not Scaled(trace(2), trace(4, died=None), 2).regular
    assert not Scaled(trace(2), trace(4, extra="aten.gelu"), 2).regular


@given(st.integers(0, 3000), st.integers(0, 4000), st.integers(1, 2500))
def test_largest_is_that_of_brute_force(true: int, guess: int, limit: int) -> None:
    asked: list[int] = []

    def fits(n: int) -> bool:
        assert 1 <= n <= limit
        asked.append(n)
        return n <= true

    expected = max((n for n in range(1, limit + 1) if n <= true), default=0)
    assert largest(fits, limit, guess) == expected
    assert len(asked) <= 30


def test_a_good_guess_saves_questions() -> None:
    asked: list[int] = []

    def fits(n: int) -> bool:
        asked.append(n)
        return n <= 900_000

    assert largest(fits, guess=900_000) == 900_000
    assert len(asked) <= 3
