"""What happened in one forward pass, without an opinion: tensors, operations, modules.

Standard library only. A `Trace` can be written by hand in a test; nothing here counts anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor as an operation saw it."""

    shape: tuple[int, ...]
    """Sizes, outermost first."""
    dtype: str = "float32"
    """Name without the `torch.` prefix."""
    itemsize: int = 4
    """Bytes per element."""
    storage: int = -1
    """Which storage holds the elements; tensors that share memory share the number. -1: not known."""
    channels_last: bool = False
    """Whether the channels of an image lie innermost in memory; found out for a memory step only."""
    nonzeros: int | None = None
    """Elements that a sparse tensor holds; -1: not known without values; `None`: it is dense."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements (of a view its own, not the storage's); sparse, with their places."""
        if self.nonzeros is not None:
            return max(self.nonzeros, 0) * (self.itemsize + 8 * len(self.shape))
        return self.numel * self.itemsize

    @property
    def is_complex(self) -> bool:
        """Whether the elements are complex numbers: two real ones each, counted once."""
        return self.dtype.startswith("complex")


def tensors_in(value: Any) -> Iterator[TensorSpec]:
    """Every `TensorSpec` in an argument: alone, or in a tuple of them."""
    if isinstance(value, TensorSpec):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from tensors_in(item)


@dataclass(frozen=True, slots=True)
class OpCall:
    """One operation that ran."""

    index: int
    """Position in the record, from 0."""
    op: str
    """Name without its overload: `"aten.convolution"`."""
    scope: str
    """Path of the innermost module that was running: `"layer1.0.conv1"`; the root is `""`."""
    args: Mapping[str, Any]
    """Arguments by schema name: `TensorSpec`s, numbers, strings, `None`, tuples of these.

    An argument left at its default is absent."""
    outputs: tuple[TensorSpec, ...]
    """The tensors that came out."""
    overload: str = "default"
    """`"default"`, `"Tensor"`, `"dim_IntList"`, …"""
    call: int = 0
    """Which call of the scope's module this belongs to, from 0."""
    phase: str = "forward"
    """`"forward"`, `"backward"` or `"optimizer"`."""
    params: tuple[tuple[str, str], ...] = ()
    """Arguments that are parameters, by schema name, with the parameter's full name; read off the record."""
    roles: tuple[str, ...] = ()
    """Where it stands, read off the record: `"input"`, `"output"`: its channels in or out are those of the
    network; `"mixed"`: such channels and others meet in it; `"excited"`: squeeze-and-excitation follows."""
    inputs: tuple[TensorSpec, ...] = field(init=False, compare=False, repr=False)
    """All tensors among the arguments, in schema order."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(tensors_in(tuple(self.args.values()))))

    def get(self, name: str, default: Any = None) -> Any:
        """The argument `name`, or `default` where it is absent or `None`."""
        value = self.args.get(name)
        return default if value is None else value

    @property
    def output(self) -> TensorSpec:
        """The first output. Raises `IndexError` where there is none."""
        return self.outputs[0]

    @property
    def is_complex(self) -> bool:
        """Whether complex numbers come in or out."""
        return any(spec.is_complex for spec in (*self.inputs, *self.outputs))

    @property
    def is_sparse(self) -> bool:
        """Whether sparse tensors come in or out."""
        return any(spec.nonzeros is not None for spec in (*self.inputs, *self.outputs))


@dataclass(frozen=True, slots=True)
class ParamInfo:
    """One parameter or buffer as a module holds it."""

    name: str
    """Name within the module: `"weight"`."""
    shape: tuple[int, ...]
    """Sizes."""
    dtype: str = "float32"
    """Name without the `torch.` prefix."""
    itemsize: int = 4
    """Bytes per element."""
    trainable: bool = True
    """Whether it asks for a gradient. Always false for a buffer."""
    tied_to: str = ""
    """Full name of the tensor met earlier that this one is; `""` where it is the first."""
    storage: int = -1
    """As in `TensorSpec`."""

    @property
    def numel(self) -> int:
        """Number of elements, whether or not they are shared."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, whether or not they are shared."""
        return self.numel * self.itemsize


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """One module of the tree, called or not."""

    path: str
    """Dotted path from the root; the root is `""`. A module reached by two paths has the first."""
    type: str
    """Class name."""
    params: tuple[ParamInfo, ...] = ()
    """Its own parameters, not those of its children."""
    buffers: tuple[ParamInfo, ...] = ()
    """Its own buffers."""
    calls: int = 0
    """How often it ran; 0 means never."""
    inputs: tuple[TensorSpec, ...] = ()
    """Tensors that its first call received, by position and then by keyword."""
    outputs: tuple[TensorSpec, ...] = ()
    """Tensors that its first call returned."""
    aliases: tuple[str, ...] = ()
    """Further paths that reach the same module."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The life of one block of memory, for the memory plan."""

    id: int
    """The number that `TensorSpec.storage` refers to."""
    nbytes: int
    """Size of the whole block."""
    born: int
    """Index of the operation that allocated it; -1 for what was there before it all, such as parameters."""
    died: int | None = None
    """Index of the first operation that ran after its last reference went; `None`: alive at the end."""
    role: str = ""
    """What it was there for: `"weight"`, `"buffer"`, `"input"`, `"optimizer"` (state), `"constant"` (a
    tensor of the model's that is neither weight nor buffer) or `"gradient"` (of a weight); `""`: made on the
    way."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The record of one pass through a model."""

    ops: tuple[OpCall, ...]
    """In the order in which they ran."""
    modules: tuple[ModuleInfo, ...]
    """The module tree in definition order, the root first."""
    inputs: tuple[TensorSpec, ...] = ()
    """Tensors handed to the model."""
    outputs: tuple[TensorSpec, ...] = ()
    """Tensors that it returned."""
    storages: tuple[Storage, ...] = ()
    """Every storage met, by id."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """How the record was made: engine, mode, versions. Plain values only."""
