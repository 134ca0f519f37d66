import importlib.util

import pytest
import torch

from cnnstat.sources import torchvision_operators as operators
from tests.forked import run

with operators.importable_torchvision():
    import torchvision
    from torchvision import ops

fallback = pytest.mark.skipif(not operators._declared, reason="torchvision's kernels are there")


def test_torchvision_is_whole():
    assert torchvision.extension._has_ops()
    assert torchvision.models.get_model_builder("resnet50")


def test_every_declared_operator_is_one():
    for schema in operators.SCHEMAS:
        name = schema.partition("(")[0]
        real = getattr(torch.ops.torchvision, name).default._schema
        if name != "_cuda_version":
            assert str(real) == f"torchvision::{schema}"


@pytest.mark.parametrize("modules", ["timm", "transformers", "torchvision"])
def test_imports_in_a_fresh_process(modules):
    if importlib.util.find_spec(modules) is None:
        pytest.skip(f"{modules} is not installed")
    code = f"""
from cnnstat.sources.torchvision_operators import importable_torchvision
import torch
load = torch.ops.load_library
with importable_torchvision():
    import {modules}
assert torch.ops.load_library == load
import torchvision.ops
if {modules == "transformers"}:
    from transformers import AutoImageProcessor
"""
    run(code)


def test_after_an_import_that_failed():
    code = """
try:
    import torchvision
except RuntimeError:
    pass
from cnnstat.sources.torchvision_operators import importable_torchvision
with importable_torchvision():
    import torchvision
    assert torchvision.extension._has_ops()
"""
    run(code)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling", [2, 0, -1])
def test_roi_align_is_torchvisions_own(aligned, sampling):
    # torchvision has a second implementation in Python; `__wrapped__` leaves torch.compile out.
    reference = importlib.import_module("torchvision.ops.roi_align")._roi_align.__wrapped__
    generator = torch.Generator().manual_seed(0)

    def rand(*size):
        return torch.rand(*size, generator=generator)

    features = rand(2, 5, 20, 30)
    image = torch.randint(0, 2, (40, 1), generator=generator)
    corner = rand(40, 2) * torch.tensor([60, 40]) + 2
    boxes = torch.cat([image, corner, corner + 1 + rand(40, 2) * torch.tensor([55, 35])], dim=1)
    expected = reference(features, boxes, 0.25, 7, 5, sampling, aligned)
    pooled = operators.roi_align(features, boxes, 0.25, 7, 5, sampling, aligned)
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-4)


def test_roi_align_by_hand():
    # Feature (y, x) = x. The box covers x in [1, 3] and y in [0, 2]; with one sample in each of
    # 2 × 2 bins the samples lie at x = 1.5 and 2.5. Outside the map everything is zero.
    features = torch.arange(4.0).expand(1, 1, 4, 4)
    box = torch.tensor([[0.0, 1.0, 0.0, 3.0, 2.0], [0.0, 10.0, 10.0, 12.0, 12.0]])
    pooled = operators.roi_align(features, box, 1.0, 2, 2, 1, False)
    assert pooled[0, 0].tolist() == [[1.5, 2.5], [1.5, 2.5]]
    assert not pooled[1].any()


def test_nms_by_hand():
    # 0 and 1 overlap in 9 × 10 of 10 × 10 + 10 × 10 − 90 = 110: 0.818. 2 is apart.
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]])
    scores = torch.tensor([0.5, 0.9, 0.7])
    assert operators.nms(boxes, scores, 0.8).tolist() == [1, 2]
    assert operators.nms(boxes, scores, 0.82).tolist() == [1, 2, 0]
    assert operators.nms(boxes[:0], scores[:0], 0.5).shape == (0,)
    # A box suppressed does not suppress: 1 removes 0, so that 3, which only 0 overlaps, stays.
    chain = torch.tensor([[4.0, 0, 14, 10], [0, 0, 10, 10], [8, 0, 18, 10]])
    assert operators.nms(chain, torch.tensor([0.8, 0.9, 0.7]), 0.4).tolist() == [1, 2]
    assert ops.nms(boxes, scores, 0.8).tolist() == [1, 2]


def test_shapes_on_meta():
    features = torch.empty(2, 8, 16, 16, device="meta")
    boxes = torch.empty(5, 5, device="meta")
    assert ops.roi_align(features, boxes, 7).shape == (5, 8, 7, 7)
    assert ops.roi_pool(features, boxes, 7).shape == (5, 8, 7, 7)
    assert ops.ps_roi_align(features, boxes, 2).shape == (5, 2, 2, 2)
    offset = torch.empty(2, 18, 14, 14, device="meta")
    weight = torch.empty(4, 8, 3, 3, device="meta")
    assert ops.deform_conv2d(features, offset, weight).shape == (2, 4, 14, 14)


@fallback
def test_declares_once():
    assert operators.declare() == ()


def test_a_detector_runs():
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    bare = {"weights": None, "weights_backbone": None, "num_classes": 5}
    model = torchvision.models.get_model(name, **bare).eval()
    with torch.no_grad():
        (found,) = model([torch.rand(3, 64, 64)])
    assert set(found) == {"boxes", "labels", "scores"}
