"""Reports written by hand, for every test that needs one: no torch, no tracing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from cnnstat.report import (
    Group,
    Layer,
    Note,
    Report,
    Shapes,
    Tally,
    Uncounted,
    Work,
)

Shape = tuple[int, ...]


def conv(
    path: str,
    kind: str,
    into: Shape,
    out: Shape,
    kernel: int,
    *,
    groups: int = 1,
    bias: bool = False,
    calls: int = 1,
    group: str = "",
    **attrs: Any,
) -> Layer:
    """A convolution: as many MACs as outputs times the inputs that each sees."""
    seen = into[1] // groups * kernel * kernel
    params = out[1] * seen + (out[1] if bias else 0)
    work = Work(macs=calls * math.prod(out) * seen, activations=calls * math.prod(out))
    attrs = {"kernel": [kernel, kernel], "groups": groups, **attrs}
    fields = {"calls": calls, "group": group, "attrs": attrs}
    work_kind = "squeeze-excitation" if group else kind
    return module(path, "Conv2d", kind, into, out, params, work, work_kind=work_kind, **fields)


def linear(path: str, into: Shape, out: Shape, *, rows: int = 1) -> Layer:
    """A linear layer with a bias."""
    work = Work(macs=rows * into[-1] * out[-1], activations=rows * out[-1])
    return module(path, "Linear", "linear", into, out, into[-1] * out[-1] + out[-1], work)


def module(
    path: str,
    type: str,
    kind: str,
    into: Shape | None = None,
    out: Shape | None = None,
    params: int = 0,
    work: Work | None = None,
    *,
    work_kind: str = "",
    calls: int = 1,
    **fields: Any,
) -> Layer:
    """Any module; its work is of its own kind unless said otherwise."""
    tally_kind = work_kind or kind
    return Layer(
        path=path,
        type=type,
        kind=kind,
        inputs=(into,) if into else (),
        outputs=(out,) if out else (),
        params=params,
        trainable_params=params,
        param_bytes=4 * params,
        calls=calls,
        tallies=(Tally(tally_kind, tally_kind, calls, work),) if work else (),
        quoted=work.macs if work else 0,
        **fields,
    )


def report(name: str, *layers: Layer, **fields: Any) -> Report:
    """A report of these layers, as it would be of a network in the zoo."""
    return Report(
        subject={"name": name, "spec": f"zoo:{name}", "source": "zoo", "type": "Net"},
        convention=fields.pop("convention", "macs"),
        layers=layers,
        meta={
            "cnnstat": "0.1.0",
            "torch": "2.13.0",
            "engine": "meta",
            "mode": "eval",
            "phases": ["forward"],
            "inputs": [{"name": "x", "shape": [1, 3, 32, 32], "dtype": "float32"}],
        },
        **fields,
    )


def normal() -> Report:
    """A small network with each thing that a row can show."""
    big, half, small = (1, 16, 32, 32), (1, 32, 16, 16), (1, 32, 1, 1)
    residual = Work(adds=math.prod(half))
    return report(
        "littlenet",
        module("", "Net", "container", (1, 3, 32, 32), (1, 10)),
        conv("stem", "standard", (1, 3, 32, 32), big, 3),
        module("bn", "BatchNorm2d", "normalisation", big, big, 32, Work(adds=16384, muls=16384)),
        module("act", "ReLU", "activation", big, big, 0, Work(compares=2 * 16384), calls=2),
        module("block", "Block", "container", big, half, 0, residual, work_kind="elementwise"),
        conv("block.dw", "depthwise", big, half, 3, groups=16, stride=[2, 2], multiplier=2),
        conv("block.pw", "pointwise", half, half, 1, dilation=[1, 1]),
        conv("block.gc", "grouped", half, half, 3, groups=4, dilation=[2, 2]),
        module("block.se", "SE", "squeeze-excitation", half, half, group="block.se"),
        conv("block.se.fc1", "pointwise", small, (1, 8, 1, 1), 1, bias=True, group="block.se"),
        conv("block.se.fc2", "pointwise", (1, 8, 1, 1), small, 1, bias=True, group="block.se"),
        module("aux", "Sequential", "container", calls=0),
        module("aux.fc", "Linear", "never-called", params=330, calls=0),
        linear("head", (1, 32), (1, 10)),
        module("tail", "Linear", "linear", (1, 10), (1, 10), 10, tied_to=("head.weight",)),
        # fc1: 32 * 8 + 8 = 264 parameters, 256 MACs; fc2: 8 * 32 + 32 = 288 and 256.
        groups=(
            Group(
                "squeeze-excitation",
                "block.se",
                ("block.se.fc1", "block.se.fc2"),
                channels=32,
                squeezed=8,
                params=552,
                macs=512,
                flops=1024,
            ),
        ),
        notes=(
            Note(
                "never-called", "aux was never called", "its parameters count all the same", "aux"
            ),
            Note("tied", "tail shares head.weight", "", "tail"),
        ),
    )


def empty() -> Report:
    """A module without children, parameters or operations."""
    return report("identity", module("", "Identity", "container", (1, 3), (1, 3)))


def unknown() -> Report:
    """Operations without a rule, in a layer and in the root."""
    shapes: Shapes = ((1, 16, 32, 32),)
    return report(
        "gappy",
        module("", "Net", "container", (1, 3, 32, 32), (1, 16, 32, 32)),
        conv("stem", "standard", (1, 3, 32, 32), (1, 16, 32, 32), 3),
        module("body", "Sequential", "container", shapes[0], shapes[0]),
        module("body.fused", "Fused", "uncounted", shapes[0], shapes[0]),
        uncounted=(
            Uncounted("mylib.fused", "body.fused", 3, shapes, shapes),
            Uncounted("mylib.mix", "", 1, (*shapes, (16,)), ((),)),
        ),
        notes=(Note("uncounted", "2 operations have no rule", "register one: cnnstat.counts"),),
    )


def huge() -> Report:
    """Numbers of sixteen digits and more."""
    return report(
        "leviathan",
        module("", "Net", "container", (8, 3, 4096, 4096), (8, 1000)),
        module("body", "Sequential", "container", (8, 3, 4096, 4096), (8, 1000)),
        module(
            "body.a",
            "Linear",
            "linear",
            (8, 123456),
            (8, 7890123),
            974_083_025_088,
            Work(macs=9_876_543_210_987_654_321, activations=63_120_984),
        ),
        module(
            "body.b",
            "Linear",
            "linear",
            (8, 7890123),
            (8, 1000),
            7_890_123_000,
            Work(macs=123_456_789_012_345_678, activations=8_000, adds=7),
        ),
        convention="fvcore",
    )


def strange() -> Report:
    """Names that break formats: wide letters, markup, line breaks, and very long paths."""
    deep = "stages." + "a_rather_long_module_name." * 5 + "conv"
    parents = [deep[:n] for n, letter in enumerate(deep) if letter == "."]
    names = [
        "模型",
        "a|b",
        "x_{y}%&#$~^\\",
        "<b>&amp;</b>",
        "line\nbreak\x1b[31m",
        "*[star](x)",
        "=1+1",
    ]
    layers = [conv(name, "standard", (1, 3, 8, 8), (1, 4, 8, 8), 3) for name in names]
    return report(
        "näme_with|<markup>&%",
        module("", "Net", "container", (1, 3, 8, 8), (1, 4, 8, 8)),
        *layers,
        *(module(path, "Stage", "container", (1, 3, 8, 8), (1, 4, 8, 8)) for path in parents),
        conv(deep, "pointwise", (1, 3, 8, 8), (1, 4, 8, 8), 1),
        notes=(Note("source", "a | b\nand `c_d` at 50 % <i>--x</i>", "try $HOME", "a|b"),),
    )


def quoting() -> Report:
    """Another convention than our own: every layer quotes one more than its MACs."""
    base = normal()
    layers = tuple(replace(layer, quoted=layer.macs + 1) for layer in base.layers)
    return replace(base, layers=layers, convention="fvcore")


def remembered() -> Report:
    """With memory: alive are all weights, what a layer reads and what it puts out, four bytes an element."""
    base = normal()
    layers = []
    for layer in base.layers:
        read, written = (
            4 * sum(map(math.prod, shapes)) for shapes in (layer.inputs, layer.outputs)
        )
        live = base.totals.param_bytes + read + written if layer.calls else 0
        layers.append(replace(layer, output_bytes=written, live_bytes=live))
    return replace(base, layers=tuple(layers))


REPORTS = {
    "normal": normal,
    "empty": empty,
    "unknown": unknown,
    "huge": huge,
    "strange": strange,
    "quoting": quoting,
    "remembered": remembered,
}
"""Every report, by name."""
