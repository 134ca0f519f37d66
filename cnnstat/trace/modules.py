"""Which module is running, and what the module tree holds.

The stack lives in global forward hooks, so that nothing is attached to the user's modules. It knows
nothing of operations; the recorder asks it for `scope` and `call` alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as nn_module
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from cnnstat.record import ModuleInfo, ParamInfo, TensorSpec
from cnnstat.trace.packed import is_holder, packed_weights

ORIGINAL_RAN = "the model's own code called the module that this is a copy of"

Describe = Callable[[torch.Tensor], TensorSpec]


@dataclass(slots=True)
class _Calls:
    """What is known of one module's calls."""

    path: str
    count: int = 0
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    aliases: list[str] = field(default_factory=list)


@dataclass
class ModuleStack:
    """The modules that are running, innermost last."""

    model: nn.Module
    """The root of the tree."""
    describe: Describe
    """How a tensor becomes a `TensorSpec`; the recorder's, so that storages have one numbering."""
    scope: str = ""
    """Path of the innermost running module."""
    call: int = 0
    """Which call of it, from 0."""
    originals: frozenset[int] = frozenset()
    """Identities of the modules that the model is a copy of, and that must not run in its place."""
    strayed: str = ""
    """What happened that makes the record incomplete: a layer in another thread, an original that ran."""
    recomputing: bool = False
    """Whether forward is over, and what runs again (for a checkpoint, while backward runs) is no new call."""
    on_border: Callable[[str, Any], None] | None = None
    """Told whose values cross a module's border: the caller and the arguments when a call begins, the
    module and its output when it ends."""
    _modules: list[nn.Module] = field(init=False)
    _by_id: dict[int, nn.Module] = field(init=False)
    _thread: int = field(init=False)
    _frames: list[tuple[int, str, int]] = field(default_factory=list)
    _calls: dict[int, _Calls] = field(default_factory=dict)
    _failed: dict[int, tuple[str, tuple[TensorSpec, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._modules = []
        self._by_id = {}
        self._thread = threading.get_ident()
        taken: set[str] = set()
        for path, module in self.model.named_modules(remove_duplicate=False):
            calls = self._calls.get(id(module))
            if calls is None:
                self._calls[id(module)] = _Calls(_free(path, taken))
                self._modules.append(module)
                self._by_id[id(module)] = module
            else:
                calls.aliases.append(path)

    def layer_of(self, inputs: Iterable[TensorSpec], outputs: tuple[TensorSpec, ...]) -> str:
        """Path of the layer whose work an operation is, by the weights among its `inputs`.

        What `torch.jit` scripts or traces calls none of Python's hooks within: the layers in it are known by
        their weights alone, and what has none is the innermost module's that was called from Python.
        """
        running = self._by_id.get(self._frames[-1][0]) if self._frames else None
        if not isinstance(running, torch.jit.ScriptModule):
            return self.scope
        inputs = tuple(inputs)
        for module in running.modules():
            calls = self._calls.get(id(module))
            if module is running or calls is None:
                continue
            own = {self.describe(t).storage for t in _own_tensors(module)}
            if any(spec.storage in own for spec in inputs if spec.storage >= 0):
                if not calls.count:
                    calls.inputs = tuple(s for s in inputs if s.storage not in own)
                    calls.outputs = outputs
                calls.count = max(calls.count, self.call + 1)
                return calls.path
        return self.scope

    def held(self) -> Iterator[torch.Tensor]:
        """Every parameter and buffer that has a shape, once for each module that holds it."""
        for module in self._modules:
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is not None and not is_lazy(tensor):
                    yield tensor

    def packed(self) -> Iterator[torch.Tensor]:
        """Every weight that is packed, once."""
        for module in self._modules:
            if module is self.model or not is_holder(module):
                yield from (tensor for _, tensor in packed_weights(module))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the stack while the body runs; the hooks are gone afterwards, also when it raises."""
        handles = [
            nn_module.register_module_forward_pre_hook(self._enter),
            nn_module.register_module_forward_hook(self._leave, with_kwargs=True, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
                # torch forgets this entry of a handle that it removes.
                nn_module._global_forward_hooks_with_kwargs.pop(handle.id, None)

    def failed_at(self, error: BaseException) -> tuple[str, tuple[TensorSpec, ...]] | None:
        """Path and inputs of the innermost module that raised `error`; `None` if no module did."""
        return self._failed.get(id(error))

    @property
    def running(self) -> bool:
        """Whether any module is."""
        return bool(self._frames)

    def _enter(self, module: nn.Module, args: Any) -> None:
        if threading.get_ident() != self._thread:  # the hooks are global, the record is not
            if id(module) in self._calls:
                self.strayed = f"{self._calls[id(module)].path} ran in another thread"
            return
        if id(module) in self.originals:
            self.strayed = ORIGINAL_RAN
        if self.on_border is not None:
            self.on_border(self.scope, args)
        calls = self._calls.get(id(module))
        if calls is not None:  # a module made during forward has no path: its work is its caller's
            self.scope, self.call = calls.path, calls.count
            if self.recomputing:
                self.call = 0
            else:
                calls.count += 1
        self._frames.append((id(module), self.scope, self.call))

    def _leave(self, module: nn.Module, args: Any, *rest: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        # torch passes (kwargs, output) after a call that returned, and (output,) after one that raised.
        kwargs, output = rest if len(rest) == 2 else ({}, *rest)
        calls = self._calls.get(id(module))
        if output is None and (error := sys.exception()) is not None:
            place = calls.path if calls else self.scope
            self._failed.setdefault(id(error), (place, tuple(map(self.describe, tensors_of(args)))))
        while self._frames and self._frames.pop()[0] != id(module):
            pass  # frames of calls that a user's own hook cut short
        if calls is not None:
            if calls.count == 1 and not self.recomputing:
                calls.inputs = tuple(map(self.describe, tensors_of((args, kwargs))))
                calls.outputs = tuple(map(self.describe, tensors_of(output)))
            if self.on_border is not None:
                self.on_border(calls.path, output)
        if self._frames:
            _, self.scope, self.call = self._frames[-1]
        else:
            self.scope, self.call = "", 0

    def tree(self) -> tuple[ModuleInfo, ...]:
        """Every module in definition order with its own parameters, shared ones marked."""
        seen: dict[Any, str] = {}
        return tuple(
            self._info(path, module, seen)
            for path, module in self.model.named_modules(remove_duplicate=True)
            if not path or not (is_holder(module) or isinstance(module, _LISTS))
        )

    def _info(self, path: str, module: nn.Module, seen: dict[Any, str]) -> ModuleInfo:
        calls = self._calls.get(id(module)) or _Calls(path)
        path = calls.path
        return ModuleInfo(
            path=path,
            type=_type_name(module),
            params=(*self._infos(path, dict(_own_parameters(module)), seen), *_packed(module)),
            buffers=tuple(self._infos(path, module._buffers, seen)),
            calls=calls.count,
            inputs=calls.inputs,
            outputs=calls.outputs,
            aliases=tuple(calls.aliases),
        )

    def _infos(
        self, path: str, held: Mapping[str, torch.Tensor | None], seen: dict[Any, str]
    ) -> Iterator[ParamInfo]:
        for name, tensor in held.items():
            if tensor is None or is_lazy(tensor):
                continue
            full = f"{path}.{name}" if path else name
            first = seen.setdefault(identity(tensor), full)
            spec = self.describe(tensor)
            yield ParamInfo(
                name=name,
                shape=spec.shape,
                dtype=spec.dtype,
                itemsize=spec.itemsize,
                trainable=tensor.requires_grad,
                tied_to=first if first != full else "",
                storage=spec.storage,
            )


_LISTS = (nn.ParameterList, nn.ParameterDict)
"""Modules that nobody calls: what they hold is the layer's that they are in."""


def _own_parameters(module: nn.Module) -> Iterator[tuple[str, torch.Tensor | None]]:
    yield from module._parameters.items()
    for name, child in module._modules.items():
        if isinstance(child, _LISTS):
            yield from ((f"{name}.{inner}", tensor) for inner, tensor in _own_parameters(child))


def _packed(module: nn.Module) -> Iterator[ParamInfo]:
    for name, tensor in packed_weights(module):
        dtype = str(tensor.dtype).removeprefix("torch.")
        yield ParamInfo(name, tuple(tensor.shape), dtype, tensor.dtype.itemsize, trainable=False)


def _own_tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def _free(path: str, taken: set[str]) -> str:
    """The path, or with a number after it: a name with a dot in it may spell another module's path."""
    free, number = path, 1
    while free in taken:
        number += 1
        free = f"{path}#{number}"
    taken.add(free)
    return free


def _type_name(module: nn.Module) -> str:
    original = getattr(module, "original_name", None)  # what torch.jit.script compiled
    return str(original) if original else type(module).__name__


SPARSE = {torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc}
"""Layouts that hold the elements that are not zero."""


def is_lazy(tensor: torch.Tensor) -> bool:
    """Whether it is a parameter or buffer of a lazy module that has no shape yet."""
    return isinstance(tensor, UninitializedTensorMixin)


def identity(tensor: torch.Tensor) -> Any:
    """Equal for two tensors that are the same elements, under whatever Python objects."""
    try:
        storage = tensor.untyped_storage()._cdata
    except NotImplementedError:  # sparse and opaque tensors have none
        return id(tensor)
    return storage, tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride())


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_of(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from tensors_of(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in vars(value).values() if hasattr(value, "__dict__") else ():
            yield from tensors_of(item)
