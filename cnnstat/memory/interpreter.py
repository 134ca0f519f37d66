"""What TensorFlow Lite Micro takes for itself beside the tensors: the tail of its arena, estimated."""

from __future__ import annotations

from cnnstat.memory.graph import Graph
from cnnstat.record import Trace

BYTES_PER_CHANNEL = 9
"""For each output channel of a convolution or linear layer: how its sums are scaled to 8 bits."""
BYTES_PER_STEP = 80
"""For each operation."""


def structures(trace: Trace, graph: Graph) -> int:
    """Bytes of the interpreter's own structures for a network and its plan.

    Fitted to what the interpreter prints for eight networks of Keras (4 % under to 20 % over), and to the
    27,004 B of person_detect, MobileNet v1 0.25 with two classes, on a 32-bit chip.
    """
    channels: int = sum(
        call.args["weight"].shape[0]
        for call in trace.ops
        if ("conv" in call.op or "linear" in call.op) and "weight" in call.args
    )
    return BYTES_PER_CHANNEL * channels + BYTES_PER_STEP * len(graph.steps)
