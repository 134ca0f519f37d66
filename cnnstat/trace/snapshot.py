"""What objects hold before a pass, and how each is put back.

Only what changed is written, through the methods of the built-in types themselves: a container that forbids
changes, or a class with methods of its own, is not asked. Contents are compared by identity, so nobody's
truth value, length or equality is asked for either.
"""

from __future__ import annotations

import random
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from operator import is_
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from cnnstat.trace.modules import is_lazy

SMALL = 1 << 20
"""Elements up to which a tensor keeps its values, which forward may ask for and change."""

EMPTY: Any = object()
"""What stands for no value."""


class Record(Protocol):
    """One object as it was."""

    owner: Any
    """The object, or what it is a part of."""

    def restore(self) -> None:
        """Write back what changed; nothing where nothing did."""


def makers_of(kind: type) -> tuple[Callable[[Any], Record], ...]:
    """What makes the records of an object of this class: of itself, not of what it refers to."""
    mro = kind.__mro__
    if kind is types.CellType:
        return (_Cell,)
    if type in mro:
        return (_Class,)
    makers: list[Callable[[Any], Record]] = [
        maker for base, maker in _MAKERS.items() if base in mro
    ]
    if random.SystemRandom in mro:  # it has no state
        makers.remove(_Random)
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        makers.append(_Array)
    if kind.__dictoffset__:
        makers.append(_Attributes)
    if slots := slots_of(kind):
        makers.append(partial(_Slots, slots=slots))
    return tuple(makers)


def is_code(kind: type) -> bool:
    """Whether objects of this class are functions, classes or Python modules."""
    mro = kind.__mro__
    return kind is types.FunctionType or types.ModuleType in mro or type in mro


def attributes_of(value: Any) -> dict[str, Any] | None:
    """The dictionary of an object's attributes; `None` where it has none."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except Exception:  # a property of that name may raise anything
        return None
    return found if type(found) is dict else None


def items_of(mapping: Any) -> list[tuple[Any, Any]]:
    """The items of a dictionary, whatever methods its class has."""
    return list(_base(mapping).items(mapping))


def _base(mapping: Any) -> Any:
    return OrderedDict if OrderedDict in type(mapping).__mro__ else dict


class _Items:
    """The items of a dictionary, in order."""

    def __init__(self, held: Any) -> None:
        self.held, self.base = held, _base(held)
        self.keys, self.values = self._now()

    def _now(self) -> tuple[list[Any], list[Any]]:
        return list(self.base.keys(self.held)), list(self.base.values(self.held))

    def _changed(self) -> bool:
        keys, values = self._now()
        return not (_same(keys, self.keys) and _same(values, self.values))

    def restore(self) -> None:
        if not self._changed():
            return
        base, held = self.base, self.held
        before = dict(zip(self.keys, self.values, strict=True))
        for key in self._now()[0]:
            if key not in before:
                base.__delitem__(held, key)
        for key, value in before.items():
            if base.get(held, key, EMPTY) is not value:
                base.__setitem__(held, key, value)
        if self._changed():  # deleted and made again: the order is another
            for key, value in before.items():
                base.pop(held, key)
                base.__setitem__(held, key, value)


def _same(one: list[Any], two: list[Any]) -> bool:
    return len(one) == len(two) and all(map(is_, one, two))


class Mapping(_Items):
    """A dictionary."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self.owner = owner


class _Attributes:
    """The attributes of an instance, and its class; of attributes that are empty tables also that."""

    def __init__(self, owner: Any) -> None:
        held = attributes_of(owner)
        self.owner, self.kind, self.held = owner, type(owner), held
        self.items = None if held is None else _Items(held)
        # Of its fifteen attributes a module has ten that are empty dictionaries of hooks.
        self.empty = [] if held is None else [v for v in held.values() if is_empty(v)]

    def restore(self) -> None:
        if type(self.owner) is not self.kind:
            object.__setattr__(self.owner, "__class__", self.kind)
        if self.items is not None:
            if attributes_of(self.owner) is not self.held:
                object.__setattr__(self.owner, "__dict__", self.held)
            self.items.restore()
        for table in self.empty:
            if not is_empty(table):
                table.clear()


def is_empty(value: Any) -> bool:
    """Whether it is a plain dictionary without items."""
    return (type(value) is dict or type(value) is OrderedDict) and not value


class Names:
    """The names of a Python module: what it defines or imports on first use stays."""

    def __init__(self, owner: dict[str, Any]) -> None:
        self.owner, self.before = owner, dict(owner)

    def restore(self) -> None:
        """Write back what changed."""
        before = self.before
        for name, value in list(self.owner.items()):
            if before.get(name, EMPTY) is value or is_code(type(value)):
                continue
            if name in before:
                self.owner[name] = before[name]
            else:
                del self.owner[name]
        for name in before.keys() - self.owner.keys():
            self.owner[name] = before[name]


class _List:
    """A list's items."""

    def __init__(self, owner: Any) -> None:
        self.owner, self.items = owner, list(list.__iter__(owner))

    def restore(self) -> None:
        if not _same(list(list.__iter__(self.owner)), self.items):
            list.__setitem__(self.owner, slice(None), self.items)


class _Set:
    """A set's members."""

    def __init__(self, owner: Any) -> None:
        self.owner, self.items = owner, list(set.__iter__(owner))

    def restore(self) -> None:
        now = list(set.__iter__(self.owner))
        if _same(now, self.items):
            return
        before, after = set(map(id, self.items)), set(map(id, now))
        for item in now:
            if id(item) not in before:
                set.discard(self.owner, item)
        for item in self.items:
            if id(item) not in after:
                set.add(self.owner, item)


class _Deque:
    """A deque's items."""

    def __init__(self, owner: Any) -> None:
        self.owner, self.items = owner, list(deque.__iter__(owner))

    def restore(self) -> None:
        if not _same(list(deque.__iter__(self.owner)), self.items):
            deque.clear(self.owner)
            deque.extend(self.owner, self.items)


class _Class:
    """The attributes of a class."""

    def __init__(self, owner: Any) -> None:
        self.owner, self.items = owner, list(type.__getattribute__(owner, "__dict__").items())

    def restore(self) -> None:
        now = dict(type.__getattribute__(self.owner, "__dict__").items())
        before = dict(self.items)
        for name in now.keys() - before.keys():
            type.__delattr__(self.owner, name)
        for name, value in self.items:
            if now.get(name, EMPTY) is not value:
                type.__setattr__(self.owner, name, value)


class _Cell:
    """What a closure's variable is bound to."""

    def __init__(self, owner: Any) -> None:
        self.owner, self.value = owner, cell_value(owner)

    def restore(self) -> None:
        if cell_value(self.owner) is self.value:
            return
        if self.value is EMPTY:
            del self.owner.cell_contents
        else:
            self.owner.cell_contents = self.value


def cell_value(cell: Any) -> Any:
    """What a cell holds; `EMPTY` where it holds nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY


class _Slots:
    """The attributes that an object keeps in slots."""

    def __init__(self, owner: Any, slots: list[Any]) -> None:
        self.owner, self.slots = owner, [(slot, slot_value(slot, owner)) for slot in slots]

    def restore(self) -> None:
        for slot, value in self.slots:
            now = slot_value(slot, self.owner)
            if now is value:
                continue
            if value is EMPTY:
                slot.__delete__(self.owner)
            else:
                slot.__set__(self.owner, value)


def slots_of(kind: type) -> list[Any]:
    """The descriptors of the slots that Python classes declare."""
    return [
        slot
        for base in kind.__mro__
        if base.__flags__ & _HEAP_TYPE and "__slots__" in vars(base)
        for slot in vars(base).values()
        if type(slot) is types.MemberDescriptorType
    ]


_HEAP_TYPE = 1 << 9
"""CPython's flag of classes that were made by a class statement."""


def slot_value(slot: Any, owner: Any) -> Any:
    """What a slot holds; `EMPTY` where it holds nothing."""
    try:
        return slot.__get__(owner, type(owner))
    except AttributeError:
        return EMPTY


class _Tensor:
    """A tensor's memory, gradient and flags; of a small one that is no parameter, its values."""

    def __init__(self, owner: torch.Tensor) -> None:
        self.owner = owner
        self.memory: torch.Tensor | None = None
        self.values: torch.Tensor | None = None
        self.gradient: Any = None
        self.leaf = False
        opaque: bool = is_lazy(owner) or is_traceable_wrapper_subclass(owner)
        if opaque:
            return
        with suppress(RuntimeError, NotImplementedError):  # layouts that have no strides
            self.leaf = owner.is_leaf
            self.needs_gradient = owner.requires_grad
            self.gradient = owner.grad if self.leaf else None
            if owner.layout is torch.strided:
                self.memory = owner.detach()
                if not isinstance(owner, nn.Parameter) and owner.numel() <= SMALL:
                    self.values = self.memory.clone()

    def restore(self) -> None:
        with suppress(RuntimeError, NotImplementedError):
            if self.memory is not None and not _in_place(self.owner, self.memory):
                self.owner.data = self.memory
            if self.values is not None and not torch.equal(self.owner, self.values):
                self.owner.copy_(self.values)
            if self.leaf and self.owner.requires_grad != self.needs_gradient:
                self.owner.requires_grad_(self.needs_gradient)
            if self.leaf and self.owner.grad is not self.gradient:
                self.owner.grad = self.gradient


def _in_place(tensor: torch.Tensor, memory: torch.Tensor) -> bool:
    return (
        tensor.untyped_storage()._cdata == memory.untyped_storage()._cdata
        and tensor.storage_offset() == memory.storage_offset()
        and tensor.shape == memory.shape
        and tensor.stride() == memory.stride()
    )


class _Random:
    """The state of a random generator."""

    def __init__(self, owner: Any) -> None:
        self.owner, self.state = owner, self._now(owner)

    @staticmethod
    def _now(owner: Any) -> Any:
        return (
            owner.get_state()
            if isinstance(owner, torch.Generator)
            else random.Random.getstate(owner)
        )

    def restore(self) -> None:
        if isinstance(self.owner, torch.Generator):
            if not torch.equal(self.owner.get_state(), self.state):
                self.owner.set_state(self.state)
        elif random.Random.getstate(self.owner) != self.state:
            random.Random.setstate(self.owner, self.state)


class _Array:
    """The values of a NumPy array, where they are not too many."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        small = owner.size <= SMALL and owner.flags.writeable and not owner.dtype.hasobject
        self.values = owner.copy() if small else None

    def restore(self) -> None:
        if self.values is not None and self.owner.tobytes() != self.values.tobytes():
            sys.modules["numpy"].copyto(self.owner, self.values)


_MAKERS: dict[type, Callable[[Any], Record]] = {
    torch.Tensor: _Tensor,
    dict: Mapping,
    list: _List,
    set: _Set,
    deque: _Deque,
    random.Random: _Random,
    torch.Generator: _Random,
}
