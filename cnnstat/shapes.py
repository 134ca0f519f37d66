"""What the shapes of a convolution say: shared by the rules that count and the conventions that quote."""

from __future__ import annotations

import math

from cnnstat.record import OpCall

TRANSPOSED = tuple(f"aten.conv_transpose{n}d" for n in (1, 2, 3))


def is_transposed(call: OpCall) -> bool:
    """Whether a call to any of the convolution operations is transposed."""
    return bool(call.get("transposed", call.op in TRANSPOSED))


def conv_macs(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], transposed: bool) -> int:
    """MACs from the shapes of input, weight and output.

    The weight of a convolution is (K, C/g, k…), that of a transposed one (C, K/g, k…): each of its
    elements is used once at each output position, or at each input position where it is transposed.
    Padding is counted as work: `Conv2d` does it.
    """
    dims = len(w) - 2
    batch = math.prod(y[: -(dims + 1)])  # 1 for an input without a batch
    positions = (x if transposed else y)[-dims:]
    return batch * math.prod(positions) * math.prod(w)
