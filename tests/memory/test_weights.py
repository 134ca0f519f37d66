"""Weights as runtimes hold them, beside what vendors print."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cnnstat.memory.folding import plan_graph
from cnnstat.memory.fusion import GENERAL, TFLITE, Fusion
from cnnstat.memory.weights import Prepared, prepared_bytes, prepared_weights
from cnnstat.record import ModuleInfo, ParamInfo, Trace
from tests.memory.recorded import named, record_of

KIB = 1024


def prepared(trace: Trace, itemsize: int = 4, fusion: Fusion = TFLITE) -> Prepared:
    return prepared_weights(trace, plan_graph(trace, fusion=fusion), itemsize)


@pytest.mark.parametrize(
    ("spec", "published"),
    # STMicroelectronics/stm32ai-modelzoo, image_classification/mobilenetv1/README.md: int8, 1000 classes.
    [("zoo:mobilenet_v1", "4157.09"), ("zoo:mobilenet_v1?width=0.25", "467.33")],
)
def test_8_bits_as_printed_by_st(spec: str, published: str) -> None:
    found = prepared(named(spec), 1)
    assert f"{found.parameters / KIB:.2f}" == published
    assert found.constants == 0


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
    modules = [conv(bias=False), NORM]
    assert prepared_bytes(modules, 1, {"norm"}) == 216 + 8 * 4
    assert prepared_bytes(modules, 1) == 216 + 16 * 4  # not folded: scale and offset
    assert prepared_bytes(modules) == 4 * (216 + 16)


def test_layer_norm_stays() -> None:
    norm = ModuleInfo("norm", "LayerNorm", (ParamInfo("weight", (8,)), ParamInfo("bias", (8,))))
    assert prepared_bytes([norm], 1) == 64


def test_what_is_shared_counts_once() -> None:
    tied = ModuleInfo("head", "Linear", (ParamInfo("weight", (10, 4), tied_to="table.weight"),))
    table = ModuleInfo("table", "Embedding", (ParamInfo("weight", (10, 4)),))
    assert prepared_bytes([table, tied], 1) == 40


@pytest.mark.parametrize("fusion", [TFLITE, GENERAL])
def test_a_norm_that_no_weights_come_before_keeps_its_scale(fusion: Fusion) -> None:
    """DenseNet normalises what it has concatenated; what ReLU has passed is no sum of weights either."""
    conv, norm = (lambda: nn.Conv2d(4, 4, 3, padding=1, bias=False)), (lambda: nn.BatchNorm2d(4))
    after, before = nn.Sequential(conv(), norm()), nn.Sequential(norm(), conv())
    between = nn.Sequential(conv(), nn.ReLU(), norm())
    images = (1, 4, 8, 8)
    found = [prepared(record_of(net, images), 4, fusion) for net in (after, before, between)]
    assert [f.parameters for f in found] == [4 * (144 + 4), 4 * (144 + 8), 4 * (144 + 8)]
    assert [f.constants for f in found] == [0, 0, 0]


def test_densenet121_folds_what_can_be() -> None:
    """Only the scales of norms behind a convolution go: of one in each layer of a block, and of the first."""
    norms = [m for m in named("densenet121").modules if m.type == "BatchNorm2d"]
    behind = [m for m in norms if m.path.endswith((".norm2", "features.norm0"))]
    every = prepared_bytes(named("densenet121").modules, 4)
    gone = sum(4 * m.params[0].numel for m in behind)
    assert len(norms) == 121 and len(behind) == 59
    assert prepared(named("densenet121")).parameters == every - gone


class Adds(nn.Module):
    """A linear layer, and something that does not depend on the input."""

    def __init__(self, made: Callable[[Adds], Tensor]) -> None:
        super().__init__()
        self.layer, self.made = nn.Linear(100, 100), made
        self.register_buffer("places", torch.randn(1, 500, 100))
        self.register_buffer("unread", torch.randn(77, 100))
        self.register_buffer("which", torch.arange(40))
        self.table = nn.Parameter(torch.randn(60, 100))
        self.attribute = torch.randn(300, 100)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[None] + self.made(self)


LAYER, TABLE = 4 * 10_100, 4 * 6000


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda net: net.places[:, :1], (LAYER + TABLE, 4 * 500 * 100)),
        (lambda net: net.attribute[:1], (LAYER + TABLE, 4 * 300 * 100)),
        (lambda net: net.table[:1], (LAYER + TABLE, 0)),
        # Forty of sixty rows are all that is left of the table.
        (lambda net: net.table[net.which][:, None], (LAYER + 4 * 40 * 100, 0)),
        (lambda net: net.places * 2 + 1, (LAYER + TABLE, 4 * 500 * 100)),
        (lambda net: torch.zeros(50, 1, 100), (LAYER + TABLE, 0)),
        (lambda net: torch.full((9, 9), -1.0).triu(1)[:, :1, None], (LAYER + TABLE, 4 * 81)),
        # One number, which is all that a converter keeps of the sum.
        (lambda net: net.attribute.sum(), (LAYER + TABLE, 4)),
    ],
    ids="buffer attribute weight row_of_weights made_of_buffer fill mask number".split(),
)
def test_what_does_not_depend_on_the_input(
    made: Callable[[Adds], Tensor], expected: tuple[int, int]
) -> None:
    found = prepared(record_of(Adds(made), (1, 100)))
    assert (found.parameters, found.constants) == expected
    assert found.total == sum(expected)


def test_constants_in_other_formats() -> None:
    """Of 50,000 numbers; in 8 bits a vector would keep four bytes, and indices keep their own."""
    trace = record_of(Adds(lambda net: net.places), (1, 100))
    assert [prepared(trace, n).constants for n in (4, 2, 1)] == [200_000, 100_000, 50_000]
    looked_up = record_of(nn.Sequential(Looks()), (1, 40))
    assert [prepared(looked_up, n).constants for n in (4, 1)] == [8 * 40, 8 * 40]


class Looks(nn.Module):
    """Rearranges its input by a buffer of indices."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.arange(40).flip(0))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.order]


def test_weight_norm_leaves_the_product_alone() -> None:
    net = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 16, 3))
    found = prepared(record_of(net, (1, 3, 8, 8)))
    assert (found.parameters, found.constants) == (4 * (16 * 27 + 16), 0)


def test_a_norm_without_scale_keeps_its_statistics_as_one() -> None:
    alone = record_of(nn.BatchNorm2d(4, affine=False), (1, 4, 8, 8))
    assert prepared(alone).constants == 2 * 4 * 4
    behind = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False))
    assert prepared(record_of(behind, (1, 4, 8, 8))).constants == 0
