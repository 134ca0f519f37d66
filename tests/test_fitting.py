"""`fit`: from models to verdicts, and the records that are made for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cnnstat
import cnnstat.fitting
import cnnstat.step_records
from cnnstat.analysis import prepare
from cnnstat.devices.catalogue import find
from cnnstat.devices.device import Device
from cnnstat.devices.estimators import BARE_CUDA, CPU, CUDA, LITERT, TFLM
from cnnstat.errors import CnnstatError, InputError, SpecError
from cnnstat.estimation import record_step
from cnnstat.fitting import Measured
from cnnstat.inputs import Inputs, InputSpec
from cnnstat.memory.caching_allocator import replay
from cnnstat.memory.step import Step
from cnnstat.memory.usage import Usage
from cnnstat.step_records import Records, batch_of


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x).mean((2, 3))


class Counts(nn.Module):
    """Its shapes depend on the data, so it has to run for real."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[x > 0.5].sum()


class Similarity(nn.Module):
    """Grows with the square of the batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ x.flatten(1).T


SHAPE = (1, 3, 32, 32)


def measured(model: Any, inputs: Any = SHAPE, step: Step | None = None) -> Measured:
    return Measured(prepare(model, inputs), step or Step())


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (Convolutions(), SHAPE, True),
        (nn.LSTM(8, 8), (5, 1, 8), False),
        (nn.TransformerEncoderLayer(8, 2), (5, 1, 8), False),
    ],
)
def test_what_structures_were_measured_for(model: Any, shape: Any, expected: bool) -> None:
    assert measured(model, shape).convolutional is expected
    (found,) = cnnstat.fit(model, "stm32f746", inputs=shape)
    assert found.estimator is not None and found.estimator.measured is expected


# ---- the demands are those of `memory`


@pytest.mark.parametrize("batch", [1, 2, 5, 16])
def test_cuda_is_the_replay_of_a_direct_record(batch: int) -> None:
    network = measured("resnet18", None)
    direct = replay(record_step(prepare("resnet18", batch=batch), Step()))
    demand = network.demand(CUDA, "fp32", batch)
    assert demand is not None and demand.total == direct.process
    bare = network.demand(BARE_CUDA, "fp32", batch)
    assert bare is not None and bare.total == direct.reserved


@pytest.mark.parametrize("spec", ["resnet18", "convnext_tiny", "vit_b_16"])
def test_a_cpu_takes_its_temporaries_too(spec: str) -> None:
    direct = Usage.of(record_step(prepare(spec, batch=8), Step()))
    demand = measured(spec, None).demand(CPU, "fp32", 8)
    assert demand is not None and demand.total - demand.overhead == direct.cpu.nbytes


def test_training_updates_all_at_once_on_cuda_alone() -> None:
    step = Step.of("adam")
    network = measured(Convolutions(), step=step)
    both = {
        foreach: record_step(prepare(Convolutions(), SHAPE), Step.of("adam", foreach=foreach))
        for foreach in (True, False)
    }
    on_cuda, on_cpu = network.demand(CUDA, "fp32"), network.demand(CPU, "fp32")
    assert on_cuda is not None and on_cuda.total == replay(both[True]).process
    assert on_cpu is not None
    assert on_cpu.total - on_cpu.overhead == Usage.of(both[False]).cpu.nbytes
    # Weights and two moments; each weight's number of steps.
    assert on_cpu.weights > 3 * sum(p.nbytes for p in Convolutions().parameters())


def test_half_the_bits_take_half_the_bytes() -> None:
    network = measured(Convolutions())
    whole, half = network.demand(CPU, "fp32"), network.demand(CPU, "fp16")
    assert whole is not None and half is not None
    assert half.working == whole.working / 2
    assert (
        0 <= half.weights - whole.weights / 2 <= 8
    )  # the counter of batch norm stays a whole number


class Layers(nn.Module):
    """In any format; of four layers only two run."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 8, 3)).to(dtype)
        self.unused = nn.Linear(1000, 1000).to(dtype)
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x.to(self.dtype))


@pytest.mark.parametrize("estimator", [CPU, CUDA])
@pytest.mark.parametrize("asked", ["fp32", "fp16"])
def test_the_format_is_the_one_asked_for(estimator: Any, asked: str) -> None:
    """Not the one that the network is in: weights and tensors are the same whatever that is."""
    found = {
        dtype: measured(Layers(dtype)).demand(estimator, asked, 4)
        for dtype in (torch.float16, torch.float32, torch.float64)
    }
    weights = sum(p.numel() for p in Layers(torch.float32).parameters())
    size = {"fp32": 4, "fp16": 2}[asked]
    assert {d.weights for d in found.values() if d} == {weights * size}
    assert len({d.total for d in found.values() if d}) <= 2  # fp32 needs no copy of its input
    half, double = found[torch.float16], found[torch.float64]
    assert half is not None and double is not None and half.working == double.working


def test_plans_by_runtime() -> None:
    network = measured("mobilenet_v2", None)
    phone, board = network.demand(LITERT, "fp32"), network.demand(TFLM, "int8")
    assert phone is not None and phone.working == 6_021_120
    assert board is not None and board.working == 6_021_120 // 4
    assert board.overhead > 0 and phone.overhead == 0
    twice = network.demand(LITERT, "fp32", 2)
    assert twice is not None and (twice.weights, twice.working) == (phone.weights, 12_042_240)


# ---- other batches


def test_the_meta_device_says_what_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        cnnstat.step_records,
        "record_step",
        lambda *args: made.append(args) or record_step(*args),
    )
    for spec, expected in (("resnet18", 1), ("vit_b_16", 4)):
        made.clear()
        records = Records(prepare(spec), Step())
        assert records.scaled is not None
        # Attention takes another kernel there, so each batch is recorded as for a CPU; and one sample
        # takes another way than several, so that a fourth is needed.
        assert len(made) == expected
        direct = record_step(prepare(spec, batch=3), Step())
        assert records.scaled.at(3).storages == direct.storages


def test_the_meta_device_says_what_grows_in_training() -> None:
    step = Step.of("adamw", foreach=True)
    records = Records(prepare("mobilenet_v3_small"), step)
    assert records.scaled is not None
    direct = record_step(prepare("mobilenet_v3_small", batch=6), step)
    assert records.scaled.at(6).storages == direct.storages


@pytest.mark.parametrize("resolution", [64, 256])
def test_the_meta_device_says_what_grows_with_images(resolution: int) -> None:
    sized = measured("mobilenet_v2", None).at_resolution(resolution)
    assert sized is not None
    direct = Usage.of(record_step(prepare("mobilenet_v2", resolution=resolution), Step()))
    demand = sized.demand(CPU, "fp32")
    assert demand is not None and demand.total - demand.overhead == direct.cpu.nbytes


def test_autocast_is_not_left_out() -> None:
    step = Step.of("sgd", "bf16")
    network = measured(Convolutions(), step=step)
    demand = network.demand(CPU, "fp32", 4)
    direct = Usage.of(record_step(prepare(Convolutions(), (4, 3, 32, 32)), step))
    assert demand is not None and demand.total - demand.overhead == direct.cpu.nbytes


@pytest.mark.parametrize(("optimizer", "amp"), [("sgd", ""), ("adamw", "bf16")])
def test_a_size_that_nobody_asked_for_does_not_end_it(optimizer: str, amp: str) -> None:
    """Batch norm in training needs more than one value for each channel: not so of 1×1 in a batch of 1."""

    class Shrinks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 1, stride=32), nn.BatchNorm2d(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x)

    shape = (1, 3, 128, 128)
    (found,) = cnnstat.fit(Shrinks(), "h100", inputs=shape, optimizer=optimizer, amp=amp)
    assert (found.verdict, found.largest_resolution) == ("fits", 4096)
    with pytest.raises(CnnstatError, match="more than 1 value per channel"):
        cnnstat.fit(Shrinks(), "h100", inputs=shape, resolution=32, optimizer=optimizer, amp=amp)


def test_autocast_is_for_torch_alone() -> None:
    with pytest.raises(SpecError, match="autocast is torch's, and what runs on pixel-1"):
        cnnstat.fit(Convolutions(), ["h100", "pixel-1"], inputs=SHAPE, amp="bf16")
    found = {f.device.id: f for f in cnnstat.fit(Convolutions(), inputs=SHAPE, amp="bf16")}
    assert found["pixel-1"].verdict == "unknown" and "autocast" in found["pixel-1"].reason
    assert found["h100"].verdict == "fits"


def test_it_is_said_that_a_model_ran_for_real() -> None:
    for found in cnnstat.fit(Counts(), ["h100", "pixel-1"], inputs=SHAPE):
        assert "ran for real, on random data" in found.notes[0]
    (found,) = cnnstat.fit(Convolutions(), "h100", inputs=SHAPE)
    assert found.notes == ()


def test_what_grows_otherwise_has_no_largest_batch() -> None:
    (found,) = cnnstat.fit(Similarity(), "h100", inputs=SHAPE)
    assert (found.verdict, found.largest_batch) == ("fits", None)


def test_what_runs_for_real_has_no_largest_batch() -> None:
    for found in cnnstat.fit(Counts(), ["h100", "pixel-1"], inputs=SHAPE):
        assert (found.verdict, found.largest_batch) == ("fits", None)
        assert found.largest_resolution is None


@pytest.mark.parametrize("device", ["h100", "xeon-8480", "pixel-1", "stm32f746"])
def test_a_tensor_keeps_its_batch(device: str) -> None:
    (found,) = cnnstat.fit(Convolutions(), device, inputs=torch.zeros(SHAPE))
    assert (found.verdict, found.largest_batch, found.largest_resolution) == ("fits", None, None)


def test_a_model_of_a_list_of_images() -> None:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(3, 8, 3)

        def forward(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
            return [self.body(image[None]) for image in images]

    inputs = Inputs(([InputSpec((3, 64, 64))] * 2,), listed=True)
    assert batch_of(inputs) == 2
    (found,) = cnnstat.fit(Detector(), "h100", inputs=inputs)
    assert (found.verdict, found.batch) == ("fits", 2)
    assert found.largest_batch is None  # each image is an operation more


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (Inputs.of((4, 3, 8, 8)), 4),
        (Inputs.parse(["4x8", "mask=4x8:bool"]), 4),
        (Inputs.parse(["4x8", "mask=8x8:bool"]), None),  # the mask is the same for all
        (Inputs.of(torch.zeros(2, 3)), None),
        (Inputs((InputSpec(()),)), None),
        (Inputs(), None),
    ],
)
def test_samples_among_the_inputs(inputs: Inputs, expected: int | None) -> None:
    assert batch_of(inputs) == expected


# ---- `fit`


def test_each_model_on_each_device_in_each_format() -> None:
    found = cnnstat.fit(
        ["squeezenet1_1", Convolutions()],
        ["H100", find("pixel-1")],
        ["fp32", "fp16"],
        inputs=(1, 3, 64, 64),
        thorough=False,
    )
    assert [(f.spec, f.device.id, f.dtype) for f in found] == [
        (spec, device, dtype)
        for spec in ("squeezenet1_1", "Convolutions")
        for device in ("h100", "pixel-1")
        for dtype in ("fp32", "fp16")
    ]
    assert all(f.roofline and f.roofline.bound_seconds for f in found)


def test_every_device_by_default() -> None:
    found = cnnstat.fit(Convolutions(), inputs=SHAPE)
    assert len(found) == 69
    assert {f.verdict for f in found} <= {"fits", "tight", "does-not-fit"}
    assert {f.largest_resolution for f in found} == {None}


def test_training_on_every_device_says_where_it_is_not_known() -> None:
    found = cnnstat.fit(Convolutions(), inputs=SHAPE, optimizer="sgd")
    kinds = {f.device.kind: f.verdict for f in found}
    assert kinds["gpu"] == "fits" and kinds["mcu"] == "unknown"
    assert all(bool(f.reason) == (f.verdict == "unknown") for f in found)
    assert {f.roofline for f in found} == {None}


def test_no_rate_in_that_format() -> None:
    (found,) = cnnstat.fit(Convolutions(), "k80", "int8", inputs=SHAPE)
    assert found.verdict == "fits"
    assert found.roofline is not None and found.roofline.bound_seconds is None
    assert found.roofline.reasons == ("no int8 rate is known for k80",)


def test_images_and_remedies_of_a_device_of_ones_own() -> None:
    board = Device(id="b", name="b", kind="phone", memory_bytes=3 << 20, runtimes=("litert",))
    (found,) = cnnstat.fit("squeezenet1_1", board)
    assert found.verdict == "does-not-fit"
    assert found.remedies[0] == "int8" or "width" in found.remedies[0]
    (found,) = cnnstat.fit(Convolutions(), board, inputs=SHAPE)
    assert found.verdict == "fits" and found.largest_resolution in range(64, 512, 32)
    sized = cnnstat.fit(Convolutions(), board, inputs=SHAPE, resolution=found.largest_resolution)
    larger = cnnstat.fit(
        Convolutions(), board, inputs=SHAPE, resolution=found.largest_resolution + 32
    )
    assert (sized[0].verdict, larger[0].verdict) != ("fits", "fits") and sized[0].verdict == "fits"
    assert found.largest_batch is not None
    batches = [
        cnnstat.fit(Convolutions(), board, inputs=SHAPE, batch=found.largest_batch + n)[0].verdict
        for n in (0, 1)
    ]
    assert batches[0] == "fits" != batches[1]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"devices": "pixl-1"}, "no device 'pixl-1'"),
        ({"devices": "h100", "dtypes": "fp8"}, "unknown dtype 'fp8'"),
        ({"devices": "h100", "optimizer": "adm"}, "unknown optimizer 'adm'"),
        ({"devices": "h100", "amp": "fp8"}, "cannot autocast to 'fp8'"),
        ({"devices": "esp32", "optimizer": "sgd"}, "nothing trains on a microcontroller"),
        ({"devices": "h100", "optimizer": "sgd", "dtypes": "int8"}, "nothing trains in int8"),
    ],
)
def test_wrong_inputs(how: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        cnnstat.fit("resnet18", **how)


@pytest.mark.parametrize(
    ("models", "how", "says"),
    [
        ([], {}, "no model is given"),
        ("resnet18", {"devices": []}, "no device is given"),
        ("resnet18", {"devices": 5}, "devices=5"),
        ("resnet18", {"devices": [5]}, r"devices=\[5\]"),
        ("resnet18", {"devices": "h100", "dtypes": None}, "dtypes=None"),
        ("resnet18", {"devices": "h100", "dtypes": [16]}, r"dtypes=\[16\]"),
    ],
)
def test_arguments_of_another_kind(models: Any, how: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        cnnstat.fit(models, **how)


def test_a_wrong_batch() -> None:
    with pytest.raises(InputError, match="batch 0"):
        cnnstat.fit("resnet18", "h100", batch=0)


def test_a_device_that_the_project_configures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[devices.my-board]\nname = "mine"\nkind = "other"\nmemory_bytes = "64MiB"\n'
    (tmp_path / "cnnstat.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (found,) = cnnstat.fit(Convolutions(), "my-board", inputs=SHAPE, thorough=False)
    assert (found.device.name, found.verdict) == ("mine", "fits")


def test_buffers_that_are_read_lie_beside_the_weights() -> None:
    class Places(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(100, 100)
            self.register_buffer("places", torch.randn(50, 100))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) + self.places

    for estimator, dtype, itemsize in ((LITERT, "fp32", 4), (TFLM, "int8", 1)):
        demand = measured(Places(), (1, 50, 100)).demand(estimator, dtype)
        assert demand is not None
        assert demand.weights == itemsize * (10_000 + 5000) + 4 * 100
