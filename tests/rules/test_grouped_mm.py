"""A product of rows sorted by group, on meta in every type that a CPU runs."""

from __future__ import annotations

import pytest
import torch

from tests.rules.record import work_of

TYPES = [torch.bfloat16, torch.float32, torch.float16]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("a", "b", "groups", "macs"),
    [
        ((8, 16), (4, 16, 32), 4, 8 * 16 * 32),  # rows by expert
        ((4, 8, 16), (4, 16, 32), 0, 4 * 8 * 16 * 32),  # each with rows of its own
        ((4, 8, 16), (16, 32), 4, 8 * 16 * 32),  # columns by expert
        ((8, 16), (16, 32), 4, 8 * 16 * 32),  # the sum by expert, as in the weight's gradient
    ],
)
def test_macs(
    dtype: torch.dtype, a: tuple[int, ...], b: tuple[int, ...], groups: int, macs: int
) -> None:
    size = {4: 8, 0: 0}[groups]
    length = size if len(a) == 2 and len(b) == 3 else 32 if len(a) == 3 else 16
    offs = torch.arange(length // 4, length + 1, length // 4, dtype=torch.int32) if groups else None
    x, y = torch.zeros(a, dtype=dtype), torch.zeros(b, dtype=dtype)
    for path in ("meta", "cpu"):
        assert work_of(torch._grouped_mm, x, y, offs, path=path).macs == macs
