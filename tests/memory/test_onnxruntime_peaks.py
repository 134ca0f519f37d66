"""Plans for ONNX Runtime beside what it allocated: tests/data/onnxruntime/measure.py has the figures made.

`live` is the most that was in use in a first run, and `block` in a second, where what can share memory is
allocated as one block; `blocked_live` is the first again, with the blocked layout (NCHWc).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from cnnstat.memory.folding import plan_graph
from cnnstat.memory.fusion import ONNXRUNTIME, Fusion
from cnnstat.memory.planners import Plan, plan
from tests.memory.recorded import named

FILE = Path(__file__).parents[1] / "data" / "onnxruntime" / "peaks.json"
PEAKS = json.loads(FILE.read_text())["bytes"]


# Its layer normalisation is between two transpositions, each a tensor of its own there.
OTHER_GRAPH = {"convnext_tiny"}
# The shortcut's convolution runs before the others of its block, so that blocks are placed in another order.
OTHER_ORDER = {"resnet50"}

OUTSIDE = {
    "shufflenet_v2_x1_0": "24 channels are padded to 32, and copied back to the plain layout",
    "mobilenet_v3_small": "the blocked convolution has hard-swish folded into it",
    "convnext_tiny": "see OTHER_GRAPH",
}
"""What the blocked layout takes outside the band."""


@cache
def planned(name: str) -> Plan:
    record = named(name)
    unfused = plan_graph(record, fold=False, fusion=Fusion(in_place=False))
    return plan(plan_graph(record, fusion=ONNXRUNTIME), "ort", unfused=unfused)


def each(*without: set[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", sorted(set(PEAKS).difference(*without)))


@each(OTHER_GRAPH)
def test_what_lives_at_once(name: str) -> None:
    assert planned(name).lower_bound_bytes == PEAKS[name]["live"]


@each(OTHER_GRAPH, OTHER_ORDER)
def test_the_block(name: str) -> None:
    assert planned(name).arena_bytes == PEAKS[name]["block"]


def test_another_order_is_worth_a_fifth() -> None:
    off = planned("resnet50").arena_bytes / PEAKS["resnet50"]["block"]
    assert off == pytest.approx(1.214, abs=1e-3)


def test_a_network_of_transpositions_is_off_by_a_seventh() -> None:
    off = planned("convnext_tiny").lower_bound_bytes / PEAKS["convnext_tiny"]["live"]
    assert off == pytest.approx(0.857, abs=1e-3)


@pytest.mark.parametrize("name", PEAKS)
def test_the_blocked_layout_is_within_the_band(name: str) -> None:
    made = planned(name)
    within = made.low_bytes <= PEAKS[name]["blocked_live"] <= made.high_bytes
    assert within == (name not in OUTSIDE)
