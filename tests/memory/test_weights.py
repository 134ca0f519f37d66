"""Weights as runtimes hold them, beside what vendors print."""

from __future__ import annotations

import pytest

from cnnstat.memory.weights import prepared_bytes
from cnnstat.record import ModuleInfo, ParamInfo
from tests.memory.recorded import named

KIB = 1024


@pytest.mark.parametrize(
    ("spec", "published"),
    # STMicroelectronics/stm32ai-modelzoo, image_classification/mobilenetv1/README.md: int8, 1000 classes.
    [("zoo:mobilenet_v1", "4157.09"), ("zoo:mobilenet_v1?width=0.25", "467.33")],
)
def test_8_bits_as_printed_by_st(spec: str, published: str) -> None:
    assert f"{prepared_bytes(named(spec).modules, 1) / KIB:.2f}" == published


def conv(bias: bool = True) -> ModuleInfo:
    params = [ParamInfo("weight", (8, 3, 3, 3))]
    return ModuleInfo("conv", "Conv2d", tuple(params + [ParamInfo("bias", (8,))] * bias), calls=1)


NORM = ModuleInfo(
    "norm",
    "BatchNorm2d",
    (ParamInfo("weight", (8,)), ParamInfo("bias", (8,))),
    (ParamInfo("running_mean", (8,)), ParamInfo("running_var", (8,))),
)


def test_a_bias_keeps_four_bytes() -> None:
    assert prepared_bytes([conv()], 1) == 216 + 8 * 4
    assert prepared_bytes([conv()], 2) == 2 * 216 + 8 * 2
    assert prepared_bytes([conv()], 4) == prepared_bytes([conv()]) == 4 * 216 + 8 * 4


def test_batch_norm_leaves_one_bias() -> None:
    assert prepared_bytes([conv(bias=False), NORM], 1) == 216 + 8 * 4
    assert prepared_bytes([conv(bias=False), NORM]) == 4 * (216 + 16)


def test_layer_norm_stays() -> None:
    norm = ModuleInfo("norm", "LayerNorm", (ParamInfo("weight", (8,)), ParamInfo("bias", (8,))))
    assert prepared_bytes([norm], 1) == 64


def test_what_is_shared_counts_once() -> None:
    tied = ModuleInfo("head", "Linear", (ParamInfo("weight", (10, 4), tied_to="table.weight"),))
    table = ModuleInfo("table", "Embedding", (ParamInfo("weight", (10, 4)),))
    assert prepared_bytes([table, tied], 1) == 40
