"""How much memory a runtime plans for the tensors of a network: one arena, and a place in it for each.

A runtime that knows the network beforehand lets tensors that are never needed together share memory. Each
goes about it in its own way, and a planner here follows it. Weights are not part of it, nor is what a
runtime needs besides: interpreter structures, packed weights, workspaces of kernels other than im2col.
Standard library only.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import accumulate

from cnnstat.errors import SpecError
from cnnstat.memory import reuse
from cnnstat.memory.graph import Graph, Step

RUNTIMES = {
    "tflm": "TensorFlow Lite Micro: exact for the tensors; its structures (the arena's tail) come on top",
    "litert": "LiteRT, built-in kernels on one thread: with im2col; no delegate such as XNNPACK",
    "greedy": "greedy by size with best fit: for a runtime whose own rules are not known",
    "ort": "ONNX Runtime on a CPU, from the second run on: without its blocked layout; with it, in a band",
}
"""What a plan of each runtime is, by the name to ask for it."""

TFLM_ALIGNMENT = 16
"""Bytes; sizes are rounded up to it (`MicroArenaBufferAlignment`)."""
LITERT_ALIGNMENT = 64
"""Bytes; addresses are rounded up to it (`kDefaultTensorAlignment`)."""
ORT_ALIGNMENT = 256
"""Bytes; addresses are rounded up to it (`kAllocAlignment`)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the arena: one buffer, several that follow each other in place, or scratch of a step."""

    name: str
    """Path of the layer that makes what is in it first, followed by `" (im2col)"` for scratch."""
    nbytes: int
    """Its size, rounded up where the runtime does so."""
    first: int
    """First scope in which it is needed, as in `Graph.lifetimes`."""
    last: int
    """Last scope in which it is needed."""
    buffers: tuple[int, ...] = ()
    """Ids of the buffers that live in it; none for scratch."""
    offset: int = 0
    """Bytes from the start of the arena."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The arena of one runtime, and what fills it when it is fullest."""

    runtime: str
    """One of `RUNTIMES`."""
    arena_bytes: int
    """Size of the arena."""
    low_bytes: int
    """The least it may come to. For ONNX Runtime, what lives at once where its blocked convolutions add to
    the shortcut; for the others, `arena_bytes`."""
    high_bytes: int
    """The most. For ONNX Runtime, the arena of the network with nothing folded; else `arena_bytes`."""
    lower_bound_bytes: int
    """The greatest sum of blocks that live in one scope: no placement of them needs less."""
    naive_bytes: int
    """What it would take if no two buffers shared memory."""
    blocks: tuple[Block, ...]
    """All pieces, in the order in which they were placed."""
    scope: int
    """The first scope in which blocks sum to `lower_bound_bytes`."""
    step: Step | None
    """The step of that scope; none for scope 0, where the inputs are filled in."""

    @property
    def alive(self) -> tuple[Block, ...]:
        """The blocks that are needed in that scope, the largest first: what to make smaller."""
        blocks = (block for block in self.blocks if block.first <= self.scope <= block.last)
        return tuple(sorted(blocks, key=lambda block: (-block.nbytes, block.offset)))

    @property
    def offsets(self) -> dict[int, int]:
        """Offset of each buffer by id; empty ones, and what the caller owns, have none."""
        return {id: block.offset for block in self.blocks for id in block.buffers}


def plan(
    graph: Graph, runtime: str, itemsize: int | None = None, *, unfused: Graph | None = None
) -> Plan:
    """The arena that `runtime` plans for `graph`.

    `itemsize` is the bytes of a floating-point element, as recorded by default. `unfused` is the same
    network with nothing folded together; it sets the upper end of ONNX Runtime's band and is not read
    otherwise. A runtime that is not in `RUNTIMES` raises SpecError.
    """
    if runtime not in _PLANNERS:
        raise SpecError(f"unknown runtime {runtime!r}", hint=f"one of: {', '.join(RUNTIMES)}")
    blocks = tuple(_PLANNERS[runtime](graph, itemsize))
    live = _live(blocks, len(graph.steps))
    arena = low = high = _extent(blocks)
    if runtime == "ort":
        low = min(max(live), _ort_low(graph, itemsize))
        high = max(arena, _extent(_ort(unfused, itemsize))) if unfused else arena
    scope = live.index(max(live))
    return Plan(
        runtime=runtime,
        arena_bytes=arena,
        low_bytes=low,
        high_bytes=high,
        lower_bound_bytes=live[scope],
        naive_bytes=naive_bytes(graph, itemsize),
        blocks=blocks,
        scope=scope,
        step=graph.steps[scope - 1] if scope else None,
    )


def naive_bytes(graph: Graph, itemsize: int | None = None) -> int:
    """Memory if every buffer had its own."""
    return sum(buffer.nbytes(itemsize) for buffer in graph.buffers)


def lower_bound_bytes(
    graph: Graph, itemsize: int | None = None, *, depthwise_in_place: bool = False
) -> int:
    """The greatest sum of buffers that live in one scope: no plan without in-place steps needs less.

    With `depthwise_in_place` a depthwise convolution writes over its input at the input's last use, channel
    by channel, as MCUNet's engine does.
    """
    live = _live(_own_blocks(graph, itemsize), len(graph.steps))
    for scope, step in enumerate(graph.steps, 1):
        if depthwise_in_place and step.depthwise and graph.lifetimes[step.reads[0]][1] == scope:
            touched = (graph.buffers[id].nbytes(itemsize) for id in (step.reads[0], step.writes[0]))
            live[scope] -= min(touched)
    return max(live)


def _own_blocks(graph: Graph, itemsize: int | None) -> list[Block]:
    """A block for every buffer that is not empty."""
    sizes = ((buffer, buffer.nbytes(itemsize)) for buffer in graph.buffers)
    return [
        Block(buffer.name, nbytes, *graph.lifetimes[buffer.id], (buffer.id,))
        for buffer, nbytes in sizes
        if nbytes
    ]


def _live(blocks: Iterable[Block], steps: int) -> list[int]:
    """Bytes of the blocks that live, by scope."""
    change = [0] * (steps + 2)
    for block in blocks:
        change[block.first] += block.nbytes
        change[block.last + 1] -= block.nbytes
    return list(accumulate(change[:-1]))


def _extent(blocks: Iterable[Block]) -> int:
    return max((block.offset + block.nbytes for block in blocks), default=0)


def _place(
    blocks: Iterable[Block], *, best_fit: bool, alignment: int = 1, use_top: bool = False
) -> list[Block]:
    """The blocks with offsets, each placed in turn in a gap between those that it lives together with.

    The first gap that is large enough, or with `best_fit` the smallest, and on top of all where none is.
    With `use_top`, what is left between these and the end of the arena so far counts as a gap as well.
    """
    placed: list[tuple[int, int, int, int]] = []
    extent = 0
    done = []
    for block in blocks:
        found, smallest, top = None, float("inf"), 0
        for start, end, first, last in placed:
            if first > block.last or last < block.first:
                continue
            at = _round_up(top, alignment)
            # LiteRT remembers a gap by its size before alignment; kept so, to choose as it does.
            if at + block.nbytes <= start and start - at < smallest:
                found, smallest = at, start - top
                if not best_fit:
                    break
            top = max(top, end)
        above = _round_up(top, alignment)
        if found is None or (use_top and block.nbytes <= extent - above < smallest):
            found = above
        extent = max(extent, found + block.nbytes)
        insort(placed, (found, found + block.nbytes, block.first, block.last))
        done.append(replace(block, offset=found))
    return done


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _greedy(graph: Graph, itemsize: int | None) -> list[Block]:
    """Offsets by "greedy by size": Pisarchyk and Lee 2020, arXiv 2001.03288, algorithm 3.

    Of equal sizes, what is made first goes first, as in LiteRT, which grew out of that work.
    """
    return _place(sorted(_own_blocks(graph, itemsize), key=_largest_first), best_fit=True)


def _largest_first(block: Block) -> tuple[int, int]:
    return -block.nbytes, block.first


def _tflm(graph: Graph, itemsize: int | None) -> list[Block]:
    """As `GreedyMemoryPlanner::CalculateOffsetsIfNeeded` of tensorflow/tflite-micro.

    It fills its list from the back and then sorts stably, so that of equal sizes the later tensor goes first.
    """
    blocks = [
        replace(block, nbytes=_round_up(block.nbytes, TFLM_ALIGNMENT))
        for block in reversed(_own_blocks(graph, itemsize))
    ]
    return _place(sorted(blocks, key=lambda block: -block.nbytes), best_fit=False)


def _litert(graph: Graph, itemsize: int | None) -> list[Block]:
    """As `ArenaPlanner` and `SimpleMemoryArena` of google-ai-edge/LiteRT.

    Inputs, outputs and what nobody reads are never freed. Of these, what is there from the first step on
    is placed first, by index, then all the rest by size. Convolutions that are not 1×1 of stride 1 unroll
    their input into a scratch tensor (`IsIm2ColRequired` in conv.cc).
    """
    end = len(graph.steps)
    read = {id for step in graph.steps for id in step.reads}
    kept = {
        *graph.inputs,
        *graph.outputs,
        *(buffer.id for buffer in graph.buffers if buffer.id not in read),
    }
    own = [
        replace(block, last=end) if kept.issuperset(block.buffers) else block
        for block in _own_blocks(graph, itemsize)
    ]
    blocks = _merged(own, reuse.litert(graph, itemsize))
    for scope, step in enumerate(graph.steps, 1):
        if step.patches and step.reads:
            nbytes = replace(graph.buffers[step.reads[0]], numel=step.patches).nbytes(itemsize)
            blocks.append(Block(f"{step.path} (im2col)", nbytes, scope, scope))

    def order(block: Block) -> tuple[bool, int, int]:
        pinned = block.first <= 1 and not kept.isdisjoint(block.buffers[:1])
        return (False, 0, 0) if pinned else (True, *_largest_first(block))

    return _place(sorted(blocks, key=order), best_fit=True, alignment=LITERT_ALIGNMENT)


def _merged(blocks: Iterable[Block], taken: dict[int, int]) -> list[Block]:
    """One block for the buffers that take over each other's memory."""
    groups: dict[int, Block] = {}
    for block in blocks:
        (id,) = block.buffers
        root = taken.get(id, id)
        if root in groups:
            other = groups[root]
            # The name is that of whoever is there first.
            early, late = sorted((other, block), key=lambda one: one.first)
            groups[root] = replace(
                early, last=max(early.last, late.last), buffers=early.buffers + late.buffers
            )
        else:
            groups[root] = block
    return list(groups.values())


def _ort(graph: Graph, itemsize: int | None) -> list[Block]:
    """As ONNX Runtime from the second run on, when it knows what to allocate at once.

    `MemPatternPlanner::TraceAllocation` places as it goes: what is made first goes first. The array that
    the network is fed stays the caller's, and outputs are allocated by themselves.
    """
    blocks = _merged(_fed_from_outside(graph, itemsize), reuse.onnxruntime(graph))
    blocks.sort(key=lambda block: block.first)
    returned = set(graph.outputs)
    inner = (block for block in blocks if returned.isdisjoint(block.buffers))
    placed = _place(inner, best_fit=True, alignment=ORT_ALIGNMENT, use_top=True)
    top = _extent(placed)
    for block in blocks:
        if not returned.isdisjoint(block.buffers):
            placed.append(replace(block, offset=top))
            top += block.nbytes
    return placed


def _ort_low(graph: Graph, itemsize: int | None) -> int:
    """What lives at once where ONNX Runtime has blocked kernels, and shares as much as it can."""
    blocks = _merged(_fed_from_outside(graph, itemsize), reuse.shortcuts(graph, itemsize))
    return max(_live(blocks, len(graph.steps)))


def _fed_from_outside(graph: Graph, itemsize: int | None) -> list[Block]:
    return [block for block in _own_blocks(graph, itemsize) if block.buffers[0] not in graph.inputs]


_PLANNERS: dict[str, Callable[[Graph, int | None], list[Block]]] = {
    "tflm": _tflm,
    "litert": _litert,
    "greedy": _greedy,
    "ort": _ort,
}
