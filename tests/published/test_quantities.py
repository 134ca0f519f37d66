"""What is counted, by hand, on layers that are there for it."""

import math

import pytest

from cnnstat.published.quantities import measured
from cnnstat.published.tables import CellRule, Network
from cnnstat.report import Layer, Tally, Work
from tests.reports import conv, module, report

WIDE, HALF = (1, 16, 8, 8), (1, 24, 4, 4)


def tallied(rule: str, out: tuple[int, ...], work: Work) -> tuple[Tally, ...]:
    return (Tally(rule, "elementwise", 1, work, written=math.prod(out)),)


NET = report(
    "quantities",
    conv("stem", "standard", (1, 3, 8, 8), WIDE, 3),
    Layer(
        "norm",
        "BatchNorm2d",
        "normalisation",
        params=32,
        weights={"weight": (16,), "bias": (16,)},
        tallies=tallied("batch_norm", WIDE, Work(adds=1024, muls=1024)),
    ),
    Layer("gate", "Gate", "container", tallies=tallied("product", WIDE, Work(muls=1024))),
    module("block1", "Block", "container", WIDE, WIDE),
    module("block2", "Block", "container", WIDE, HALF),
    module("block3", "Block", "container", HALF, HALF),
    Layer("big", "Linear", "linear", params=2_000_000),
)
# 3 · 3 · 3 weights for each of 16 · 8 · 8 outputs; and 27 · 16 with the norm's 32 and the 2 M of the last.
MACS, PARAMS = 27 * 1024, 432 + 32 + 2_000_000


def of(quantity: str, size: int = 0, bits: int = 32) -> int:
    rule = CellRule(column="", quantity=quantity, bits=bits)
    return measured(NET, Network(spec="", size=size), rule)


def test_macs_and_what_is_counted_like_one():
    assert of("macs") == MACS
    # One for each of the 16 · 8 · 8 that a scaling puts out, and another for those of the norm.
    assert of("macs_and_products") == MACS + 1024
    assert of("macs_and_norms") == MACS + 1024 + 1024


def test_what_is_put_out_and_moved():
    outputs = sum(tally.written for layer in NET.layers for tally in layer.tallies)
    assert of("outputs") == outputs >= 2 * math.prod(WIDE)
    assert of("moved") == NET.totals.moved_bytes


def test_numbers_of_a_norm():
    # Scale and offset are parameters; mean and variance of 16 channels are not.
    assert of("params") == PARAMS
    assert of("params_and_one_moment") == PARAMS + 16
    assert of("params_and_moments") == PARAMS + 32


def test_bytes_of_whole_millions():
    assert of("bytes") == 4 * PARAMS
    assert of("bytes_of_millions") == 4 * 2_000_000
    assert of("bytes_of_millions", bits=16) == 2 * 2_000_000


@pytest.mark.parametrize(
    ("size", "largest", "begun"),
    [
        # The 24 channels are made of maps of 8×8, and are 4×4 themselves.
        (8, 16 * 64, 24 * 64),
        (4, 24 * 16, 24 * 16),
    ],
)
def test_maps_of_a_size(size, largest, begun):
    assert of("map", size, bits=16) == 2 * largest
    assert of("map_begun", size, bits=16) == 2 * begun
