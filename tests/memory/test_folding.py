"""What becomes a step and a buffer: on records by hand, and on small modules with hand arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from cnnstat.memory.folding import plan_graph
from cnnstat.memory.fusion import GENERAL, ONNXRUNTIME, TFLITE, Fusion
from cnnstat.memory.graph import Graph
from cnnstat.record import ModuleInfo, OpCall, ParamInfo, Storage, TensorSpec, Trace
from tests.memory.recorded import record_of


def image(channels: int, storage: int, size: int = 4) -> TensorSpec:
    return TensorSpec((1, channels, size, size), storage=storage)


X = image(3, 0)
WEIGHT, STATISTIC = 100, 101  # storages of the weights in all records by hand
HELD = ModuleInfo(
    "layer",
    "Layer",
    params=(ParamInfo("weight", (8,), storage=WEIGHT),),
    buffers=(ParamInfo("running_mean", (8,), storage=STATISTIC, trainable=False),),
)


def op(name: str, out: TensorSpec | tuple[TensorSpec, ...], scope: str, **args: Any) -> OpCall:
    outputs = out if isinstance(out, tuple) else (out,)
    return OpCall(0, f"aten.{name}", scope, args, outputs)


def conv(
    x: TensorSpec, y: TensorSpec, scope: str, kernel: int = 1, groups: int = 1, **args: Any
) -> OpCall:
    shape = (y.shape[1], x.shape[1] // groups, kernel, kernel)
    weight = TensorSpec(shape, storage=WEIGHT)
    return op("conv2d", y, scope, input=x, weight=weight, groups=groups, **args)


def norm(x: TensorSpec, y: TensorSpec, scope: str = "bn", training: bool = False) -> OpCall:
    mean = TensorSpec((8,), storage=STATISTIC)
    return op("batch_norm", y, scope, input=x, running_mean=mean, training=training)


def relu_(x: TensorSpec, scope: str = "act") -> OpCall:
    return op("relu_", x, scope, self=x)


def planned(
    *ops: OpCall,
    outputs: tuple[TensorSpec, ...],
    inputs: tuple[TensorSpec, ...] = (X,),
    fold: bool = True,
    fusion: Fusion = GENERAL,
) -> Graph:
    ops = tuple(replace(call, index=index) for index, call in enumerate(ops))
    trace = Trace(ops=ops, modules=(ModuleInfo("", "Net"), HELD), inputs=inputs, outputs=outputs)
    return plan_graph(trace, fold=fold, fusion=fusion)


def lives(graph: Graph) -> list[tuple[str, int, int]]:
    """Name and first and last scope of each buffer."""
    return [(b.name, *graph.lifetimes[b.id]) for b in graph.buffers]


def steps(graph: Graph) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [(step.op.removeprefix("aten."), step.reads, step.writes) for step in graph.steps]


A, B, C = image(8, 1), image(8, 2), image(8, 3)
CONV_BN_RELU = (conv(X, A, "conv"), norm(A, B), relu_(B))


def test_a_convolution_takes_in_normalisation_and_activation() -> None:
    graph = planned(*CONV_BN_RELU, outputs=(B,))
    assert steps(graph) == [("conv2d", (0,), (1,))]
    assert graph.steps[0].folded == ("aten.batch_norm", "aten.relu_")
    assert graph.steps[0].path == "conv"
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 1)]
    assert graph.inputs == (0,) and graph.outputs == (1,)
    assert [b.numel for b in graph.buffers] == [3 * 16, 8 * 16]


def test_without_folding_each_operation_is_a_step() -> None:
    graph = planned(*CONV_BN_RELU, outputs=(B,), fold=False)
    assert steps(graph) == [
        ("conv2d", (0,), (1,)),
        ("batch_norm", (1,), (2,)),
        ("relu_", (2,), (2,)),
    ]
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 2), ("bn", 2, 3)]
    graph = planned(*CONV_BN_RELU, outputs=(B,), fold=False, fusion=TFLITE)  # nothing in place
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 2), ("bn", 2, 3), ("act", 3, 3)]


def test_an_activation_out_of_place_is_folded_as_well() -> None:
    graph = planned(conv(X, A, "conv"), op("silu", B, "act", self=A), outputs=(B,))
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 1)]


def test_nothing_is_folded_into_what_others_read() -> None:
    relu = op("relu", B, "act", self=A)
    graph = planned(conv(X, A, "conv"), relu, op("mul", C, "", self=A, other=B), outputs=(C,))
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 3), ("act", 2, 3), ("", 3, 3)]
    graph = planned(conv(X, A, "conv"), relu, outputs=(A, B))  # the network returns it
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 2), ("act", 2, 2)]


def test_an_activation_in_place_after_a_reader_is_a_step_in_the_same_buffer() -> None:
    graph = planned(conv(X, A, "conv"), conv(A, B, "next"), relu_(A), outputs=(A, B))
    assert steps(graph) == [("conv2d", (0,), (1,)), ("conv2d", (1,), (2,)), ("relu_", (1,), (1,))]
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 3), ("next", 2, 3)]


def test_a_sum_in_place_is_a_step_without_a_buffer() -> None:
    x = image(8, 0)
    ops = (
        conv(x, A, "conv"),
        norm(A, B),
        op("add_", B, "block", self=B, other=x),
        relu_(B, "block.act"),
    )
    graph = planned(*ops, inputs=(x,), outputs=(B,))
    assert steps(graph) == [("conv2d", (0,), (1,)), ("add_", (1, 0), (1,))]
    assert graph.steps[1].folded == ("aten.relu_",) and graph.steps[1].elementwise
    assert lives(graph) == [("input", 0, 2), ("conv", 1, 2)]
    # Where a model is converted, the sum is a tensor of its own.
    graph = planned(*ops, inputs=(x,), outputs=(B,), fusion=TFLITE)
    assert steps(graph) == [("conv2d", (0,), (1,)), ("add_", (1, 0), (2,))]
    assert lives(graph) == [("input", 0, 2), ("conv", 1, 2), ("block", 2, 2)]


def test_branches_live_until_they_are_joined() -> None:
    ops = (
        conv(X, A, "stem"),
        conv(A, B, "left"),
        conv(A, C, "right"),
        op("cat", image(16, 4), "join", tensors=(B, C)),
    )
    graph = planned(*ops, outputs=(image(16, 4),))
    assert lives(graph) == [
        ("input", 0, 1),
        ("stem", 1, 3),
        ("left", 2, 4),
        ("right", 3, 4),
        ("join", 4, 4),
    ]


def test_views_and_dropout_are_neither_steps_nor_buffers() -> None:
    flat = TensorSpec((1, 128), storage=1)
    out = TensorSpec((1, 10), storage=2)
    ops = (
        conv(X, A, "conv"),
        op("view", flat, "", self=A, size=(1, 128)),
        op("dropout_", flat, "drop", input=flat, p=0.5, train=False),
        op("linear", out, "fc", input=flat, weight=TensorSpec((10, 128), storage=WEIGHT)),
    )
    for fold in (True, False):
        graph = planned(*ops, outputs=(out,), fold=fold)
        assert lives(graph) == [("input", 0, 1), ("conv", 1, 2), ("fc", 2, 2)]


def halves(storage: int) -> tuple[TensorSpec, TensorSpec]:
    return image(4, storage), image(4, storage)


def test_half_of_a_tensor_is_not_folded_into_the_whole() -> None:
    left, right = halves(1)
    out = image(4, 2)
    ops = (
        conv(X, A, "conv"),
        op("chunk", (left, right), "", self=A, chunks=2),
        op("relu", out, "act", self=left),
    )
    graph = planned(*ops, outputs=(out,))
    assert steps(graph) == [("conv2d", (0,), (1,)), ("relu", (1,), (2,))]


def test_writing_to_a_part_stays_in_the_buffer_in_any_runtime() -> None:
    left, _ = halves(1)
    trace = Trace(
        ops=(conv(X, A, "conv"), op("chunk", halves(1), "", self=A, chunks=2), relu_(left)),
        modules=(HELD,),
        inputs=(X,),
        outputs=(A,),
        storages=(Storage(0, X.nbytes, -1), Storage(1, A.nbytes, 0)),
    )
    for fusion in (GENERAL, TFLITE, ONNXRUNTIME):
        graph = plan_graph(trace, fusion=fusion)
        assert steps(graph) == [("conv2d", (0,), (1,)), ("relu_", (1,), (1,))]
        assert graph.buffers[1].numel == A.numel


def test_constants_and_weights_are_not_in_the_graph() -> None:
    positions, table = TensorSpec((16,), "int64", 8, storage=5), image(8, 6)
    state = TensorSpec((8,), storage=STATISTIC)
    ops = (
        op("arange", positions, "pos", end=16),
        op(
            "embedding", table, "pos", weight=TensorSpec((16, 8), storage=WEIGHT), indices=positions
        ),
        conv(X, A, "conv"),
        op("add", B, "", self=A, other=table),
        op("copy_", state, "", self=state, src=B),
    )
    graph = planned(*ops, outputs=(B,))
    assert steps(graph) == [("conv2d", (0,), (1,)), ("add", (1,), (2,))]


def test_what_depends_on_the_shape_of_the_input_only_is_a_constant() -> None:
    ones, mask = image(8, 5), image(8, 6)
    ops = (
        conv(X, A, "conv"),
        op("ones_like", ones, "mask", self=A),
        op("sub", mask, "mask", self=ones, other=1),
        op("add", B, "", self=A, other=mask),
    )
    graph = planned(*ops, outputs=(B,))
    assert steps(graph) == [("conv2d", (0,), (1,)), ("add", (1,), (2,))]


def test_an_allocation_counts_once_it_is_written_to() -> None:
    empty = image(8, 7)
    ops = (
        conv(X, A, "conv"),
        op("zeros", empty, "paste", size=(1, 8, 4, 4)),
        op("copy_", empty, "paste", self=empty, src=A),
    )
    graph = planned(*ops, outputs=(empty,))
    assert steps(graph) == [("conv2d", (0,), (1,)), ("copy_", (1,), (2,))]


def test_what_nobody_reads_is_dropped() -> None:
    indices = TensorSpec(A.shape, "int64", 8, storage=9)
    saved = TensorSpec((8,), storage=8)
    ops = (
        conv(X, A, "conv"),
        op(
            "native_batch_norm",
            (B, saved),
            "bn",
            input=A,
            running_mean=TensorSpec((8,), storage=STATISTIC),
            training=False,
        ),
        op("max_pool2d_with_indices", (C, indices), "pool", self=B),
        conv(C, image(2, 10), "auxiliary"),
    )
    graph = planned(*ops, outputs=(C,))
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 2), ("pool", 2, 2)]
    graph = planned(*ops, outputs=(C,), fold=False)
    names = ["input", "conv", "bn", "bn", "pool", "pool", "auxiliary"]
    assert [buffer.name for buffer in graph.buffers] == names
    assert [buffer.floating for buffer in graph.buffers] == [True] * 5 + [False, True]
    assert graph.buffers[5].nbytes(1) == 8 * 128


def test_normalisation_by_the_batch_itself_is_a_step() -> None:
    graph = planned(conv(X, A, "conv"), norm(A, B, training=True), relu_(B), outputs=(B,))
    assert steps(graph) == [("conv2d", (0,), (1,)), ("batch_norm", (1,), (2,))]
    assert not graph.steps[1].elementwise


def test_a_copy_that_changes_nothing_is_left_out() -> None:
    ops = (conv(X, A, "conv"), op("cat", B, "cat", tensors=(A,)), conv(B, C, "next"))
    assert lives(planned(*ops, outputs=(C,))) == [
        ("input", 0, 1),
        ("conv", 1, 2),
        ("next", 2, 2),
    ]
    assert len(planned(*ops, outputs=(C,), fold=False).buffers) == 4


def test_a_copy_keeps_what_is_overwritten() -> None:
    ops = (
        conv(X, A, "conv"),
        op("clone", B, "", self=A),
        relu_(A),
        op("add", C, "sum", self=A, other=B),
    )
    graph = planned(*ops, outputs=(C,))
    assert lives(graph) == [("input", 0, 1), ("conv", 1, 3), ("act", 2, 3), ("sum", 3, 3)]


def test_a_rearrangement_is_free_after_a_product_only() -> None:
    x, weight = TensorSpec((6, 8), storage=0), TensorSpec((8, 8), storage=WEIGHT)
    made, turned = TensorSpec((6, 8), storage=1), TensorSpec((8, 6), storage=1)
    copied = TensorSpec((8, 6), storage=2)
    after = (
        op("t", turned, "", self=made),
        op("clone", copied, "copy", self=turned),
    )
    linear = op("linear", made, "fc", input=x, weight=weight)
    graph = planned(linear, *after, inputs=(x,), outputs=(copied,))
    assert steps(graph) == [("linear", (0,), (1,))]
    softmax = op("softmax", made, "softmax", self=x, dim=-1)
    graph = planned(softmax, *after, inputs=(x,), outputs=(copied,))
    assert steps(graph) == [("softmax", (0,), (1,)), ("clone", (1,), (2,))]


def test_silu_is_two_nodes_where_a_runtime_has_no_such_operation() -> None:
    ops = (conv(X, A, "conv"), op("silu_", A, "act", self=A), conv(A, B, "next"))
    graph = planned(*ops, outputs=(B,), fusion=TFLITE)
    assert steps(graph) == [
        ("conv2d", (0,), (1,)),
        ("sigmoid", (1,), (2,)),
        ("mul", (1, 2), (3,)),
        ("conv2d", (3,), (4,)),
    ]
    assert lives(graph)[1:4] == [("conv", 1, 3), ("act", 2, 3), ("act", 3, 4)]
    assert all(step.elementwise for step in graph.steps[1:3])
    assert len(planned(*ops, outputs=(B,)).steps) == 2


def test_runtimes_differ_in_what_they_fold() -> None:
    joined = image(11, 4)
    cat = op("cat", joined, "cat", tensors=(A, X))
    after = (norm(joined, image(11, 5)), relu_(image(11, 5)))
    ops = (conv(X, A, "conv"), cat, *after)
    counts = {"general": GENERAL, "tflite": TFLITE, "ort": ONNXRUNTIME}
    found = {
        name: len(planned(*ops, outputs=(image(11, 5),), fusion=fusion).steps)
        for name, fusion in counts.items()
    }
    # Nothing goes into a concatenation but in a compiler; elsewhere both stay nodes.
    assert found == {"general": 2, "tflite": 4, "ort": 4}
    hardswish = (conv(X, A, "conv"), op("hardswish_", A, "act", self=A))
    found = {
        name: len(planned(*hardswish, outputs=(A,), fusion=fusion).steps)
        for name, fusion in counts.items()
    }
    assert found == {"general": 1, "tflite": 2, "ort": 3}
    total = image(8, 6)
    added = (conv(X, A, "conv"), op("add", total, "", self=A, other=A), relu_(total))
    found = {
        name: len(planned(*added, outputs=(total,), fusion=fusion).steps)
        for name, fusion in counts.items()
    }
    assert found == {"general": 2, "tflite": 2, "ort": 3}


def test_patches_of_a_convolution_by_matrix_product() -> None:
    half = image(8, 2, size=2)
    ops = {
        "full": (conv(X, A, "c", kernel=3, padding=(1, 1)), 4 * 4 * 9 * 3),
        "strided": (conv(X, half, "c", stride=(2, 2)), 2 * 2 * 1 * 3),
        "pointwise": (conv(X, A, "c"), 0),
        "depthwise": (conv(X, image(3, 1), "c", kernel=3, groups=3), 0),
        "pooling": (op("max_pool2d", image(3, 1, 2), "p", self=X), 0),
    }
    for name, (call, patches) in ops.items():
        (step,) = planned(call, outputs=call.outputs).steps
        assert step.patches == patches, name
        assert step.depthwise == (name == "depthwise") and not step.elementwise


def test_several_inputs() -> None:
    ids, mask = TensorSpec((1, 6), "int64", 8, storage=0), TensorSpec((1, 6), "bool", 1, storage=1)
    out = TensorSpec((1, 6), storage=2)
    ops = (op("masked_fill", out, "", self=ids, mask=mask, value=0),)
    graph = planned(*ops, inputs=(ids, mask, ids), outputs=(out,))
    assert [(b.name, b.nbytes(1)) for b in graph.buffers] == [
        ("input", 48),
        ("input.2", 6),
        ("", 6),
    ]
    assert graph.inputs == (0, 1) and graph.steps[0].elementwise


def test_a_network_that_does_nothing() -> None:
    graph = planned(outputs=(X,))
    assert (len(graph.buffers), graph.steps, graph.outputs) == (1, (), (0,))


def test_only_the_forward_pass_is_planned() -> None:
    backward = replace(op("relu", C, "act", self=A), phase="backward")
    assert len(planned(conv(X, A, "conv"), backward, outputs=(A,)).steps) == 1


def test_without_storages_there_is_nothing_to_plan() -> None:
    x, y = TensorSpec((1, 3)), TensorSpec((1, 3))
    graph = planned(op("relu", y, "", self=x), inputs=(x,), outputs=(y,))
    assert (graph.buffers, graph.steps) == ((), ())


# ---- modules


class Residual(nn.Module):
    """Two convolutions and a shortcut, halving, with the sum in place as in torchvision's ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 8, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.way = nn.Sequential(nn.Conv2d(4, 8, 1, 2), nn.BatchNorm2d(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.way(x)
        out: torch.Tensor = self.relu(y)
        return out


def test_a_residual_block() -> None:
    graph = plan_graph(record_of(Residual(), (1, 4, 6, 6)))
    assert lives(graph) == [("input", 0, 3), ("conv1", 1, 2), ("conv2", 2, 4), ("way.0", 3, 4)]
    assert [b.numel for b in graph.buffers] == [4 * 36, 8 * 9, 8 * 9, 8 * 9]
    assert [s.patches for s in graph.steps] == [9 * 9 * 4, 9 * 9 * 8, 9 * 4, 0]
    assert [s.folded for s in graph.steps] == [
        ("aten.batch_norm", "aten.relu_"),
        ("aten.batch_norm",),
        ("aten.batch_norm",),
        ("aten.relu_",),
    ]


class Shuffled(nn.Module):
    """Half of the channels pass a depthwise convolution; then the channels are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Hardswish())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.stem(x).chunk(2, dim=1)
        y = torch.cat((left, self.branch(right)), dim=1)
        return y.view(1, 2, 4, 5, 5).transpose(1, 2).reshape(1, 8, 5, 5)


def test_a_shuffle_is_an_operation() -> None:
    graph = plan_graph(record_of(Shuffled(), (1, 3, 5, 5)))
    assert [s.op for s in graph.steps] == ["aten.conv2d", "aten.conv2d", "aten.cat", "aten.clone"]
    assert lives(graph) == [
        ("input", 0, 1),
        ("stem", 1, 3),
        ("branch.0", 2, 3),
        ("", 3, 4),
        ("", 4, 4),
    ]
    assert [b.numel for b in graph.buffers] == [75, 200, 100, 200, 200]
    assert [s.depthwise for s in graph.steps] == [False, True, False, False]
