"""What a CUDA process takes: torch's caching allocator, replayed over a record's allocations and frees.

The rules and constants are those of c10/cuda/CUDACachingAllocator.cpp: sizes are rounded up to 512 B;
requests up to 1 MiB are cut from segments of 2 MiB, up to 10 MiB from segments of 20 MiB, larger ones get
a segment of their own, rounded up to 2 MiB; a request takes the smallest free block that holds it, the
rest is split off where it is worth keeping, and neighbours merge when they are free.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from cnnstat.record import Storage, Trace

ROUND = 512
SMALL, SMALL_SEGMENT = 1 << 20, 2 << 20
LARGE, LARGE_SEGMENT = 10 << 20, 20 << 20
ROUND_LARGE = 2 << 20

CONTEXT = 1883 << 20
"""Bytes of the CUDA context and libraries on the measured stack (an A100, all kernels loaded at start): the
mean of what 204 measured processes took beyond the replay (itu-rad/GPUMemNet, arXiv 2602.17817). Builds that
load kernels when they are needed take 300 to 400 MB."""

CONTEXT_ERROR = 0.15
"""Share of the whole by which nine in ten of those processes at most exceeded the estimate."""


@dataclass(slots=True)
class _Block:
    """A piece of a segment; neighbours are linked in order of address."""

    size: int
    order: int
    small: bool
    free: bool = True
    before: _Block | None = None
    after: _Block | None = None


@dataclass
class CachingAllocator:
    """Allocates and frees blocks by number, as the CUDA allocator of one device and stream does."""

    allocated: int = 0
    """Bytes in use now, as rounded."""
    reserved: int = 0
    """Bytes of all segments; none is given back."""
    peak_allocated: int = 0
    """The most bytes in use at once."""
    _used: dict[int, _Block] = field(default_factory=dict)
    _pools: tuple[list[tuple[int, int, _Block]], list[tuple[int, int, _Block]]] = field(
        default_factory=lambda: ([], [])
    )
    _made: int = 0

    def allocate(self, id: int, nbytes: int) -> None:
        """Place `nbytes` bytes under the number `id`. Nothing is placed for no bytes."""
        if not nbytes:
            return
        size = -(-nbytes // ROUND) * ROUND
        small = size <= SMALL
        block = self._take(size, small) or self._segment(size, small)
        rest = block.size - size
        if rest >= ROUND if small else rest > SMALL:
            self._split(block, size)
        block.free = False
        self._used[id] = block
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)

    def free(self, id: int) -> None:
        """Give back what stands under `id`, if anything does."""
        block = self._used.pop(id, None)
        if block is None:
            return
        self.allocated -= block.size
        pool = self._pools[not block.small]
        for neighbour in (block.before, block.after):
            if neighbour is not None and neighbour.free:
                pool.remove((neighbour.size, neighbour.order, neighbour))
                block = self._merged(block, neighbour)
        block.free = True
        insort(pool, (block.size, block.order, block), key=_size_and_order)

    def _take(self, size: int, small: bool) -> _Block | None:
        pool = self._pools[not small]
        place = bisect_left(pool, (size, -1), key=_size_and_order)
        return pool.pop(place)[2] if place < len(pool) else None

    def _segment(self, size: int, small: bool) -> _Block:
        if small:
            whole = SMALL_SEGMENT
        elif size < LARGE:
            whole = LARGE_SEGMENT
        else:
            whole = -(-size // ROUND_LARGE) * ROUND_LARGE
        self.reserved += whole
        self._made += 1
        return _Block(whole, self._made, small)

    def _split(self, block: _Block, size: int) -> None:
        self._made += 1
        rest = _Block(block.size - size, self._made, block.small, before=block, after=block.after)
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        insort(self._pools[not block.small], (rest.size, rest.order, rest), key=_size_and_order)

    def _merged(self, block: _Block, neighbour: _Block) -> _Block:
        first, second = (neighbour, block) if block.before is neighbour else (block, neighbour)
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        return first


def _size_and_order(entry: tuple[int, int, _Block] | tuple[int, int]) -> tuple[int, int]:
    return entry[0], entry[1]


@dataclass(frozen=True, slots=True)
class CudaMemory:
    """What a step takes on a CUDA device."""

    allocated: int
    """Most bytes of blocks in use (`torch.cuda.max_memory_allocated`)."""
    reserved: int
    """Bytes of all segments (`torch.cuda.max_memory_reserved`)."""
    context: int = CONTEXT
    """Bytes of the context and libraries, a constant of the software."""

    @property
    def process(self) -> int:
        """What the process takes of the device."""
        return self.reserved + self.context


def replay(trace: Trace) -> CudaMemory:
    """The step of `trace`; one of training twice, as the first makes the optimizer's state."""
    allocator = CachingAllocator()
    state = [s for s in trace.storages if s.role == "optimizer"]
    for storage in trace.storages:
        if storage.born < 0 and storage.role != "optimizer":
            allocator.allocate(storage.id, storage.nbytes)
    born, died = _by_operation(trace)
    update = next((op.index for op in trace.ops if op.phase == "optimizer"), None)
    for first in (True, False) if update is not None else (True,):
        for index in range(len(trace.ops) + 1):
            for storage in died[index]:
                allocator.free(storage.id)
            if first and index == update:
                for storage in state:
                    allocator.allocate(storage.id, storage.nbytes)
            for storage in born[index]:
                allocator.allocate(storage.id, storage.nbytes)
        for storage in _left(trace):
            allocator.free(storage.id)
    return CudaMemory(allocator.peak_allocated, allocator.reserved)


def _by_operation(
    trace: Trace,
) -> tuple[dict[int, list[Storage]], dict[int, list[Storage]]]:
    born: dict[int, list[Storage]] = defaultdict(list)
    died: dict[int, list[Storage]] = defaultdict(list)
    for storage in trace.storages:
        if storage.born >= 0:
            born[storage.born].append(storage)
            if storage.died is not None:
                died[storage.died].append(storage)
    return born, died


def _left(trace: Trace) -> Iterator[Storage]:
    """What a step leaves to the next, which lets go of it: gradients and outputs."""
    return (s for s in trace.storages if s.born >= 0 and s.died is None)
