import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnstat.report import Work
from tests.rules.record import (
    PATHS,
    backward_macs,
    count_op,
    flop_counter_macs,
    report_of,
    same_on_every_path,
    spec,
    work_of,
)

sizes = st.integers(1, 4)


def looped(equation, *shapes):
    """Products of an einsum of two tensors by running through all its letters."""
    inputs, output = equation.split("->")
    assert set(output) <= set(inputs)
    extent = {
        letter: size
        for letters, shape in zip(inputs.split(","), shapes, strict=True)
        for letter, size in zip(letters, shape, strict=True)
    }
    return sum(1 for _ in itertools.product(*(range(size) for size in extent.values())))


# ---- linear


@given(
    st.lists(sizes, max_size=3), st.integers(1, 6), st.integers(1, 6), st.booleans(), st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_linear_loops(leading, c, k, bias, backwards):
    layer = nn.Linear(c, k, bias=bias)
    x = torch.rand(*leading, c)
    if backwards and x.dim() > 2:  # rows that do not follow each other in memory
        x = x.transpose(0, 1)
    macs = 0
    for _row in itertools.product(*map(range, x.shape[:-1])):
        for _out in range(k):
            for _product in range(c):
                macs += 1
    y = layer(x).numel()
    work = work_of(layer, x)
    assert work == Work(macs=macs, adds=y * bias, activations=y)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("shape", "macs"),
    # rows·5·7
    [((5,), 35), ((3, 5), 105), ((2, 3, 5), 210), ((2, 2, 3, 5), 420), ((0, 5), 0)],
)
def test_linear(shape, macs, bias):
    layer, x = nn.Linear(5, 7, bias=bias), torch.rand(shape)
    y = layer(x).numel()
    assert same_on_every_path(layer, x) == Work(macs=macs, adds=y * bias, activations=y)
    if x.dim() > 1 or bias:  # torch's counter has no formula for mv
        assert flop_counter_macs(layer, x) == macs


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "x",
    [
        torch.rand(2, 5, 3).transpose(1, 2),
        torch.rand(2, 5, 3, 4).permute(0, 2, 3, 1),
        torch.rand(1, 3, 5).expand(4, 3, 5),
        torch.rand(4, 10)[:, ::2],
    ],
    ids=["transposed", "permuted", "expanded", "strided"],
)
def test_linear_of_any_layout(x, bias):
    layer, rows = nn.Linear(5, 7, bias=bias), x.numel() // 5
    assert same_on_every_path(layer, x) == Work(
        macs=rows * 35, adds=rows * 7 * bias, activations=rows * 7
    )
    assert flop_counter_macs(layer, x) == rows * 35


def test_linear_as_a_function():
    # 3·5·7; a vector as the weight: 3·5
    assert same_on_every_path(F.linear, torch.rand(3, 5), torch.rand(7, 5)).macs == 105
    assert same_on_every_path(F.linear, torch.rand(3, 5), torch.rand(5)).macs == 15


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("leading", "rows"), [((2,), 2), ((2, 6), 12)])
def test_bilinear(bias, leading, rows):
    layer = nn.Bilinear(3, 4, 5, bias=bias)
    # each of 5 outputs of a row: x1ᵀ·W takes 3·4 products, times x2 another 4
    macs = rows * 5 * (3 * 4 + 4)
    args = torch.rand(*leading, 3), torch.rand(*leading, 4)
    expected = Work(macs=macs, adds=rows * 5 * bias, activations=rows * 5)
    assert same_on_every_path(layer, *args) == expected
    assert same_on_every_path(F.bilinear, *args, layer.weight.data, None).macs == macs


# ---- products


# A contraction of length k for each element of the result.
@pytest.mark.parametrize(
    ("a", "b", "macs"),
    [
        ((3,), (3,), 3),
        ((2, 3), (3,), 2 * 3),
        ((3,), (3, 4), 4 * 3),
        ((2, 3), (3, 4), 2 * 4 * 3),
        ((5, 2, 3), (3, 4), 5 * 2 * 4 * 3),
        ((2, 3), (5, 3, 4), 5 * 2 * 4 * 3),
        ((5, 1, 2, 3), (6, 3, 4), 5 * 6 * 2 * 4 * 3),
        ((1, 2, 3), (5, 3, 4), 5 * 2 * 4 * 3),
        ((5, 2, 3), (1, 3, 4), 5 * 2 * 4 * 3),
        ((2, 1, 2, 3), (1, 5, 3, 4), 2 * 5 * 2 * 4 * 3),
        ((2, 5, 2, 3), (2, 5, 3, 4), 2 * 5 * 2 * 4 * 3),
        ((3,), (5, 3, 4), 5 * 4 * 3),
        ((5, 2, 3), (3,), 5 * 2 * 3),
    ],
)
def test_matmul(a, b, macs):
    args = torch.rand(a), torch.rand(b)
    work = same_on_every_path(torch.matmul, *args)
    assert work == Work(macs=macs, activations=torch.matmul(*args).numel())
    assert same_on_every_path(lambda x, y: x @ y, *args) == work
    if len(a) > 1 and len(b) > 1:  # torch's counter has no formula for mv and dot
        assert flop_counter_macs(torch.matmul, *args) == macs


@given(
    st.lists(sizes, max_size=2),
    st.lists(st.booleans(), min_size=4, max_size=4),
    sizes,
    sizes,
    sizes,
)
@settings(max_examples=40, deadline=None)
def test_matmul_broadcasts(batch, ones, m, n, k):
    left = [1 if one else size for one, size in zip(ones, batch, strict=False)]
    right = [1 if one else size for one, size in zip(ones[2:], batch, strict=False)]
    args = torch.rand(*left, m, k), torch.rand(*right, k, n)
    both = torch.broadcast_shapes(left, right)
    macs = 0
    for _at in itertools.product(*map(range, (*both, m, n))):
        for _product in range(k):
            macs += 1
    assert work_of(torch.matmul, *args) == Work(macs=macs, activations=math.prod(both) * m * n)
    assert work_of(torch.matmul, *args, path="meta, autograd").macs == macs
    assert flop_counter_macs(torch.matmul, *args) == macs


@pytest.mark.parametrize(
    ("call", "shapes", "macs", "adds", "activations"),
    [
        (torch.mm, [(3, 4), (4, 5)], 60, 0, 15),
        (torch.bmm, [(2, 3, 4), (2, 4, 5)], 120, 0, 30),
        (torch.mv, [(3, 4), (4,)], 12, 0, 3),
        (torch.dot, [(4,), (4,)], 4, 0, 1),
        (torch.vdot, [(4,), (4,)], 4, 0, 1),
        (torch.inner, [(2, 4), (3, 4)], 24, 0, 6),
        (torch.addmm, [(3, 5), (3, 4), (4, 5)], 60, 15, 15),
        (torch.addmv, [(3,), (3, 4), (4,)], 12, 3, 3),
        (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 120, 30, 30),
        # both products into one result
        (torch.addbmm, [(3, 5), (2, 3, 4), (2, 4, 5)], 120, 15, 15),
        # over two axes: 2·5 outputs of 3·4 products
        (lambda a, b: torch.tensordot(a, b, dims=2), [(2, 3, 4), (3, 4, 5)], 120, 0, 10),
        (lambda a, b, c: torch.linalg.multi_dot([a, b, c]), [(2, 3), (3, 4), (4, 5)], 64, 0, 18),
        # A³ = A·A·A: two products of 3·3·3
        (lambda a: torch.linalg.matrix_power(a, 3), [(3, 3)], 54, 0, 18),
        # each product has one term: 2·4
        (torch.outer, [(2,), (4,)], 0, 0, 0),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_products(call, shapes, macs, adds, activations):
    args = [torch.rand(shape) for shape in shapes]
    work = same_on_every_path(call, *args)
    assert (work.macs, work.adds, work.activations) == (macs, adds, activations)
    if call is torch.outer:
        assert work == Work(muls=8)  # products and no sums: elementwise


def test_scaled_addition():
    args = torch.rand(3, 5), torch.rand(3, 4), torch.rand(4, 5)
    plain = same_on_every_path(torch.addmm, *args)
    assert same_on_every_path(torch.addmm, *args, alpha=2, beta=3) == plain


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("bhij,bhjd->bhid", [(2, 3, 4, 6), (2, 3, 6, 5)]),
        ("bij,jk->bik", [(2, 3, 4), (4, 5)]),
        ("bi,bi->b", [(2, 3), (2, 3)]),
        ("i,i->", [(4,), (4,)]),
        ("bhwc,hkc->bhwk", [(1, 2, 3, 4), (2, 5, 4)]),
        ("nctkv,kvw->nctw", [(1, 3, 4, 2, 5), (2, 5, 5)]),
    ],
)
def test_einsum(equation, shapes):
    args = [torch.rand(shape) for shape in shapes]
    work = same_on_every_path(lambda *tensors: torch.einsum(equation, *tensors), *args)
    assert work.macs == looped(equation, *shapes)
    assert flop_counter_macs(torch.einsum, equation, *args) == work.macs


def test_einsum_of_three():
    # bi·oij first: 2·4·3·5 products, then ·bj: 2·4·5
    args = torch.rand(2, 3), torch.rand(4, 3, 5), torch.rand(2, 5)
    work = same_on_every_path(lambda *tensors: torch.einsum("bi,oij,bj->bo", *tensors), *args)
    assert work.macs == 120 + 40 == flop_counter_macs(torch.einsum, "bi,oij,bj->bo", *args)


def test_einsum_without_a_sum_is_no_matrix_product():
    work = same_on_every_path(lambda a, b: torch.einsum("ij,ij->ij", a, b), *torch.rand(2, 2, 3))
    assert work == Work(muls=6)
    assert same_on_every_path(lambda a: torch.einsum("ij->ji", a), torch.rand(2, 3)) == Work()


@pytest.mark.parametrize(("m", "n"), [(5, 7), (30, 30)])
def test_cdist(m, n):
    # as |x − y|² = |x|² + |y|² − 2·x·y: a product of m by n by 4, an addition and a root for each
    work = same_on_every_path(torch.cdist, torch.rand(2, m, 4), torch.rand(2, n, 4))
    assert (work.macs, work.special) == (2 * m * n * 4, 2 * m * n)


# ---- products of other kernels


@pytest.mark.parametrize(
    ("op", "args", "output", "macs"),
    [
        ("_int_mm", {"self": spec(3, 4), "mat2": spec(4, 5)}, spec(3, 5), 60),
        ("_scaled_mm", {"self": spec(3, 4), "mat2": spec(4, 5)}, spec(3, 5), 60),
        ("_weight_int8pack_mm", {"self": spec(3, 4), "mat2": spec(5, 4)}, spec(3, 5), 60),
        # sixteen rows of four-bit weights in tiles: C is the input's
        ("_weight_int4pack_mm", {"self": spec(3, 4), "mat2": spec(2, 1, 32, 4)}, spec(3, 16), 192),
        ("mkldnn_linear", {"self": spec(3, 4), "weight": spec(5, 4)}, spec(3, 5), 60),
        # 6 rows, each through the matrix of its group
        ("_grouped_mm", {"self": spec(6, 4), "mat2": spec(3, 4, 5)}, spec(6, 5), 6 * 4 * 5),
        # 3 groups of 6 rows
        ("_grouped_mm", {"self": spec(3, 6, 4), "mat2": spec(3, 4, 5)}, spec(3, 6, 5), 3 * 6 * 20),
        # 3 groups divide the contraction of 12 between them
        ("_grouped_mm", {"self": spec(6, 12), "mat2": spec(12, 5)}, spec(3, 6, 5), 6 * 12 * 5),
        # 3 groups divide the 10 columns between them
        ("_grouped_mm", {"self": spec(3, 6, 4), "mat2": spec(4, 10)}, spec(6, 10), 6 * 4 * 10),
    ],
)
def test_kernels(op, args, output, macs):
    assert count_op(f"aten.{op}", output, **args) == Work(macs=macs, activations=output.numel)


def test_linear_with_an_activation():
    args = {"self": spec(5), "mat1": spec(3, 4), "mat2": spec(4, 5)}
    # 3·4·5 and the bias
    expected = Work(macs=60, adds=15, activations=15)
    assert count_op("aten._addmm_activation", spec(3, 5), **args) == expected


# ---- backward


@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_backward(shape, engine, bias):
    model = nn.Sequential(nn.Linear(5, 7, bias=bias), nn.Linear(7, 4, bias=bias))
    rows = math.prod(shape[:-1])
    # first layer: dW alone, 5·7 a row; second: dW and dx, 7·4 each
    assert backward_macs(model, shape, engine) == rows * (35 + 2 * 28)
    x = torch.rand(shape)
    assert flop_counter_macs(model, x, backward=True) == rows * (2 * 35 + 3 * 28)


class Product(nn.Module):
    """x·W₁ times x·W₂, a product of two things that need gradients."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 6, bias=False), nn.Linear(4, 6, bias=False)

    def forward(self, x):
        return self.left(x) @ self.right(x).transpose(-1, -2)


@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
def test_matmul_backward(engine):
    # both weights: 2·(2·3·4·6); both sides of the product of 3×6 and 6×3: 2·(2·3·3·6)
    assert backward_macs(Product(), (2, 3, 4), engine) == 2 * 144 + 2 * 108
    x = torch.rand(2, 3, 4)
    assert flop_counter_macs(Product(), x, backward=True) == 2 * 144 + 108 + 2 * 144 + 2 * 108


# ---- quantised


@pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="no kernels")
@pytest.mark.parametrize("relu", [False, True])
def test_quantised_layers(relu):
    weight = torch.quantize_per_tensor(torch.rand(7, 5), 0.1, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, torch.rand(7))
    kernel = torch.ops.quantized.linear_relu if relu else torch.ops.quantized.linear

    def linear(x):
        return kernel(torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), packed, 0.1, 0)

    work = work_of(linear, torch.rand(3, 5), path="cpu")
    # 3·5·7 MACs and the bias
    assert work == Work(macs=105, adds=21, compares=21 * relu, activations=21)

    weight = torch.quantize_per_tensor(torch.rand(8, 2, 3, 3), 0.1, 0, torch.qint8)
    conv_packed = torch.ops.quantized.conv2d_prepack(
        weight, torch.rand(8), [1, 1], [0, 0], [1, 1], 2
    )
    conv_kernel = torch.ops.quantized.conv2d_relu if relu else torch.ops.quantized.conv2d

    def conv(x):
        return conv_kernel(torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), conv_packed, 0.1, 0)

    work = work_of(conv, torch.rand(2, 4, 7, 6), path="cpu")
    # 2·8·(4/2)·3² · 5·4
    assert work == Work(macs=5760, adds=320, compares=320 * relu, activations=320)


@pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="no kernels")
def test_dynamic_quantisation():
    weight = torch.quantize_per_tensor(torch.rand(7, 5), 0.1, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, None)
    work = work_of(
        lambda x: torch.ops.quantized.linear_dynamic(x, packed), torch.rand(3, 5), path="cpu"
    )
    assert work == Work(macs=105, activations=21)


def test_paths_are_different():
    """What makes the tests of this folder worth something: the same call arrives in different ways."""
    layer, x = nn.Linear(5, 7), torch.rand(3, 5)
    ran = {
        path: {tally.rule for row in report_of(layer, x, path=path).layers for tally in row.tallies}
        for path in PATHS
    }
    assert "linear" in ran["meta"] and "linear" in ran["cpu"]
    assert "addmm" in ran["meta, autograd"] and "linear" not in ran["fake"]
