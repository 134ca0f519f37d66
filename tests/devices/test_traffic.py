"""Weights that operations are given in lists."""

from __future__ import annotations

import pytest
from torch import nn

from cnnstat import analyze
from cnnstat.devices.traffic import weight_bytes


@pytest.mark.parametrize(
    "net",
    [
        nn.LSTM(64, 512, 2, batch_first=True),
        nn.GRU(64, 32, bidirectional=True),
        nn.RNN(64, 32, bias=False),
    ],
    ids=lambda net: type(net).__name__,
)
def test_recurrent_layers_have_weights(net: nn.Module) -> None:
    report = analyze(nn.Sequential(net), (2, 10, 64))
    assert weight_bytes(report, 32) == sum(p.nbytes for p in net.parameters())


def test_what_is_concatenated_is_no_weight() -> None:
    report = analyze(nn.Sequential(nn.Linear(8, 8), nn.LSTM(8, 4)), (5, 2, 8))
    lstm = 4 * (4 * 4 * (8 + 4) + 2 * 4 * 4)
    assert weight_bytes(report, 32) == 4 * 72 + lstm
