"""torchvision's models, each as its published weights were measured: input and parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from cnnstat.errors import SourceUnavailable
from cnnstat.inputs import Inputs, InputSpec
from cnnstat.report import Note
from cnnstat.sources.base import Spec, Subject
from cnnstat.sources.factory import call_factory, first_line

if TYPE_CHECKING:
    from torch import nn

# `_ops` and `num_params` of the published weights describe these; the bare constructors differ.
_AS_PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    # The auxiliary classifiers, which eval does not run, are dropped from the loaded model …
    "googlenet": {"aux_logits": False, "init_weights": False},
    "quantized_googlenet": {"aux_logits": False, "init_weights": False},
    # … and here they are kept.
    "inception_v3": {"init_weights": False},
    "quantized_inception_v3": {"init_weights": False},
    "deeplabv3_mobilenet_v3_large": {"aux_loss": True},
    "deeplabv3_resnet50": {"aux_loss": True},
    "deeplabv3_resnet101": {"aux_loss": True},
    "fcn_resnet50": {"aux_loss": True},
    "fcn_resnet101": {"aux_loss": True},
}

# With weights these are built with constants for batch norm in the backbone; without, they are not.
_FROZEN_BACKBONE = frozenset(
    {
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_resnet50_fpn",
        "fcos_resnet50_fpn",
        "keypointrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn",
        "retinanet_resnet50_fpn",
    }
)

# Detectors resize images themselves: the shorter side to this. So nothing is left to resize.
_DETECTOR_SIZES = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": 320,
    "ssd300_vgg16": 300,
    "ssdlite320_mobilenet_v3_large": 320,
}
_DETECTOR_SIZE = 800

_FRAMES = 16
"""Frames of a clip; every video model's `_ops` is published for so many."""

_FLOW_SIZE = (512, 512)
"""Size of the two frames for which the `_ops` of the optical flow models are published."""


def names() -> list[str]:
    """All names of `torchvision.models.list_models()`."""
    return list(_models().list_models())


def subject(spec: Spec) -> Subject:
    """The model that `spec` names."""
    import torchvision

    models = _models()
    args = {**_AS_PUBLISHED.get(spec.name, {}), **spec.args}
    builder = models.get_model_builder(spec.name)
    parameters = inspect.signature(builder).parameters
    # Published weights are downloaded unless both are refused.
    args |= {name: None for name in ("weights", "weights_backbone") if name in parameters}
    frozen = spec.name in _FROZEN_BACKBONE

    def build() -> nn.Module:
        model = call_factory(builder, args, spec.pinned)
        return _with_frozen_backbone(model) if frozen else model

    text = "the backbone's batch norms are constants, as in the published weights"
    return Subject(
        name=spec.name,
        spec=spec.pinned,
        source="torchvision",
        build=build,
        inputs=_inputs(spec.name, spec.args),
        notes=(Note("source", text, where="backbone"),) if frozen else (),
        versions={"torchvision": str(torchvision.__version__)},
    )


@cache
def _models() -> Any:
    from cnnstat.sources.torchvision_operators import importable_torchvision

    try:
        with importable_torchvision():
            import torchvision.models
    except Exception as error:
        raise SourceUnavailable(
            f"torchvision: import failed: {first_line(error)}",
            hint="install the torchvision that belongs to this torch: pip install torchvision",
        ) from error
    return torchvision.models


def _inputs(name: str, args: Mapping[str, Any]) -> Inputs | None:
    """The input of the published weights that belong to the plain constructor.

    Where a model has several, that is the smallest input: weights fine-tuned at a larger one
    (SWAG's end-to-end ones) ask for other constructor arguments.
    """
    by_kind: dict[str, Callable[[str, Any, Mapping[str, Any]], Inputs]] = {
        "ImageClassification": _image,
        "SemanticSegmentation": _segmentation,
        "ObjectDetection": _detection,
        "VideoClassification": _video,
        "OpticalFlow": _flow,
    }
    found = []
    for weights in _models().get_model_weights(name):
        transforms = weights.transforms()
        kind = by_kind.get(type(transforms).__name__)
        if kind:
            found.append(kind(name, transforms, args))
    return min(found, key=_pixels, default=None)


def _pixels(inputs: Inputs) -> int:
    return min(int(leaf.shape[-1] * leaf.shape[-2]) for leaf in inputs.leaves)


def _image(name: str, transforms: Any, args: Mapping[str, Any]) -> Inputs:
    size = args.get("image_size") or args.get("input_size") or transforms.crop_size
    return Inputs((InputSpec((1, 3, *_pair(size))),))


def _segmentation(name: str, transforms: Any, args: Mapping[str, Any]) -> Inputs:
    return Inputs((InputSpec((1, 3, *_pair(transforms.resize_size))),))


def _detection(name: str, transforms: Any, args: Mapping[str, Any]) -> Inputs:
    size = args.get("min_size") or _DETECTOR_SIZES.get(name, _DETECTOR_SIZE)
    return Inputs(([InputSpec((3, *_pair(size)))],), listed=True)


def _video(name: str, transforms: Any, args: Mapping[str, Any]) -> Inputs:
    return Inputs((InputSpec((1, 3, _FRAMES, *_pair(transforms.crop_size))),))


def _flow(name: str, transforms: Any, args: Mapping[str, Any]) -> Inputs:
    frame = InputSpec((1, 3, *_FLOW_SIZE))
    return Inputs((frame, frame))


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    sizes = tuple(int(side) for side in size)
    return (sizes[0], sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _with_frozen_backbone(model: nn.Module) -> nn.Module:
    from torch import nn
    from torchvision.ops import FrozenBatchNorm2d

    for module in list(model.get_submodule("backbone").modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=child.eps))
    return model
