"""What the interpreter for microcontrollers takes for itself, beside what it printed."""

from __future__ import annotations

import pytest
from torch import nn

from cnnstat.memory.folding import plan_graph
from cnnstat.memory.fusion import fusion_for
from cnnstat.memory.interpreter import structures
from cnnstat.memory.planners import plan
from tests.memory.recorded import named, record_of

# Networks of Keras without their training: `head` and total of the real interpreter's arena, in bytes.
PRINTED = {
    "zoo:mobilenet_v1": (4_816_896, 4_920_400),
    "tv:mobilenet_v2": (6_021_120, 6_172_176),
    "tv:resnet50": (9_633_792, 9_862_400),
    "tv:densenet121": (9_232_384, 9_362_704),
    "tv:efficientnet_b0": (14_450_688, 14_741_504),
}


@pytest.mark.parametrize("spec", PRINTED)
def test_beside_what_was_printed(spec: str) -> None:
    head, total = PRINTED[spec]
    trace = named(spec)
    graph = plan_graph(trace, fusion=fusion_for("tflm"))
    own = structures(trace, graph)
    assert own == pytest.approx(total - head, rel=0.2), (own, total - head)
    assert plan(graph, "tflm").arena_bytes + own == pytest.approx(total, rel=0.2)


def test_person_detect() -> None:
    """MobileNet v1 0.25 on grey images of 96×96 with two classes: 27,004 B on an ESP32."""
    trace = record_of("zoo:mobilenet_v1?width=0.25&num_classes=2", resolution=96)
    graph = plan_graph(trace, fusion=fusion_for("tflm"))
    assert structures(trace, graph) == pytest.approx(27_004, rel=0.2)


def test_by_hand() -> None:
    trace = record_of(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)), (1, 3, 3, 3)
    )
    graph = plan_graph(trace, fusion=fusion_for("tflm"))
    assert structures(trace, graph) == 9 * (8 + 2) + 80 * len(graph.steps)
