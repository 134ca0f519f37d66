import warnings
from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnstat.analysis import analyze
from cnnstat.cli.options import ConventionOption
from cnnstat.conventions import CONVENTIONS, convention_named, requote
from cnnstat.conventions.base import Cells, Convention, Remark, Uses, Weights
from cnnstat.errors import SpecError
from cnnstat.record import OpCall, TensorSpec
from cnnstat.render.base import View
from cnnstat.render.rows import select
from cnnstat.report import Layer, Report, Tally, Work
from cnnstat.rules import all_rules
from tests.reports import report


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


class TwoSizes(nn.Module):
    """One convolution, called on two sizes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(self.conv(x)[..., ::2, ::2])


def tied():
    first, second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
    second.weight = first.weight
    return nn.Sequential(first, second)


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


@pytest.mark.parametrize("name", CONVENTIONS)
def test_quoting_again_is_quoting_at_once(name):
    batch = 1 if CONVENTIONS[name].per_sample else 2
    plain = analyze(net(), (batch, 3, 12, 14))
    other = analyze(net(), (batch, 3, 12, 14), convention=name)
    assert requote(plain, name) == other
    assert requote(other, "macs") == plain
    assert (other.totals.quoted == plain.totals.quoted) == (name == "macs")
    assert [row.work for row in other.layers] == [row.work for row in plain.layers]


def test_quoting_at_once_is_for_one_sample_too():
    other = analyze(net(), (2, 3, 12, 14), convention="ptflops")
    assert requote(analyze(net(), (2, 3, 12, 14)), "ptflops") == other


SAVED = {
    "attention": lambda: analyze(Attention(), (2, 6, 8)),
    "convolutions": lambda: analyze(net(), (2, 3, 12, 14)),
    "of two sizes": lambda: analyze(TwoSizes(), (2, 3, 8, 8)),
    "tied": lambda: analyze(tied(), (2, 3, 8, 8)),
}


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_saved_report_is_quoted_as_it_was_before(name, saved):
    report = SAVED[saved]()
    told = convention_named(name).remarks_on(report)
    assert convention_named(name).remarks_on(Report.from_json(report.to_json())) == told
    assert requote(Report.from_json(report.to_json()), name) == requote(report, name)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_layers_of_a_kind_and_the_rest_are_quoted_as_the_whole(name):
    report = analyze(net(), (2, 3, 12, 14), convention=name)
    rows = select(report, View(kinds=("standard", "normalisation"))).rows
    convs = [layer for layer in report.layers if layer.kind in ("standard", "normalisation")]
    quoted = sum(layer.quoted for layer in convs)
    assert sum(row.totals.quoted for row in rows if row.role == "layer") == quoted
    assert sum(row.totals.quoted for row in rows) == report.totals.quoted


def call(op, output, **args):
    return OpCall(0, op, "a", {"self": TensorSpec(output), **args}, (TensorSpec(output),))


def layer(*tallies, **details):
    return Layer(**{"path": "a", "type": "Thing", "kind": "linear", "tallies": tallies, **details})


def convention(**weights):
    return Convention(name="test", title="test", includes="", unit="MACs", **weights)


def test_weights():
    rules = {"a": Weights(macs=1, adds=2, compares=3, read=5, written=7)}
    quote = convention(rules=rules, default=Weights(read=10)).quote
    work = Work(macs=11, adds=13, compares=17, muls=1000, special=1000)
    one = Tally(rule="a", kind="linear", calls=1, work=work, read=19, written=23)
    # 11 + 2·13 + 3·17 + 5·19 + 7·23; then 10·1
    assert quote(layer(one, tally("b", 100, 1, 100)), leaf=True) == 344 + 10
    assert quote(layer(), leaf=True) == 0


def test_weights_inside_a_class_go_before_those_of_everywhere():
    quote = convention(
        rules={"a": Weights(macs=1), "b": Weights(macs=1)},
        default=Weights(macs=100),
        modules={"Inner": {"a": Weights(macs=2), "c": Weights()}},
    ).quote
    tallies = [tally("a", 3), tally("b", 5), tally("c", 7)]
    assert quote(layer(*tallies), leaf=True) == 3 + 5 + 700
    assert quote(layer(*tallies, type="Inner"), leaf=True) == 2 * 3 + 5 + 0


def test_parameters_count_as_often_as_the_first_that_is_about_them_says():
    quote = convention(
        parameters=(
            Uses("positions", ("weight", "bias"), layers="*Conv*"),
            Uses("samples", ("weight", "bias")),
            Uses("steps", ("*weight*",)),
        )
    ).quote
    held = {"weight": (4, 3), "bias": (4,), "weight_ih_l0": (5, 2), "scale": (1000,)}
    # Output (2, 4, 6, 7): 2 samples, 2·6·7 positions, 2·4 steps.
    conv = layer(type="MyConv2d", weights=held, outputs=((2, 4, 6, 7),), calls=1)
    assert quote(conv, leaf=True) == 16 * 84 + 10 * 8
    other = layer(weights=held, outputs=((2, 4, 6, 7),), calls=3)
    assert quote(other, leaf=True) == 3 * (16 * 2 + 10 * 8)
    assert quote(other, leaf=False) == 0
    assert quote(layer(weights=held), leaf=True) == 0  # never called
    assert quote(layer(weights={"weight": (3,)}, outputs=((),), calls=1), leaf=True) == 3


def test_an_operation_may_count_by_its_arguments():
    rules = {"a": Weights(read=3, call=lambda call: call.output.numel * 100)}
    quote = convention(rules=rules).quote
    ran = replace(tally("a", read=7), ops=(call("aten.a", (2, 5)), call("aten.a", (2, 5))))
    assert quote(layer(ran), leaf=True) == 2 * 1000
    assert quote(layer(tally("a", read=7)), leaf=True) == 3 * 7  # saved without them
    strange = replace(tally("a", read=7), ops=(OpCall(0, "aten.a", "a", {}, ()),))
    assert quote(layer(strange), leaf=True) == 3 * 7


def test_a_saved_report_without_operations_is_said_to_be():
    told = convention(rules={"a": Weights(call=lambda call: 1)}).remarks_on
    assert told(report("net", layer(tally("b")))) == ()
    assert "without its operations" in told(report("net", layer(tally("a"))))[0]
    ran = replace(tally("a"), ops=(call("aten.a", (2, 5)),))
    assert told(report("net", layer(ran))) == ()


def test_each_call_counts_by_its_own_output_where_an_operation_shows_it():
    uses = convention(parameters=(Uses("positions", ("weight",)),))
    ran = replace(tally("a"), ops=(call("aten.a", (2, 4, 6, 7)), call("aten.a", (2, 4, 3, 1))))
    held = {"weights": {"weight": (5,)}, "outputs": ((2, 4, 6, 7),), "calls": 2}
    assert uses.quote(layer(ran, **held), leaf=True) == 5 * (2 * 6 * 7 + 2 * 3)
    assert uses.quote(layer(**held), leaf=True) == 5 * 2 * (2 * 6 * 7)
    # Only an operation that puts out what the layer does says so.
    held["outputs"] = ((2, 8, 6, 7),)
    assert uses.quote(layer(ran, **held), leaf=True) == 5 * 2 * (2 * 6 * 7)


def test_tied_parameters_count_where_an_operation_shows_them():
    uses = convention(parameters=(Uses("samples", ("weight", "bias")),))
    ran = replace(
        tally("a"), ops=(call("aten.a", (2, 4), weight=TensorSpec((4, 3)), bias=TensorSpec((4,))),)
    )
    held = {"weights": {"bias": (4,)}, "outputs": ((2, 4),), "calls": 1}
    assert uses.quote(layer(ran, **held), leaf=True) == 2 * 4
    assert uses.quote(layer(ran, tied_to=("b.weight",), **held), leaf=True) == 2 * (4 + 12)


def test_cells():
    # Two rows; matrices of the input 24 × 8 and of the state 24 × 3, which a projection makes narrower.
    held = {"weight_ih_l0": (24, 8), "weight_hh_l0": (24, 3), "weight_hr_l0": (3, 6)}
    biases = {"bias_ih_l0": (24,), "bias_hh_l0": (24,)}
    macs = 2 * (24 * 8 + 24 * 3 + 3 * 6)
    lstm = layer(tally("recurrent", macs), type="LSTM", weights={**held, **biases})

    def of(layer, **details):
        return convention(cells=Cells({"LSTM": 10}, **details)).quote(layer, leaf=True)

    assert of(lstm) == 2 * (24 * 11 + 48 + 60)
    assert of(lstm, element=2, gates=-1) == 2 * (2 * 24 * 11 - 48 + 48 + 60)
    assert of(lstm, projections=False) == 2 * (24 * 14 + 48 + 60)
    assert of(replace(lstm, weights=held)) == 2 * (24 * 11 + 60)
    both = {
        **held,
        **{f"{name}_reverse": shape for name, shape in held.items()},
    }
    lstm = layer(tally("recurrent", 2 * macs), type="LSTM", weights=both)
    assert of(lstm) == of(lstm, first_way=False) == 2 * 2 * (24 * 11 + 60)
    # What is no recurrent layer, or not known, counts by its operations.
    assert of(replace(lstm, type="GRU")) == of(replace(lstm, weights={})) == 0
    for other in ({"matrix": (3, 3)}, {"weight_ih_l0": (24, 8)}):
        assert of(replace(lstm, weights=other)) == 0


def test_a_sum_for_one_sample_is_divided_once():
    each = replace(convention(default=Weights(macs=1)), per_sample=True)
    root = layer(path="", inputs=((2, 3),))
    rows = [layer(path=name, quoted=n) for name, n in (("a", 3), ("b", 3), ("c", 5))]
    settled = each.settle((root, *rows))
    assert sum(row.quoted for row in settled) == 11 // 2
    assert each.settle(settled[:1]) == settled[:1]
    assert convention().settle((root, *rows)) == (root, *rows)
    for inputs in ((), ((5,),), ((1, 3),), ((0, 3),)):
        other = (replace(root, inputs=inputs), *rows)
        assert each.batch_of(other) == 1 and each.settle(other) == other
    # Images in a list: what holds parameters receives a batch of another size.
    conv = layer(path="a", inputs=((1, 3, 8, 8),), weights={"weight": (4, 3, 1, 1)})
    assert each.batch_of((replace(root, inputs=((3, 8, 8),)), conv)) == 1


def test_remarks_are_about_what_they_name():
    ran = replace(tally("a"), ops=(call("aten.x", (1,)),))

    def tells(about, *layers):
        return bool(replace(convention(), remarks=(about,)).remarks_on(report("net", *layers)))

    assert tells(Remark("!", rules=("a",)), layer(tally("b")), layer(ran))
    assert not tells(Remark("!", rules=("a",)), layer(tally("b")))
    assert tells(Remark("!", rules=("a*",), layers=("Th?ng",)), layer(ran))
    assert not tells(Remark("!", rules=("a",), layers=("Other",)), layer(ran))
    assert not tells(Remark("!", rules=("a",), outside=("Thing",)), layer(ran))
    assert tells(Remark("!", layers=("Thing",)), layer())
    assert tells(Remark("!", rules=("a",), call=lambda call: call.op == "aten.x"), layer(ran))
    assert not tells(Remark("!", rules=("a",), call=lambda call: call.op == "aten.y"), layer(ran))
    # Without its operations it may be any.
    assert tells(Remark("!", rules=("a",), call=lambda call: False), layer(tally("a")))
    assert not tells(Remark("!", layer=lambda layer: layer.calls > 0), layer(ran))
    assert not tells(Remark("!", report=lambda report: False), layer(ran))
    assert tells(Remark("!", call=lambda call: call.inputs[7].numel > 0), layer(ran))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_networks_without_a_batch_are_quoted(name):
    class Unbatched(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.up = nn.Conv2d(3, 4, 3, padding="same"), nn.ConvTranspose2d(4, 4, 2, 2)
            self.pool, self.vector = nn.AdaptiveAvgPool2d(2), nn.Parameter(torch.zeros(2))

        def forward(self, x):
            return (self.pool(self.up(self.conv(x))) @ self.vector).softmax(0)

    report = analyze(Unbatched(), (3, 6, 8), convention=name)
    assert not report.uncounted and report.totals.quoted >= 0
    told = " ".join(convention_named(name).remarks_on(report))
    assert ("without a batch" in told) == (name in ("ptflops", "thop"))


@pytest.mark.parametrize("name", [name for name, each in CONVENTIONS.items() if each.tool])
def test_what_a_tool_runs_otherwise_is_said(name):
    def told(**how):
        return " ".join(convention_named(name).remarks_on(analyze(net(), (1, 3, 12, 14), **how)))

    assert told() == ""
    assert ("backward pass" in told(backward=True)) == (name != "torchinfo")
    evaluates = name in ("ptflops", "thop", "torchinfo", "calflops")
    assert ("training mode" in told(train=True)) == evaluates


def test_remarks_are_short_sentences():
    for each in CONVENTIONS.values():
        texts = [remark.text for remark in each.remarks]
        assert len(set(texts)) == len(texts)
        assert not any(text.endswith(".") for text in texts)
        assert not (each.remarks and not each.tool)


def test_convolutions_alone():
    report = analyze(net(), (2, 3, 12, 14), convention="conv")
    linear = 2 * 36 * 5
    assert report.totals.quoted == report.totals.macs - linear


def test_two_for_each_mac():
    report = analyze(Attention(), (2, 6, 8), convention="two-per-mac")
    # qkv, the two products of two heads of width 4, proj
    assert report.totals.quoted == 2 * (2 * 6 * 8 * 24 + 2 * 2 * 2 * 6 * 6 * 4 + 2 * 6 * 8 * 8)


def test_names():
    assert all(convention_named(name).name == name for name in CONVENTIONS)
    for each in CONVENTIONS.values():
        assert each.title and each.includes and each.misses
        # They are read as sentences, one a line of a table.
        assert not each.includes.endswith(".") and not each.misses.endswith(".")
        assert (each.tool in each.versions and each.versions) or not (each.tool or each.versions)
    with pytest.raises(SpecError, match="timms") as error:
        convention_named("timms")
    assert "macs" in str(error.value) or "macs" in (error.value.hint or "")


def test_the_command_line_names_them_all():
    help_text = get_args(ConventionOption)[1].help
    assert all(name in help_text for name in CONVENTIONS)


def test_weights_are_of_rules_and_variants_that_exist():
    variants = {
        "batch_norm": ".plain .batch .batch.plain",
        **dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), ".plain"),
        "adaptive_avg_pool": ".1d .3d",
        "upsample_nearest": ".exact .1d .3d .exact.1d .exact.3d",
        **dict.fromkeys(
            (f"upsample_{name}" for name in ("linear", "bilinear", "bicubic", "trilinear")),
            ".antialiased",
        ),
    }
    known = {
        rule.name + variant
        for rule in all_rules()
        for variant in ("", *variants.get(rule.name, "").split())
    }
    for each in CONVENTIONS.values():
        for rules in (each.rules, *each.modules.values()):
            assert set(rules) <= known


def test_classes_are_those_of_torch():
    for each in CONVENTIONS.values():
        assert all(hasattr(nn, name) for name in each.modules)
