"""Every convention against the tool that it is of, equal to the last unit.

Where a tool and its convention differ, the difference is named and shown to be nothing else: it is an exact
number of operations, never a tolerance. The user is told too: the convention has a remark on each such
network, and none on the others.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

import cnnstat
from cnnstat.conventions import CONVENTIONS, requote
from cnnstat.report import Report
from tests.measured import analyze
from tests.other_tools import BATCHED, SMALL, TOOLS, build, shape_of

MODELS = "resnet50 mobilenet_v2 densenet121 vgg16 vit_b_16".split()
MORE_MODELS = """
    convnext_tiny efficientnet_b0 fcn_resnet50 googlenet inception_v3 lraspp_mobilenet_v3_large maxvit_t
    mnasnet1_0 mobilenet_v3_large regnet_y_400mf resnext50_32x4d shufflenet_v2_x1_0 squeezenet1_1 swin_t
    swin_v2_t
""".split()

# torch's own prelu and instance_norm do not run under a dispatch mode on meta tensors.
TOOLS_OF_SMALL = [tool for tool in TOOLS if tool != "flop-counter"]


@dataclass(frozen=True)
class Known:
    """A difference that is known: why, and how many units the convention has more than the tool."""

    why: str
    more: Callable[[Report], int]


# ---- parts of a report


def macs(report: Report, rule: str, layers: str = "") -> int:
    return sum(
        tally.work.macs
        for layer in report.layers
        if layers in ("", layer.type)
        for tally in layer.tallies
        if rule in ("", tally.rule)
    )


def read(report: Report, rule: str) -> int:
    return sum(t.read for layer in report.layers for t in layer.tallies if t.rule == rule)


def fused_attention(factor: int) -> Callable[[Report], int]:
    return lambda report: factor * macs(report, "attention")


def rounding_of_einsum(factor: int) -> Callable[[Report], int]:
    """numpy prints the FLOPs of an einsum, two per MAC, to four digits, and the tools read that."""

    def more(report: Report) -> int:
        calls = [
            op
            for layer in report.layers
            for tally in layer.tallies
            if tally.rule == "matmul"
            for op in tally.ops
        ]
        flops = [2 * op.outputs[0].numel * op.inputs[0].shape[-1] for op in calls]
        assert calls and sum(flops) == 2 * macs(report, "matmul")
        return sum(exact - int(float(f"{exact:.3e}")) for exact in flops) * factor // 2

    return more


def quoted(tool: str, times: int) -> Callable[[Report], int]:
    """As much again, or less, as the convention quotes."""
    return lambda report: times * requote(report, tool).totals.quoted


def by(op: str, factor: int) -> Callable[[Report], int]:
    """Multiply–accumulates of products by one of torch's functions, elements of each operand alike."""
    return lambda report: sum(
        factor * call.inputs[0].numel * call.inputs[1].shape[-1]
        for layer in report.layers
        for tally in layer.tallies
        for call in tally.ops
        if call.op == op
    )


def operators(factor: int) -> Callable[[Report], int]:
    return lambda report: factor * macs(report, "matmul") + read(report, "softmax")


# ---- what is known

NO_FORMULA = "FlopCounterMode has no formula for the CPU's kernel of fused attention"
FAST_PATH = "without gradients nn.MultiheadAttention is one kernel, which has no formula"
ON_CPU, NO_GRADIENTS = "flop-counter on the CPU", "flop-counter without gradients"


def whole_attention(report: Report) -> int:
    return 2 * macs(report, "", "MultiheadAttention")


def attention_without_projections(report: Report) -> int:
    """Projections of 5 tokens of width 8, the last with a bias, less what it counts of 2 heads."""
    projections = macs(report, "linear") + 5 * 8
    scaling, softmax = 5 * 8, 2 * 5 * 5
    return projections - scaling - softmax - macs(report, "attention")


FUSED = (
    "multi-head attention",
    "attention without biases",
    "cross-attention",
    "attention to other widths",
)
LSTMS = ("lstm", "lstm without a batch", "lstm called twice")

KNOWN: Mapping[tuple[str, str], Known] = {
    ("fvcore", "vit_b_16"): Known(
        "fvcore has no handle for scaled_dot_product_attention; timm's table counts it as products",
        fused_attention(1),
    ),
    **{
        ("fvcore", net): Known("the same", fused_attention(1))
        for net in (*FUSED, "transformer layer", "attention of timm")
    },
    **{
        (engine, net): Known(why, more)
        for net in FUSED
        for engine, why, more in (
            (ON_CPU, NO_FORMULA, fused_attention(2)),
            # One kernel is for self-attention with biases alone.
            (NO_GRADIENTS, FAST_PATH, whole_attention)
            if net == "multi-head attention"
            else (NO_GRADIENTS, NO_FORMULA, fused_attention(2)),
        )
    },
    (ON_CPU, "transformer layer"): Known(NO_FORMULA, fused_attention(2)),
    (NO_GRADIENTS, "transformer layer"): Known(
        "without gradients the whole layer is one kernel", lambda report: 2 * macs(report, "")
    ),
    ("fvcore", "maxvit_t"): Known("numpy's FLOPs of an einsum", rounding_of_einsum(1)),
    ("fvcore", "einsum"): Known("the same", rounding_of_einsum(1)),
    (ON_CPU, "vit_b_16"): Known(NO_FORMULA, fused_attention(2)),
    (ON_CPU, "attention of timm"): Known(NO_FORMULA, fused_attention(2)),
    (NO_GRADIENTS, "attention of timm"): Known(NO_FORMULA, fused_attention(2)),
    (NO_GRADIENTS, "vit_b_16"): Known(FAST_PATH, whole_attention),
    (NO_GRADIENTS, "multi-head attention with weights"): Known(FAST_PATH, whole_attention),
    **{
        (engine, net): Known(
            "oneDNN's LSTM is one kernel, which has no formula",
            lambda report: 2 * macs(report, "recurrent"),
        )
        for net in LSTMS
        for engine in (ON_CPU, NO_GRADIENTS)
    },
    **{
        (tool, "lstm without a batch"): Known(
            "it takes the width, 8, for steps", quoted(tool, times=1 - 8)
        )
        for tool in ("ptflops", "thop", "calflops")
    },
    **{
        (tool, "conv under two names"): Known("once for each name", quoted(tool, times=-1))
        for tool in ("ptflops", "calflops")
    },
    ("thop", "conv under two names"): Known(
        "hooked once for each name and added up once for each", quoted("thop", times=-3)
    ),
    **{
        (tool, "relu as methods"): Known(
            "Tensor.relu is not the function that it replaces", lambda report: read(report, "relu")
        )
        for tool in ("ptflops", "calflops")
    },
    ("ptflops", "layer norm of timm"): Known(
        "a class of the same name", lambda report: read(report, "layer_norm")
    ),
    ("thop", "layer norm of timm"): Known(
        "a class of the same name", lambda report: 4 * read(report, "layer_norm")
    ),
    ("ptflops", "attention without biases"): Known(
        "a bias of the last projection: 5 tokens of width 8", lambda report: -5 * 8
    ),
    ("ptflops", "attention to other widths"): Known(
        "keys of width 4 and values of 6 projected to 4 and 6, and the last projection of 6, not of 8",
        lambda report: 5 * (4 * 4 + 6 * 2 + 8 * 9 - 6 * 7) + 2 * 5 * 5,
    ),
    ("ptflops", "operators"): Known("operators and methods", operators(1)),
    ("ptflops", "einsum"): Known(
        "torch.einsum is not a function that it replaces", by("aten.bmm", 1)
    ),
    ("ptflops", "by a fraction"): Known(
        "by 1.3 × 1.3 the 4 × 6 × 8 elements, not rounded down to 7 × 10 of each channel",
        lambda report: 4 * 7 * 10 - int(4 * 6 * 8 * 1.69),
    ),
    ("ptflops", "by area"): Known("as pooling and as resizing", lambda report: -4 * 3 * 4),
    ("calflops", "by area"): Known("as pooling and as resizing to a size", lambda report: -3 * 4),
    ("calflops", "to a square"): Known("7, where the size is 7 × 7", lambda report: 7 * 7 - 7),
    ("calflops", "operators"): Known("operators and methods", operators(2)),
    ("calflops", "products of matrices"): Known(
        "torch.bmm is not a function that it replaces", by("aten.bmm", 2)
    ),
    ("calflops", "einsum"): Known("numpy's FLOPs of an einsum", rounding_of_einsum(2)),
    ("ptflops", "attention of timm"): Known(
        "it knows this class by itself, and then leaves out the projections inside",
        attention_without_projections,
    ),
    ("ptflops", "functions"): Known(
        "Tensor.softmax is not the function that it replaces",
        lambda report: read(report, "softmax"),
    ),
    ("ptflops", "swin_v2_t"): Known(
        "q @ k is an operator, attention.matmul(v) a method; both have as many MACs",
        lambda report: macs(report, "matmul") // 2,
    ),
    ("ptflops", "maxvit_t"): Known(
        "torch.einsum is not a function that it replaces", lambda report: macs(report, "matmul")
    ),
    ("calflops", "functions"): Known(
        "Tensor.softmax is not the function that it replaces",
        lambda report: read(report, "softmax"),
    ),
    ("calflops", "swin_v2_t"): Known(
        "q @ k is an operator, attention.matmul(v) a method; both have as many MACs",
        lambda report: macs(report, "matmul"),
    ),
    ("calflops", "maxvit_t"): Known("numpy's FLOPs of an einsum", rounding_of_einsum(2)),
}

SAID_OF_ALL = {"relu as methods": "x.relu()", "layer norm of timm": "classes go by their names"}
"""Differences that no record shows, so that what the convention misses says them of every network."""

EQUAL_FOR_ALL_THAT: Mapping[tuple[str, str], str] = {
    ("fvcore", "products of matrices"): "torch.mm, and not tensordot",
    ("flop-counter", "attention with a mask"): "no one kernel",
    **{
        ("flop-counter", net): "on the CPU, and not on a GPU"
        for net in (
            *("gru", "gru of two layers both ways", "rnn"),
            *("lstm with projections", "lstm with projections both ways"),
        )
    },
    ("calflops", "fcn_resnet50"): "a size of two numbers",
    ("calflops", "lraspp_mobilenet_v3_large"): "a size of two numbers",
    **{("ptflops", net): "torch.matmul, and no operator" for net in ("products", "swin_t")},
    **{("calflops", net): "torch.matmul, and no operator" for net in ("products", "swin_t")},
    ("ptflops", "product with a matrix"): "torch.matmul, and no operator",
    ("calflops", "product with a matrix"): "torch.matmul, and no operator",
    ("ptflops", "products of matrices"): "torch.bmm, and not einsum",
}
"""Networks with a remark whose number is the tool's own: the record does not show which it would be."""


# ---- theirs and ours

Numbers = Callable[[str, str], int]

# ptflops and calflops replace functions of torch. Each model is moved to meta by the last of the first.
PROCESSES = [
    [tool for tool in TOOLS if tool not in ("ptflops", "calflops")],
    ["ptflops", "calflops"],
]


def ask(nets: list[str], processes: list[list[str]] = PROCESSES) -> Iterator[Numbers]:
    """Start all tools at once; the answer to a tool and a net waits for that tool's process."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.other_tools", ",".join(tools), *nets],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for tools in processes
    ]

    @functools.cache
    def output(index: int) -> Mapping[str, Mapping[str, int]]:
        numbers, errors = started[index].communicate()
        assert numbers, errors
        return dict(json.loads(numbers))

    places = {tool: index for index, tools in enumerate(processes) for tool in tools}
    yield lambda tool, net: output(places[tool])[net][tool]
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def theirs() -> Iterator[Numbers]:
    yield from ask([*MODELS, *SMALL])


@pytest.fixture(scope="session")
def theirs_of_more() -> Iterator[Numbers]:
    yield from ask(MORE_MODELS)


@functools.cache
def report_of(net: str, batch: int) -> Report:
    return cnnstat.analyze(build(net), (batch, *shape_of(net)[1:]))


def check(tool: str, net: str, theirs: Numbers) -> None:
    # ptflops runs a batch of one, whatever the batch.
    report = report_of(net, 1 if tool == "ptflops" else shape_of(net)[0])
    assert not report.uncounted
    name = tool.partition(" ")[0]
    known = KNOWN.get((tool, net))
    more = known.more(report) if known else 0
    assert requote(report, name).totals.quoted - theirs(tool, net) == more, known
    assert bool(more) == bool(known)  # nothing is listed that does not differ
    if net in SAID_OF_ALL:
        assert not known or SAID_OF_ALL[net] in CONVENTIONS[name].misses
        return
    differs = any(of.partition(" ")[0] == name for of, other in KNOWN if other == net)
    told = CONVENTIONS[name].remarks_on(report)
    assert bool(told) == (differs or (name, net) in EQUAL_FOR_ALL_THAT), told


@pytest.mark.parametrize("net", MODELS)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_model_is_quoted_as_the_tool_prints_it(tool: str, net: str, theirs: Numbers) -> None:
    check(tool, net, theirs)


@pytest.mark.parametrize("net", SMALL)
@pytest.mark.parametrize("tool", TOOLS_OF_SMALL)
def test_a_layer_is_quoted_as_the_tool_prints_it(tool: str, net: str, theirs: Numbers) -> None:
    check(tool, net, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("net", MORE_MODELS)
@pytest.mark.parametrize("tool", TOOLS)
def test_more_models_are_quoted_as_the_tool_prints_them(
    tool: str, net: str, theirs_of_more: Numbers
) -> None:
    check(tool, net, theirs_of_more)


BATCHES = (2, 3)
SAME_FOR_ALL = ("attention with a mask", "products of matrices", "product with a matrix")
FUNCTIONS_OF_RESNET = ("relu", "max_pool", "adaptive_avg_pool")


@pytest.fixture(scope="session")
def ptflops_of_batches() -> Iterator[Numbers]:
    yield from ask(["resnet18"], [list(BATCHED)])


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("net", sorted({"resnet18", *SMALL} - {"lstm without a batch"}))
def test_ptflops_is_for_one_sample(net: str, batch: int) -> None:
    one, more = (requote(report_of(net, n), "ptflops").totals.quoted for n in (1, batch))
    told = CONVENTIONS["ptflops"].remarks_on(report_of(net, batch))
    assert any("for one sample" in text for text in told)
    assert (one == more) == (net not in SAME_FOR_ALL)
    assert any("same for all samples" in text for text in told) == (net in SAME_FOR_ALL)


@pytest.mark.parametrize("batch", BATCHES)
def test_ptflops_given_a_batch_divides_what_layers_count(
    batch: int, ptflops_of_batches: Numbers
) -> None:
    report = report_of("resnet18", batch)
    functions = sum(read(report_of("resnet18", 1), rule) for rule in FUNCTIONS_OF_RESNET)
    theirs = ptflops_of_batches(f"ptflops of {batch}", "resnet18")
    assert requote(report, "ptflops").totals.quoted + (batch - 1) * functions == theirs


def test_the_classes_of_timm_are_known_to_have_names_of_torch() -> None:
    report = analyze("timm:test_vit")
    assert "LayerNorm" in {layer.type for layer in report.layers}
    for name in ("ptflops", "thop"):
        assert any("timm's of the same names" in x for x in CONVENTIONS[name].remarks_on(report))


def test_every_tool_is_asked() -> None:
    assert {tool.partition(" ")[0] for tool in TOOLS} == {
        convention.name for convention in CONVENTIONS.values() if convention.tool
    }
    pairs = (*KNOWN, *EQUAL_FOR_ALL_THAT)
    assert {net for _, net in pairs} <= {*MODELS, *MORE_MODELS, *SMALL}
    assert not {(tool.partition(" ")[0], net) for tool, net in KNOWN} & EQUAL_FOR_ALL_THAT.keys()


@pytest.mark.parametrize("name", [name for name, each in CONVENTIONS.items() if each.tool])
def test_the_versions_are_those_that_were_compared(name: str) -> None:
    convention = CONVENTIONS[name]
    installed = Version(version(convention.tool)).public
    assert installed in convention.versions.replace(",", " ").split()
