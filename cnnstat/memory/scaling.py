"""The record of a step at another batch size, from two records: every storage is affine in the batch.

The same operations run at either size, so a storage of the one is that storage of the other, and what it
takes at a third size follows. Peaks and plans are then taken anew: they are not affine, since where they
are moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cnnstat.memory.graph import Graph
from cnnstat.record import OpCall, Storage, TensorSpec, Trace


@dataclass(frozen=True)
class Scaled:
    """Two records of one network that differ in the batch alone."""

    first: Trace
    """At batch size `batch`."""
    second: Trace
    """At twice that."""
    batch: int = 1
    """The batch size of the first."""

    @property
    def regular(self) -> bool:
        """Whether the two ran the same operations on storages of the same lives."""
        return [op.op for op in self.first.ops] == [op.op for op in self.second.ops] and [
            (s.id, s.born, s.died) for s in self.first.storages
        ] == [(s.id, s.born, s.died) for s in self.second.storages]

    @cached_property
    def _growing(self) -> tuple[tuple[int, Storage, int], ...]:
        """The storages with the batch in them, by place, with what twice the batch adds."""
        pairs = zip(self.first.storages, self.second.storages, strict=True)
        grown = ((place, one, two.nbytes - one.nbytes) for place, (one, two) in enumerate(pairs))
        return tuple(found for found in grown if found[2])

    def at(self, batch: int) -> Trace:
        """The storages at another batch size; the operations keep the shapes of the first.

        Only where the two are `regular`.
        """
        storages = list(self.first.storages)
        for place, s, more in self._growing:
            nbytes = s.nbytes + more * (batch - self.batch) // self.batch
            storages[place] = Storage(s.id, nbytes, s.born, s.died, s.role)
        return replace(self.first, storages=tuple(storages))

    def call_at(self, index: int, batch: int) -> OpCall:
        """An operation of the record with the shapes that it has at another batch size.

        Only where the two are `regular`.
        """
        one, two = self.first.ops[index], self.second.ops[index]

        def size(first: int, second: int) -> int:
            return first + (second - first) * (batch - self.batch) // self.batch

        return reshaped(one, two, size)


def reshaped(
    one: OpCall, two: OpCall, size: Callable[[int, int], int] = lambda _, second: second
) -> OpCall:
    """An operation with sizes made of its own and of those that it had with larger inputs."""

    def changed(first: Any, second: Any) -> Any:
        if isinstance(first, TensorSpec) and first.shape != second.shape:
            shape = tuple(map(size, first.shape, second.shape))
            return replace(first, shape=shape)
        if isinstance(first, tuple):
            return tuple(map(changed, first, second))
        return first

    args = {name: changed(value, two.args[name]) for name, value in one.args.items()}
    return replace(one, args=args, outputs=changed(one.outputs, two.outputs))


def scaled_graph(graph: Graph, batch: int, own: int = 1) -> Graph:
    """A plan's graph, made at batch size `own`, at another: every buffer has the batch in it."""
    buffers = tuple(replace(b, numel=b.numel * batch // own) for b in graph.buffers)
    steps = tuple(replace(step, patches=step.patches * batch // own) for step in graph.steps)
    return replace(graph, buffers=buffers, steps=steps)


MOST = 1 << 20
"""The largest number that is tried where nothing says otherwise."""


def largest(fits: Callable[[int], bool], limit: int = MOST, guess: int = 2) -> int:
    """The largest whole number up to `limit` that fits, by bisection; 0 where 1 does not.

    What is larger than one that does not fit is taken not to fit either. A good `guess` saves questions.
    """
    if not fits(1):
        return 0
    low, high, step = 1, limit + 1, 1
    here = min(max(guess, 2), limit)
    while low < here < high:  # away from the guess, by twice as much each time
        if fits(here):
            low, here = here, here + step
        else:
            high, here = here, here - step
            if low > 1:
                break
        step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
