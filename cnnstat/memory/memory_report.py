"""What a network takes in memory: run by torch, planned by a runtime, trained. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnstat.memory.planners import Plan
from cnnstat.memory.usage import LayerMemory, Usage
from cnnstat.report import Note

if TYPE_CHECKING:
    import pandas
    from rich.console import RenderableType

DTYPES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
"""Number formats that a runtime can be planned for, and bytes of an element."""

MOST_SAMPLES = 1 << 20
"""No larger batch is looked for."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The network as a runtime places it."""

    plan: Plan
    """Of the tensors between the layers."""
    dtype: str
    """One of `DTYPES`, of weights and tensors."""
    weight_bytes: int
    """The weights in that format, batch norm folded away where it follows a layer with weights."""
    constant_bytes: int = 0
    """What else is the same for every input: buffers that are read, tables of positions, masks."""

    @property
    def total_bytes(self) -> int:
        """Weights, constants and arena."""
        return self.weight_bytes + self.constant_bytes + self.plan.arena_bytes


@dataclass(frozen=True)
class MemoryReport:
    """What a network takes in memory: estimates from one record, with nothing measured.

    >>> import cnnstat
    >>> cnnstat.estimate_memory("resnet50").eager.weights
    102228128
    """

    subject: Mapping[str, Any]
    """`name`, `spec`, `source`."""
    eager: Usage
    """Inference as torch runs it."""
    planned: Planned
    """Inference as a runtime plans it."""
    training: Usage | None = None
    """One step of training, where one was asked for."""
    largest_batch: int | None = None
    """Samples that fit the limit; `None`: no limit was given, or a note says why it is not known."""
    safe_batch: int | None = None
    """The same with room for the error that was measured (`CONTEXT_ERROR`)."""
    limit: int | None = None
    """Bytes that were given as limit."""
    layers: Mapping[str, LayerMemory] = field(default_factory=dict)
    """By path: of inference as torch runs it."""
    notes: Sequence[Note] = ()
    """What the reader should know."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Versions, inputs, engine."""

    @property
    def name(self) -> str:
        """The subject's name."""
        return str(self.subject.get("name", "model"))

    @property
    def usage(self) -> Usage:
        """What was asked for: training where there is a step of it, inference otherwise."""
        return self.training or self.eager

    def to_dict(self) -> dict[str, Any]:
        """The JSON document as plain values; `cnnstat.memory.memory_data` describes it."""
        from cnnstat.memory.memory_data import memory_to_dict

        return memory_to_dict(self)

    def to_json(self) -> str:
        """The JSON document, indented, with a final newline."""
        from cnnstat.schema import dump

        return dump(self.to_dict())

    def to_frame(self) -> pandas.DataFrame:
        """One row for each part of each answer (pandas is imported here).

        Columns: answer, part, value, unit.
        """
        import pandas

        from cnnstat.memory.memory_data import memory_records

        return pandas.DataFrame(list(memory_records(self)))

    def __repr__(self) -> str:
        from cnnstat.units import short_bytes

        planned, plan = self.planned, self.planned.plan
        parts = [f"inference {short_bytes(self.eager.live.nbytes)}"]
        parts.append(f"{plan.runtime} {planned.dtype} {short_bytes(planned.total_bytes)}")
        if self.training:
            parts.append(f"{self.training.step} {short_bytes(self.training.live.nbytes)}")
        return f"MemoryReport({self.name!r}: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        from cnnstat.render.html import document_fragment
        from cnnstat.render.memory import memory_document

        return document_fragment(memory_document(self))

    def __rich__(self) -> RenderableType:
        from cnnstat.render.memory import RichMemory

        return RichMemory(self)
