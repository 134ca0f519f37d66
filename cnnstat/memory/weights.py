"""What the weights of a network take once they are prepared for a runtime. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable

from cnnstat.record import ModuleInfo

BIAS_BYTES = 4
"""A bias stays a 32-bit number beside 8-bit weights: it is added to 32-bit sums."""


def prepared_bytes(modules: Iterable[ModuleInfo], itemsize: int | None = None) -> int:
    """Bytes of all parameters with `itemsize` bytes for each element (as they are by default).

    With one byte, vectors (biases, scales) keep four. Batch norm is folded into the layer before it and
    leaves it one bias a channel; so the figures agree with those that vendors print for their converters
    (MobileNet v1 in 8 bits: 4,209,088 weights and 11,944 biases of 4 bytes are ST's 4157.09 KiB).
    """
    total = 0
    for module in modules:
        norm = any(buffer.name == "running_mean" for buffer in module.buffers)
        for param in module.params:
            if param.tied_to or (norm and itemsize and param.name == "weight"):
                continue
            vector = len(param.shape) < 2
            width = itemsize or param.itemsize
            total += param.numel * (max(width, BIAS_BYTES) if vector and width == 1 else width)
    return total
