"""Where cnnstat's own total is no more than a lower bound, or is in doubt: nothing vouches for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from cnnstat.opinions.crosscheck import crosscheck


@pytest.fixture
def gap() -> Iterator[nn.Module]:
    """A linear layer of 2·8·8 MACs, and a product for which nobody has a rule."""
    library = torch.library.Library("crosscheck_gap", "DEF")
    library.define("product(Tensor x, Tensor w) -> Tensor")
    library.impl("product", lambda x, w: x @ w, "CPU")
    library.impl("product", lambda x, w: x.new_empty(x.shape[0], w.shape[1]), "Meta")

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.crosscheck_gap.product(x, self.weight)

    yield nn.Sequential(nn.Linear(8, 8), Product())
    library._destroy()


def test_what_nobody_counts_is_not_vouched_for(gap: nn.Module) -> None:
    check = crosscheck(gap, (2, 8))
    assert check.report.totals.macs == 128
    assert not check.agrees
    assert check.unexplained == ()
    assert [item.explained for item in check.checks] == [True, True]
    assert [item.uncounted for item in check.checks] == [("crosscheck_gap.product",)] * 2
    # Nothing is gained by a second run: both engines were asked once, without weights.
    assert [opinion.how for opinion in check.opinions] == ["meta", "meta"]
    document = check.to_dict()
    assert document["complete"] is False
    assert document["uncounted"] == [{"op": "crosscheck_gap.product", "layer": "1", "count": 1}]
    assert [opinion["agrees"] for opinion in document["opinions"]] == [False, False]
    frame = check.to_frame()
    rows = frame[frame.kind == "uncounted"]
    assert list(rows.engine) == ["fvcore", "flop-counter", "cnnstat"]
    assert set(rows.op) == {"crosscheck_gap.product"} and rows.amount.isna().all()
    assert frame[frame.engine == "fvcore"].theirs.sum() == 128


def test_a_module_whose_name_has_a_dot_does_not_agree_by_mistake() -> None:
    class Dotted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Sequential()
            self.a.b = nn.Linear(8, 8)
            setattr(self, "a.b", nn.Linear(8, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return getattr(self, "a.b")(self.a.b(x))

    check = crosscheck(Dotted(), (2, 8), engines=["flop-counter"])
    assert check.check("flop-counter").ours == check.report.totals.macs
    assert check.check("flop-counter").theirs == 2 * (2 * 8 * 8 + 2 * 8 * 4)
    assert check.agrees == (check.report.totals.macs == 192)
