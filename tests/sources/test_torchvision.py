"""Against torchvision's published weights: `num_params` and `_ops` of their metadata."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cnnstat.errors import BuildError
from cnnstat.inputs import InputSpec
from cnnstat.sources import torchvision as source
from cnnstat.sources.base import list_models, resolve
from cnnstat.sources.skeleton import build_skeleton

NAMES = source.names()

# One of each family and of each way to state an input.
SAMPLE = [
    "alexnet",
    "deeplabv3_mobilenet_v3_large",
    "efficientnet_b1",
    "fcn_resnet50",
    "googlenet",
    "inception_v3",
    "lraspp_mobilenet_v3_large",
    "mobilenet_v3_small",
    "mvit_v2_s",
    "quantized_shufflenet_v2_x0_5",
    "r3d_18",
    "raft_small",
    "regnet_y_128gf",
    "resnet50",
    "s3d",
    "swin3d_t",
    "swin_v2_t",
    "vit_h_14",
]


def published(name):
    import torchvision.models

    return [weights.meta for weights in torchvision.models.get_model_weights(name)]


def weights_of(name, key):
    return {meta[key] for meta in published(name)}


def test_all_names_are_there():
    assert len(NAMES) >= 121
    assert {"resnet50", "quantized_resnet50", "fasterrcnn_resnet50_fpn", "raft_large"} <= set(NAMES)
    assert [m.name for m in list_models("resnet*", "tv")] == [
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
    ]


# A skeleton takes milliseconds, so all of them are built.
@pytest.mark.parametrize("name", NAMES)
def test_params_are_those_published(name):
    subject = resolve(name)
    model = build_skeleton(subject.build)
    assert sum(param.numel() for param in model.parameters()) in weights_of(name, "num_params")
    assert {param.device.type for param in model.parameters()} == {"meta"}
    assert subject.inputs is not None
    assert (subject.source, subject.spec) == ("torchvision", f"tv:{name}")


def giga_macs(name):
    subject = resolve(name)
    model = build_skeleton(subject.build).eval().to_empty(device="meta")
    inputs = subject.inputs.map(lambda leaf: torch.empty(leaf.shape, device="meta"))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs.args)
    return counter.get_total_flops() / 2e9


def check_input(name):
    # The published number is torch's own count at the published input, rounded to three decimals.
    macs = giga_macs(name)
    assert any(macs == pytest.approx(ops, rel=2e-3, abs=6e-4) for ops in weights_of(name, "_ops"))


@pytest.mark.parametrize("name", SAMPLE)
def test_input_is_the_published_one(name):
    check_input(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in SAMPLE])
def test_every_input_is_the_published_one(name):
    if not resolve(name).inputs.listed:
        check_input(name)


DETECTORS = [name for name in NAMES if "rcnn" in name or "ssd" in name or "retina" in name]
DETECTORS += ["fcos_resnet50_fpn"]


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_has_nothing_to_resize(name):
    subject = resolve(name)
    assert subject.inputs.listed
    (image,) = subject.inputs.args[0]
    transform = build_skeleton(subject.build).transform
    size = transform.fixed_size or (transform.min_size[-1],) * 2
    assert image == InputSpec((3, *size))


def test_smallest_published_input():
    # vit_h_14 and regnet_y_128gf have SWAG weights alone: at 518 and 384, and at 224.
    for name in ("vit_h_14", "regnet_y_128gf", "vit_l_16"):
        assert resolve(name).inputs.args == (InputSpec((1, 3, 224, 224)),)


def test_the_input_follows_the_arguments():
    subject = resolve("vit_h_14?image_size=518")
    assert subject.inputs.args == (InputSpec((1, 3, 518, 518)),)
    params = sum(p.numel() for p in build_skeleton(subject.build).parameters())
    assert params == 633_470_440  # ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1
    assert resolve("fasterrcnn_resnet50_fpn?min_size=640").inputs.args[0][0].shape == (3, 640, 640)


def test_arguments_reach_the_builder():
    model = build_skeleton(resolve("resnet18?num_classes=10").build)
    assert model.fc.out_features == 10
    # The published count is without auxiliary classifiers; asked for, they are there.
    model = build_skeleton(resolve("googlenet?aux_logits=true").build)
    assert sum(param.numel() for param in model.parameters()) == 13_004_888


def test_a_wrong_argument():
    with pytest.raises(BuildError, match=r"tv:resnet18\?n=1: TypeError: .*unexpected keyword") as e:
        resolve("resnet18?n=1").build()
    assert "?" in e.value.hint


def test_weights_are_never_downloaded():
    model = build_skeleton(resolve("resnet18?weights=DEFAULT").build)
    assert model.fc.weight.is_meta


def test_frozen_batch_norms_are_said():
    (note,) = resolve("fasterrcnn_resnet50_fpn").notes
    assert "constants" in note.text
    assert resolve("resnet50").notes == ()
