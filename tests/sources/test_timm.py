import pytest
import torch

from cnnstat.errors import BuildError, UnknownModel
from cnnstat.inputs import InputSpec
from cnnstat.sources import timm as source
from cnnstat.sources.base import resolve
from cnnstat.sources.skeleton import build_skeleton
from cnnstat.sources.torchvision_operators import importable_torchvision
from tests.forked import run

with importable_torchvision():
    pytest.importorskip("timm")

NAMES = source.names()


@pytest.mark.parametrize("name", NAMES[:: len(NAMES) // 60])
def test_builds_without_weights_and_says_its_input(name):
    subject = resolve(f"timm:{name}")
    model = build_skeleton(subject.build)
    assert {param.device.type for param in model.parameters()} == {"meta"}
    (image,) = subject.inputs.args
    assert image.shape[0] == 1
    assert image.shape[1:] == tuple(model.pretrained_cfg["input_size"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_runs_at_its_input(name):
    subject = resolve(f"timm:{name}")
    model = build_skeleton(subject.build).eval().to_empty(device="meta")
    inputs = subject.inputs.map(lambda leaf: torch.empty(leaf.shape, device="meta"))
    with torch.no_grad():
        model(*inputs.args)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        # timm's results/results-imagenet.csv, column param_count, in millions.
        ("resnet50", 25.56),
        ("convnext_tiny", 28.59),
        ("efficientnet_b0", 5.29),
        ("vit_base_patch16_224", 86.57),
        ("mobilenetv3_large_100", 5.48),
        ("swin_tiny_patch4_window7_224", 28.29),
    ],
)
def test_params_are_those_published(name, params):
    model = build_skeleton(resolve(f"timm:{name}").build)
    assert sum(param.numel() for param in model.parameters()) / 1e6 == pytest.approx(
        params, abs=0.005
    )


def test_a_tag_of_weights():
    assert resolve("timm:resnet50.a1_in1k").name == "resnet50.a1_in1k"
    assert resolve("resnet50.a1_in1k").source == "timm"
    # The weights were fine-tuned at 384.
    assert resolve("timm:convnext_tiny.in12k_ft_in1k_384").inputs.args == (
        InputSpec((1, 3, 384, 384)),
    )
    with pytest.raises(UnknownModel):
        resolve("timm:resnet50.no_such_tag")
    with pytest.raises(UnknownModel):
        resolve("timm:no_such_model.a1_in1k")


def test_the_input_follows_the_arguments():
    subject = resolve("timm:vit_tiny_patch16_224?img_size=96&in_chans=1&num_classes=5")
    assert subject.inputs.args == (InputSpec((1, 1, 96, 96)),)
    model = build_skeleton(subject.build)
    assert model.patch_embed.num_patches == 36
    assert model.head.out_features == 5


def test_a_wrong_argument():
    with pytest.raises(BuildError, match=r"timm:resnet18\?n=1: TypeError: .*unexpected"):
        resolve("timm:resnet18?n=1").build()


def test_weights_are_never_downloaded():
    assert build_skeleton(resolve("timm:resnet18?pretrained=true").build) is not None


def test_broken_timm_is_one_line(tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('first\\nsecond')\n", encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    code += """
from cnnstat.errors import SourceUnavailable
from cnnstat.sources.base import list_models, resolve
assert {m.source for m in list_models()} == {"torchvision", "zoo"}
assert resolve("lenet5").source == "zoo"
try:
    resolve("timm:resnet50")
except SourceUnavailable as error:
    print(error)
"""
    assert run(code) == ("timm: import failed: RuntimeError: first; pip install 'cnnstat[timm]'\n")
