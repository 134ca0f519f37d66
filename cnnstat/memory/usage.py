"""What a step of inference or training takes when it runs operation by operation, as torch does.

Everything is read off the record of the step on CPU tensors without data; nothing here is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cnnstat.memory.caching_allocator import CudaMemory, replay
from cnnstat.memory.temporaries import temporaries
from cnnstat.memory.timeline import Timeline
from cnnstat.record import OpCall, Storage, TensorSpec, Trace


@dataclass(frozen=True, slots=True)
class Alive:
    """A tensor that is alive at a peak."""

    nbytes: int
    """Bytes of its storage."""
    layer: str
    """Path of the layer that made it; of weights' gradients too."""
    op: str
    """Operation that made it; `""` for what was there before."""
    shape: tuple[int, ...]
    """Of the tensor first seen in the storage."""
    role: str
    """As `Storage.role`; `"saved"` for what was made in forward and is alive in backward."""
    phase: str = "forward"
    """Phase in which it was made."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment at which most bytes are in use."""

    nbytes: int
    """All of them, weights included."""
    index: int
    """Of the operation that runs."""
    op: str
    """Its name."""
    layer: str
    """Path of the layer that runs it; `""` for the root, and for the optimizer."""
    phase: str
    """`"forward"`, `"backward"` or `"optimizer"`."""


@dataclass(frozen=True)
class Usage:
    """The memory of one step, in bytes. What is there all the time is told apart by role."""

    step: str
    """What was carried out: `"inference"`, `"sgd(momentum=0.9)"`."""
    weights: int
    """Parameters, each shared one once."""
    buffers: int
    """Buffers, such as the moving statistics of batch norm. One that is a view of a weight counts anew:
    what runs is a copy of the model, in which it is apart."""
    constants: int
    """Tensors of the model's that are neither, such as plain attributes."""
    input: int
    """What the network is fed."""
    optimizer: int
    """State of the optimizer."""
    gradients: int
    """Gradients of the weights; they appear one by one during backward."""
    saved: int
    """Tensors made in forward that are alive when backward begins: what autograd keeps."""
    live: Peak
    """Most bytes of live tensors."""
    cpu: Peak
    """The same with what the CPU's convolutions take meanwhile."""
    cuda: CudaMemory
    """The same step by the rules of the CUDA allocator."""
    alive: tuple[Alive, ...]
    """Tensors alive at `live` that were not there before the step, the largest first."""
    timeline: tuple[int, ...] = field(repr=False, default=())
    """Live bytes while each operation runs."""
    phases: tuple[str, ...] = field(repr=False, default=())
    """Phase of each operation."""

    @property
    def static(self) -> int:
        """What is there before the first operation."""
        return self.weights + self.buffers + self.constants + self.input + self.optimizer

    @property
    def above(self) -> int:
        """What the step takes on top of it, at most."""
        return self.live.nbytes - self.static

    @property
    def at_peak(self) -> dict[str, int]:
        """Bytes by part when most are alive; they add up to `live`.

        A gradient or a saved tensor is among them only while it is there: gradients appear one by one
        during backward, and what was saved goes.
        """
        made = {"gradient": 0, "saved": 0, "other": 0}
        for tensor in self.alive:
            made[tensor.role if tensor.role in made else "other"] += tensor.nbytes
        return {
            "weight": self.weights,
            "buffer": self.buffers,
            "constant": self.constants,
            "input": self.input,
            "optimizer": self.optimizer,
            **made,
        }

    @property
    def cpu_temporaries(self) -> int:
        """How much the CPU's convolutions raise the peak."""
        return self.cpu.nbytes - self.live.nbytes

    @classmethod
    def of(cls, trace: Trace, step: str = "inference") -> Usage:
        """Read it off the record of a step."""
        timeline = Timeline(trace)
        live = timeline.live
        taken = [now + temporaries(call) for now, call in zip(live, trace.ops, strict=True)]
        static = timeline.static
        return cls(
            step=step,
            weights=static["weight"],
            buffers=static["buffer"],
            constants=static["constant"],
            input=static["input"],
            optimizer=static["optimizer"],
            gradients=sum(s.nbytes for s in trace.storages if s.role == "gradient"),
            saved=sum(s.nbytes for s in _saved(trace)),
            live=_peak(trace, live),
            cpu=_peak(trace, taken),
            cuda=replay(trace),
            alive=tuple(_alive(trace, timeline)),
            timeline=live,
            phases=tuple(call.phase for call in trace.ops),
        )


def _peak(trace: Trace, taken: list[int] | tuple[int, ...]) -> Peak:
    if not taken:
        return Peak(sum(s.nbytes for s in trace.storages if s.born < 0), -1, "", "", "forward")
    index = taken.index(max(taken))
    call = trace.ops[index]
    return Peak(taken[index], index, call.op, call.scope, call.phase)


def _backward(trace: Trace) -> int | None:
    """Index of the first operation of the backward pass."""
    return next((call.index for call in trace.ops if call.phase == "backward"), None)


def _saved(trace: Trace) -> Iterator[Storage]:
    start = _backward(trace)
    if start is None:
        return
    returned = {spec.storage for spec in trace.outputs}
    for storage in trace.storages:
        alive = 0 <= storage.born < start and (storage.died is None or storage.died > start)
        if alive and storage.id not in returned:
            yield storage


_NO_CALL = OpCall(-1, "", "", {}, ())
"""Stands for whoever made a storage that no recorded operation touched."""


def _alive(trace: Trace, timeline: Timeline) -> Iterator[Alive]:
    if not trace.ops:
        return
    makers: dict[int, tuple[OpCall, TensorSpec]] = {}
    for call in trace.ops:
        for spec in (*call.outputs, *call.inputs):
            makers.setdefault(spec.storage, (call, spec))
    saved = {storage.id for storage in _saved(trace)}
    for storage in timeline.alive(timeline.peak):
        if storage.born >= 0 and storage.nbytes:
            call, spec = makers.get(storage.id, (_NO_CALL, TensorSpec((storage.nbytes,))))
            role = storage.role or ("saved" if storage.id in saved else "")
            yield Alive(storage.nbytes, call.scope, call.op, spec.shape, role, call.phase)


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """What one layer puts out, and how much is alive while it runs."""

    output_bytes: int
    """Bytes of the tensors that its first call returned."""
    live_bytes: int
    """Most bytes alive while operations of it, or below it, ran in forward; 0: none ran."""


def by_layer(trace: Trace) -> dict[str, LayerMemory]:
    """The memory of each module, by path."""
    live: dict[str, int] = {}
    for call, now in zip(trace.ops, Timeline(trace).live, strict=True):
        if call.phase == "forward":
            live[call.scope] = max(now, live.get(call.scope, 0))
    for path in sorted(live, key=lambda path: -path.count(".")):
        while path:
            parent = path.rpartition(".")[0]
            live[parent] = max(live[path], live.get(parent, 0))
            path = parent
    sizes = {storage.id: storage.nbytes for storage in trace.storages}
    return {
        module.path: LayerMemory(_held_by(module.outputs, sizes), live.get(module.path, 0))
        for module in trace.modules
    }


def _held_by(tensors: Iterable[TensorSpec], sizes: Mapping[int, int]) -> int:
    """Bytes of some tensors; those that share a storage take no more than that has."""
    found: dict[int, int] = {}
    for place, spec in enumerate(tensors):
        # Where the storage is not known, each tensor has its own.
        key = spec.storage if spec.storage >= 0 else -1 - place
        nbytes = found.get(key, 0) + spec.nbytes
        found[key] = min(nbytes, sizes.get(spec.storage, nbytes))
    return sum(found.values())
