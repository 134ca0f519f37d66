"""What a network takes in memory, against figures worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import cnnstat
import cnnstat.recording
from cnnstat.errors import InputError, SpecError, TraceError
from cnnstat.estimation import DEFAULT_OPTIMIZER, estimate_memory
from cnnstat.inputs import Inputs
from cnnstat.memory.caching_allocator import CONTEXT
from cnnstat.memory.memory_report import MemoryReport
from cnnstat.memory.usage import by_layer
from cnnstat.record import ModuleInfo, TensorSpec, Trace
from cnnstat.trace.engines import record

MIB = 1 << 20
RESNET18 = 4 * 11_689_512  # torchvision publishes the number of parameters


def two_convolutions() -> nn.Module:
    """3 → 8 → 4 channels, images of 16×16: 3,072 bytes become 8,192, twice, and then 4,096."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1))


@cache
def toy(dtype: str = "fp32", runtime: str = "greedy") -> MemoryReport:
    return estimate_memory(two_convolutions(), (1, 3, 16, 16), runtime=runtime, dtype=dtype)


@cache
def resnet18(optimizer: str = "", batch: int = 1, amp: str = "") -> MemoryReport:
    return estimate_memory("resnet18", batch=batch, optimizer=optimizer, amp=amp)


WEIGHTS = 4 * (3 * 8 * 9 + 8 + 8 * 4 * 9 + 4)


def test_inference_of_a_toy() -> None:
    usage = toy().eager
    assert (usage.weights, usage.input) == (WEIGHTS, 3072)
    # ReLU makes a tensor anew beside its input; both convolutions need less.
    assert usage.live.nbytes == WEIGHTS + 3072 + 8192 + 8192
    assert (usage.live.layer, usage.live.op) == ("1", "aten.relu")
    assert [(tensor.layer, tensor.nbytes) for tensor in usage.alive] == [("0", 8192), ("1", 8192)]


def test_plan_of_a_toy() -> None:
    """ReLU is folded into the first convolution; the second reads 8,192 bytes and writes 4,096."""
    planned = toy().planned
    assert planned.plan.naive_bytes == 3072 + 8192 + 4096
    assert planned.plan.lower_bound_bytes == 8192 + 4096
    assert planned.plan.arena_bytes == 8192 + 4096  # the input lies where the output will
    assert planned.plan.step is not None
    assert planned.plan.step.path == "2"
    assert planned.total_bytes == WEIGHTS + 8192 + 4096


def test_plan_of_a_toy_in_8_bits() -> None:
    planned = toy("int8", "tflm").planned
    assert planned.plan.arena_bytes == (8192 + 4096) // 4
    assert planned.weight_bytes == 3 * 8 * 9 + 4 * 8 + 8 * 4 * 9 + 4 * 4  # biases keep four bytes


def test_training_of_a_toy() -> None:
    """Saved is ReLU's output, by which both it and the second convolution find their gradients."""
    report = estimate_memory(two_convolutions(), (1, 3, 16, 16), optimizer="sgd")
    usage = report.training
    assert usage is not None
    assert (usage.gradients, usage.optimizer) == (WEIGHTS, 0)
    assert usage.saved == 8192
    assert sum(usage.at_peak.values()) == usage.live.nbytes


def test_weights_gradients_and_state_of_resnet18() -> None:
    usage = resnet18("adam").training
    assert usage is not None
    assert usage.weights == usage.gradients == RESNET18
    # Two moments of each weight, and a step counter of four bytes for each of the 62 tensors.
    assert usage.optimizer == 2 * RESNET18 + 62 * 4
    assert usage.input == 4 * 3 * 224 * 224
    # Running mean and variance of 4,800 channels, and 20 counters of eight bytes.
    assert usage.buffers == 4 * 2 * 4800 + 20 * 8


@pytest.mark.parametrize(("optimizer", "copies"), [("sgd", 0), (DEFAULT_OPTIMIZER, 1)])
def test_state_of_sgd(optimizer: str, copies: int) -> None:
    usage = resnet18(optimizer).training
    assert usage is not None
    assert usage.optimizer == copies * RESNET18


def test_adam_updates_all_weights_at_once_on_cuda_and_one_by_one_on_a_cpu() -> None:
    """Above weights, state and input torch's profiler saw 62.60 and 89.19 MiB at batch 1 on a CPU."""
    usage = resnet18("adam").training
    assert usage is not None
    assert usage.above / MIB == pytest.approx(62.60, rel=0.01)
    # The CUDA allocator rounds up, and leaves to a large tensor up to 1 MiB that it would not split off.
    assert 89.19 < (usage.cuda.allocated - usage.static) / MIB < 1.06 * 89.19


def test_parts_add_up_to_the_peak() -> None:
    for report in (toy(), resnet18("adam"), resnet18(DEFAULT_OPTIMIZER, amp="bf16")):
        for usage in (report.eager, report.training):
            if usage is not None:
                assert sum(usage.at_peak.values()) == usage.live.nbytes == max(usage.timeline)


def test_autocast_saves_half_as_much() -> None:
    """Activations in two bytes; the copies of the weights in two bytes are saved beside them."""
    plain, lowered = (resnet18(DEFAULT_OPTIMIZER, 8, amp).training for amp in ("", "bf16"))
    assert plain is not None
    assert lowered is not None
    assert lowered.step == "sgd(momentum=0.9), autocast to bfloat16"
    assert lowered.weights == plain.weights
    assert lowered.saved - RESNET18 // 2 < 0.6 * plain.saved


@pytest.mark.parametrize("optimizer", ["", "adam"])
def test_the_largest_batch_fits_and_one_more_does_not(optimizer: str) -> None:
    limit = CONTEXT + 900 * MIB
    report = estimate_memory("resnet18", optimizer=optimizer, limit=limit)
    assert report.largest_batch is not None
    assert report.largest_batch > 1
    assert report.safe_batch is not None
    spared, beyond = (resnet18(optimizer, report.safe_batch + more).usage for more in (0, 1))
    assert spared.cuda.process * 1.15 <= limit < beyond.cuda.process * 1.15
    at, beyond = (resnet18(optimizer, report.largest_batch + more).usage for more in (0, 1))
    assert at.cuda.process <= limit < beyond.cuda.process


def test_not_one_sample() -> None:
    assert estimate_memory(two_convolutions(), (1, 3, 16, 16), limit=CONTEXT).largest_batch == 0
    assert toy().largest_batch is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "trt"}, "unknown runtime 'trt'"),
        ({"dtype": "fp8"}, "unknown dtype 'fp8'"),
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm'"),
        ({"optimizer": "sgd?lr=-1"}, "Invalid learning rate"),
        ({"optimizer": "adam?capturable=true"}, "capturable"),
        ({"amp": "fp8"}, "cannot autocast to 'fp8'"),
        ({"limit": 0}, "limit 0"),
        ({"limit": "6GiX"}, "limit: '6GiX' is not a size"),
        ({"runtime": ["ort"]}, "unknown runtime \\['ort'\\]"),
        ({"dtype": ["fp32"]}, "unknown dtype \\['fp32'\\]"),
        ({"optimizer": torch.optim.SGD}, "optimizer <class .*SGD'> is no text"),
        ({"amp": True}, "cannot autocast to True"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_before_a_model_is_built(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        estimate_memory("net_that_is_nowhere", **options)  # type: ignore[arg-type]


def test_the_fused_update_is_one() -> None:
    usage = resnet18("adam?fused=true").training
    assert usage is not None
    # No temporary of the size of all weights, as with foreach.
    assert usage.cuda.allocated < resnet18("adam").usage.cuda.allocated - RESNET18 // 2


def test_the_document() -> None:
    data = resnet18("adam").to_dict()
    assert data["schema"] == 1
    assert data["eager"]["weight_bytes"] == data["training"]["weight_bytes"] == RESNET18
    assert {"runtime", "arena_bytes", "lower_bound_bytes", "naive_bytes"} <= data["planned"].keys()
    assert max(point["live_bytes"] for point in data["timeline"]) == data["training"]["peak_bytes"]
    phases = dict.fromkeys(point["phase"] for point in data["timeline"])
    assert list(phases) == ["forward", "backward", "optimizer"]
    assert data["layers"]["conv1"]["output_bytes"] == 4 * 64 * 112 * 112
    assert toy().to_dict()["training"] is None


def test_the_frame() -> None:
    frame = resnet18("adam").to_frame().set_index(["answer", "part"])["value"]
    assert frame["training", "gradient"] == RESNET18
    assert frame["planned", "arena"] == resnet18().planned.plan.arena_bytes


def test_memory_by_layer_in_a_report() -> None:
    report = cnnstat.analyze(two_convolutions(), (1, 3, 16, 16), memory=True)
    assert [layer.output_bytes for layer in report.layers] == [4096, 8192, 8192, 4096]
    first, relu, second = (WEIGHTS + 3072 + more for more in (8192, 2 * 8192, 8192 + 4096))
    assert [layer.live_bytes for layer in report.layers] == [relu, first, relu, second]
    assert cnnstat.analyze(two_convolutions(), (1, 3, 16, 16)).layers[0].live_bytes is None


@pytest.mark.parametrize("way", ["train", "backward"])
def test_memory_by_layer_is_of_inference(way: str) -> None:
    with pytest.raises(InputError, match="that of inference"):
        cnnstat.analyze("resnet18", memory=True, **{way: True})  # type: ignore[arg-type]


def test_a_limit_as_text() -> None:
    report = estimate_memory("resnet18", limit="6 GiB")
    assert report.limit == 6 << 30
    assert report.largest_batch == estimate_memory("resnet18", limit=6 << 30).largest_batch


class Similarity(nn.Module):
    """Grows with the square of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.T).softmax(-1)


class Picks(nn.Module):
    """What it takes depends on its data."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return x[x > 0.5] * 2


@pytest.mark.parametrize(
    ("model", "inputs", "why"),
    [
        (Similarity(), (2, 16), "does not grow in proportion with the batch"),
        (Picks(), (2, 16), "depends on its data"),
        (nn.Linear(10, 10), (10,), "does not grow in proportion with the batch, or it runs with"),
        (
            nn.Linear(10, 10),
            torch.zeros(2, 10),
            "no dimension of its inputs is known to be the batch",
        ),
    ],
    ids=["square", "data", "no batch", "tensor"],
)
def test_a_largest_batch_that_is_not_known(model: nn.Module, inputs: object, why: str) -> None:
    report = estimate_memory(model, inputs, limit="6GiB")
    assert report.largest_batch is None
    (note,) = [note for note in report.notes if note.kind == "limit"]
    assert why in note.text
    data = report.to_dict()
    assert (data["limit_bytes"], data["largest_batch"]) == (6 << 30, None)


def test_no_batch_is_tried_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def recorded(makers: object, inputs: Inputs, **how: object) -> Trace:
        seen.append(inputs.specs()[0].shape[0])
        return record(makers, inputs, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(cnnstat.recording, "record", recorded)
    assert estimate_memory(Picks(), (3, 16), limit="6GiB").largest_batch is None
    assert set(seen) == {3}


def test_training_comes_first_since_it_may_fail() -> None:
    class Targets(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            ran.append(self.training)
            assert not self.training, "targets are needed"
            return x

    ran: list[bool] = []
    with pytest.raises(TraceError, match="targets are needed"):
        estimate_memory(Targets(), (2, 4), optimizer="sgd")
    assert ran and all(ran)


def test_one_sample_is_not_enough_for_batch_norm_in_training() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4))
    with pytest.raises(TraceError, match="Expected more than 1 value per channel") as caught:
        estimate_memory(net, (1, 3, 8, 8), optimizer="sgd")
    assert "-b 2" in caught.value.hint


class Attribute(nn.Module):
    """Multiplies by a tensor that is neither weight nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.table = nn.Linear(100, 100), torch.ones(500, 100)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.table + torch.tensor([1.0])


def test_a_plain_attribute_was_there_before() -> None:
    report = estimate_memory(Attribute(), (1, 100), optimizer="sgd")
    usage = report.training
    assert usage is not None
    for one in (report.eager, usage):
        assert (one.constants, one.buffers) == (200_000, 0)
        assert one.static == one.weights + one.input + 200_000
        assert sum(one.at_peak.values()) == one.live.nbytes
    assert not [tensor for tensor in usage.alive if tensor.role == "saved"]
    assert report.planned.constant_bytes == 200_000 + 4
    assert report.planned.total_bytes == sum(
        (report.planned.weight_bytes, 200_004, report.planned.plan.arena_bytes)
    )
    assert report.to_dict()["planned"]["constant_bytes"] == 200_004


class Returns(nn.Module):
    """What a convolution makes, in a way of its own."""

    def __init__(self, how: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.layer, self.how = nn.Conv2d(3, 8, 3), how

    def forward(self, x: Tensor) -> object:
        return self.how(self.layer(x))


@pytest.mark.parametrize(
    "how",
    [lambda y: y.chunk(2, 1), lambda y: (y, y), lambda y: (y[:, :4], y), lambda y: {"y": y}],
    ids=["halves", "twice", "half and whole", "one"],
)
def test_views_of_one_storage_are_put_out_once(how: Callable[[Tensor], object]) -> None:
    assert estimate_memory(Returns(how), (1, 3, 10, 10)).layers[""].output_bytes == 4 * 8 * 8 * 8


def test_tensors_whose_storage_is_not_known_are_apart() -> None:
    outputs = (TensorSpec((3,)), TensorSpec((5,)), TensorSpec((5,)))
    trace = Trace((), (ModuleInfo("", "Net", outputs=outputs),))
    assert by_layer(trace)[""].output_bytes == 4 * 13


def test_recurrent_layers_in_training_are_noted() -> None:
    net = nn.Sequential(nn.LSTM(8, 8))
    kinds = [
        [note.kind for note in estimate_memory(net, (4, 2, 8), optimizer=optimizer).notes]
        for optimizer in ("", "sgd")
    ]
    assert kinds == [[], ["recurrent"]]
