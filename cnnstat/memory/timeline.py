"""How many bytes are alive while each operation runs, whose they are, and where they are most.

Read off a record: a storage is alive from the operation that allocated it until the last reference to
it has gone, which is when an eager run gives it back. Views and in-place results share a storage and
count once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from cnnstat.record import Storage, Trace

STATIC = ("weight", "buffer", "constant", "input", "optimizer")
"""Roles of what is there before the first operation."""


@dataclass(frozen=True)
class Timeline:
    """The live bytes of one record."""

    trace: Trace
    """The record."""

    @cached_property
    def live(self) -> tuple[int, ...]:
        """Bytes alive while each operation runs, everything included."""
        change = [0] * (len(self.trace.ops) + 1)
        for storage in self.trace.storages:
            change[max(storage.born, 0)] += storage.nbytes
            if storage.died is not None:
                change[storage.died] -= storage.nbytes
        return tuple(accumulate(change[:-1]))

    @cached_property
    def peak(self) -> int:
        """Index of the first operation at which most bytes are alive. Raises `ValueError` if nothing ran."""
        return self.live.index(max(self.live))

    @property
    def peak_bytes(self) -> int:
        """The most bytes alive at once; what was there before, if nothing ran."""
        return max(self.live, default=sum(self.static.values()))

    @cached_property
    def static(self) -> dict[str, int]:
        """By role, the bytes that are there before the first operation."""
        found = dict.fromkeys(STATIC, 0)
        for storage in self.trace.storages:
            if storage.role in found and storage.born < 0:
                found[storage.role] += storage.nbytes
        return found

    def alive(self, index: int) -> Iterator[Storage]:
        """The storages alive while operation `index` runs, largest first."""
        here = (
            s for s in self.trace.storages if s.born <= index and (s.died is None or s.died > index)
        )
        return iter(sorted(here, key=lambda s: (-s.nbytes, s.id)))
