"""Runs a pass of a module so that nothing of it stays: neither in the module nor in what its code keeps.

What a model keeps outside itself (a table in an `lru_cache`, a dictionary of its file, a class attribute)
would hold meta, fake or inference tensors afterwards, and the user's own forward would meet them. They are
found as what is left of the pass: tensors that were made during it and that something still refers to. What
was there before the pass and refers to them is put back as it was, or loses the entry.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
import traceback
import types
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

import torch

from cnnstat.pause import no_collection
from cnnstat.trace.reach import Reach
from cnnstat.trace.recorder import Recorder
from cnnstat.trace.snapshot import attributes_of, is_code, items_of

_CACHE = type(functools.lru_cache(len))
_NO_HOLDERS = (types.FrameType, types.TracebackType, types.GeneratorType)


class Untouched:
    """While this context is active a pass may run; on exit everything is as it was before.

    `root` is the module, or the function that makes it. The body must not keep the model that ran in
    variables of its own.
    """

    def __init__(self, root: Any) -> None:
        self._root = root
        self._pause = no_collection()
        self.recorders: list[Recorder] = []
        """Who sees the tensors being made."""
        self.errors: list[BaseException] = []
        """Exceptions that are kept, and with them the variables of the functions that raised."""
        self.left: tuple[str, ...] = ()
        """Afterwards: who still holds tensors of the pass, because it could not be put back."""

    def __enter__(self) -> Untouched:
        self._pause.__enter__()
        self._reach = Reach(self._root)
        gc.collect(0)  # so that the youngest generation is what the pass makes
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        dead = _release_errors(_with_causes([*self.errors, error]))
        reach, recorders = self._reach, self.recorders
        del self._reach, self.recorders, self.errors
        reach.restore()
        self.left = _take_out(reach, recorders, dead)
        self._pause.__exit__(None, None, None)


def _with_causes(pending: list[BaseException | None]) -> list[BaseException]:
    found: dict[int, BaseException] = {}
    while pending:
        error = pending.pop()
        if error is not None and id(error) not in found:
            found[id(error)] = error
            pending += (error.__cause__, error.__context__)
    return list(found.values())


def _release_errors(errors: list[BaseException]) -> list[types.CellType]:
    """Let go of the variables of what raised; those of functions that only their frames hold on to."""
    frames: dict[int, types.FrameType] = {}
    for error in errors:
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, AttributeError):  # it has the object for the sake of a suggestion
            error.name = error.obj = None
        frames.update((id(frame), frame) for frame, _ in traceback.walk_tb(error.__traceback__))
    functions = [f for f in gc.get_referents(*frames.values()) if type(f) is types.FunctionType]
    ours = sys.getrefcount(object()) + 1  # `function`, beside what `functions` holds
    return [
        cell
        for function in functions
        if sys.getrefcount(function) - ours == 2 * functions.count(function)
        for cell in function.__closure__ or ()
    ]


def _take_out(
    reach: Reach, recorders: list[Recorder], dead: list[types.CellType]
) -> tuple[str, ...]:
    """Take what is left of the pass out of what was there before; who could not let go of it.

    `dead` are variables of functions that nobody can call any more.
    """
    # Where other threads run, new tensors may be theirs.
    alone = threading.active_count() == 1
    young = gc.get_objects(generation=0)
    if not any(_is_left(value, recorders, alone) for value in young):
        return ()
    new = {id(value) for value in young if not reach.knows(value)}
    del young
    for cell in dead:
        if id(cell) in new:  # it may be shared with a function that was there before
            with suppress(ValueError):  # it is empty
                del cell.cell_contents
    gc.collect(0)  # modules that refer to themselves; the living are of the next generation now
    young = [value for value in gc.get_objects(generation=1) if id(value) in new]
    left = [value for value in young if _is_left(value, recorders, alone)]
    owned = _owners(left, young)
    # Who is known first: to look for the others through all objects of the process takes a while.
    for holder, held in reach.holders():
        if any(id(value) in owned for value in held):
            _release(holder, owned, reach)
        del held
    alive = list(map(weakref.ref, left))
    del left, owned, young
    left = [value for value in (ref() for ref in alive) if value is not None]
    return _search(left, new, reach) if left else ()


def _search(left: list[Any], new: set[int], reach: Reach) -> tuple[str, ...]:
    """Look for who else holds what is left; who could not let go of it."""
    young = [value for value in gc.get_objects(generation=1) if id(value) in new]
    owned = _owners(left, young)
    stuck: list[str] = []
    for holder in gc.get_referrers(*owned.values()):
        if id(holder) not in new and holder is not left and holder is not young:
            stuck += _release(holder, owned, reach)
    return tuple(dict.fromkeys(stuck))


def _is_left(value: Any, recorders: list[Recorder], alone: bool) -> bool:
    """Whether it is a tensor that the pass made."""
    if torch.Tensor not in type(value).__mro__:
        return False
    return (
        alone
        or value.is_meta
        or value.is_inference()
        or any(recorder.knows(value) for recorder in recorders)
    )


def _owners(left: list[Any], young: list[Any]) -> dict[int, Any]:
    """The tensors, and every new object through which one is reached, by identity."""
    parents: dict[int, list[Any]] = {}
    for value in young:
        if not isinstance(value, _NO_HOLDERS):
            for child in gc.get_referents(value):
                parents.setdefault(id(child), []).append(value)
    owned: dict[int, Any] = {}
    pending = list(left)
    while pending:
        value = pending.pop()
        if id(value) not in owned:
            owned[id(value)] = value
            pending += parents.get(id(value), ())
    return owned


# ---- letting go


def _release(holder: Any, owned: dict[int, Any], reach: Reach) -> list[str]:
    """Make an object that was there before let go of what is new; what it is, where it cannot."""
    kind = type(holder)
    if isinstance(holder, _NO_HOLDERS) or holder is owned or reach.restore_around(holder):
        return []
    if kind is _CACHE:
        holder.cache_clear()
        return []
    if kind is dict:
        for owner in gc.get_referrers(holder):
            if id(attributes_of(owner)) == id(holder):
                return _unbind(dict(holder), _name_of(owner), owned)
            if type in type(owner).__mro__ and _is_part(holder, owner):
                known = reach.restore_around(owner)
                return [] if known else _unbind(dict(vars(owner)), owner.__qualname__, owned)
    if _remove_from(holder, owned):
        return []
    names = attributes_of(holder)
    if names is None:
        return [f"an object of {kind.__qualname__}"]
    return _unbind(names, _name_of(holder), owned)


def _name_of(owner: Any) -> str:
    """The name of a Python module, class or function; of another object, its class's."""
    named = owner if is_code(type(owner)) else type(owner)
    return str(getattr(named, "__qualname__", getattr(named, "__name__", "")))


def _is_part(held: Any, owner: Any) -> bool:
    return any(part is held for part in gc.get_referents(owner))


def _unbind(names: dict[str, Any], whose: str, owned: dict[int, Any]) -> list[str]:
    """Empty the tables among these names; the others, of which nobody knows what they were before."""
    return [
        f"{whose}.{name}"
        for name, value in list(names.items())
        if id(value) in owned and not _remove_from(value, owned)
    ]


def _remove_from(holder: Any, owned: dict[int, Any]) -> bool:
    """Remove from a container what is new; whether it is one."""
    mro = type(holder).__mro__
    if dict in mro:
        for key, value in items_of(holder):
            if id(value) in owned or id(key) in owned:
                dict.pop(holder, key)
    elif list in mro:
        kept = [item for item in list.__iter__(holder) if id(item) not in owned]
        list.__setitem__(holder, slice(None), kept)
    elif set in mro:
        for item in list(set.__iter__(holder)):
            if id(item) in owned:
                set.discard(holder, item)
    elif deque in mro:
        kept = [item for item in deque.__iter__(holder) if id(item) not in owned]
        deque.clear(holder)
        deque.extend(holder, kept)
    else:
        return False
    return True
