import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnstat.report import Work
from tests.rules.record import count_op, same_on_every_path, spec


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout(0.5), (3, 4)),
        (nn.Dropout(0.5, inplace=True), (3, 4)),
        (nn.Dropout1d(0.5), (3, 4, 2)),
        (nn.Dropout2d(0.5), (3, 4, 2, 2)),
        (nn.Dropout3d(0.5), (3, 4, 2, 2, 2)),
        (nn.AlphaDropout(0.5), (3, 4)),
        (nn.FeatureAlphaDropout(0.5), (3, 4, 2)),
    ],
    ids=str,
)
def test_the_network_has_no_dropout(layer, shape, train):
    assert same_on_every_path(layer.train(train), torch.rand(shape)) == Work()


def test_what_is_around_it_counts():
    def around(x):
        return F.dropout(x + 1, 0.5) * 2

    assert same_on_every_path(around, torch.rand(3, 4)) == Work(adds=12, muls=12)


def test_the_kernel_of_other_devices():
    args = {"input": spec(3, 4), "p": 0.5, "train": True}
    assert count_op("aten.native_dropout", (spec(3, 4), spec(3, 4)), **args) == Work()
