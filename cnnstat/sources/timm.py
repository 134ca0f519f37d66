"""timm's models, each at the input size of its default weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from cnnstat.errors import SourceUnavailable
from cnnstat.inputs import Inputs, InputSpec
from cnnstat.sources.base import Spec, Subject
from cnnstat.sources.factory import call_factory, first_line
from cnnstat.sources.torchvision_operators import importable_torchvision

if TYPE_CHECKING:
    from torch import nn


def names() -> list[str]:
    """All names of `timm.list_models()`; `has` knows those with a tag as well."""
    return list(_timm().list_models())


def has(name: str) -> bool:
    """Whether timm has that model: `resnet50`, or with a tag of weights: `resnet50.a1_in1k`."""
    timm = _timm()
    bare, dot, _ = name.partition(".")
    return bool(timm.is_model(bare)) and (not dot or name in timm.list_pretrained(f"{bare}.*"))


def subject(spec: Spec) -> Subject:
    """The model that `spec` names."""
    timm = _timm()

    def build() -> nn.Module:
        def create(**args: Any) -> nn.Module:
            # `pretrained` comes after the user's arguments: weights are never downloaded.
            model: nn.Module = timm.create_model(spec.name, **{**args, "pretrained": False})
            return model

        model: nn.Module = call_factory(create, spec.args, spec.pinned)
        return model

    return Subject(
        name=spec.name,
        spec=spec.pinned,
        source="timm",
        build=build,
        inputs=_inputs(timm.get_pretrained_cfg(spec.name), spec.args),
        versions={"timm": str(timm.__version__)},
    )


def _inputs(cfg: Any, args: Mapping[str, Any]) -> Inputs | None:
    # `test_input_size` is larger for some and is not what published costs refer to.
    size = getattr(cfg, "fixed_input_size", False) and cfg.input_size
    size = size or getattr(cfg, "input_size", None)
    if not size:
        return None
    channels, height, width = size
    image = args.get("img_size") or (height, width)
    height, width = (image, image) if isinstance(image, int) else image
    return Inputs((InputSpec((1, args.get("in_chans") or channels, height, width)),))


@cache
def _timm() -> Any:
    try:
        with importable_torchvision():
            import timm
    except Exception as error:
        raise SourceUnavailable(
            f"timm: import failed: {first_line(error)}; pip install 'cnnstat[timm]'"
        ) from error
    return timm
