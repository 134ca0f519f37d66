"""What a pass may change: the state of a module, and the names around its code.

The names are those of the Python modules in which its classes and functions are written: globals, class
attributes, closures, default arguments, and the containers and objects that these lead to. Libraries are left
out, but for the file in which a class of the module stands.
"""

from __future__ import annotations

import gc
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnstat.trace.snapshot import (
    EMPTY,
    Names,
    Record,
    attributes_of,
    cell_value,
    is_code,
    is_empty,
    makers_of,
    slot_value,
    slots_of,
)

_MOST = 50_000
"""Objects of a module's own that are looked at: beyond, they are data and no state."""
_MOST_AROUND = 10_000
"""The same of the names around its code."""
_DATA = 1_000
"""Items from which a container is data: what is in it is not looked at."""

_PLAIN = frozenset(
    {
        *(type(None), type(Ellipsis), bool, int, float, complex, str, bytes, range, slice),
        *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
    }
)
_CONTAINERS = frozenset({dict, list, set, deque, tuple, frozenset})
_OPAQUE = frozenset({"torch", "builtins", "numpy", "cnnstat"}) | sys.stdlib_module_names
_OPEN = frozenset({"collections", "types", "argparse", "random"})
"""Modules of the standard library whose objects hold a user's values."""

Reached = Iterator[tuple[Any, int]]
"""Objects, each with the identity of what it stands in: the globals of a file, a class, a closure."""


class Reach:
    """What a pass of a module may change, as it is when this is made."""

    def __init__(self, root: Any) -> None:
        """`root` is the module, or the function that makes it."""
        self._seen: dict[int, Any] = {}  # the objects too: so that identities stay theirs
        self._own: list[Record] = []
        self._around: dict[int, list[Record]] = {}
        self._homes: dict[int, int] = {}
        self._code: dict[int, Any] = {}
        self._kinds = _Kinds()
        self._caches: list[Any] = []
        cells = root.__closure__ or () if type(root) is types.FunctionType else ()
        with torch.no_grad():
            self._walk_state([root, *map(cell_value, cells), *_held(root)])
            self._walk_code()

    @torch.no_grad()
    def restore(self) -> None:
        """Put back the state of the module, and what happened to tensors outside it."""
        for record in self._own:
            record.restore()
        for records in self._around.values():
            for record in records:
                if torch.Tensor in type(record.owner).__mro__:
                    record.restore()

    def knows(self, holder: Any) -> bool:
        """Whether an object was there when this was made."""
        return id(holder) in self._seen or id(holder) in self._homes

    def holders(self) -> Iterator[tuple[Any, list[Any]]]:
        """What is around the module's code and may hold something, and what it holds now."""
        for owner in self._caches:
            parts = gc.get_referents(owner)
            table = [value for part in parts if type(part) is dict for value in part.values()]
            yield owner, [*parts, *table]
        for records in list(self._around.values()):
            for owner in [record.owner for record in records]:
                if type in type(owner).__mro__:
                    yield owner, list(type.__getattribute__(owner, "__dict__").values())
                else:
                    held = attributes_of(owner)
                    yield owner, [*gc.get_referents(owner), *(held or {}).values()]

    def restore_around(self, holder: Any) -> bool:
        """Put back what stands beside `holder` in its file, class, object or closure.

        Caches are often two variables, a table and what it is of. False where it is not known.
        """
        home = self._homes.get(id(holder))
        for record in self._around.get(home, ()) if home is not None else ():
            record.restore()
        return home is not None

    # ---- the module's own state

    def _walk_state(self, pending: list[Any]) -> None:
        seen, kinds = self._seen, self._kinds
        while pending and len(seen) < _MOST:
            value = pending.pop()
            kind = type(value)
            if kind in _PLAIN or id(value) in seen:
                continue
            seen[id(value)] = value
            known = kinds[kind]
            if known.code:
                del seen[id(value)]
                self._code[id(value)] = value
            elif known.state:
                if kind not in _CONTAINERS:
                    self._code[id(kind)] = kind
                self._own += [make(value) for make in known.makers]
                known.children(value, pending)

    # ---- the names around its code

    def _walk_code(self) -> None:
        classes = [kind for kind in self._code.values() if type in type(kind).__mro__]
        bases = [base for kind in classes for base in kind.__mro__]
        self._bases = set(map(id, bases))
        pending = deque((value, 0) for value in (*self._code.values(), *bases))
        most = len(self._seen) + _MOST_AROUND
        while pending and len(self._seen) < most:
            value, home = pending.popleft()
            kind = type(value)
            if kind in _PLAIN or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            pending += self._reached(value, kind, home or id(value))

    def _reached(self, value: Any, kind: type, home: int) -> Reached:
        """What an object around the code leads to; it is remembered where it can be put back."""
        mro = kind.__mro__
        if types.ModuleType in mro:
            yield from self._names(vars(value))
        elif type in mro:
            yield from self._class(value)
        elif kind is types.FunctionType:
            yield from self._function(value)
        elif kind is property:
            yield from ((part, 0) for part in (value.fget, value.fset, value.fdel))
        elif kind in _WRAPPERS:
            self._caches.append(value)
            yield value.__wrapped__, 0
        elif (
            self._kinds[kind].state
            and not self._kinds[kind].is_data(value)
            and (not _CONTAINERS.isdisjoint(mro) or _is_users_class(kind))
        ):
            self._remember(value, home)
            yield kind, 0
            children: list[Any] = []
            self._kinds[kind].children(value, children)
            yield from ((child, home) for child in children)

    def _remember(self, value: Any, home: int) -> None:
        self._around.setdefault(home, []).extend(
            make(value) for make in self._kinds[type(value)].makers
        )
        self._homes[id(value)] = home
        held = attributes_of(value)
        if held is not None:
            self._homes[id(held)] = home

    def _names(self, names: dict[str, Any], *, deep: bool = True) -> Reached:
        home = id(names)
        if home in self._around or (deep and not _is_users(names)):
            return
        self._around[home] = [Names(names)]
        self._homes[home] = home
        self._seen[home] = names
        for value in list(names.values()):
            if deep or type(value) in _CONTAINERS:
                yield value, home

    def _class(self, kind: type) -> Reached:
        deep = _is_users_class(kind)
        if not deep and (id(kind) not in self._bases or _top(kind) in _OPAQUE):
            return
        self._remember(kind, id(kind))
        for value in list(type.__getattribute__(kind, "__dict__").values()):
            if deep or type(value) in _CONTAINERS:
                yield value, id(kind)
        yield from ((base, 0) for base in kind.__bases__)
        module = sys.modules.get(_module_of(kind))
        if module is not None:
            yield from self._names(vars(module), deep=deep)

    def _function(self, function: types.FunctionType) -> Reached:
        if not _is_users(function.__globals__):
            return
        yield from self._names(function.__globals__)
        home = id(function)
        self._remember(function, home)
        for cell in function.__closure__ or ():
            self._remember(cell, home)
            yield cell_value(cell), home
        yield from ((value, home) for value in function.__defaults__ or ())
        yield from ((value, home) for value in (function.__kwdefaults__ or {}).values())
        yield from ((value, home) for value in function.__dict__.values())


_WRAPPERS = frozenset({staticmethod, classmethod, type(lru_cache(len))})


def _held(root: Any) -> Iterator[Any]:
    """The modules and tensors of a network, of which no number is too large to be looked at."""
    if nn.Module in type(root).__mro__:
        for module in root.modules():
            yield from (*module._parameters.values(), *module._buffers.values(), module)


class _Kinds(dict[type, "_Kind"]):
    """What is known of each class, found out once."""

    def __missing__(self, kind: type) -> _Kind:
        known = self[kind] = _Kind(kind)
        return known


class _Kind:
    """How objects of a class are remembered, and what they refer to."""

    def __init__(self, kind: type) -> None:
        self.code = is_code(kind)
        self.state = _has_state(kind)
        self.makers = makers_of(kind)
        bases = [base for base in _ITERATED if base in kind.__mro__]
        self._items: Any = bases[0] if bases else None
        self._named = bool(kind.__dictoffset__)
        self._slots = slots_of(kind)
        self._parts = _PARTS.get(kind, ())

    def is_data(self, value: Any) -> bool:
        """Whether it is a container of more than a model's own code puts into one."""
        return self._items is not None and self._items.__len__(value) > _DATA

    def children(self, value: Any, into: list[Any]) -> None:
        """Add what an object refers to, and may change through it."""
        if self._items is not None and not self.is_data(value):
            into += _ITERATED[self._items](value)
        if self._named and (held := attributes_of(value)):
            into += [v for v in held.values() if type(v) not in _PLAIN and not is_empty(v)]
        for slot in self._slots:
            if (item := slot_value(slot, value)) is not EMPTY:
                into.append(item)
        into += [getattr(value, part) for part in self._parts]


_ITERATED: dict[type, Callable[[Any], Iterable[Any]]] = {
    OrderedDict: OrderedDict.values,
    dict: dict.values,
    list: list.__iter__,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
    deque: deque.__iter__,
}
_PARTS = {types.MethodType: ("__self__", "__func__"), partial: ("func", "args", "keywords")}


def _has_state(kind: type) -> bool:
    """Whether objects of a class are a user's own, or hold what is."""
    mro = kind.__mro__
    if nn.Module in mro or torch.Tensor in mro or any(base in _CONTAINERS for base in mro):
        return True
    if kind in (types.MethodType, partial, torch.Generator) or kind.__name__ == "ndarray":
        return True
    top = _top(kind)
    return top not in _OPAQUE or top in _OPEN


def _module_of(kind: type) -> str:
    try:
        module = type.__getattribute__(kind, "__module__")
    except AttributeError:
        return ""
    return module if isinstance(module, str) else ""


def _top(kind: type) -> str:
    return _module_of(kind).partition(".")[0]


def _is_users_class(kind: type) -> bool:
    """Whether a class is written in a file of the user's, or in a session."""
    module = sys.modules.get(_module_of(kind))
    return _top(kind) not in _OPAQUE and (module is None or _is_users(vars(module)))


_LIBRARIES = tuple(
    {str(Path(folder).resolve()) for folder in (sys.prefix, sys.base_prefix)}
    | {str(Path(__file__).resolve().parent.parent)}
)


def _is_users(names: dict[str, Any]) -> bool:
    """Whether these are the globals of a file of the user's, or of a session."""
    file, name = names.get("__file__"), names.get("__name__")
    if type(file) is not str:
        return type(name) is str and name.partition(".")[0] not in _OPAQUE
    return not file.startswith(_LIBRARIES) and "-packages" not in file
