"""Whose work is whose: checkpoints, lists of parameters, weights that no module registers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import cnnstat


class Checkpointed(nn.Module):
    """A convolution, and a block of one that is computed again in backward."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.stem = nn.Conv2d(2, 4, 1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.block, self.stem(x), use_reentrant=self.reentrant).sum()


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_computes_again_stands_under_its_layer(reentrant: bool) -> None:
    # 25 positions: the block's 4·4 run twice forward and for two gradients; the stem's 2·4 once, and for
    # one, since the image wants none. Outputs of convolutions: 4·25 of each.
    report = cnnstat.analyze(Checkpointed(reentrant), (1, 2, 5, 5), train=True, backward=True)
    assert report.layer("").macs == 0
    assert report.layer("block.0").macs == 4 * 25 * 16
    assert report.layer("stem").macs == 2 * 25 * 8
    assert report.layer("block.0").calls == 1
    assert report.totals.activations == 2 * 100


class Listed(nn.Module):
    """Weights in a list and a dictionary of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.ParameterList(
            [nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(5, 3))]
        )
        self.more = nn.ParameterDict({"last": nn.Parameter(torch.ones(2, 5))})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight in (*self.all, self.more["last"]):
            x = nn.functional.linear(x, weight)
        return x


def test_lists_of_parameters_are_no_layers() -> None:
    report = cnnstat.analyze(Listed(), (1, 4))
    assert [layer.path for layer in report.layers] == [""]
    assert report.layer("").params == 12 + 15 + 10
    assert "all.0" in report.layer("").weights


class Plain(nn.Module):
    """Two of three layers in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.rest = [nn.Linear(4, 4), nn.Linear(4, 4)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest[1](self.rest[0](self.first(x)))


def test_weights_that_are_not_registered_are_named_with_their_number() -> None:
    report = cnnstat.analyze(Plain(), (1, 4))
    assert (report.totals.macs, report.totals.params) == (3 * 16, 20)
    (note,) = [note for note in report.notes if note.kind == "unregistered"]
    assert note.text.startswith("40 weights are used and not registered")  # 2·(16 + 4)


def test_a_network_whose_weights_are_all_registered_has_no_such_note() -> None:
    report = cnnstat.analyze(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), (1, 4))
    assert "unregistered" not in [note.kind for note in report.notes]


class Scripted(nn.Module):
    """A convolution in front of a network that is compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 1)
        self.compiled = torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.compiled(self.first(x))
        return result


def test_work_of_a_scripted_layer_stands_under_it() -> None:
    # 3·3 positions of 4·4·9 products; it ran, and is the one convolution in there.
    report = cnnstat.analyze(Scripted(), (1, 2, 5, 5))
    layer = report.layer("compiled.0")
    assert (layer.macs, layer.calls, layer.kind) == (9 * 144, 1, "standard")
    assert report.layer("compiled").macs == 0
    assert report.kinds["standard"].layers == 1
