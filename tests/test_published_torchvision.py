"""Every torchvision model against the `_ops` and `num_params` that its weights publish."""

from __future__ import annotations

from typing import Any

import pytest

from cnnstat.sources.base import list_models
from cnnstat.sources.torchvision_operators import importable_torchvision
from tests.measured import analyze

NAMES = [model.name for model in list_models(source="torchvision")]
DETECTORS = [n for n in NAMES if any(part in n for part in ("rcnn", "retinanet", "fcos", "ssd"))]

# How many regions reach the second stage depends on the weights, which are not published ones here.
# torchvision's figure for maskrcnn_resnet50_fpn, 134.38, is that of fasterrcnn_resnet50_fpn, which has
# no mask head.
DATA_DEPENDENT = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": "the trained weights propose fewer regions",
    "fasterrcnn_mobilenet_v3_large_fpn": "the trained weights propose fewer regions",
    "fasterrcnn_resnet50_fpn": "the trained weights propose more regions",
    "maskrcnn_resnet50_fpn": "published without the mask head, and the regions differ",
}


def published(name: str) -> list[dict[str, Any]]:
    with importable_torchvision():
        from torchvision.models import get_model_weights
    return [weights.meta for weights in get_model_weights(name) if "_ops" in weights.meta]


def check(name: str) -> None:
    report = analyze(f"tv:{name}")
    assert not report.uncounted, [item.op for item in report.uncounted]
    metas = published(name)
    assert report.totals.params in {meta["num_params"] for meta in metas}
    if name in DATA_DEPENDENT:
        return
    # `_ops` has three decimals of 10^9: below 0.5 G that is coarser than 0.1 %.
    errors = [abs(report.totals.macs - meta["_ops"] * 1e9) for meta in metas]
    allowed = [max(0.001 * meta["_ops"] * 1e9, 0.5e6) for meta in metas]
    assert any(error <= limit for error, limit in zip(errors, allowed, strict=True)), (
        report.totals.macs,
        [meta["_ops"] for meta in metas],
    )


def test_there_are_121() -> None:
    assert len(NAMES) == 121


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DETECTORS])
def test_counted_as_published(name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn"])
def test_a_detector_is_counted_as_published_and_says_that_it_depends_on_data(name: str) -> None:
    check(name)
    notes = analyze(f"tv:{name}").notes
    assert any(note.kind == "data-dependent" for note in notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_are_counted_as_published(name: str) -> None:
    check(name)


def test_resnet50_to_the_last_unit() -> None:
    totals = analyze("resnet50").totals
    assert totals.params == 25_557_032  # torchvision's ResNet50_Weights.meta["num_params"]
    # conv1 118,013,952, layer1 680,919,040 … as torchvision prints it: 4.089 GMACs
    assert totals.macs == 4_089_184_256
