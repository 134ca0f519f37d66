"""What the articles say about networks and the devices of their time."""

from __future__ import annotations

import pytest
from torch import nn

import cnnstat
from cnnstat.devices.fitting import Fit
from cnnstat.zoo.mobilenet import mobilenet_v1

GIB = 2**30


def on(spec: str, device: str, **how: object) -> Fit:
    (found,) = cnnstat.fit(spec, device, thorough=False, **how)  # type: ignore[arg-type]
    return found


def test_vgg_16_is_killed_on_the_first_pixel() -> None:
    """ "over 500 MB at once": more than an app gets of the 4 GB."""
    found = on("vgg16", "pixel-1")
    assert found.verdict == "does-not-fit"
    assert found.needed is not None and found.needed > 500 * 10**6
    assert (
        found.needed == 553_430_176 + 25_690_112
    )  # the weights, and two tensors of 64 x 224 x 224


@pytest.mark.parametrize("spec", ["zoo:mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large"])
def test_mobilenets_fit_there(spec: str) -> None:
    found = on(spec, "pixel-1")
    assert found.verdict == "fits"
    assert found.largest_batch is not None and found.largest_batch > 30


@pytest.mark.parametrize(
    ("device", "expected"),
    [("gtx580", "fits"), ("gtx580-1.5gb", "tight"), ("gtx280", "does-not-fit")],
)
def test_alexnet_on_one_tower_trains_in_3_gb(device: str, expected: str) -> None:
    """Batch 128, SGD with momentum; the narrower network of 2014."""
    assert on("alexnet", device, batch=128, optimizer="sgd?momentum=0.9").verdict == expected


def test_alexnet_of_2012_needs_a_second_card() -> None:
    """Krizhevsky et al. spread it over two GTX 580 of 3 GB."""
    found = on("zoo:alexnet_2012", "gtx580", batch=128, optimizer="sgd?momentum=0.9")
    assert found.verdict == "does-not-fit"
    assert found.needed is not None and 3 * GIB < found.needed < 6 * GIB


def test_no_mobilenet_of_full_width_on_a_microcontroller() -> None:
    found = cnnstat.fit("zoo:mobilenet_v1", ["stm32f746", "esp32", "rp2040"], thorough=False)
    assert {fit.verdict for fit in found} == {"does-not-fit"}


def test_person_detect_fits_its_boards() -> None:
    """MobileNet v1 0.25 on grey images of 96×96, two classes: on an ESP32 55,296 B for tensors, 27,004 for
    the interpreter, 82,300 together (mcufit 0.5.2, README)."""
    model = mobilenet_v1(width=0.25, num_classes=2)
    model.conv.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
    boards = ["esp32", "stm32f746", "arduino-nano-33-ble"]
    found = cnnstat.fit(model, boards, inputs=(1, 1, 96, 96))
    assert [fit.verdict for fit in found] == ["fits"] * 3
    for fit in found:
        assert fit.demand is not None and fit.demand.working == 55_296
        assert fit.demand.overhead == pytest.approx(27_004, rel=0.005)
