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


class Attention(nn.Module):
    """`nn.MultiheadAttention` over its input; torchvision's vision transformers need no weights."""

    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = self.attention(x, x, x, need_weights=self.need_weights)[0]
        return attended


class Resized(nn.Module):
    """Resized to a size, by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.conv(x), size=(9, 11), mode="bilinear")


def _after_conv(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *layers)


IMAGE, SIGNAL, VOLUME, TOKENS = (2, 3, 6, 8), (2, 3, 8), (2, 3, 4, 6, 4), (2, 5, 8)

SMALL: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3, stride=2), nn.BatchNorm1d(4)), SIGNAL),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)), VOLUME),
    "grouped conv": (lambda: nn.Conv2d(3, 6, 3, groups=3, dilation=2, padding="same"), IMAGE),
    "transposed conv": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, bias=False), IMAGE),
    "transposed conv with bias": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2), IMAGE),
    "batch norm": (_after_conv(nn.BatchNorm2d(4)), IMAGE),
    "plain batch norm": (_after_conv(nn.BatchNorm2d(4, affine=False)), IMAGE),
    "group norm": (_after_conv(nn.GroupNorm(2, 4)), IMAGE),
    "plain group norm": (_after_conv(nn.GroupNorm(2, 4, affine=False)), IMAGE),
    "instance norm": (_after_conv(nn.InstanceNorm2d(4, affine=True)), IMAGE),
    "plain instance norm": (_after_conv(nn.InstanceNorm2d(4)), IMAGE),
    "layer norm": (_after_conv(nn.LayerNorm(8)), IMAGE),
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
    "nearest": (_after_conv(nn.Upsample(scale_factor=2)), IMAGE),
    "bilinear": (_after_conv(nn.Upsample(scale_factor=2, mode="bilinear")), IMAGE),
    "bicubic": (_after_conv(nn.Upsample(scale_factor=2, mode="bicubic")), IMAGE),
    "resized": (Resized, IMAGE),
    "linear": (lambda: nn.Linear(8, 6), (2, 8)),
    "linear of tokens": (lambda: nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 4, False)), TOKENS),
    "lstm": (lambda: nn.LSTM(8, 6, num_layers=2, batch_first=True), TOKENS),
    "gru": (lambda: nn.GRU(8, 6, bidirectional=True, batch_first=True), TOKENS),
    "rnn": (lambda: nn.RNN(8, 6, num_layers=2, batch_first=True), TOKENS),
    "multi-head attention": (lambda: Attention(need_weights=False), TOKENS),
    "multi-head attention with weights": (lambda: Attention(need_weights=True), TOKENS),
    "attention of timm": (lambda: TimmAttention(8, 2), TOKENS),
    "functions": (Functions, IMAGE),
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


def _ptflops(model: nn.Module, x: Tensor) -> float:
    from ptflops import get_model_complexity_info

    quiet: dict[str, Any] = {"as_strings": False, "print_per_layer_stat": False, "verbose": False}
    # It takes a shape without the batch, and runs a batch of one.
    macs, _ = get_model_complexity_info(model, tuple(x.shape[1:]), backend="pytorch", **quiet)
    return float(macs)


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


def number(tool: str, model: nn.Module, shape: Shape) -> int:
    """What `tool` prints, before it is rounded and given a suffix."""
    count, device = TOOLS[tool]
    # No device as a context: under one, functions are called through another layer, and ptflops and
    # calflops count them twice.
    counted = count(model.to(device), torch.zeros(shape, device=device))
    assert counted.is_integer()  # a float holds these exactly: they are below 2⁵³
    return int(counted)


def numbers(tools: Sequence[str], nets: Sequence[str]) -> dict[str, dict[str, int]]:
    """`number` by net and tool."""
    with contextlib.redirect_stdout(io.StringIO()):  # some tools print
        found = {}
        for net in nets:
            model = build(net)
            found[net] = {tool: number(tool, model, shape_of(net)) for tool in tools}
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    asked, *names = sys.argv[1:]
    print(json.dumps(numbers(asked.split(","), names)))
