"""Every timm model against timm's own published table (fvcore's count, two decimals).

The slow test takes every name; a fixed sample of sixty runs in CI.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import cnnstat
from cnnstat.sources.base import list_models

DATA = Path(__file__).parent / "data" / "timm_published.csv"

SAMPLE = """
    aimv2_large_patch14_224 bat_resnext26ts beit_base_patch16_224 botnet26t_256 cait_s24_224
    caformer_s18 coat_tiny coatnet_0_rw_224 convformer_s18 convit_small convnext_atto
    convmixer_1024_20_ks9_p14 convnextv2_nano crossvit_9_240 cspdarknet53 cs3darknet_m
    darknetaa53 davit_tiny
    deit3_small_patch16_224 densenet121 dla34 dm_nfnet_f0 dpn68 eca_halonext26ts ecaresnet26t
    edgenext_small efficientformerv2_s0 efficientnet_b0 efficientvit_b1 ese_vovnet19b_dw
    eva02_tiny_patch14_224 focalnet_tiny_srf gcvit_xxtiny ghostnet_100 gmlp_s16_224
    hardcorenas_a hgnet_tiny hiera_tiny_224 inception_next_tiny inception_resnet_v2
    lambda_resnet26t legacy_senet154 maxvit_tiny_tf_224 mixer_s16_224 mnasnet_100
    mobilenetv3_large_100 mobilevit_s mvitv2_tiny nasnetalarge nf_regnet_b1 nf_resnet50
    pit_s_224 poolformer_s12 pvt_v2_b0 regnety_032 res2net50_14w_8s resnet50 resnetv2_50x1_bit
    rexnet_100 sequencer2d_s skresnet18 swin_tiny_patch4_window7_224 tf_efficientnetv2_s
    tnt_s_legacy_patch16_224 twins_svt_small vit_small_patch16_224 volo_d1_224 xcit_nano_12_p8_224
    xception41
""".split()

# Families whose published rows were made with --reparam: batch norms and branches are folded.
REPARAMETERISED = (
    *("efficientvit_m", "fastvit", "ghostnetv3", "levit", "mobileone", "nextvit", "repghostnet"),
    *("repvgg", "repvit", "shvit", "tiny_vit"),
)
# fvcore takes convolutions with padding='same' for other operations, and leaves out their activations.
SAME_PADDING = ("convmixer",)
# Differential attention takes other products fused (two wide ones) than unfused (as published).
DIFFERENTIAL = ("vit_dlittle", "vit_dpwee", "vit_dwee")
# Defined otherwise when the table was made: the parameters differ as well, or the rotary tables were
# made anew for every layer.
REDEFINED = ("ecaresnext50t_32x4d",)
REDEFINED_TABLES = tuple(f"vit_{size}_patch16_rope_mixed" for size in ("small", "base", "large"))

EXCEPTIONS = (*REPARAMETERISED, *DIFFERENTIAL, *REDEFINED)
NO_ACTIVATIONS = (*SAME_PADDING, *REDEFINED_TABLES)


def published() -> dict[str, dict[str, str]]:
    lines = [
        line for line in DATA.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    return {row["model"]: row for row in csv.DictReader(lines)}


def rounds_to(value: int, unit: int, text: str) -> bool:
    """Whether a count is one that the published decimals can be the rounding of."""
    digits = len(text.partition(".")[2])
    return abs(value / unit - float(text)) <= 0.5 * 10**-digits + 1e-9


def check(name: str) -> None:
    report = cnnstat.analyze(f"timm:{name}", convention="fvcore")
    assert not report.uncounted, [item.op for item in report.uncounted]
    row = published().get(name)
    if row is None or name.startswith(EXCEPTIONS):
        return
    totals = report.totals
    assert rounds_to(totals.params, 10**6, row["params"]), (totals.params, row["params"])
    assert rounds_to(totals.quoted, 10**9, row["gmacs"]), (totals.quoted, row["gmacs"])
    if not name.startswith(NO_ACTIVATIONS):
        assert rounds_to(totals.activations, 10**6, row["macts"]), (
            totals.activations,
            row["macts"],
        )


def names() -> list[str]:
    return [model.name for model in list_models(source="timm")]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_is_counted_as_published(name: str) -> None:
    check(name)


def test_the_sample_has_published_figures() -> None:
    rows = published()
    assert len(SAMPLE) >= 60
    assert sum(name in rows and not name.startswith(EXCEPTIONS) for name in SAMPLE) >= 58


@pytest.mark.slow
def test_every_model_is_counted_as_published(subtests: pytest.Subtests) -> None:
    for name in names():
        with subtests.test(model=name):
            check(name)
