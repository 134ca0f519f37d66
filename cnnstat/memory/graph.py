"""The network as a runtime plans it: steps that read and write buffers.

A `Graph` is made from a record by `cnnstat.memory.folding`, or by hand in a test; the planners in
`cnnstat.memory.planners` place its buffers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Buffer:
    """One tensor that needs memory while the network runs; views and in-place results are merged into it."""

    id: int
    """Its place in `Graph.buffers`."""
    name: str
    """Path of the layer that makes it; `"input"` or `"input.2"` for what the network is fed."""
    numel: int
    """Elements."""
    itemsize: int = 4
    """Bytes of an element as recorded."""
    floating: bool = True
    """Whether another precision changes its size; indices and masks keep theirs."""
    shape: tuple[int, ...] = ()
    """As it was written; ONNX Runtime reuses memory for another of the same shape. `()`: not known."""

    def nbytes(self, itemsize: int | None = None) -> int:
        """Bytes, with `itemsize` bytes for each floating-point element (as recorded by default)."""
        return self.numel * (itemsize if itemsize and self.floating else self.itemsize)


@dataclass(frozen=True, slots=True)
class Step:
    """One node that a runtime executes: an operation with what was folded into it."""

    op: str
    """Name of the operation that does the work: `"aten.conv2d"`."""
    path: str
    """Layer that ran it."""
    reads: tuple[int, ...]
    """Buffers it reads."""
    writes: tuple[int, ...]
    """Buffers it writes."""
    elementwise: bool = False
    """Whether each element of the output depends on the same element of an input only, so that it may take
    over that input's memory."""
    depthwise: bool = False
    """Whether it is a depthwise convolution: channel by channel, so that one channel's worth of scratch is
    enough to write each over its input (Lin et al. 2020, MCUNet, section 3.2)."""
    patches: int = 0
    """Elements of the patch matrix that a convolution by matrix product unrolls its input to (im2col):
    out_h·out_w·k_h·k_w·c_in; 0 for any other step and for 1×1 convolutions of stride 1."""
    folded: tuple[str, ...] = ()
    """Operations that were folded into it: `"aten.batch_norm"`, `"aten.relu_"`."""


@dataclass(frozen=True)
class Graph:
    """Steps in the order in which they run, and the buffers between them."""

    buffers: tuple[Buffer, ...]
    """All buffers, by id."""
    steps: tuple[Step, ...]
    """In the order in which they run."""
    inputs: tuple[int, ...]
    """Buffers that the network is fed."""
    outputs: tuple[int, ...]
    """Buffers that it returns; they live to the end."""
    held: frozenset[int] = frozenset()
    """Storages of the record that steps read and that are the same for every input: weights, buffers, and
    what is made of them or of nothing."""
    absorbed: frozenset[str] = frozenset()
    """Paths of the batch norms that are part of the weights before them wherever they run."""

    @cached_property
    def lifetimes(self) -> tuple[tuple[int, int], ...]:
        """By buffer: the first and the last scope in which it is needed.

        Scope 0 is before the first step, where the inputs are filled in; step i is scope i + 1. Outputs
        live to the last scope, and a buffer that nobody reads lives while it is written.
        """
        end = len(self.steps)
        first: dict[int, int] = dict.fromkeys(self.inputs, 0)
        last: dict[int, int] = dict.fromkeys(self.inputs, 0)
        for scope, step in enumerate(self.steps, 1):
            for id in step.writes:
                first.setdefault(id, scope)
            for id in (*step.reads, *step.writes):
                first.setdefault(id, 0)
                last[id] = scope
        for id in self.outputs:
            first.setdefault(id, 0)
            last[id] = end
        return tuple((first.get(b.id, 0), last.get(b.id, end)) for b in self.buffers)
