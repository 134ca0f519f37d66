"""Live bytes of records written by hand."""

import pytest

from cnnstat.memory.timeline import Timeline
from cnnstat.memory.usage import Usage, by_layer
from cnnstat.record import ModuleInfo, OpCall, Storage, TensorSpec, Trace


def call(
    index: int, reads: list[int], write: int, scope: str = "", phase: str = "forward"
) -> OpCall:
    args = {f"x{n}": TensorSpec((100,), storage=id) for n, id in enumerate(reads)}
    outputs = (TensorSpec((100,), storage=write),)
    return OpCall(index, f"op{index}", scope, args, outputs, phase=phase)


# Two layers and what they do backward. Weights 40 B, a buffer 8 B, the input 400 B; a and b are 400 B each,
# made by operations 0 and 1; their gradients by 2 and 3; the gradient of the weights, 40 B, by 3.
STEP = Trace(
    ops=(
        call(0, [2], 3, "a"),
        call(1, [3], 4, "b"),
        call(2, [4], 5, "b", "backward"),
        call(3, [5, 3], 6, "a", "backward"),
    ),
    modules=(
        ModuleInfo("", "Net", outputs=(TensorSpec((100,), storage=4),)),
        ModuleInfo("a", "A", outputs=(TensorSpec((100,), storage=3),)),
        ModuleInfo("b", "B", outputs=(TensorSpec((100,), storage=4),)),
    ),
    outputs=(TensorSpec((100,), storage=4),),
    storages=(
        Storage(0, 40, -1, role="weight"),
        Storage(1, 8, -1, role="buffer"),
        Storage(2, 400, -1, role="input"),
        Storage(3, 400, 0, None),
        Storage(4, 400, 1, None),
        Storage(5, 400, 2, None),
        Storage(6, 40, 3, None, "gradient"),
    ),
)


def test_live_bytes_by_hand() -> None:
    # 448 are there all the time; then 400 more with each of the first three, and 40 with the last.
    assert Timeline(STEP).live == (848, 1248, 1648, 1688)
    parts = {"weight": 40, "buffer": 8, "constant": 0, "input": 400, "optimizer": 0}
    assert Timeline(STEP).static == parts


def test_a_storage_is_alive_until_the_operation_after_its_last_use() -> None:
    storages = (Storage(0, 10, -1), Storage(1, 100, 0, 2), Storage(2, 1000, 1, 3))
    ops = tuple(call(n, [], n) for n in range(4))
    timeline = Timeline(Trace(ops, (), storages=storages))
    assert timeline.live == (110, 1110, 1010, 10)
    assert timeline.peak == 1
    assert [s.id for s in timeline.alive(1)] == [2, 1, 0]


def test_what_a_step_takes_by_hand() -> None:
    usage = Usage.of(STEP, "sgd")
    assert (usage.weights, usage.buffers, usage.input) == (40, 8, 400)
    assert usage.gradients == 40
    # When backward begins a and b are alive; b is what the network returned.
    assert usage.saved == 400
    assert (usage.live.nbytes, usage.live.index, usage.live.layer) == (1688, 3, "a")
    assert usage.live.phase == "backward"
    assert usage.static == 448
    assert usage.above == 1240
    roles = {(t.nbytes, t.layer, t.role) for t in usage.alive}
    assert roles == {(400, "a", "saved"), (400, "b", ""), (40, "a", "gradient")}
    assert sum(t.nbytes for t in usage.alive) == usage.above


def test_layers_by_hand() -> None:
    layers = by_layer(STEP)
    assert {path: layer.output_bytes for path, layer in layers.items()} == {
        "": 400,
        "a": 400,
        "b": 400,
    }
    # The root's is the most of what is below it; backward is not looked at.
    assert {path: layer.live_bytes for path, layer in layers.items()} == {
        "": 1248,
        "a": 848,
        "b": 1248,
    }


def test_nothing_ran() -> None:
    usage = Usage.of(Trace((), (), storages=(Storage(0, 40, -1, role="weight"),)))
    assert usage.live.nbytes == 40
    assert usage.alive == ()
    assert usage.timeline == ()


def test_the_peak_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        _ = Timeline(Trace((), ())).peak
