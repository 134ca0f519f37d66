"""Complex layers beside the same arithmetic written with pairs of reals, and beside other tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import cnnstat
from cnnstat.record import OpCall, TensorSpec
from cnnstat.rules import rule_for

COMPLEX = torch.complex64


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(*tensors)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=COMPLEX)


def totals(function: Callable[..., Any], *tensors: torch.Tensor, **options: Any) -> Any:
    return cnnstat.analyze(Calls(function), tensors, **options).totals


def in_pairs(product: Callable[..., Any]) -> Callable[..., Any]:
    """(a + bi)·(c + di) by four real products, a subtraction and an addition."""

    def run(a: Any, b: Any, c: Any, d: Any) -> Any:
        return product(a, c) - product(b, d), product(a, d) + product(b, c)

    return run


PRODUCTS: dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[int, ...]]] = {
    "matmul": (torch.matmul, (2, 4), (4, 3)),
    "batched": (torch.matmul, (5, 2, 4), (5, 4, 3)),
    "vector": (torch.mv, (2, 4), (4,)),
    "einsum": (lambda x, w: torch.einsum("bixy,ioxy->boxy", x, w), (2, 4, 3, 3), (4, 5, 3, 3)),
    "linear": (F.linear, (2, 4), (3, 4)),
    "conv1d": (F.conv1d, (1, 2, 7), (4, 2, 3)),
    "conv2d": (F.conv2d, (1, 2, 5, 5), (4, 2, 3, 3)),
    "depthwise": (lambda x, w: F.conv2d(x, w, groups=2), (1, 2, 5, 5), (2, 1, 3, 3)),
    "transposed": (F.conv_transpose2d, (1, 2, 5, 5), (2, 4, 3, 3)),
    "tensordot": (lambda x, w: torch.tensordot(x, w, 2), (2, 3, 4), (3, 4, 5)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_four_real_ones(name: str) -> None:
    """The same MACs; a complex one puts out what four real ones and two additions do, in eight FLOPs a MAC
    where pairs take the same but for the last addition of each element."""
    product, left, right = PRODUCTS[name]
    whole = totals(product, random(*left), random(*right))
    parts = [torch.randn(shape) for shape in (left, left, right, right)]
    pairs = totals(in_pairs(product), *parts)
    assert whole.macs == pairs.macs > 0
    assert whole.flops == 2 * whole.macs == pairs.flops - 2 * whole.activations
    assert 4 * whole.activations == pairs.activations


def test_the_gradient_of_a_product_too() -> None:
    """Forward 2×4 by 4×3 is 24 complex MACs, and again for the gradients of both."""
    layer = nn.Linear(4, 3, dtype=COMPLEX, bias=False)
    x = random(2, 4)
    report = cnnstat.analyze(layer, (x,), train=True, backward=True)
    assert report.totals.macs == 4 * (24 + 24)  # nobody asks for the gradient of the input
    assert report.totals.params == 12 and report.totals.param_bytes == 12 * 8


def test_a_layer_with_a_bias() -> None:
    """3×2 elements put out with 4 complex MACs and one complex addition each: 8·4 + 2 FLOPs."""
    report = cnnstat.analyze(nn.Linear(4, 3, dtype=COMPLEX), (random(2, 4),))
    assert (report.totals.macs, report.totals.flops) == (4 * 24, 6 * (8 * 4 + 2))
    assert (report.totals.params, report.totals.activations) == (15, 6)


# Real operations an element, by writing each formula out.
ELEMENTWISE: dict[str, tuple[Callable[[Any], Any], int]] = {
    "z + z: two additions": (lambda z: z + z, 2),
    "z − z": (lambda z: z - z, 2),
    "z + 1.5: the real part alone": (lambda z: z + 1.5, 1),
    "1.5 − z": (lambda z: 1.5 - z, 1),
    "z + x": (lambda z: z + z.real, 1),
    "z + 3·z: a real factor first": (lambda z: torch.add(z, z, alpha=3), 4),
    "z + 3·x: one product, one addition": (lambda z: torch.add(z, z.real, alpha=3), 2),
    "z + i·z: a complex factor first": (lambda z: torch.add(z, z, alpha=1j), 8),
    "z + ½·(w − z): two sums, a real factor": (lambda z: torch.lerp(z, z, 0.5), 6),
    "z + w·(w − z): a complex factor": (lambda z: torch.lerp(z, z, z), 10),
    "z·z: 4 products, 2 additions": (lambda z: z * z, 6),
    "z²": (lambda z: z**2, 6),
    "z·2": (lambda z: z * 2, 2),
    "z·(2 + i)": (lambda z: z * (2 + 1j), 6),
    "x·z": (lambda z: z.real * z, 2),
    "−z": (lambda z: -z, 2),
    "z/z: 6 products, 3 additions, 2 divisions": (lambda z: z / z, 11),
    "z/2": (lambda z: z / 2, 2),
    "1/z: c² + d², two divisions": (torch.reciprocal, 5),
    "|z|: two squares, a sum, a root": (torch.abs, 4),
    "angle: one arc tangent": (torch.angle, 1),
    "eᶻ: e^a, cos b, sin b, two products": (torch.exp, 5),
    "log z: |z|, its logarithm, the angle": (torch.log, 6),
    "sin z: four functions, two products": (torch.sin, 6),
    "z == z: both parts": (lambda z: z == z, 2),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_operation_on_each_element(name: str) -> None:
    function, operations = ELEMENTWISE[name]
    found = totals(function, random(2, 5))
    assert (found.macs, found.flops) == (0, 10 * operations)


# n elements reduced to one.
REDUCTIONS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "n − 1 complex additions": (torch.sum, 2 * 9),
    "and a division of both parts": (torch.mean, 2 * 9 + 2),
    "n − 1 complex products": (torch.prod, 6 * 9),
    "n running sums": (lambda z: torch.cumsum(z.flatten(), 0), 2 * 10),
    "|z|² of each, n sums, a root": (torch.linalg.vector_norm, 10 * 3 + 10 + 1),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction(name: str) -> None:
    function, operations = REDUCTIONS[name]
    assert totals(function, random(2, 5)).flops == operations


def test_bytes_double_and_elements_do_not() -> None:
    real, twice = (
        cnnstat.analyze(nn.Linear(4, 3, dtype=dtype), (torch.ones(2, 4, dtype=dtype),))
        for dtype in (torch.float32, COMPLEX)
    )
    assert twice.totals.param_bytes == 2 * real.totals.param_bytes
    assert twice.totals.moved_bytes == 2 * real.totals.moved_bytes
    assert twice.totals.activations == real.totals.activations


def test_the_memory_of_complex_weights() -> None:
    """15 parameters of eight bytes, beside 2·4 elements in and 2·3 out: as torch runs it, and planned."""
    memory = cnnstat.estimate_memory(nn.Linear(4, 3, dtype=COMPLEX), (2, 4))
    assert memory.usage.above + memory.usage.static == 8 * (15 + 8 + 6)
    assert memory.planned.weight_bytes == 8 * 15
    assert memory.planned.total_bytes == 8 * (15 + 8 + 6)


class StateSpace(nn.Module):
    """A diagonal state-space layer: 8 channels, 6 complex states."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(random(6))
        self.into, self.out = nn.Parameter(random(6, 8)), nn.Parameter(random(8, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        driven = x.to(COMPLEX) @ self.into.t()
        state, states = torch.zeros_like(driven[0]), []
        for step in driven:
            state = self.decay * state + step
            states.append(state)
        return (torch.stack(states) @ self.out.t()).real


def test_a_state_space_layer() -> None:
    """10 steps: 10·8·6 complex MACs into the states and again out of them; each of 6 states is multiplied
    (6) and added to (2), each step."""
    report = cnnstat.analyze(StateSpace(), (10, 8))
    assert report.totals.macs == 4 * 2 * 10 * 8 * 6 == 3840
    assert report.totals.flops == 2 * 3840 + 10 * 6 * (6 + 2) == 8160


TWO_LAYERS = [nn.Conv1d(2, 3, 2, dtype=COMPLEX), nn.Linear(4, 5, dtype=COMPLEX)]
"""3·2·2·4 complex MACs, and 3·4·5."""


class Fourier(nn.Module):
    """A spectral layer: its only weights are complex, its input is real."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(random(2, 3, 3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.fft.rfft2(x)
        out = torch.zeros(x.shape[0], 3, *y.shape[-2:], dtype=COMPLEX)
        out[..., :3, :2] = torch.einsum("bixy,ioxy->boxy", y[..., :3, :2], self.weight)
        return torch.fft.irfft2(out, s=x.shape[-2:])


@pytest.mark.parametrize("given", [(1, 2, 6, 8), (torch.rand(1, 2, 6, 8),)])
def test_a_layer_of_complex_weights_that_takes_real_numbers(given: Any) -> None:
    """2·3 complex MACs at 3·2 frequencies."""
    report = cnnstat.analyze(Fourier(), given)
    assert report.totals.macs == 4 * 2 * 3 * 3 * 2
    assert report.meta["inputs"][0]["dtype"] == "float32"


def test_torch_s_counter_prints_what_its_convention_says() -> None:
    """To it a complex MAC is one, of two FLOPs, and a complex convolution the three real ones that run."""
    net, x = nn.Sequential(*TWO_LAYERS), random(1, 2, 5)
    with FlopCounterMode(display=False) as counter:
        net(x)
    report = cnnstat.analyze(net, (x,), convention="flop-counter")
    assert report.totals.quoted == counter.get_total_flops() == 2 * (3 * 48 + 60)
    assert report.totals.macs == 4 * (48 + 60)


def test_fvcore_prints_what_its_convention_says() -> None:
    from fvcore.nn import FlopCountAnalysis

    net, x = nn.Sequential(*TWO_LAYERS), random(1, 2, 5)
    printed = FlopCountAnalysis(net, x).unsupported_ops_warnings(False).total()
    assert cnnstat.analyze(net, (x,), convention="fvcore").totals.quoted == printed


def test_a_crosscheck_says_why_they_differ() -> None:
    found = cnnstat.crosscheck(nn.Sequential(*TWO_LAYERS), random(1, 2, 5))
    for check in found.checks:
        differences = [item for layer in check.layers for item in layer.differences]
        assert len(differences) == 2
        assert all(item.kind == "convention" for item in differences), check.opinion.engine
        assert "four real ones" in differences[0].text


def test_the_formula_says_the_same() -> None:
    spec = TensorSpec((2, 4), "complex64", 8)
    weight = TensorSpec((3, 4), "complex64", 8)
    out = TensorSpec((2, 3), "complex64", 8)
    call = OpCall(
        0, "aten.linear", "", {"input": spec, "weight": weight, "bias": TensorSpec((3,))}, (out,)
    )
    rule = rule_for("aten.linear")
    assert rule is not None
    derivation = rule.derivation(call)
    work = rule.count(call)
    values = {name: derivation.value(formula) for name, formula in derivation.formulas.items()}
    assert values == {"macs": work.macs, "adds": work.adds, "activations": work.activations}
    assert derivation.formulas["macs"] == "4·R·K·C"
