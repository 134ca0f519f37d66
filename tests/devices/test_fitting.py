"""Verdicts, the largest batch and image, and remedies, on networks of a few numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.devices.device import Device
from cnnstat.devices.estimators import CUDA, LITERT, PLAN, PLAN_CUDA, TFLM, Estimator
from cnnstat.devices.fitting import fit
from cnnstat.devices.roofline import Roofline
from cnnstat.devices.rooms import Demand, Room, rooms, verdict
from cnnstat.errors import SpecError
from cnnstat.memory.step import Step


@dataclass
class Fake:
    """Weights, and tensors in proportion to the batch and to the pixels."""

    weights: int = 1000
    each: int = 100
    overhead: int = 0
    batch: int = 1
    resolution: int | None = None
    least: int = 32
    spec: str = "fake"
    changes: bool = True
    convolutional: bool = True
    trainable_from: int = 0
    """Pixels of a side from which it can be recorded, as a batch norm needs more than one value."""
    asked: list[int] = field(default_factory=list)

    def demand(self, estimator: Estimator, dtype: str, batch: int | None = None) -> Demand | None:
        if batch is not None and not self.changes:
            return None
        if self.resolution and self.resolution < self.trainable_from:
            return None
        self.asked.append(batch or self.batch)
        size = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}[dtype]
        area = (self.resolution or 1) ** 2
        working = self.each * area * (batch or self.batch) * size // 4
        return Demand(self.weights * size // 4, working, self.overhead + estimator.overhead)

    def at_resolution(self, resolution: int) -> Fake | None:
        if self.resolution is None or resolution < self.least:
            return None
        changed = {"batch": self.batch, "least": self.least, "overhead": self.overhead}
        changed["trainable_from"] = self.trainable_from
        return Fake(self.weights, self.each, resolution=resolution, **changed)

    def roofline(self, device: Device, dtype: str) -> Roofline:
        return Roofline(device, dtype, 10, None, (), 5, 0, 0, True, ("no bandwidth is known",))

    def notes(self, estimator: Estimator) -> tuple[str, ...]:
        return (f"asked by {estimator.name}",)


def phone(memory: int) -> Device:
    """Runs LiteRT, whose weights may be there twice."""
    return Device(id="p", name="a phone", kind="phone", memory_bytes=memory, runtimes=("litert",))


def board(ram: int, flash: int) -> Device:
    return Device(
        id="b",
        name="a board",
        kind="mcu",
        memory_bytes=ram + flash,
        ram_bytes=ram,
        flash_bytes=flash,
        rates={"int8": 10},
        runtimes=("tflm",),
    )


# ---- verdicts


@pytest.mark.parametrize(
    ("available", "expected"),
    [(120, "fits"), (119, "tight"), (90, "tight"), (89, "does-not-fit")],
)
def test_the_margins_end_where_they_end(available: int, expected: str) -> None:
    assert Room("memory", 100, available, "memory_bytes", over=20, under=10).verdict == expected


@pytest.mark.parametrize(
    ("memory", "expected"),
    [(2100, "fits"), (2099, "tight"), (1100, "tight"), (1099, "does-not-fit")],
)
def test_weights_may_be_there_twice_on_a_phone(memory: int, expected: str) -> None:
    assert fit(Fake(), phone(memory)).verdict == expected


@pytest.mark.parametrize(
    ("available", "expected"),
    [(1150, "fits"), (1149, "tight"), (920, "tight"), (919, "does-not-fit")],
)
def test_the_measured_share_on_cuda(available: int, expected: str) -> None:
    card = Device(id="c", name="a card", kind="gpu", memory_bytes=available)
    assert verdict(rooms(card, CUDA, Demand(600, 300, 100))) == expected


def test_8_bits_are_no_way_round_a_context() -> None:
    card = Device(id="c", name="c", kind="gpu", memory_bytes=1 << 30, runtimes=("pytorch-eager",))
    found = fit(Fake(), card, "fp16", thorough=True)
    assert (found.verdict, found.remedies, found.largest_batch) == ("does-not-fit", (), 0)


def test_a_planned_network_may_be_there_twice_beside_a_context() -> None:
    card = Device(id="c", name="c", kind="gpu", memory_bytes=8 << 30)
    (room,) = rooms(card, PLAN_CUDA, Demand(600, 300, PLAN_CUDA.overhead))
    assert room.over == 900 + round(0.15 * PLAN_CUDA.overhead)


def test_structures_that_were_not_measured() -> None:
    network = Fake(weights=400, each=400, overhead=1000, convolutional=False)
    found = fit(network, board(2100, 4000))
    assert found.estimator is not None and not found.estimator.measured
    assert found.rooms[0].over == 1000 and "not measured" in found.estimator.evidence


def test_an_app_has_what_one_app_gets() -> None:
    device = Device(id="p", name="p", kind="phone", memory_bytes=10_000, app_bytes=2000)
    (room,) = rooms(device, LITERT, Demand(100, 100))
    assert (room.available, room.figure) == (2000, "app_bytes")


def test_flash_and_ram_apart() -> None:
    ram, flash = rooms(board(1000, 2000), TFLM, Demand(1900, 500, 100))
    assert (ram.name, ram.needed, ram.over, ram.under) == ("RAM", 600, 20, 20)
    assert (flash.name, flash.needed, flash.over, flash.under) == ("flash", 1900, 95, 0)
    assert [ram.verdict, flash.verdict] == ["fits", "fits"]
    assert verdict((ram, flash)) == "fits"
    assert verdict(rooms(board(600, 1900), TFLM, Demand(1900, 500, 100))) == "tight"
    assert verdict(rooms(board(1000, 1899), TFLM, Demand(1900, 500, 100))) == "does-not-fit"


def test_an_engine_with_memories_of_its_own() -> None:
    device = Device(
        id="m",
        name="m",
        kind="mcu",
        memory_bytes=99,
        ram_bytes=10,
        flash_bytes=20,
        memories={"cnn_data": 500, "cnn_weights": 400},
    )
    found = rooms(device, PLAN, Demand(300, 200))
    assert [(r.figure, r.available) for r in found] == [("cnn_data", 500), ("cnn_weights", 400)]
    # Nothing was measured there, so as much again as the tensors is called tight.
    assert [room.over for room in found] == [200, 15]


def test_without_a_known_memory() -> None:
    device = Device(id="m", name="m", kind="mcu", memory_bytes=100, runtimes=("tflm",))
    found = fit(Fake(), device)
    assert (found.verdict, found.needed, found.available) == ("unknown", None, None)
    assert found.reason == "no memory of m is known"


@pytest.mark.parametrize(("known", "missing"), [("flash", "RAM"), ("ram", "flash")])
def test_one_memory_alone_can_only_be_too_small(known: str, missing: str) -> None:
    sizes = {f"{known}_bytes": 100}
    device = Device(id="m", name="m", kind="mcu", memory_bytes=200, runtimes=("tflm",), **sizes)
    found = fit(Fake(weights=40, each=40), device, thorough=True)
    assert (found.verdict, found.rooms, found.largest_batch) == ("unknown", (), None)
    assert found.reason == f"no {missing} of m is known"
    found = fit(Fake(weights=4000, each=4000), device, thorough=True)
    assert found.verdict == "does-not-fit"
    assert [room.name.lower() for room in found.rooms] == [known]
    assert found.reason == f"no {missing} of m is known"


def test_the_fullest_memory_speaks() -> None:
    found = fit(Fake(weights=4000, each=400), board(1000, 1100))
    assert (found.dtype, found.needed, found.available) == ("int8", 1000, 1100)


def test_training_where_nothing_trains() -> None:
    with pytest.raises(SpecError, match="nothing trains on a microcontroller"):
        fit(Fake(), board(1000, 1000), step=Step.of("sgd"))


# ---- autocast


def card(**rates: int) -> Device:
    return Device(
        id="c", name="c", kind="gpu", memory_bytes=1 << 40, rates=rates, runtimes=("pytorch-eager",)
    )


def test_the_least_time_under_autocast_is_in_the_format_that_it_lowers_to() -> None:
    found = fit(Fake(), card(fp32=10, bf16=20), step=Step.of("", "bf16"))
    assert (found.dtype, found.step) == ("fp32", "inference, autocast to bfloat16")
    assert found.roofline is not None and found.roofline.dtype == "bf16"
    assert found.to_dict()["roofline_dtype"] == "bf16"


def test_no_least_time_where_autocast_is_slower() -> None:
    """A Pascal card does fp16 at a 64th of the rate, but need not: its libraries may compute in fp32."""
    found = fit(Fake(), card(fp32=64, fp16=1), step=Step.of("", "fp16"))
    assert found.roofline is None
    assert "no bound where fp16 is slower than fp32" in found.notes[-1]


def test_notes_are_passed_on() -> None:
    found = fit(Fake(), board(10_000, 10_000))
    assert found.notes == ("asked by tflm",) and found.to_dict()["notes"] == ["asked by tflm"]


# ---- the largest batch


def test_the_largest_batch_is_off_by_none() -> None:
    # Twice the weights and n tensors of 100.
    assert fit(Fake(), phone(2000 + 700)).largest_batch == 7
    assert fit(Fake(), phone(2000 + 699)).largest_batch == 6
    assert fit(Fake(), phone(2000 + 99)).largest_batch == 0


def test_a_batch_that_cannot_be_changed() -> None:
    assert fit(Fake(changes=False), phone(10_000)).largest_batch is None


def test_a_line_is_followed_in_few_questions() -> None:
    fake = Fake()
    assert fit(fake, phone(2000 + 100 * 12_345)).largest_batch == 12_345
    assert len(set(fake.asked)) <= 5


@given(
    sizes=st.lists(st.integers(1, 50), min_size=70, max_size=70),
    memory=st.integers(1, 4000),
    weights=st.integers(0, 300),
)
def test_the_largest_batch_is_that_of_brute_force(
    sizes: list[int], memory: int, weights: int
) -> None:
    """Whatever the steps are by which tensors grow."""

    class Uneven(Fake):
        def demand(self, estimator: Estimator, dtype: str, batch: int | None = None) -> Demand:
            batch = batch or 1
            beyond = 100 * max(0, batch - len(sizes))
            return Demand(weights, sum(sizes[:batch]) + beyond)

    fits = [
        n for n in range(1, 200) if 2 * weights + Uneven().demand(LITERT, "", n).working <= memory
    ]
    assert fit(Uneven(), phone(memory)).largest_batch == max(fits, default=0)


# ---- the largest image, remedies


def test_the_largest_image() -> None:
    fake = Fake(weights=0, each=1, resolution=224)
    assert fit(fake, phone(320 * 320), thorough=True).largest_resolution == 320
    assert fit(fake, phone(320 * 320 - 1), thorough=True).largest_resolution == 288
    assert fit(fake, phone(31), thorough=True).largest_resolution == 0
    assert fit(fake, phone(1 << 40), thorough=True).largest_resolution == 4096
    assert fit(fake, phone(320 * 320)).largest_resolution is None


def test_images_that_are_too_small_to_run() -> None:
    fake = Fake(weights=0, each=1, resolution=224, least=75)
    assert fit(fake, phone(128 * 128), thorough=True).largest_resolution == 128
    assert fit(fake, phone(64 * 64), thorough=True).largest_resolution == 0


def test_sizes_that_cannot_be_recorded_do_not_count() -> None:
    fake = Fake(weights=0, each=1, resolution=224, trainable_from=64)
    assert fit(fake, phone(320 * 320), thorough=True).largest_resolution == 320
    assert fit(fake, phone(64 * 64), thorough=True).largest_resolution == 64
    assert fit(fake, phone(64 * 64 - 1), thorough=True).largest_resolution == 0


def test_no_images() -> None:
    assert fit(Fake(), phone(10_000), thorough=True).largest_resolution is None


def test_remedies() -> None:
    fake = Fake(weights=1000, each=1, resolution=64, batch=2)
    # 9,192 of 4,500 bytes: half the bits, half the width, 32 pixels would do, one image would not.
    found = fit(fake, phone(4500), thorough=True)
    assert found.verdict == "does-not-fit"
    assert found.remedies == (
        "int8",
        "0.35 of this width (weights by its square, tensors in proportion)",
        "images of 32×32",
    )
    roomier = fit(fake, phone(6200), thorough=True)
    assert roomier.remedies[0] == "fp16"
    assert roomier.remedies[-1] == "a batch of 1"


def test_a_narrower_network_has_smaller_structures() -> None:
    fake = Fake(weights=400, each=400, overhead=1000)
    found = fit(fake, board(700, 400), thorough=True)
    # 100 + 1,000 bytes; at half the width 50 + 500, and a fifth of 500 more may be taken.
    assert found.verdict == "does-not-fit"
    assert found.remedies == ("0.5 of this width (weights by its square, tensors in proportion)",)


def test_what_fits_needs_no_remedy() -> None:
    assert fit(Fake(), phone(10_000), thorough=True).remedies == ()


def test_the_json_form() -> None:
    found = fit(Fake(weights=4000), board(1000, 2000), thorough=True).to_dict()
    assert list(found)[:8] == [
        "spec",
        "device",
        "dtype",
        "verdict",
        "needed_bytes",
        "available_bytes",
        "largest_batch",
        "roofline_seconds",
    ]
    assert found["verdict"] == "fits"
    assert found["rooms"][1] == {
        "name": "flash",
        "verdict": "fits",
        "needed_bytes": 1000,
        "over_bytes": 50,
        "under_bytes": 0,
        "available_bytes": 2000,
        "figure": "flash_bytes",
        "mark": "verified",
    }
    assert found["roofline_seconds"] is None
    assert found["arithmetic_seconds"] == 1.0
    assert found["roofline_reasons"] == ["no bandwidth is known"]
