"""Quantised elementwise operations, observers, fake-quantisation: by hand, an element at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cnnstat.report import Work
from tests.rules.record import work_of


def quantised() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.zeros(2, 3, 4, 4), 0.1, 0, torch.quint8)


N = 2 * 3 * 4 * 4
Q = torch.ops.quantized
CASES: list[tuple[str, Callable[[torch.Tensor], torch.Tensor], Work]] = [
    ("mul", lambda x: Q.mul(x, x, 0.1, 0), Work(muls=N)),
    ("mul_relu", lambda x: Q.mul_relu(x, x, 0.1, 0), Work(muls=N, compares=N)),
    ("mul_scalar", lambda x: Q.mul_scalar(x, 2.0), Work(muls=N)),
    ("add_scalar", lambda x: Q.add_scalar(x, 2.0), Work(adds=N)),
    ("hardswish", lambda x: Q.hardswish(x, 0.1, 0), Work(adds=N, muls=2 * N, compares=2 * N)),
    (
        "batch_norm2d_relu",
        lambda x: Q.batch_norm2d_relu(x, *(torch.ones(3),) * 4, 1e-5, 0.1, 0),
        Work(adds=N, muls=N, compares=N),
    ),
    # As layer norm with weight and bias: 4n additions, 3n products, a root for each of 2·3·4 rows.
    (
        "layer_norm",
        lambda x: Q.layer_norm(x, [4], torch.ones(4), torch.ones(4), 1e-5, 0.1, 0),
        Work(adds=4 * N, muls=3 * N, special=24),
    ),
    ("cat_relu", lambda x: Q.cat_relu([x, x], 0, 0.1, 0), Work(compares=2 * N)),
]


@pytest.mark.parametrize(("call", "work"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_as_the_real_operation(call: Callable[[torch.Tensor], torch.Tensor], work: Work) -> None:
    assert work_of(lambda: call(quantised()), path="cpu") == work


@pytest.mark.parametrize("path", ["cpu", "cpu, autograd"])
def test_fake_quantisation(path: str) -> None:
    """x/s, rounded, + z, clamped at both ends, − z, ·s: 1 division, 2 additions, 1 product, 3 comparisons."""
    work = work_of(
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255),
        torch.zeros(N),
        path=path,
    )
    assert work == Work(adds=2 * N, muls=N, compares=3 * N, special=N)


def test_a_fused_observer() -> None:
    """Beside the above, each element is compared with the least and the greatest value."""

    def call(x: torch.Tensor) -> torch.Tensor:
        on, low, high = torch.ones(1, dtype=torch.long), torch.zeros(1), torch.ones(1)
        scale, zero = torch.ones(1), torch.zeros(1, dtype=torch.int)
        return torch.fused_moving_avg_obs_fake_quant(
            x, on, on, low, high, scale, zero, 0.01, 0, 255, 0
        )

    work = work_of(call, torch.zeros(N), path="cpu")
    assert work == Work(adds=2 * N, muls=N, compares=5 * N, special=N)
