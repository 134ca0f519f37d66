"""Factorisations of matrices, what is solved with them, and functions of matrices.

Letters: an m×n matrix, b of them, k = min(m, n), r right-hand sides. Counts are those of Golub & Van Loan,
*Matrix Computations*, 4th edition, for the variant that runs; a multiplication and an addition there are two
FLOPs, and none of them is a MAC of the network. What a library's blocked kernel runs may be a few per cent
more, and an iteration takes as many steps as the values ask for: all of this is estimated. On complex
matrices every product and every sum is one of complex numbers, which makes four times the FLOPs.
"""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import Count, counts, elements, times

_GVL = "Golub & Van Loan, Matrix Computations (4th edition), section "


def _size(call: OpCall, place: int = 0) -> tuple[int, int, int]:
    """b, m and n of a matrix argument."""
    shape = call.inputs[place].shape
    return elements(shape[:-2]), shape[-2], shape[-1]


def _flops(flops: int) -> Work:
    """Half products, half additions."""
    return Work(adds=flops // 2, muls=flops - flops // 2)


def _steps(pairs: int, divisions: int = 0) -> Work:
    """So many products that are added or subtracted, and divisions or roots."""
    return Work(adds=pairs, muls=pairs, special=divisions)


def _rule(ops: str, formula: str, section: str, name: str, count: Count) -> None:
    counts(
        *(f"aten.{op}" for op in ops.split()),
        family="matmul",
        formula=formula,
        source=_GVL + section,
        name=name,
        estimated=True,
    )(count)


# ---- elimination


def lu(m: int, n: int) -> Work:
    """Step j divides what is below the pivot and updates what is right of that."""
    steps = [(m - j, n - j) for j in range(1, min(m, n) + 1)]
    return _steps(sum(rows * columns for rows, columns in steps), sum(rows for rows, _ in steps))


def substitution(n: int, unit: bool = False) -> Work:
    """One triangular system: n(n − 1)/2 steps, and n divisions unless the diagonal is one."""
    return _steps(n * (n - 1) // 2, 0 if unit else n)


def solved(n: int) -> Work:
    """One right-hand side, once the matrix is factored."""
    return substitution(n, unit=True) + substitution(n)


def inverted(n: int) -> Work:
    """The columns of the identity begin with zeros, which the first substitution leaves out."""
    forward = sum(j * (j - 1) // 2 for j in range(1, n + 1))
    return lu(n, n) + _steps(forward) + times(n, substitution(n))


def _factor(call: OpCall) -> Work:
    """L·U = P·A."""
    b, m, n = _size(call)
    return times(b, lu(m, n))


def _determinant(call: OpCall) -> Work:
    """The product of the pivots, or the sum of their logarithms."""
    b, m, n = _size(call)
    last = Work(special=n, adds=n) if "slog" in call.op else Work(muls=n)
    return times(b, lu(m, n) + last)


def _solve(call: OpCall) -> Work:
    """A·X = B."""
    b, _, n = _size(call)
    return times(b, lu(n, n)) + times(call.output.numel // max(n, 1), solved(n))


def _lu_solve(call: OpCall) -> Work:
    """A·X = B by a factorisation that is there."""
    n = call.inputs[0].shape[-1]
    return times(call.output.numel // max(n, 1), solved(n))


def _inverse(call: OpCall) -> Work:
    """A⁻¹."""
    b, _, n = _size(call)
    return times(b, inverted(n))


def _triangular(call: OpCall) -> Work:
    """T·X = B; of `triangular_solve` the matrix is the second argument."""
    old = call.op.endswith("triangular_solve") and "linalg" not in call.op
    n = call.inputs[1 if old else 0].shape[-1]
    unit = bool(call.get("unitriangular", False))
    return times(call.output.numel // max(n, 1), substitution(n, unit))


_rule(
    "linalg_lu_factor_ex linalg_lu _lu_with_info",
    "n(n − 1)(2n − 1)/3 FLOPs and n(n − 1)/2 divisions a square matrix: 2n³/3",
    "3.2: Gaussian elimination",
    "lu",
    _factor,
)
_rule("_linalg_det _linalg_slogdet", "as lu, and n", "3.2", "determinant", _determinant)
_rule(
    "_linalg_solve_ex",
    "as lu, and 2n(n − 1) FLOPs and n divisions for each right-hand side",
    "3.1 and 3.2",
    "solve",
    _solve,
)
_rule("linalg_lu_solve", "2n(n − 1) FLOPs and n divisions each", "3.1", "lu_solve", _lu_solve)
_rule("linalg_inv_ex", "2n³ FLOPs", "3.1 and 3.2: the columns of the identity", "inverse", _inverse)
_rule(
    "linalg_solve_triangular triangular_solve",
    "n(n − 1) FLOPs and n divisions for each right-hand side",
    "3.1",
    "triangular_solve",
    _triangular,
)


# ---- symmetric matrices


def cholesky(n: int) -> Work:
    """A = L·Lᵀ: half of what elimination takes."""
    return _steps((n - 1) * n * (n + 1) // 6, n * (n + 1) // 2)


def _cholesky(call: OpCall) -> Work:
    """A = L·Lᵀ."""
    b, _, n = _size(call)
    return times(b, cholesky(n))


def _cholesky_solve(call: OpCall) -> Work:
    """L·(Lᵀ·X) = B: two substitutions."""
    n = call.inputs[1].shape[-1]
    return times(2 * (call.output.numel // max(n, 1)), substitution(n))


def _cholesky_inverse(call: OpCall) -> Work:
    """L⁻¹ column by column, and half of L⁻ᵀ·L⁻¹."""
    b, _, n = _size(call)
    triangle = sum(j * (j - 1) // 2 for j in range(1, n + 1))
    product = sum(j * (n - j + 1) for j in range(1, n + 1))
    return times(b, _steps(triangle + product, n * (n + 1) // 2))


def _ldl(call: OpCall) -> Work:
    """A = L·D·Lᵀ."""
    b, _, n = _size(call)
    return times(b, _steps((n - 1) * n * (n + 1) // 6, n * (n - 1) // 2))


def _ldl_solve(call: OpCall) -> Work:
    """Two substitutions, and a division by each element of D."""
    n = call.inputs[0].shape[-1]
    right = call.output.numel // max(n, 1)
    return times(right, times(2, substitution(n, unit=True)) + Work(special=n))


_rule(
    "linalg_cholesky_ex cholesky",
    "(n − 1)n(n + 1)/3 FLOPs, n(n − 1)/2 divisions and n roots a matrix: n³/3",
    "4.2",
    "cholesky",
    _cholesky,
)
_rule("cholesky_solve", "2n² FLOPs each", "4.2", "cholesky_solve", _cholesky_solve)
_rule("cholesky_inverse", "2n³/3 FLOPs", "4.2 and 3.1", "cholesky_inverse", _cholesky_inverse)
_rule("linalg_ldl_factor_ex", "n³/3 FLOPs", "4.4: of a symmetric matrix", "ldl", _ldl)
_rule("linalg_ldl_solve", "2n² FLOPs each", "4.4", "ldl_solve", _ldl_solve)


# ---- orthogonal matrices


def qr(m: int, n: int) -> int:
    """FLOPs of R by k reflections: 2n²(m − n/3) where m ≥ n."""
    long, short = max(m, n), min(m, n)
    return 2 * short**2 * long - 2 * short**3 // 3


def reflections(m: int, n: int, k: int) -> int:
    """FLOPs to write out n columns of an m×m matrix that is a product of k reflections."""
    return 4 * m * n * k - 2 * (m + n) * k**2 + 4 * k**3 // 3


def _qr(call: OpCall) -> Work:
    """Q·R = A: Q of k columns, of m where it is complete, or none."""
    b, m, n = _size(call)
    k, mode = min(m, n), call.get("mode", "reduced")
    columns = {"reduced": k, "complete": m, "r": 0}[mode]
    return times(b, _flops(qr(m, n) + (reflections(m, columns, k) if columns else 0)))


def _geqrf(call: OpCall) -> Work:
    """R, and the reflections."""
    b, m, n = _size(call)
    return times(b, _flops(qr(m, n)))


def _householder_product(call: OpCall) -> Work:
    """The first n columns of Q."""
    b, m, n = _size(call)
    return times(b, _flops(reflections(m, n, call.inputs[1].shape[-1])))


def _ormqr(call: OpCall) -> Work:
    """Q·C or C·Q, without writing Q out."""
    k, (b, m, n) = call.inputs[1].shape[-1], _size(call, 2)
    across, along = (n, m) if call.get("left", True) else (m, n)
    return times(b, _flops(4 * along * across * k - 2 * across * k**2))


def _least_squares(call: OpCall) -> Work:
    """min ‖A·X − B‖ by QR: R, Qᵀ·B and a substitution; by the SVD where the driver says so."""
    b, m, n = _size(call)
    k, shape = min(m, n), call.inputs[1].shape
    right = elements(shape) // max(m * b, 1)
    if call.get("driver", "gelsy") in ("gelsd", "gelss"):
        return times(b, _flops(svd(m, n, "thin") + 2 * right * k * (m + n)))
    applied = _flops(qr(m, n) + right * (4 * m * k - 2 * k**2))
    return times(b, applied + times(right, substitution(k)))


_rule(
    "linalg_qr",
    "2n²(m − n/3) FLOPs for R; as many again for n columns of Q, 4(m²n − mn² + n³/3) for all m",
    "5.1.6 and 5.2.1: Householder reflections",
    "qr",
    _qr,
)
_rule("geqrf", "2n²(m − n/3) FLOPs", "5.2.1", "geqrf", _geqrf)
_rule(
    "linalg_householder_product orgqr",
    "4mnk − 2(m + n)k² + 4k³/3 FLOPs",
    "5.1.6",
    "householder_product",
    _householder_product,
)
_rule("ormqr", "4mnk − 2nk² FLOPs", "5.1.6", "ormqr", _ormqr)
_rule(
    "linalg_lstsq",
    "2n²(m − n/3) FLOPs, and 4mn − 2n² and n² for each right-hand side",
    "5.3.2",
    "least_squares",
    _least_squares,
)


# ---- values and vectors


def svd(m: int, n: int, vectors: str = "") -> int:
    """FLOPs of the Golub–Reinsch algorithm; `vectors`: none, `"thin"` or `"full"`."""
    m, n = max(m, n), min(m, n)
    if vectors == "thin":
        return 14 * m * n**2 + 8 * n**3
    if vectors == "full":
        return 4 * m**2 * n + 8 * m * n**2 + 9 * n**3
    return 4 * m * n**2 - 4 * n**3 // 3


def _svd(call: OpCall) -> Work:
    """U·S·Vᵀ = A."""
    b, m, n = _size(call)
    vectors = "full" if call.get("full_matrices", False) else "thin"
    if call.op == "aten.linalg_svdvals" or call.args.get("compute_uv") is False:
        vectors = ""
    return times(b, _flops(svd(m, n, vectors)))


def _eigh(call: OpCall) -> Work:
    """Of a symmetric matrix: to a tridiagonal one, then QR steps."""
    b, _, n = _size(call)
    values = call.op == "aten.linalg_eigvalsh" or call.args.get("compute_v") is False
    return times(b, _flops(4 * n**3 // 3 if values else 9 * n**3))


def _eig(call: OpCall) -> Work:
    """Of any square matrix: to a Hessenberg one, then QR steps."""
    b, _, n = _size(call)
    return times(b, _flops((10 if "eigvals" in call.op else 25) * n**3))


def _pinv(call: OpCall) -> Work:
    """V·S⁻¹·Uᵀ; of a symmetric matrix by its eigenvectors."""
    b, m, n = _size(call)
    k = min(m, n)
    found = 9 * n**3 if call.get("hermitian", False) else svd(m, n, "thin")
    return times(b, _flops(found + 2 * m * n * k) + Work(muls=n * k, special=k))


def _exponential(call: OpCall) -> Work:
    """Scaling and squaring with the Padé approximant of degree 6, of a matrix of norm up to ½.

    Each doubling of the norm is one more squaring, 2n³; the norm is a value, and not known.
    """
    b, _, n = _size(call)
    return times(b, _flops((2 * 6 * 3 + 2) * n**3 // 3))


_rule(
    "_linalg_svd linalg_svdvals",
    "4mn² − 4n³/3 FLOPs without vectors, 14mn² + 8n³ thin, 4m²n + 8mn² + 9n³ full; m ≥ n",
    "8.6.4, figure 8.6.1: the Golub–Reinsch algorithm",
    "svd",
    _svd,
)
_rule("_linalg_eigh linalg_eigvalsh", "4n³/3 FLOPs, with vectors 9n³", "8.3", "eigh", _eigh)
_rule(
    "linalg_eig linalg_eigvals _linalg_eigvals",
    "10n³ FLOPs, with vectors 25n³",
    "7.5.6: the QR algorithm",
    "eig",
    _eig,
)
_rule("linalg_pinv", "as svd, n·k + 2mn·k FLOPs", "5.5.2", "pseudo_inverse", _pinv)
_rule(
    "linalg_matrix_exp",
    "2(q + j + 1/3)n³ FLOPs with q = 6 and j = 0",
    "9.3.1: Padé approximation, scaling and squaring",
    "matrix_exponential",
    _exponential,
)
