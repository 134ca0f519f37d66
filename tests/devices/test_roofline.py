"""The least time: by hand on a toy, by brute force over a network's layers, and what must always hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from cnnstat.analysis import analyze
from cnnstat.devices.catalogue import find
from cnnstat.devices.device import Device
from cnnstat.devices.roofline import Roofline, roofline
from cnnstat.errors import SpecError
from cnnstat.report import Report
from tests.reports import normal, unknown

TOY = Device(
    id="toy",
    name="Toy",
    kind="other",
    memory_bytes=1,
    bandwidth=1000,
    rates={"fp32": 10_000, "int8": 40_000, "int4": 80_000},
    derived={"fp32": "by hand"},
    unverified=("bandwidth",),
)


class Net(nn.Module):
    """One convolution with its batch norm and activation, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.fc = nn.Linear(4 * 8 * 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.norm(self.conv(x))).flatten(1))


class Functional(Net):
    """The same in one module."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.conv.weight, padding=1)
        norm = self.norm
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return F.linear(F.relu(x).flatten(1), self.fc.weight, self.fc.bias)


def measured(model: nn.Module, shape: tuple[int, ...] = (1, 3, 8, 8), **options: bool) -> Report:
    return analyze(model, shape, **options)


def test_by_hand() -> None:
    found = roofline(measured(Net()), TOY, "fp32")
    conv, act, fc = found.layers  # the batch norm is folded
    assert [row.path for row in found.layers] == ["conv", "act", "fc"]

    # conv: 4·3·3·3 = 108 weights for each of 8·8 positions: 6,912 MACs, 13,824 FLOPs
    # 108 weights, 3·64 elements in, 4·64 out: 556 elements, 2,224 bytes
    assert (conv.flops, conv.traffic) == (2 * 6912, 4 * (108 + 192 + 256))
    assert conv.arithmetic_seconds == 1.3824 and conv.memory_seconds == 2.224
    assert conv.seconds == 2.224 and conv.memory_bound
    assert conv.intensity == 13824 / 2224

    # relu: 256 comparisons while the convolution's result is written
    assert (act.flops, act.traffic, act.seconds) == (256, 0, 0.0256)
    assert act.intensity is None and not act.memory_bound

    # fc: 256·10 = 2,560 MACs and 10 biases, 2,570 parameters, 256 elements in, 10 out
    assert (fc.flops, fc.traffic) == (2 * 2560 + 10, 4 * (2570 + 256 + 10))
    assert fc.seconds == 11.344

    # bound: 9,472 MACs; 108 + 2,570 weights, 192 elements in, 10 out
    assert found.macs == 9472 and found.arithmetic_seconds == 1.8944
    assert (found.weight_bytes, found.io_bytes) == (4 * 2678, 4 * 202)
    assert found.memory_seconds == found.bound_seconds == 11.52
    assert found.memory_bound
    assert found.layered_seconds == pytest.approx(2.224 + 0.0256 + 11.344)
    assert found.reasons == () and found.complete
    assert found.marks == {"fp32": "derived: by hand", "bandwidth": "unverified"}


def test_a_number_format_has_its_own_rate_and_size() -> None:
    whole, packed = (roofline(measured(Net()), TOY, dtype) for dtype in ("int8", "int4"))
    assert whole.memory_seconds == 2880 / 1000
    assert packed.weight_bytes == (108 + 2560 + 10) // 2 and packed.rate == 80_000
    assert whole.arithmetic_seconds == 2 * 9472 / 40_000


def test_what_is_not_known_is_none_and_says_so() -> None:
    report = measured(Net())
    no_rate = roofline(report, TOY, "fp16")
    assert no_rate.arithmetic_seconds is no_rate.bound_seconds is no_rate.layered_seconds is None
    assert no_rate.memory_seconds == 5.76 and no_rate.memory_bound is None
    assert no_rate.reasons == ("no fp16 rate is known for toy",)
    assert no_rate.layers[0].seconds is None and no_rate.layers[0].memory_seconds is not None
    assert no_rate.marks == {"bandwidth": "unverified"}
    board = roofline(report, find("stm32f746"), "int8")
    assert board.bound_seconds is None and board.arithmetic_seconds == 2 * 9472 / 864e6
    assert board.reasons == ("no bandwidth is known for stm32f746",)
    assert len(roofline(report, find("stm32f746"), "fp16").reasons) == 2
    with pytest.raises(SpecError, match="unknown dtype 'fp12'"):
        roofline(report, TOY, "fp12")


def test_batch_norm_in_training_is_a_layer_of_its_own() -> None:
    found = roofline(measured(Net(), (2, 3, 8, 8), train=True), TOY, "fp32")
    norm = next(row for row in found.layers if row.path == "norm")
    assert norm.traffic >= 4 * 2 * 2 * 256 and norm.flops > 0
    assert found.weight_bytes == 4 * (2678 + 8)


def test_a_network_written_as_functions_takes_as_long() -> None:
    modules, functions = (roofline(measured(net()), TOY, "fp32") for net in (Net, Functional))
    assert functions.bound_seconds == modules.bound_seconds
    assert functions.layered_seconds == pytest.approx(modules.layered_seconds)
    assert functions.traffic == modules.traffic and functions.flops == modules.flops
    assert [row.path for row in functions.layers] == [""]


# ---- brute force: from the modules themselves, not from a record


def by_force(model: nn.Module, shape: tuple[int, ...], rate: float, bandwidth: float) -> float:
    """The sum over convolutions, linear layers and pools, seen by hooks."""
    seconds: list[float] = []

    def seen(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x, weights = inputs[0], sum(p.numel() for p in module.parameters(recurse=False))
        bytes_moved = 4 * (x.numel() + output.numel() + weights)
        if isinstance(module, nn.Conv2d):
            each = math.prod(module.kernel_size) * module.in_channels // module.groups
            flops = 2 * output.numel() * each + (output.numel() if module.bias is not None else 0)
        elif isinstance(module, nn.Linear):
            flops = output.numel() * (2 * module.in_features + 1)
        elif isinstance(module, nn.MaxPool2d):
            flops = output.numel() * (int(module.kernel_size) ** 2 - 1)
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            flops = x.numel()
        elif isinstance(module, nn.ReLU):
            flops, bytes_moved = output.numel(), 0
        elif isinstance(module, nn.Dropout | nn.Flatten | nn.BatchNorm2d) or list(
            module.children()
        ):
            return
        else:
            raise AssertionError(module)
        seconds.append(max(flops / rate, bytes_moved / bandwidth))

    for module in model.modules():
        module.register_forward_hook(seen)
    with torch.no_grad():
        model.eval()(torch.zeros(shape))
    return math.fsum(seconds)


def small() -> nn.Module:
    """A stem, a depthwise-separable pair, grouped and pointwise convolutions, a classifier."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 7, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)),
        nn.MaxPool2d(2),
        *(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU(), nn.Conv2d(16, 32, 1), nn.ReLU()),
        *(nn.Conv2d(32, 48, (1, 3), groups=4, dilation=2), nn.BatchNorm2d(48), nn.Dropout()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 200), nn.ReLU(), nn.Linear(200, 9)),
    )


@pytest.mark.parametrize("id", ["snapdragon-820", "h100", "raspberry-pi-4"])
def test_brute_force_over_a_network(id: str) -> None:
    device, shape = find(id), (2, 3, 64, 64)
    found = roofline(measured(small(), shape), device, "fp32")
    rate, bandwidth = device.rates["fp32"], device.bandwidth
    assert bandwidth is not None
    expected = by_force(small(), shape, rate, bandwidth)
    # The last pool's divisions are left out above.
    assert found.layered_seconds == pytest.approx(expected, rel=1e-4)


# ---- what must always hold


def holds(found: Roofline) -> None:
    assert found.bound_seconds is not None and found.layered_seconds is not None
    assert found.layered_seconds >= found.bound_seconds * (1 - 1e-12)
    for row in found.layers:
        assert row.arithmetic_seconds is not None and row.memory_seconds is not None
        assert row.seconds is not None
        assert row.seconds >= max(row.arithmetic_seconds, row.memory_seconds) * (1 - 1e-12)
    whole = found.within("")
    assert whole.seconds == pytest.approx(found.layered_seconds)
    assert (whole.flops, whole.traffic) == (found.flops, found.traffic)


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_b_16", "densenet121", "googlenet", "zoo:mobilenet_v3_small"]
)
def test_a_saved_report_gives_the_same_and_all_of_it_adds_up(name: str) -> None:
    report = analyze(name)
    found = roofline(report, find("h100"), "fp16")
    holds(found)
    again = roofline(Report.from_json(report.to_json()), find("h100"), "fp16")
    assert again == found
    children = {row.path.partition(".")[0] for row in found.layers} - {""}
    own = [row for row in found.layers if row.path == ""]
    parts = [found.within(child) for child in children] + own
    assert sum(part.traffic for part in parts) == found.traffic
    assert sum(part.flops for part in parts) == found.flops
    with pytest.raises(KeyError, match="no layer with work at 'nowhere'"):
        found.within("nowhere")


@settings(max_examples=15, deadline=None)
@given(
    c=st.integers(1, 6), k=st.integers(1, 6), size=st.integers(3, 9), batch=st.integers(1, 3),
    rate=st.integers(1, 10**6), bandwidth=st.integers(1, 10**6),
)  # fmt: skip
def test_any_small_network(
    c: int, k: int, size: int, batch: int, rate: int, bandwidth: int
) -> None:
    net = nn.Sequential(
        nn.Conv2d(c, k, 3), nn.GELU(), nn.Flatten(), nn.LazyLinear(3), nn.Softmax(1)
    )
    device = Device(
        id="d", name="D", kind="other", memory_bytes=1, bandwidth=bandwidth, rates={"fp32": rate}
    )
    found = roofline(measured(net, (batch, c, size, size)), device, "fp32")
    holds(found)
    inside = k * (size - 2) ** 2
    assert found.weight_bytes == 4 * (9 * c * k + k + 3 * inside + 3)
    assert found.io_bytes == 4 * batch * (c * size * size + 3)
    softmax = found.layers[-1]
    assert softmax.traffic == 2 * 4 * batch * 3  # a softmax is no activation in passing


class Twice(nn.Module):
    """A layer that runs twice, and one that never does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.never = nn.Linear(5, 5, bias=False), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.fc(x))


class Words(nn.Module):
    """An embedding whose table is the last layer's weight too."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(100, 8), nn.Linear(8, 100, bias=False)
        if tied:
            self.last.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(self.table(ids))


def test_a_layer_that_runs_twice_reads_its_weights_twice_and_they_are_there_once() -> None:
    found = roofline(measured(Twice(), (1, 5)), TOY, "fp32")
    assert found.weight_bytes == 4 * 25
    assert found.traffic == 2 * 4 * (25 + 5 + 5)


@pytest.mark.parametrize("tied", [True, False])
def test_of_an_embedding_rows_are_read(tied: bool) -> None:
    report = analyze(Words(tied), torch.zeros(1, 6, dtype=torch.int64))
    found = roofline(report, TOY, "fp32")
    assert found.weight_bytes == 4 * 800  # of the last layer alone
    assert found.io_bytes == 4 * 6 * 100  # ids do not count
    assert found.within("table").traffic == 4 * (6 * 8 + 6 * 8)


def test_uncounted_operations_leave_a_lower_bound() -> None:
    assert not roofline(unknown(), TOY, "fp32").complete


def test_a_report_without_its_operations() -> None:
    report = normal()
    found = roofline(report, TOY, "fp32")
    holds_without_operations = [row for row in found.layers if row.traffic]
    assert found.macs == report.totals.macs and holds_without_operations
    conv = next(layer for layer in report.layers if layer.kind == "standard")
    row = next(row for row in found.layers if row.path == conv.path)
    sizes = sum(math.prod(shape) for shape in (*conv.inputs, *conv.outputs))
    assert row.traffic == 4 * (conv.params + sizes) * conv.calls


def test_a_rule_that_is_gone_leaves_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    report = measured(Net())
    before = roofline(report, TOY, "fp32")

    def gone(op: str) -> Callable[..., None] | None:
        return None if op == "aten.linear" else rule_for(op)

    from cnnstat.devices import traffic

    rule_for = traffic.rule_for
    monkeypatch.setattr(traffic, "rule_for", gone)
    after = roofline(report, TOY, "fp32")
    assert after.layered_seconds == before.layered_seconds
