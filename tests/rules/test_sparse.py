"""Sparse products beside a loop over the elements that are held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import cnnstat

PATTERN = torch.tensor([[0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 4.0]])
"""3×4 with 4 elements held."""
LAYOUTS = {
    "coo": PATTERN.to_sparse(),
    "csr": PATTERN.to_sparse_csr(),
    "csc": PATTERN.to_sparse_csc(),
}


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any], sparse: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("sparse", sparse)

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(self.sparse, *tensors)


def report(
    function: Callable[..., Any], sparse: torch.Tensor, *shapes: tuple[int, ...], **options: Any
) -> Any:
    return cnnstat.analyze(Calls(function, sparse), shapes, **options)


def looped(columns: int) -> int:
    """Products of PATTERN with a 4×columns matrix."""
    return sum(1 for row in PATTERN.tolist() for element in row if element for _ in range(columns))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_by_a_dense_matrix(layout: str) -> None:
    found = report(torch.matmul, LAYOUTS[layout], (4, 5))
    assert not found.uncounted
    assert found.totals.macs == looped(5) == 20


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_added_and_by_a_vector(layout: str) -> None:
    def added(sparse: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.addmm(y, sparse, x)

    totals = report(added, LAYOUTS[layout], (4, 5), (3, 5)).totals
    assert (totals.macs, totals.flops) == (20, 2 * 20 + 15)
    assert report(torch.mv, LAYOUTS[layout], (4,)).totals.macs == looped(1) == 4


def test_torch_sparse_mm_adds_nothing() -> None:
    totals = report(torch.sparse.mm, LAYOUTS["coo"], (4, 5)).totals
    assert (totals.macs, totals.flops) == (20, 40)


def test_a_dense_matrix_by_it_and_a_linear_layer() -> None:
    """Each of 2 rows meets every element that is held."""
    csr = LAYOUTS["csr"]
    assert report(lambda a, x: x @ a, csr, (2, 3)).totals.macs == 2 * 4
    assert report(lambda a, x: nn.functional.linear(x, a), csr, (2, 4)).totals.macs == 2 * 4


def test_the_bias_of_a_linear_layer_that_is_fed_it() -> None:
    """4 elements held meet 2 outputs each; 3·2 outputs have a bias."""
    totals = cnnstat.analyze(nn.Linear(4, 2), (LAYOUTS["csr"],)).totals
    assert (totals.macs, totals.flops) == (8, 16 + 6)


def test_products_at_the_places_of_a_pattern() -> None:
    """4 dot products of length 6, and 4 additions."""
    totals = report(torch.sparse.sampled_addmm, LAYOUTS["csr"], (3, 6), (6, 4)).totals
    assert (totals.macs, totals.flops) == (4 * 6, 2 * 4 * 6 + 4)


def test_elements_that_are_not_held_are_not_worked_on() -> None:
    def doubled(sparse: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (sparse * 2.0).to_dense() + x

    assert report(doubled, LAYOUTS["coo"], (3, 4)).totals.flops == 4 + 12


def test_what_is_made_sparse_on_the_way_is_counted_with_its_values() -> None:
    """All 12 of the random elements are held."""

    def made(_: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.sparse.mm(x.to_sparse(), y)

    found = report(made, LAYOUTS["coo"], (3, 4), (4, 2))
    assert found.meta["engine"] == "cpu"
    assert found.totals.macs == 12 * 2


def test_two_sparse_matrices_are_said_to_be_unknown() -> None:
    def squared(sparse: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.sparse.mm(sparse, sparse.t()).to_dense() + x

    found = report(squared, LAYOUTS["coo"], (3, 3))
    assert not found.complete and found.uncounted


def test_it_is_written_and_read_again() -> None:
    found = report(torch.matmul, LAYOUTS["csr"], (4, 5))
    assert cnnstat.Report.from_json(found.to_json()) == found
    assert '"nonzeros": 4' in found.to_json()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_their_memory_is_not_known_and_said_so(layout: str) -> None:
    from cnnstat.errors import TraceError

    module = Calls(torch.matmul, LAYOUTS[layout])
    with pytest.raises(TraceError, match="memory of sparse tensors is not estimated"):
        cnnstat.estimate_memory(module, (4, 5))
