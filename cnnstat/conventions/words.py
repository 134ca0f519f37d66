"""What the conventions of several tools are written in: common weights, names of rules, kinds of call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cnnstat.conventions.base import Rules, Weights
from cnnstat.record import OpCall
from cnnstat.shapes import conv_macs, is_transposed


def of_rules(names: str, what: Weights, variants: str = "") -> Rules:
    """The same weights for several rules, and for those variants of each of them."""
    return {name + variant: what for name in names.split() for variant in ("", *variants.split())}


def in_classes(classes: str, rules: Rules) -> Mapping[str, Rules]:
    """The same rules in layers of several classes; a name with `#` stands for its 1d, 2d and 3d."""
    dims = [name.replace("#", f"{n}d") for name in classes.split() for n in (1, 2, 3)]
    return dict.fromkeys(dims, rules)


NOTHING = Weights()

MAC = Weights(macs=1)

MAC_AND_BIAS = Weights(macs=1, adds=1)

TWO = Weights(macs=2)

READ = Weights(read=1)

READ_TWICE = Weights(read=2)

LRN = of_rules("product addition", Weights(written=1))
"""Local response norm, which torch writes with torch.mul and torch.add."""

UNSEEN = of_rules("relu gelu", NOTHING)
"""Functions that a layer holds since before the tool replaced them."""

EVERY_NEAREST = ".exact .1d .3d .exact.1d .exact.3d"

RESIZING = "upsample_linear upsample_bilinear upsample_bicubic upsample_trilinear"

ADAPTIVE = "adaptive_max_pool adaptive_avg_pool adaptive_avg_pool.1d adaptive_avg_pool.3d"

POOLING = f"max_pool avg_pool {ADAPTIVE}"


def product(*ops: str) -> Callable[[OpCall], int]:
    """Products by these operations: elements of the left operand times the last size of the right one,
    also where the left one is broadcast. Nothing for others."""

    def count(call: OpCall) -> int:
        if call.op not in ops:
            return 0
        return call.inputs[0].numel * call.inputs[1].shape[-1]

    return count


def real_convolutions(call: OpCall) -> int:
    """MACs of a convolution for who sees what torch runs: of complex numbers three real ones."""
    x, weight = call.inputs[:2]
    macs = conv_macs(x.shape, weight.shape, call.output.shape, is_transposed(call))
    return 3 * macs if call.is_complex else macs


def read_where(about: Callable[[OpCall], bool]) -> Weights:
    """One for an element that such operations of a rule read, nothing for its others."""
    return Weights(read=1, call=lambda call: call.inputs[0].numel if about(call) else 0)


def by_ops(*ops: str) -> Callable[[OpCall], bool]:
    """Whether a call is one of these operations."""
    return lambda call: call.op in ops


def plain_elu(call: OpCall) -> bool:
    """Not SELU, which is an ELU with a scale, nor CELU."""
    return call.op in ("aten.elu", "aten.elu_") and call.get("scale", 1) == 1


def relu6(call: OpCall) -> bool:
    """Whether a clamp is from 0 to 6."""
    return (call.get("min_val", -1), call.get("max_val", 1)) == (0, 6)
