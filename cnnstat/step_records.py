"""The records of one step of a network at any batch size and in any number format, from as little tracing as
is known to be right."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from cnnstat.analysis import Prepared
from cnnstat.errors import CnnstatError, InputError
from cnnstat.inputs import Inputs
from cnnstat.memory.scaling import Scaled, reshaped
from cnnstat.memory.step import Step
from cnnstat.record import Storage, TensorSpec, Trace
from cnnstat.recording import record_step
from cnnstat.trace.engines import record


def batch_of(inputs: Inputs) -> int | None:
    """Samples among the arguments; `None` where another number of them cannot be asked for."""
    if inputs.listed:
        found = [item for item in (*inputs.args, *inputs.kwargs.values()) if isinstance(item, list)]
        batch = len(found[0]) if found else 0
    else:
        shapes = [spec.shape for spec in inputs.specs()]
        batch = shapes[0][0] if shapes and shapes[0] else 0
    try:
        return batch if batch and inputs.with_batch(batch) == inputs else None
    except InputError:
        return None


class Records:
    """The records of a step of one network, each made once."""

    def __init__(self, prepared: Prepared, step: Step, like: Records | None = None) -> None:
        self._prepared, self.step = prepared, step
        self._like = like  # of the same network, with images of another size
        self._made: dict[int, Trace] = {}
        self._own_in: dict[int, Trace] = {}
        self._scaled_in: dict[int, Scaled | None] = {}

    @cached_property
    def own(self) -> Trace:
        """At the network's own batch."""
        return (self._like and self._like.grown(self._prepared)) or self._on_cpu(self._prepared)

    @cached_property
    def scaled(self) -> Scaled | None:
        """Two records that give every other batch; `None` where the batch cannot be changed, or where
        sizes do not grow in proportion with it."""
        own = batch_of(self._prepared.inputs)
        if own is None or self.own.meta["engine"] == "cpu":
            return None
        try:
            # One sample may take another way: what is contiguous with it need not be with two.
            for first in (own, 2 * own):
                scaled = Scaled(self._at(first), self._at(2 * first), first)
                if scaled.regular and self._at(4 * first).storages == scaled.at(4 * first).storages:
                    return scaled
        except CnnstatError:
            return None
        return None

    def own_in(self, itemsize: int) -> Trace:
        """`own` in a number format of that many bytes."""
        if itemsize not in self._own_in:
            self._own_in[itemsize] = in_format(self.own, itemsize, self.step.amp)
        return self._own_in[itemsize]

    def scaled_in(self, itemsize: int) -> Scaled | None:
        """`scaled` in a number format of that many bytes: what is affine in the batch stays so."""
        if itemsize not in self._scaled_in:
            known, amp = self.scaled, self.step.amp
            self._scaled_in[itemsize] = known and Scaled(
                in_format(known.first, itemsize, amp),
                in_format(known.second, itemsize, amp),
                known.batch,
            )
        return self._scaled_in[itemsize]

    def itemsize_in(self, itemsize: int, tensor: TensorSpec) -> int:
        """Bytes of an element of a tensor made on the way, in a number format of that many bytes."""
        lowered = tensor.dtype == self.step.amp
        return tensor.itemsize if lowered else _itemsize(tensor.dtype, tensor.itemsize, itemsize)

    def grown(self, prepared: Prepared) -> Trace | None:
        """The record of the network with inputs of another size, from passes on the meta device.

        These take a tenth of the time, and differ: there are other kernels of attention, no autocast, and
        statistics that a CPU leaves out. So they only say what grows. `None` where they ran other
        operations, on storages of other lives, or where what grows was of another size to begin with.
        """
        meta = self._meta
        if meta is None:
            return None
        try:
            other = self._on_meta(prepared)
        except CnnstatError:
            return None
        if not _alike(meta, other):
            return None
        storages = []
        for own, before, after in zip(
            self.own.storages, meta.storages, other.storages, strict=True
        ):
            if before.nbytes == after.nbytes:
                storages.append(own)
            elif before.nbytes == own.nbytes:
                storages.append(after)
            else:
                return None
        pairs = zip(self.own.ops, other.ops, strict=True)
        ops = tuple(reshaped(own, after) for own, after in pairs)
        return replace(self.own, ops=ops, storages=tuple(storages))

    @cached_property
    def _meta(self) -> Trace | None:
        """The network's own record on the meta device, where that does what a CPU does."""
        try:
            meta = self._on_meta(self._prepared)
        except CnnstatError:
            return None
        return meta if _alike(meta, self.own) else None

    def _at(self, batch: int) -> Trace:
        if batch == batch_of(self._prepared.inputs):
            return self.own
        if batch not in self._made:
            prepared = replace(self._prepared, inputs=self._prepared.inputs.with_batch(batch))
            self._made[batch] = self.grown(prepared) or self._on_cpu(prepared)
        return self._made[batch]

    def _on_cpu(self, prepared: Prepared) -> Trace:
        return record_step(prepared, self.step)

    def _on_meta(self, prepared: Prepared) -> Trace:
        subject = prepared.subject
        with subject.environment():
            return record(
                prepared.makers,
                prepared.inputs,
                engine="meta",
                expected=subject.inputs,
                step=self.step,
            )


def _alike(one: Trace, two: Trace) -> bool:
    """Whether the same operations ran on storages of the same lives."""
    return Scaled(one, two).regular


def in_format(trace: Trace, itemsize: int, lowered: str = "") -> Trace:
    """The storages with `itemsize` bytes for each float, whatever it has in the record.

    What autocast made of the type that it lowers to keeps its size.
    """
    formats: dict[int, tuple[str, int]] = {}
    for call in trace.ops:
        for spec in (*call.inputs, *call.outputs):
            formats[spec.storage] = spec.dtype, spec.itemsize
    for module in trace.modules:  # and weights that no operation reads
        for held in (*module.params, *module.buffers):
            formats[held.storage] = held.dtype, held.itemsize

    def resized(s: Storage) -> Storage:
        dtype, own = formats.get(s.id, ("", 1))
        size = own if dtype == lowered and not s.role else _itemsize(dtype, own, itemsize)
        return s if size == own else replace(s, nbytes=s.nbytes * size // own)

    return replace(trace, storages=tuple(map(resized, trace.storages)))


def _itemsize(dtype: str, own: int, itemsize: int) -> int:
    """Bytes of an element: whole numbers keep theirs, complex ones are two floats."""
    if dtype.startswith("complex"):
        return 2 * itemsize
    return itemsize if dtype.startswith(("float", "bfloat")) else own
