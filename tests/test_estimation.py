"""What a network takes in memory, against figures worked out by hand."""

from __future__ import annotations

from functools import cache

import pytest
from torch import nn

import cnnstat
from cnnstat.errors import InputError, SpecError
from cnnstat.estimation import DEFAULT_OPTIMIZER, estimate_memory
from cnnstat.memory.caching_allocator import CONTEXT
from cnnstat.memory.memory_report import MemoryReport

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
    limit = CONTEXT + 400 * MIB
    report = estimate_memory("resnet18", optimizer=optimizer, limit=limit)
    assert report.largest_batch is not None
    assert report.largest_batch > 1
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
