"""Sparse and nested tensors as inputs: run with their values, or refused in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import cnnstat
from cnnstat.errors import InputError, TraceError

SAMPLES = [torch.ones(2, 4), torch.ones(5, 4)]


@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
@pytest.mark.parametrize("verb", [cnnstat.analyze, cnnstat.estimate_memory])
@pytest.mark.filterwarnings("ignore")
def test_a_nested_tensor_is_refused_in_one_line(verb: Any, layout: torch.layout) -> None:
    nested = torch.nested.nested_tensor(SAMPLES, layout=layout)
    for given in (nested, (nested,), {"input": nested}):
        with pytest.raises(InputError, match="nested tensor") as caught:
            verb(nn.Linear(4, 3), given)
        assert caught.value.hint and "\n" not in caught.value.message


@pytest.mark.parametrize("make", [torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr])
@pytest.mark.filterwarnings("ignore")
def test_a_sparse_tensor_runs_with_its_values(make: Any) -> None:
    given = make(torch.eye(4))
    report = cnnstat.analyze(nn.Linear(4, 3), (given,))
    assert report.meta["engine"] == "cpu"
    assert report.totals.params == 15
    assert report.totals.macs == 4 * 3  # each of 4 elements held meets 3 outputs
    with pytest.raises(TraceError, match="an input is sparse"):
        cnnstat.analyze(nn.Linear(4, 3), (given,), engine="meta")


def test_a_model_that_declares_a_sparse_input_is_fed_it() -> None:
    """Its own shape alone would be a dense one: 4·3 products for the elements held, not 16·3."""
    module = nn.Linear(4, 3)
    module.example_input_array = torch.eye(4).to_sparse()  # type: ignore[assignment]
    assert cnnstat.analyze(module).totals.macs == 12
