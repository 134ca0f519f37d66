"""Quantised layers: what they are by the shapes that their packed objects keep, and what these weigh."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

import cnnstat

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.ao.nn import quantized as nnq
    from torch.ao.nn.intrinsic import quantized as nniq
    from torch.ao.nn.quantized import dynamic as nnqd

pytestmark = pytest.mark.filterwarnings("ignore")


def _after_quantize(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nnq.Quantize(1.0, 0, torch.quint8), layer)


# MACs by hand: positions of the output · channels out · channels in of a group · kernel; transposed:
# positions of the input · channels in · channels out · kernel.
CONVOLUTIONS: list[tuple[Any, tuple[int, ...], str, int]] = [
    (lambda: nnq.Conv2d(8, 8, 3, groups=8), (1, 8, 9, 9), "depthwise", 7 * 7 * 8 * 9),
    (lambda: nnq.Conv2d(8, 6, 1), (1, 8, 5, 5), "pointwise", 25 * 6 * 8),
    (lambda: nnq.Conv2d(8, 8, 3, groups=2), (1, 8, 9, 9), "grouped", 49 * 8 * 4 * 9),
    (lambda: nnq.Conv1d(8, 8, 3, groups=8), (1, 8, 9), "depthwise", 7 * 8 * 3),
    (lambda: nnq.Conv1d(8, 4, 1), (1, 8, 9), "pointwise", 9 * 4 * 8),
    (lambda: nnq.Conv3d(4, 8, 3), (1, 4, 5, 5, 5), "standard", 27 * 8 * 4 * 27),
    (lambda: nniq.ConvReLU2d(4, 4, 3, groups=4), (1, 4, 5, 5), "depthwise", 9 * 4 * 9),
    (lambda: nnq.ConvTranspose2d(8, 4, 2, stride=2), (1, 8, 5, 5), "transposed", 25 * 8 * 4 * 4),
    (lambda: nnq.ConvTranspose1d(8, 4, 2), (1, 8, 5), "transposed", 5 * 8 * 4 * 2),
]


@pytest.mark.parametrize(("make", "shape", "kind", "macs"), CONVOLUTIONS)
def test_a_quantised_convolution_is_what_its_shapes_say(
    make: Any, shape: tuple[int, ...], kind: str, macs: int
) -> None:
    report = cnnstat.analyze(_after_quantize(make()), shape)
    layer = report.layer("1")
    assert (layer.kind, layer.work.macs) == (kind, macs)
    assert report.complete


@pytest.mark.parametrize(
    ("make", "shape", "kind", "macs"),
    [
        (lambda: nnqd.Conv2d(8, 8, 3, groups=8), (1, 8, 9, 9), "depthwise", 49 * 8 * 9),
        (lambda: nnqd.Linear(16, 4), (2, 16), "linear", 2 * 16 * 4),
    ],
)
def test_a_layer_quantised_while_it_runs_is_what_its_shapes_say(
    make: Any, shape: tuple[int, ...], kind: str, macs: int
) -> None:
    report = cnnstat.analyze(nn.Sequential(make()), shape)
    layer = report.layer("0")
    assert (layer.kind, layer.work.macs) == (kind, macs)


def test_packed_weights_are_params_of_their_layer_and_train_no_more() -> None:
    # 16·32 + 32 weights and biases, then 32·4 + 4: 544 and 132.
    network = nn.Sequential(nnqd.Linear(16, 32), nn.ReLU(), nnqd.Linear(32, 4))
    report = cnnstat.analyze(network, (1, 16))
    assert [(layer.path, layer.params) for layer in report.layers] == [
        *(("", 0), ("0", 544), ("1", 0), ("2", 132)),
    ]
    assert report.totals.trainable_params == 0


def test_matrices_of_a_packed_lstm_are_its_params() -> None:
    # Four gates of 5: 20·(4 + 5) weights and two biases of 20, of each of two directions.
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nnqd.LSTM(4, 5, bidirectional=True)

        def forward(self, x: torch.Tensor) -> Any:
            return self.lstm(x)[0]

    report = cnnstat.analyze(Net(), (7, 1, 4))
    assert report.layer("lstm").params == 2 * (20 * 9 + 40)
    assert [layer.path for layer in report.layers] == ["", "lstm"]


def test_packed_weights_are_in_the_memory_of_a_step() -> None:
    # 8 bits a weight, four bytes a bias: 16·32 + 32·4 bytes.
    memory = cnnstat.estimate_memory(nn.Sequential(nnqd.Linear(16, 32)), (1, 16))
    assert memory.eager.weights == 16 * 32 + 32 * 4


def test_a_plan_of_a_quantised_network_has_one_number_format() -> None:
    # Most are alive while the input is quantised: 256 elements are read, 256 written.
    network = _after_quantize(nnq.Conv2d(4, 4, 3))
    arenas = [
        cnnstat.estimate_memory(network, (1, 4, 8, 8), dtype=dtype).planned.plan.arena_bytes
        for dtype in ("fp32", "int8")
    ]
    assert arenas == [4 * 512, 512]
