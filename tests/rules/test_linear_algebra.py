"""Factorisations beside the loops of a textbook, each operation of the innermost line counted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import cnnstat
from cnnstat.report import Work
from tests.rules import record


def work_of(function: Callable[..., Any], *tensors: torch.Tensor, path: str = "") -> Work:
    """On every path, or on one: torch has no other for some, and finds vectors where gradients need them."""
    if path:
        work = record.work_of(function, *tensors, path=path)
    else:
        work = record.same_on_every_path(function, *tensors)
    assert not work.macs, "no MAC of the network"
    assert not work.activations
    return work


def dominant(*shape: int) -> torch.Tensor:
    return torch.rand(shape) + 9 * torch.eye(shape[-2], shape[-1])


def definite(n: int) -> torch.Tensor:
    return torch.ones(n, n) + 9 * torch.eye(n)


# ---- exact: elimination and what follows from it. A pair is a product that is subtracted.


def eliminate(rows: int, columns: int) -> tuple[int, int]:
    """Pairs and divisions of Gaussian elimination."""
    pairs = divisions = 0
    for k in range(min(rows, columns)):
        for _row in range(k + 1, rows):
            divisions += 1
            for _column in range(k + 1, columns):
                pairs += 1
    return pairs, divisions


def forward(n: int, first: int = 0) -> int:
    """Pairs of a substitution with ones on the diagonal, where the right-hand side begins with zeros."""
    return sum(1 for row in range(first, n) for _ in range(first, row))


def backward(n: int) -> tuple[int, int]:
    """Pairs and divisions of a substitution from below."""
    return sum(1 for row in range(n) for _ in range(row + 1, n)), n


def expected(pairs: int, special: int) -> Work:
    return Work(adds=pairs, muls=pairs, special=special)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_solving(n: int) -> None:
    pairs, divisions = eliminate(n, n)
    below, each = backward(n)
    work = work_of(torch.linalg.solve, dominant(n, n), torch.rand(n, 3))
    assert work == expected(pairs + 3 * (forward(n) + below), divisions + 3 * each)
    work = work_of(torch.linalg.inv, dominant(2, n, n))
    of_identity = sum(forward(n, first=column) + below for column in range(n))
    assert work == expected(2 * (pairs + of_identity), 2 * (divisions + n * each))
    work = work_of(torch.linalg.det, dominant(n, n))
    assert work == expected(pairs, divisions) + Work(muls=n)
    factors, pivots = torch.linalg.lu_factor(dominant(n, n))
    work = work_of(torch.linalg.lu_solve, factors, pivots, torch.rand(n, 2))
    assert work == expected(2 * (forward(n) + below), 2 * each)


def test_an_inverse_is_two_n_cubed() -> None:
    """Its leading term."""
    flops = work_of(torch.linalg.inv, dominant(100, 100)).flops
    assert flops == pytest.approx(2 * 100**3, rel=0.02)


@pytest.mark.parametrize(("rows", "columns"), [(5, 3), (3, 5), (4, 4)])
def test_lu(rows: int, columns: int) -> None:
    assert work_of(torch.linalg.lu_factor, dominant(rows, columns)) == expected(
        *eliminate(rows, columns)
    )


@pytest.mark.parametrize("unit", [False, True])
def test_a_triangular_system(unit: bool) -> None:
    def run(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.linalg.solve_triangular(a, b, upper=True, unitriangular=unit)

    below, each = backward(6)
    work = work_of(run, dominant(2, 6, 6).triu(), torch.rand(2, 6, 3))
    assert work == expected(6 * below, 0 if unit else 6 * each)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_cholesky(n: int) -> None:
    pairs = divisions = roots = 0
    for column in range(n):
        roots += 1
        for row in range(column + 1, n):
            divisions += 1
            for _ in range(column + 1, row + 1):  # the lower half of what is left
                pairs += 1
    assert work_of(torch.linalg.cholesky, definite(n)) == expected(pairs, divisions + roots)
    below, each = backward(n)
    work = work_of(lambda b, a: torch.cholesky_solve(b, a), torch.rand(n, 2), definite(n).tril())
    assert work == expected(2 * 2 * below, 2 * 2 * each)
    factored = work_of(lambda a: torch.linalg.ldl_factor(a).LD, definite(n))
    assert factored == expected(pairs, divisions)


# ---- leading terms: the loops tend to the formula as the matrix grows.


def assert_tends(
    formula: Callable[[int], int], loop: Callable[[int], int], sizes: Any = (8, 32, 64)
) -> None:
    """The difference becomes smaller as the matrix grows, as a term of lower order does."""
    off = [abs(formula(n) / loop(n) - 1) for n in sizes]
    assert off[0] > off[1] > off[2] and off[2] < 0.1, off


def reflected(m: int, columns: Callable[[int], int], k: int) -> int:
    """FLOPs of k reflections, each applied to the columns that it still meets."""
    flops = 0
    for j in range(k):
        for _column in range(columns(j)):
            flops += 2 * (m - j)  # the product with the vector
            flops += 2 * (m - j)  # and a multiple of it subtracted
    return flops


def shaped(function: Callable[..., Any], *shapes: tuple[int, int], path: str = "") -> int:
    return work_of(function, *(torch.rand(*shape) for shape in shapes), path=path).flops


@pytest.mark.parametrize("wide", [False, True])
def test_qr(wide: bool) -> None:
    def shape(n: int) -> tuple[int, int]:
        return (n, 2 * n) if wide else (2 * n, n)

    def triangle(n: int) -> int:
        m, columns = shape(n)
        return reflected(m, lambda j: columns - j - 1, min(m, columns))

    def with_columns(n: int, count: int) -> int:
        return triangle(n) + reflected(shape(n)[0], lambda j: count - j, min(shape(n)))

    assert_tends(lambda n: shaped(lambda a: torch.linalg.qr(a, mode="r").R, shape(n)), triangle)
    assert_tends(
        lambda n: shaped(torch.linalg.qr, shape(n)), lambda n: with_columns(n, min(shape(n)))
    )
    assert_tends(
        lambda n: shaped(lambda a: torch.linalg.qr(a, mode="complete"), shape(n)),
        lambda n: with_columns(n, shape(n)[0]),
    )


def test_products_of_reflections() -> None:
    def written_out(a: torch.Tensor) -> torch.Tensor:
        return torch.linalg.householder_product(a, a[0, : a.shape[1] // 2])

    assert_tends(
        lambda n: shaped(written_out, (3 * n, 2 * n)),
        lambda n: reflected(3 * n, lambda j: 2 * n - j, n),
    )
    assert_tends(
        lambda n: shaped(lambda a, c: torch.ormqr(a, a[0], c), (3 * n, n), (3 * n, 5)),
        lambda n: reflected(3 * n, lambda j: 5, n),
    )


def test_least_squares() -> None:
    """QR, Qᵀ·b and a substitution, for 7 right-hand sides."""
    assert_tends(
        lambda n: shaped(
            lambda a, b: torch.linalg.lstsq(a, b).solution, (2 * n, n), (2 * n, 7), path="cpu"
        ),
        lambda n: (
            reflected(2 * n, lambda j: n - j - 1, n)
            + reflected(2 * n, lambda j: 7, n)
            + 7 * 2 * backward(n)[0]
        ),
    )


def bidiagonal(m: int, n: int) -> int:
    """FLOPs to make a matrix bidiagonal, by reflections from both sides."""
    flops = 0
    for j in range(n):
        flops += 4 * (m - j) * (n - j - 1)
        flops += 4 * (m - j - 1) * (n - j - 1)
    return flops


def tridiagonal(n: int) -> int:
    """Of a symmetric one: a product with a vector, and a half of an update of rank two."""
    return sum(2 * (n - j) ** 2 + 2 * (n - j) ** 2 for j in range(1, n))


def sweeps(n: int, rows: int) -> int:
    """Two sweeps for each value, of a rotation for each place, applied to two columns: six FLOPs a row."""
    return sum(2 * 6 * rows for value in range(n) for _ in range(value))


def test_singular_values() -> None:
    assert_tends(
        lambda n: shaped(torch.linalg.svdvals, (2 * n, n), path="meta"),
        lambda n: bidiagonal(2 * n, n),
    )
    assert_tends(
        lambda n: shaped(torch.linalg.svdvals, (n, 2 * n), path="cpu"),
        lambda n: bidiagonal(2 * n, n),
    )


@pytest.mark.parametrize(("full", "columns"), [(False, 1), (True, 2)])
def test_singular_vectors(full: bool, columns: int) -> None:
    """The book's table says 14mn² + 8n³ and 4m²n + 8mn² + 9n³; the loops come to a little less, because it
    lets a sweep cost more than the rotations alone."""
    n, m = 64, 128
    loops = (
        bidiagonal(m, n)
        + reflected(m, lambda j: columns * n - j, n)
        + reflected(n, lambda j: n - j, n)
        + sweeps(n, m + n)
    )
    found = shaped(lambda a: torch.linalg.svd(a, full_matrices=full), (m, n))
    table = 4 * m * m * n + 8 * m * n * n + 9 * n**3 if full else 14 * m * n * n + 8 * n**3
    assert found == table
    assert loops < found < 1.25 * loops


def test_symmetric_eigenvalues() -> None:
    """And vectors: the book's 9n³, beside the reflections written out and the sweeps."""
    n = 64
    assert_tends(
        lambda n: work_of(torch.linalg.eigvalsh, definite(n), path="meta").flops, tridiagonal
    )
    loops = tridiagonal(n) + reflected(n, lambda j: n - j, n) + sweeps(n, n)
    assert work_of(torch.linalg.eigh, definite(n)).flops == 9 * n**3
    assert 9 * n**3 == pytest.approx(loops, rel=0.06)


def test_eigenvalues() -> None:
    """A Hessenberg matrix takes 10n³/3; a step of Francis 10k² on the k rows that are left, or with vectors
    10nk on the matrix and again on the vectors; two of them for each value."""
    n = 64
    hessenberg = (
        sum(4 * (n - j) * (n - j) + 4 * n * (n - j) for j in range(1, n))
        - 2 * n**3 // 3
        + n**3 // 3
    )
    values = hessenberg + sum(2 * 10 * k**2 for k in range(n))
    vectors = hessenberg + 4 * n**3 // 3 + sum(2 * (10 * n * k + 10 * n * k) for k in range(n))
    assert work_of(torch.linalg.eigvals, dominant(n, n), path="meta").flops == 10 * n**3
    assert work_of(torch.linalg.eig, dominant(n, n)).flops == 25 * n**3
    assert 10 * n**3 == pytest.approx(values, rel=0.06)
    assert 25 * n**3 == pytest.approx(vectors, rel=0.06)


def test_a_matrix_exponential() -> None:
    """Six terms of a series, the first of which is the matrix itself, then A·X = B for n columns."""
    n = 32
    products = sum(2 * n * n * n for _ in range(2, 7))
    pairs, divisions = eliminate(n, n)
    solving = 2 * (pairs + n * (forward(n) + backward(n)[0])) + divisions + n * n
    found = work_of(torch.linalg.matrix_exp, dominant(n, n)).flops
    assert found == pytest.approx(products + solving, rel=0.02)


def test_complex_matrices_take_four_times_as_much() -> None:
    a = definite(6)
    real, complex_ = (work_of(torch.linalg.qr, x).flops for x in (a, a.to(torch.complex64)))
    assert complex_ == 4 * real


def test_a_short_time_fourier_transform() -> None:
    """1 + 32/2 frames of 8: a product with the window each, and half of 5·8·log2 8."""

    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stft(x, 8, window=torch.hann_window(8), return_complex=True)

    assert cnnstat.analyze(Spectrum(), (1, 32)).totals.flops == 17 * (8 + 5 * 8 * 3 // 2)


# ---- marked


class Whitening(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.cholesky(x @ x.mT + torch.eye(4)).relu()


def test_an_estimate_is_marked_in_every_format() -> None:
    """4 columns: 10 pairs, 6 divisions and 4 roots are 30 of all FLOPs."""
    report = cnnstat.analyze(Whitening(), (4, 5))
    assert report.totals.estimated_flops == 30
    from cnnstat.render.base import View, renderer

    for name in ("table", "markdown", "html", "latex", "json"):
        text = renderer(name).render(report, View())
        assert "30 FLOPs are estimated" in " ".join(text.split()), name
    rows = list(csv.DictReader(io.StringIO(renderer("csv").render(report, View()))))
    assert sum(int(row["estimated_flops"]) for row in rows) == 30
    document = json.loads(report.to_json())
    assert document["totals"]["estimated_flops"] == 30
    assert cnnstat.Report.from_json(report.to_json()) == report


def test_what_is_no_estimate_is_not_marked() -> None:
    report = cnnstat.analyze(nn.Linear(4, 3), (1, 4))
    assert "estimated" not in report.to_json()
