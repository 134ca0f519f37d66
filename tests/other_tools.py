"""What other tools print: `python -m tests.other_tools TOOL,TOOL NET...` writes it as JSON.

Run in a process of its own, because some tools leave functions of torch replaced behind them. A net is one
of `SMALL`, or a model of torchvision without trained weights.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnstat.sources.torchvision_operators import importable_torchvision

with importable_torchvision():
    from timm.layers import LayerNorm as TimmLayerNorm
    from timm.models.vision_transformer import Attention as TimmAttention
    from torchvision.models import get_model

Shape = tuple[int, ...]


class Functions(nn.Module):
    """Functions where other networks have layers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.matrix = nn.Parameter(torch.zeros(6, 3, 3, 3)), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.weight))
        x = F.gelu(F.max_pool2d(x, 2)) + F.silu(F.avg_pool2d(x, 2))
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return F.linear(x, self.matrix.weight, self.matrix.bias).softmax(1)


class Products(nn.Module):
    """Products of matrices, as methods and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        q = self.proj(x)
        attention = F.softmax(q.matmul(q.transpose(-2, -1)), dim=-1)
        return torch.matmul(attention, q)


class SelfAttention(nn.Module):
    """`nn.MultiheadAttention` over its input; torchvision's vision transformers need no weights."""

    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = self.attention(x, x, x, need_weights=self.need_weights)[0]
        return attended


class Function(nn.Module):
    """A function of the input and of a few modules."""

    def __init__(self, call: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.call, self.held = call, nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x, *self.held)


class FirstOf(nn.Module):
    """The first of what a module puts out."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        first: Tensor = self.module(x)[0]
        return first


class Resized(nn.Module):
    """Resized to a size, by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.conv(x), size=(9, 11), mode="bilinear")


def _tied() -> nn.Module:
    """Two convolutions with one weight."""
    first, second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
    second.weight = first.weight
    return nn.Sequential(first, second)


def _shared() -> nn.Module:
    """One convolution under two names."""
    conv = nn.Conv2d(3, 3, 3, padding=1)
    return nn.Sequential(nn.Sequential(conv), nn.Sequential(conv))


def _seeing(x: Tensor, attention: nn.Module) -> Tensor:
    """Attention to the first three tokens."""
    attended: Tensor = attention(x, x[:, :3], x[:, :3], need_weights=False)[0]
    return attended


def _with_mask(x: Tensor, attention: nn.Module) -> Tensor:
    mask = torch.zeros(5, 5, device=x.device)
    attended: Tensor = attention(x, x, x, attn_mask=mask)[0]
    return attended


def _other_keys(x: Tensor, attention: nn.Module) -> Tensor:
    attended: Tensor = attention(x, x[..., :4], x[..., :6], need_weights=False)[0]
    return attended


def _batches(x: Tensor, linear: nn.Module) -> Tensor:
    """A linear layer over all samples, and over a part of its output."""
    return linear(linear(x)[:, :2].reshape(-1, 8))


def _products(x: Tensor, linear: nn.Linear) -> Tensor:
    """Products of matrices by each of torch's functions."""
    x = torch.addmm(linear.bias, x, linear.weight)
    x = x.addmm(x.mm(linear.weight), linear.weight.t())
    y = x.unsqueeze(1).expand(-1, 8, -1)
    return torch.baddbmm(y, torch.bmm(y, y), y.bmm(y))


def _operators(x: Tensor, linear: nn.Linear) -> Tensor:
    """What has a function of torch, as methods and operators."""
    q = linear(x)
    return (q @ q.transpose(-2, -1)).softmax(-1) @ q


def _activations(x: Tensor, linear: nn.Linear) -> Tensor:
    x = F.relu6(x) + F.elu(x) + F.leaky_relu(x) + F.selu(x) + F.celu(x) + F.hardtanh(x)
    return F.log_softmax(F.prelu(x, linear.weight[0, :1]) + F.threshold(x, 0.1, 0.0), dim=1)


def _after_conv(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *layers)


IMAGE, SIGNAL, VOLUME, TOKENS = (2, 3, 6, 8), (2, 3, 8), (2, 3, 4, 6, 4), (2, 5, 8)

SMALL: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3, stride=2), nn.BatchNorm1d(4)), SIGNAL),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)), VOLUME),
    "grouped conv": (lambda: nn.Conv2d(3, 6, 3, groups=3, dilation=2, padding="same"), IMAGE),
    "transposed conv": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, bias=False), IMAGE),
    "transposed conv with bias": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2), IMAGE),
    "grouped transposed conv": (
        lambda: nn.ConvTranspose2d(4, 8, 3, 2, groups=2, bias=False),
        (2, 4, 6, 8),
    ),
    "dilated transposed conv": (
        lambda: nn.ConvTranspose1d(4, 8, 3, 2, 1, 1, groups=2, dilation=2),
        (2, 4, 9),
    ),
    "tied convs": (_tied, IMAGE),
    "conv under two names": (_shared, IMAGE),
    "conv of two sizes": (
        lambda: Function(lambda x, conv: conv(conv(x)[..., ::2, ::2]), nn.Conv2d(3, 3, 3, 1, 1)),
        IMAGE,
    ),
    "linear of two batches": (lambda: Function(_batches, nn.Linear(8, 8)), TOKENS),
    "batch norm": (_after_conv(nn.BatchNorm2d(4)), IMAGE),
    "plain batch norm": (_after_conv(nn.BatchNorm2d(4, affine=False)), IMAGE),
    "batch norm of batches": (_after_conv(nn.BatchNorm2d(4, track_running_stats=False)), IMAGE),
    "group norm": (_after_conv(nn.GroupNorm(2, 4)), IMAGE),
    "plain group norm": (_after_conv(nn.GroupNorm(2, 4, affine=False)), IMAGE),
    "instance norm": (_after_conv(nn.InstanceNorm2d(4, affine=True)), IMAGE),
    "plain instance norm": (_after_conv(nn.InstanceNorm2d(4)), IMAGE),
    "layer norm": (_after_conv(nn.LayerNorm(8)), IMAGE),
    "layer norm of timm": (_after_conv(TimmLayerNorm(8)), IMAGE),
    "local response norm": (_after_conv(nn.LocalResponseNorm(2)), IMAGE),
    "plain layer norm": (_after_conv(nn.LayerNorm(8, elementwise_affine=False)), IMAGE),
    "activations": (
        _after_conv(nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Hardswish()),
        IMAGE,
    ),
    "relu6": (_after_conv(nn.ReLU6()), IMAGE),
    "leaky relu": (_after_conv(nn.LeakyReLU()), IMAGE),
    "prelu": (_after_conv(nn.PReLU()), IMAGE),
    "elu": (_after_conv(nn.ELU()), IMAGE),
    "selu": (_after_conv(nn.SELU(), nn.CELU()), IMAGE),
    "softmax": (_after_conv(nn.Softmax(dim=1)), IMAGE),
    "pooling": (_after_conv(nn.MaxPool2d(2), nn.AvgPool2d(2, 1)), IMAGE),
    "adaptive pooling": (_after_conv(nn.AdaptiveAvgPool2d((4, 5)), nn.AdaptiveMaxPool2d(2)), IMAGE),
    "adaptive pooling 1d": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 1), nn.AdaptiveAvgPool1d(4)),
        SIGNAL,
    ),
    "pooling to a fraction": (_after_conv(nn.AdaptiveAvgPool2d((5, 3))), IMAGE),
    "activations as functions": (lambda: Function(_activations, nn.Linear(6, 6)), (2, 6)),
    "relu as methods": (lambda: Function(lambda x, m: m(x).relu(), nn.Linear(6, 6)), (2, 6)),
    "log softmax": (_after_conv(nn.LogSoftmax(dim=1)), IMAGE),
    "nearest": (_after_conv(nn.Upsample(scale_factor=2)), IMAGE),
    "bilinear": (_after_conv(nn.Upsample(scale_factor=2, mode="bilinear")), IMAGE),
    "bicubic": (_after_conv(nn.Upsample(scale_factor=2, mode="bicubic")), IMAGE),
    "trilinear": (
        lambda: nn.Sequential(nn.Conv3d(3, 4, 1), nn.Upsample(scale_factor=2, mode="trilinear")),
        VOLUME,
    ),
    "by a fraction": (_after_conv(nn.Upsample(scale_factor=1.3, mode="bilinear")), IMAGE),
    "to a size": (_after_conv(nn.Upsample(size=(5, 7), mode="bilinear")), IMAGE),
    "to a square": (_after_conv(nn.Upsample(size=7)), IMAGE),
    "by area": (_after_conv(Function(lambda x: F.interpolate(x, (3, 4), mode="area"))), IMAGE),
    "resized": (Resized, IMAGE),
    "linear": (lambda: nn.Linear(8, 6), (2, 8)),
    "linear of tokens": (lambda: nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 4, False)), TOKENS),
    "lstm": (lambda: nn.LSTM(8, 6, num_layers=2, batch_first=True), TOKENS),
    "lstm with projections": (lambda: nn.LSTM(8, 6, proj_size=3, batch_first=True), TOKENS),
    "lstm with projections both ways": (
        lambda: nn.LSTM(8, 6, 2, False, True, bidirectional=True, proj_size=3),
        TOKENS,
    ),
    "lstm without a batch": (lambda: nn.LSTM(8, 6), (5, 8)),
    "gru of two layers both ways": (
        lambda: nn.GRU(8, 6, 2, batch_first=True, bidirectional=True),
        TOKENS,
    ),
    "lstm called twice": (
        lambda: Function(lambda x, m: m(m(x)[0][:, :3])[0], nn.LSTM(8, 8, batch_first=True)),
        TOKENS,
    ),
    "lstm cell": (lambda: nn.LSTMCell(8, 6), (2, 8)),
    "gru cell": (lambda: nn.GRUCell(8, 6, bias=False), (2, 8)),
    "rnn cell": (lambda: nn.RNNCell(8, 6), (2, 8)),
    "gru": (lambda: nn.GRU(8, 6, bidirectional=True, batch_first=True), TOKENS),
    "rnn": (lambda: nn.RNN(8, 6, num_layers=2, batch_first=True), TOKENS),
    "multi-head attention": (lambda: SelfAttention(need_weights=False), TOKENS),
    "multi-head attention with weights": (lambda: SelfAttention(need_weights=True), TOKENS),
    "attention with a mask": (
        lambda: Function(_with_mask, nn.MultiheadAttention(8, 2, batch_first=True)),
        TOKENS,
    ),
    "attention without biases": (
        lambda: Function(_seeing, nn.MultiheadAttention(8, 2, bias=False, batch_first=True)),
        TOKENS,
    ),
    "cross-attention": (
        lambda: Function(_seeing, nn.MultiheadAttention(8, 2, batch_first=True)),
        TOKENS,
    ),
    "attention to other widths": (
        lambda: Function(
            _other_keys, nn.MultiheadAttention(8, 2, kdim=4, vdim=6, batch_first=True)
        ),
        TOKENS,
    ),
    "transformer layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        TOKENS,
    ),
    "attention of timm": (lambda: TimmAttention(8, 2), TOKENS),
    "functions": (Functions, IMAGE),
    "products of matrices": (lambda: Function(_products, nn.Linear(8, 8)), (2, 8)),
    "operators": (lambda: Function(_operators, nn.Linear(8, 8)), TOKENS),
    "product with a matrix": (
        lambda: Function(lambda x, m: torch.matmul(m.weight, x.transpose(1, 2)), nn.Linear(8, 6)),
        TOKENS,
    ),
    "einsum": (
        lambda: Function(lambda x, m: torch.einsum("nij,nkj->nik", m(x), x), nn.Linear(57, 57)),
        (2, 59, 57),
    ),
    "products": (Products, (2, 5, 6)),
}
"""Small networks by name: how to build one, and the shape of its input."""


def shape_of(net: str) -> Shape:
    """Shape of the input that every tool is given."""
    side = 299 if net == "inception_v3" else 224
    return SMALL[net][1] if net in SMALL else (1, 3, side, side)


def build(net: str) -> nn.Module:
    """The network, for inference."""
    if net in SMALL:
        return SMALL[net][0]().eval()
    more = {"weights_backbone": None} if net.startswith(("fcn_", "lraspp_")) else {}
    model: nn.Module = get_model(net, weights=None, **more)
    return model.eval()


def _fvcore(model: nn.Module, x: Tensor) -> float:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, x).unsupported_ops_warnings(False)
    return float(analysis.uncalled_modules_warnings(False).total())


def _ptflops(model: nn.Module, x: Tensor, **more: Any) -> float:
    from ptflops import get_model_complexity_info

    quiet: dict[str, Any] = {"as_strings": False, "print_per_layer_stat": False, "verbose": False}
    # It takes a shape without the batch, and runs a batch of one.
    shape = tuple(x.shape[1:])
    macs, _ = get_model_complexity_info(model, shape, backend="pytorch", **quiet, **more)
    return float(macs)


def _ptflops_of(batch: int) -> Callable[[nn.Module, Tensor], float]:
    """ptflops given a batch, the one way in which it takes one."""

    def count(model: nn.Module, x: Tensor) -> float:
        inputs = x[:1].expand(batch, *x.shape[1:])
        return _ptflops(model, x, input_constructor=lambda shape: inputs)

    return count


def _thop(model: nn.Module, x: Tensor) -> float:
    import thop

    return float(thop.profile(model, (x,), verbose=False)[0])


def _torchinfo(model: nn.Module, x: Tensor) -> float:
    import torchinfo

    return float(torchinfo.summary(model, input_data=x, verbose=0).total_mult_adds)


def _calflops(model: nn.Module, x: Tensor) -> float:
    from calflops import calculate_flops

    flops, _, _ = calculate_flops(
        model, args=[x], print_results=False, print_detailed=False, output_as_string=False
    )
    return float(flops)


def _flop_counter(model: nn.Module, x: Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(x)
    return float(counter.get_total_flops())


def _without_gradients(model: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return _flop_counter(model, x)


TOOLS: dict[str, tuple[Callable[[nn.Module, Tensor], float], str]] = {
    "fvcore": (_fvcore, "cpu"),
    "torchinfo": (_torchinfo, "cpu"),
    "flop-counter on the CPU": (_flop_counter, "cpu"),
    "flop-counter without gradients": (_without_gradients, "cpu"),
    "thop": (_thop, "cpu"),
    "flop-counter": (_flop_counter, "meta"),
    "ptflops": (_ptflops, "cpu"),
    "calflops": (_calflops, "cpu"),
}
"""Each runs a model on an input and returns the tool's number; and on which device it is run. In an order
in which none meets what another leaves behind: buffers (thop), replaced functions (calflops)."""

BATCHED = {f"ptflops of {batch}": (_ptflops_of(batch), "cpu") for batch in (2, 3)}
"""ptflops on batches."""


def number(tool: str, model: nn.Module, shape: Shape) -> int:
    """What `tool` prints, before it is rounded and given a suffix."""
    count, device = {**TOOLS, **BATCHED}[tool]
    # No device as a context: under one, functions are called through another layer, and ptflops and
    # calflops count them twice.
    counted = count(model.to(device), torch.zeros(shape, device=device))
    assert counted.is_integer()  # a float holds these exactly: they are below 2⁵³
    return int(counted)


def numbers(tools: Sequence[str], nets: Sequence[str]) -> dict[str, dict[str, int]]:
    """`number` by net and tool."""
    with contextlib.redirect_stdout(io.StringIO()):  # some tools print
        found: dict[str, dict[str, int]] = {}
        for net in nets:
            model = build(net)
            for tool in tools:
                # thop leaves more behind than it takes away from a module under two names.
                model = build(net) if net in SMALL else model
                found.setdefault(net, {})[tool] = number(tool, model, shape_of(net))
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    asked, *names = sys.argv[1:]
    print(json.dumps(numbers(asked.split(","), names)))
