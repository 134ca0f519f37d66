"""Programs that tempt a counter to a wrong number, a changed model or a crash; each did so once."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnstat
from cnnstat.errors import TraceError
from tests.measured import analyze
from tests.trace.test_untouched import assert_same, snapshot


def macs(model: nn.Module, shape: tuple[int, ...], **options: Any) -> int:
    return cnnstat.analyze(model, shape, **options).totals.macs


class Function(nn.Module):
    """A forward written as a function of the module and its input."""

    def __init__(self, function: Any, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


# ---- numbers


def drop_in_place(self: Any, x: torch.Tensor) -> torch.Tensor:
    x = self.c(x)
    if self.training:
        noise = torch.empty_like(x).bernoulli_(0.9)
        x = noise.div_(0.9).mul_(x)
    return self.d(x)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("engine", ["meta", "fake", "cpu"])
def test_a_random_mask_does_not_hide_the_layers_behind_it(engine: str, train: bool) -> None:
    model = Function(drop_in_place, c=nn.Conv2d(3, 8, 3), d=nn.Conv2d(8, 8, 3))
    # 8·3·3·3·14·14 + 8·8·3·3·12·12
    assert macs(model, (1, 3, 16, 16), engine=engine, train=train) == 42336 + 82944


def test_a_layer_fed_with_random_numbers_is_counted() -> None:
    model = Function(
        lambda self, x: self.fc(torch.empty_like(x).bernoulli_(0.5)), fc=nn.Linear(8, 4)
    )
    assert macs(model, (2, 8)) == 2 * 8 * 4


def out_variant(self: Any, x: torch.Tensor) -> torch.Tensor:
    sums = torch.zeros(2)
    torch.sum(x, 1, out=sums)
    return self.fc(x) if int((sums > 0).sum()) == 0 else self.fc(self.fc(x))


def foreach_variant(self: Any, x: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(2)
    torch._foreach_add_([total], [x.sum(1)])
    return self.fc(x) if float(total.sum()) == 0 else self.fc(self.fc(x))


def swallowing(self: Any, x: torch.Tensor) -> torch.Tensor:
    try:
        positive = int(x.sum() > 0)
    except Exception:
        positive = 0
    return self.fc(x) if positive == 0 else self.fc(self.fc(x))


@pytest.mark.parametrize("function", [out_variant, foreach_variant, swallowing])
def test_a_value_that_is_not_known_is_never_made_up(function: Any) -> None:
    model = Function(function, fc=nn.Linear(4, 4))
    report = cnnstat.analyze(model, (2, 4))
    assert report.meta["engine"] == "cpu"
    assert report.totals.macs == 2 * 2 * 4 * 4  # the seeded input is positive: both layers
    assert any(note.kind == "data-dependent" for note in report.notes)


def test_a_layer_in_another_thread_is_refused() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        with ThreadPoolExecutor(1) as pool:
            return next(pool.map(self.fc, [x]))

    with pytest.raises(TraceError, match="fc ran in another thread"):
        cnnstat.analyze(Function(forward, fc=nn.Linear(4, 4)), (2, 4))


def test_parameters_that_share_memory_count_once() -> None:
    a, b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    b.weight = nn.Parameter(a.weight.data)
    assert cnnstat.analyze(nn.Sequential(a, b), (1, 4)).totals.params == 16


# ---- the ladder


def tolist(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.fc(x) * len(x.tolist())


def numpy(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.fc(x) * float(x.detach().numpy().max())


def strided(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.conv(x.to(memory_format=torch.channels_last)).permute(0, 2, 3, 1).view(-1, 8)


def own_gradient(self: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        gradient = torch.autograd.grad(self.fc(x).sum(), x)[0]
    return gradient[gradient[:, 0] > -9]


@pytest.mark.parametrize("function", [tolist, numpy, own_gradient, strided])
def test_what_torch_runs_is_counted(function: Any) -> None:
    if function is strided:
        model = Function(function, conv=nn.Conv2d(3, 8, 3))
        assert macs(model, (1, 3, 6, 6)) == 8 * 27 * 16
    else:
        model = Function(function, fc=nn.Linear(4, 4))
        assert macs(model, (2, 4)) >= 2 * 4 * 4


@torch.jit.script
def branching(x: torch.Tensor) -> torch.Tensor:
    if bool(x.sum() > 0):
        return x @ x
    return x


def test_scripted_control_flow() -> None:
    assert macs(Function(lambda self, x: branching(x)), (4, 4)) == 4 * 4 * 4


def test_a_named_tuple_stays_one() -> None:
    from typing import NamedTuple

    class Pair(NamedTuple):
        a: Any
        b: Any

    model = Function(lambda self, pair: self.fc(pair.a) + pair.b, fc=nn.Linear(4, 4))
    assert macs(model, (Pair(torch.ones(2, 4), torch.ones(2, 4)),)) == 32


# ---- the user's module


def test_lazy_modules_stay_lazy() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU())
    for engine in ("auto", "cpu"):
        assert macs(model, (1, 3, 8, 8), engine=engine) == 4 * 27 * 36
    assert [type(child).__name__ for child in model] == ["LazyConv2d", "LazyBatchNorm2d", "ReLU"]
    assert model(torch.randn(1, 3, 8, 8)).shape == (1, 4, 6, 6)


class Closure(nn.Module):
    """Its forward goes through a function that holds on to this very module."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.bn = nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        self.function = lambda x: self.bn(self.c(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    "options",
    [{}, {"train": True}, {"backward": True}, {"engine": "fake", "backward": True},
     {"engine": "cpu", "train": True}, {"engine": "cpu", "backward": True}],
)  # fmt: skip
def test_a_module_that_its_own_code_holds_on_to(options: dict[str, Any]) -> None:
    model = Closure()
    before = snapshot(model)
    report = cnnstat.analyze(model, (2, 8, 8, 8), **options)
    assert_same(before, snapshot(model))
    forward = 2 * 8 * 8 * 9 * 36
    assert report.layer("c").macs == forward * (2 if options.get("backward") else 1)
    assert all(layer.kind != "never-called" for layer in report.layers)


def test_a_wrapped_forward() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    inner = model.forward
    model.forward = lambda x: inner(x) * 2  # type: ignore[method-assign]
    before = snapshot(model)
    report = cnnstat.analyze(model, (2, 4))
    assert_same(before, snapshot(model))
    assert report.layer("0").macs == 32


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_nothing_stays_after_an_interruption(error: type[BaseException]) -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        self.fc(x)
        raise error

    model = Function(forward, fc=nn.Linear(4, 4))
    before = snapshot(model)
    with contextlib.suppress(error, TraceError):
        cnnstat.analyze(model, (2, 4), train=True)
    assert_same(before, snapshot(model))


# ---- kinds with gradients


def test_the_gradients_of_a_layer_are_of_its_kind() -> None:
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8))
    kinds = cnnstat.analyze(net, (5, 32), backward=True).kinds
    # forward 5·32·64 + 5·64·8; both weights' gradients and the second layer's input's
    assert kinds["linear"].macs == 2 * 5 * 32 * 64 + 3 * 5 * 64 * 8
    assert "matmul" not in kinds


def test_blocks_stay_blocks_with_gradients() -> None:
    forward = analyze("mobilenet_v3_small")
    both = analyze("mobilenet_v3_small", backward=True)
    assert [g.path for g in both.groups] == [g.path for g in forward.groups]
    assert {k.path: k.kind for k in both.layers if k.group} == {
        k.path: k.kind for k in forward.layers if k.group
    }
    assert both.kinds["squeeze-excitation"].params == forward.kinds["squeeze-excitation"].params
    assert both.kinds["squeeze-excitation"].macs == 3 * forward.kinds["squeeze-excitation"].macs


def gated_sum(self: Any, x: torch.Tensor) -> torch.Tensor:
    gate = self.g(x).softmax(-1)
    return (torch.stack([self.a(x), self.b(x)], -1) @ gate[..., None]).squeeze(-1)


@pytest.mark.parametrize("backward", [False, True])
def test_a_softmax_gate_is_no_attention(backward: bool) -> None:
    model = Function(gated_sum, g=nn.Linear(8, 2), a=nn.Linear(8, 8), b=nn.Linear(8, 8))
    report = cnnstat.analyze(model, (5, 8), backward=backward)
    assert "attention" not in report.kinds
    assert report.layer("g").kind == "linear"


class Latents(nn.Module):
    """Attention with learned queries."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.q, self.fused = nn.Parameter(torch.ones(1, 3, 8)), fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self.q.expand(x.shape[0], -1, -1)
        if self.fused:
            return F.scaled_dot_product_attention(q, x, x)
        return (q @ x.transpose(1, 2)).softmax(-1) @ x


@pytest.mark.parametrize("fused", [False, True])
def test_learned_queries(fused: bool) -> None:
    report = cnnstat.analyze(Latents(fused), (2, 5, 8))
    assert report.kinds["attention"].macs == 2 * (3 * 5 * 8 + 3 * 5 * 8)
    assert "linear" not in report.kinds


class Variants(nn.Module):
    """Squeeze and excitation, pooled and gated in the ways in which people write it."""

    def __init__(self, pool: Any, dims: int = 2, gate: Any = torch.sigmoid) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        self.conv, self.pool, self.gate, self.dims = conv(3, 16, 1), pool, gate, dims
        self.fc1, self.fc2 = nn.Linear(16, 4), nn.Linear(4, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        s = self.gate(self.fc2(F.relu(self.fc1(self.pool(x)))))
        return x * s.reshape(*s.shape, *[1] * self.dims)


@pytest.mark.parametrize(
    ("pool", "dims"),
    [
        (lambda x: x.mean((2, 3)), 2),
        (lambda x: x.mean((-2, -1)), 2),
        (lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), 2),
        (lambda x: x.view(x.shape[0], 16, -1).mean(-1), 2),
        (lambda x: x.flatten(2).mean(2), 2),
        (lambda x: x.mean(2), 1),
        (lambda x: F.adaptive_avg_pool3d(x, 1).flatten(1), 3),
        (lambda x: x.mean((2, 3, 4)), 3),
    ],
)
def test_ways_to_pool(pool: Any, dims: int) -> None:
    report = cnnstat.analyze(Variants(pool, dims), (2, 3, *[6] * dims))
    assert [(g.channels, g.squeezed) for g in report.groups] == [(16, 4)]


def test_two_pools_are_another_kind_of_attention() -> None:
    """CBAM (arXiv 1807.06521): average and maximum through one network, added."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        mlp = lambda s: self.fc2(F.relu(self.fc1(s)))  # noqa: E731
        gate = torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.mean((2, 3))))
        return x * gate[:, :, None, None]

    parts = {"conv": nn.Conv2d(3, 16, 1), "fc1": nn.Linear(16, 4), "fc2": nn.Linear(4, 16)}
    assert cnnstat.analyze(Function(forward, **parts), (1, 3, 6, 6)).groups == ()


# ---- operators over functions, and sizes that are no numbers


def test_flex_attention_is_attention() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    report = cnnstat.analyze(Function(lambda self, q: flex_attention(q, q, q)), (1, 2, 16, 8))
    assert report.kinds["attention"].macs == 2 * 16 * 16 * (8 + 8)


def test_what_a_condition_runs_is_not_known() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.fc(x), lambda x: x.clone(), (x,))

    report = cnnstat.analyze(Function(forward, fc=nn.Linear(4, 4)), (2, 4))
    assert [item.op for item in report.uncounted] == ["higher_order.cond"]


@pytest.mark.parametrize("backward", [False, True])
def test_jagged_tensors_are_not_counted_and_said_so(backward: bool) -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        rows = torch.nested.nested_tensor([x[0, :5], x[1]], layout=torch.jagged)
        return self.fc(rows).values()

    report = cnnstat.analyze(Function(forward, fc=nn.Linear(8, 4)), (2, 7, 8), backward=backward)
    assert "aten.linear" in [item.op for item in report.uncounted]
    assert report.totals.macs == 0
    assert cnnstat.Report.from_json(report.to_json()) == report


class Spelled(nn.Module):
    """A name with a dot in it, which spells the path of another module."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential()
        self.a.add_module("b", nn.Linear(8, 8, bias=False))
        setattr(self, "a.b", nn.Linear(8, 4, bias=False))

    def forward(self, x):
        return getattr(self, "a.b")(self.a.b(x))


def test_two_modules_of_one_path_are_two_layers():
    report = cnnstat.analyze(Spelled(), (1, 8))
    assert report.totals.macs == 8 * 8 + 8 * 4
    paths = [layer.path for layer in report.layers]
    assert len(set(paths)) == len(paths)
    assert {layer.path: layer.macs for layer in report.layers if layer.macs} == {
        "a.b": 64,
        "a.b#2": 32,
    }
