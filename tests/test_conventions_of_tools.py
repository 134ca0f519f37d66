"""Every convention against the tool that it is of, equal to the last unit.

Where a tool and its convention differ, the difference is named and shown to be nothing else: it is an exact
number of operations, never a tolerance.
"""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

import cnnstat
from cnnstat.convention import CONVENTIONS, requote
from cnnstat.report import Report
from tests.other_tools import SMALL, TOOLS, build, shape_of

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
            if layer.type == "RelativePositionalMultiHeadAttention"
            for tally in layer.tallies
            if tally.rule == "matmul"
            for op in tally.ops
        ]
        flops = [2 * op.outputs[0].numel * op.inputs[0].shape[-1] for op in calls]
        assert calls and sum(flops) == 2 * macs(report, "matmul")
        return sum(exact - int(float(f"{exact:.3e}")) for exact in flops) * factor // 2

    return more


def resized_to(*sizes: tuple[int, int]) -> Callable[[Report], int]:
    """To a given size calflops counts the positions of one channel, for each call."""
    positions = sum(math.prod(size) for size in sizes)
    return lambda report: read(report, "upsample_bilinear") - positions


def cells(layers: int, each: int) -> Callable[[Report], int]:
    """So many steps fewer for each of 6 units, 5 steps and a batch of 2 (of 1 for ptflops)."""
    return lambda report: -each * layers * 6 * 5 * report.meta["inputs"][0]["shape"][0]


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


KNOWN: Mapping[tuple[str, str], Known] = {
    ("fvcore", "vit_b_16"): Known(
        "fvcore has no handle for scaled_dot_product_attention; timm's table counts it as products",
        fused_attention(1),
    ),
    ("fvcore", "multi-head attention"): Known("the same", fused_attention(1)),
    ("fvcore", "grouped conv"): Known(
        "fvcore counts a convolution with padding='same' as nothing",
        lambda report: macs(report, "convolution"),
    ),
    ("fvcore", "maxvit_t"): Known("numpy's FLOPs of an einsum", rounding_of_einsum(1)),
    ("fvcore", "attention of timm"): Known("the same", fused_attention(1)),
    (ON_CPU, "vit_b_16"): Known(NO_FORMULA, fused_attention(2)),
    (ON_CPU, "multi-head attention"): Known(NO_FORMULA, fused_attention(2)),
    (ON_CPU, "attention of timm"): Known(NO_FORMULA, fused_attention(2)),
    (NO_GRADIENTS, "attention of timm"): Known(NO_FORMULA, fused_attention(2)),
    (NO_GRADIENTS, "vit_b_16"): Known(FAST_PATH, whole_attention),
    (NO_GRADIENTS, "multi-head attention"): Known(FAST_PATH, whole_attention),
    (NO_GRADIENTS, "multi-head attention with weights"): Known(FAST_PATH, whole_attention),
    (ON_CPU, "lstm"): Known(
        "oneDNN's LSTM is one kernel, which has no formula",
        lambda report: 2 * macs(report, "recurrent"),
    ),
    (NO_GRADIENTS, "lstm"): Known(
        "oneDNN's LSTM is one kernel, which has no formula",
        lambda report: 2 * macs(report, "recurrent"),
    ),
    ("ptflops", "lstm"): Known("10 steps a unit and its biases, not 8", cells(2, each=2)),
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
    ("thop", "softmax"): Known(
        "a row of k takes 3k − 1: one division fewer; here 2 × 6 × 8 rows",
        lambda report: 2 * 6 * 8,
    ),
    ("calflops", "multi-head attention with weights"): Known(
        "torch.bmm is not a function that it replaces", lambda report: 2 * macs(report, "matmul")
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
    ("calflops", "resized"): Known("resized to a size", resized_to((9, 11))),
    ("calflops", "fcn_resnet50"): Known("resized to a size", resized_to((224, 224))),
    ("calflops", "lraspp_mobilenet_v3_large"): Known(
        "resized to a size", resized_to((28, 28), (224, 224))
    ),
    ("calflops", "transposed conv with bias"): Known(
        "the bias is counted over the output, 2 × 3, that a plain convolution would have, not over 13 × 17",
        lambda report: 2 * 4 * (13 * 17 - 2 * 3),
    ),
    ("calflops", "lstm"): Known("10 operations a unit beside the products", cells(2, each=10)),
    ("calflops", "gru"): Known("7 operations a unit, in two directions", cells(2, each=7)),
    ("calflops", "rnn"): Known("1 operation a unit beside the products", cells(2, each=1)),
}


# ---- theirs and ours

Numbers = Callable[[str, str], int]

# ptflops and calflops replace functions of torch. Each model is moved to meta by the last of the first.
PROCESSES = [
    [tool for tool in TOOLS if tool not in ("ptflops", "calflops")],
    ["ptflops", "calflops"],
]


def ask(nets: list[str]) -> Iterator[Numbers]:
    """Start all tools at once; the answer to a tool and a net waits for that tool's process."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.other_tools", ",".join(tools), *nets],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for tools in PROCESSES
    ]

    @functools.cache
    def output(index: int) -> Mapping[str, Mapping[str, int]]:
        numbers, errors = started[index].communicate()
        assert numbers, errors
        return dict(json.loads(numbers))

    yield lambda tool, net: output(_process_of(tool))[net][tool]
    for process in started:
        process.kill()
        process.communicate()


def _process_of(tool: str) -> int:
    return next(index for index, tools in enumerate(PROCESSES) if tool in tools)


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
    quoted = requote(report, tool.partition(" ")[0]).totals.quoted
    known = KNOWN.get((tool, net))
    more = known.more(report) if known else 0
    assert quoted - theirs(tool, net) == more, known
    assert bool(more) == bool(known)  # nothing is listed that does not differ


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


def test_every_tool_is_asked() -> None:
    assert {tool.partition(" ")[0] for tool in TOOLS} == {
        convention.name for convention in CONVENTIONS.values() if convention.tool
    }
    assert {net for _, net in KNOWN} <= {*MODELS, *MORE_MODELS, *SMALL}


@pytest.mark.parametrize("name", [name for name, each in CONVENTIONS.items() if each.tool])
def test_the_versions_are_those_that_were_compared(name: str) -> None:
    convention = CONVENTIONS[name]
    installed = Version(version(convention.tool)).public
    assert installed in convention.versions.replace(",", " ").split()
