import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnstat.analysis import analyze
from cnnstat.convention import CONVENTIONS, Convention, Weights, convention_named, requote
from cnnstat.errors import SpecError
from cnnstat.report import Tally, Work
from cnnstat.rules import all_rules


def tally(rule, macs=0, read=0, written=0):
    return Tally(
        rule=rule, kind="linear", calls=1, work=Work(macs=macs), read=read, written=written
    )


class Function(nn.Module):
    """A function of the input, after a pointwise convolution."""

    def __init__(self, call, dims=2, channels=4):
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.conv, self.call = conv(3, channels, 1), call

    def forward(self, x):
        return self.call(self.conv(x))


class Attention(nn.Module):
    """Attention as timm writes it without the fused kernel."""

    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.proj = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, length, 3, 2, 4).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(n, length, width))


def net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.GroupNorm(2, 8),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.InstanceNorm2d(4, affine=True),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(36, 5),
    )


GRID = torch.rand(2, 4, 5, 2)
CASES = {
    "a network": (net(), (2, 3, 12, 14)),
    "attention": (Attention(), (2, 6, 8)),
    "batch norm": (Function(nn.BatchNorm2d(4)), (2, 3, 6, 7)),
    "plain batch norm": (Function(nn.BatchNorm2d(4, affine=False)), (2, 3, 6, 7)),
    "batch norm of batches": (Function(nn.BatchNorm2d(4, track_running_stats=False)), (2, 3, 6, 7)),
    "batch norm 1d": (Function(nn.BatchNorm1d(4), dims=1), (2, 3, 6)),
    "batch norm 3d": (Function(nn.BatchNorm3d(4), dims=3), (2, 3, 4, 5, 2)),
    "layer norm": (Function(nn.LayerNorm((6, 7))), (2, 3, 6, 7)),
    "plain layer norm": (Function(nn.LayerNorm(7, elementwise_affine=False)), (2, 3, 6, 7)),
    "group norm": (Function(nn.GroupNorm(2, 4)), (2, 3, 6, 7)),
    "plain group norm": (Function(nn.GroupNorm(2, 4, affine=False)), (2, 3, 6, 7)),
    "instance norm": (Function(nn.InstanceNorm2d(4, affine=True)), (2, 3, 6, 7)),
    "plain instance norm": (Function(nn.InstanceNorm2d(4)), (2, 3, 6, 7)),
    "adaptive pool": (Function(nn.AdaptiveAvgPool2d(1)), (2, 3, 6, 7)),
    "adaptive pool 1d": (Function(nn.AdaptiveAvgPool1d(2), dims=1), (2, 3, 6)),
    "adaptive pool 3d": (Function(nn.AdaptiveAvgPool3d(2), dims=3), (2, 3, 4, 5, 2)),
    "pool": (Function(nn.AvgPool2d(2)), (2, 3, 6, 7)),
    "nearest": (Function(nn.Upsample(scale_factor=2)), (2, 3, 6, 7)),
    "nearest 1d": (Function(nn.Upsample(scale_factor=2), dims=1), (2, 3, 6)),
    "nearest 3d": (Function(nn.Upsample(scale_factor=2), dims=3), (2, 3, 4, 5, 2)),
    "nearest exact": (Function(nn.Upsample(scale_factor=2, mode="nearest-exact")), (2, 3, 6, 7)),
    "bilinear": (Function(nn.Upsample(scale_factor=2, mode="bilinear")), (2, 3, 6, 7)),
    "bicubic": (Function(nn.Upsample(scale_factor=2, mode="bicubic")), (2, 3, 6, 7)),
    "trilinear": (Function(nn.Upsample(scale_factor=2, mode="trilinear"), dims=3), (2, 3, 4, 5, 2)),
    "antialiased": (
        Function(lambda x: F.interpolate(x, size=(4, 4), mode="bilinear", antialias=True)),
        (2, 3, 6, 7),
    ),
    "grid": (Function(lambda x: F.grid_sample(x, GRID, align_corners=False)), (2, 3, 6, 7)),
    "nearest of a grid": (
        Function(lambda x: F.grid_sample(x, GRID, mode="nearest", align_corners=False)),
        (2, 3, 6, 7),
    ),
    "einsum": (
        Function(lambda x: torch.einsum("nchw,ndhw->ncd", x, x)),
        (2, 3, 6, 7),
    ),
    "linear of a vector": (nn.Linear(6, 7), (2, 6)),
    "linear of a sequence": (nn.Linear(6, 7), (2, 5, 6)),
    "rms norm": (Function(nn.RMSNorm(7)), (2, 3, 6, 7)),
    "activations": (
        Function(lambda x: F.gelu(x).softmax(1) * F.silu(x) + x.mean()),
        (2, 3, 6, 7),
    ),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_fvcore_says_the_same(name, train):
    from fvcore.nn import FlopCountAnalysis

    model, shape = CASES[name]
    model.train(train)
    report = analyze(model, shape, convention="fvcore", train=train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = FlopCountAnalysis(model, torch.rand(shape))
        theirs.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        assert report.totals.quoted == theirs.total()


def test_macs_are_quoted_as_they_are():
    report = analyze(net(), (2, 3, 12, 14))
    assert report.convention == "macs"
    assert report.totals.quoted == report.totals.macs > 0


def test_fused_attention_is_quoted_as_its_products():
    class Fused(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    # two products of 2·(5·5·8)
    assert analyze(Fused(), (2, 5, 8), convention="fvcore").totals.quoted == 2 * 400


def test_quoting_again_is_quoting_at_once():
    plain = analyze(net(), (2, 3, 12, 14))
    other = analyze(net(), (2, 3, 12, 14), convention="fvcore")
    assert requote(plain, "fvcore") == other
    assert requote(other, "macs") == plain
    assert other.totals.quoted > plain.totals.quoted
    assert [row.work for row in other.layers] == [row.work for row in plain.layers]


def test_weights():
    convention = Convention(
        name="test",
        title="test",
        includes="",
        rules={"a": Weights(macs=1, read=2, written=3)},
        default=Weights(read=10),
    )
    # 5 + 2·7 + 3·11; then 10·1
    assert convention.quote([tally("a", 5, 7, 11), tally("b", 100, 1, 100)]) == 52 + 10
    assert convention.quote([]) == 0


def test_names():
    assert all(convention_named(name).name == name for name in CONVENTIONS)
    for convention in CONVENTIONS.values():
        assert convention.title and convention.includes
    with pytest.raises(SpecError, match="timms") as error:
        convention_named("timms")
    assert "macs" in str(error.value) or "macs" in (error.value.hint or "")


def test_weights_are_of_rules_that_exist():
    names = {rule.name for rule in all_rules()}
    for convention in CONVENTIONS.values():
        assert {name.partition(".")[0] for name in convention.rules} <= names
