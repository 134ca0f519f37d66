"""Operations on the meta device, at the price of looking up what is already known.

The shapes of frequent results follow from those of the arguments (`shapes.py`); any other operation whose
arguments have shapes met before is not computed again, for torch's Python meta kernels are what is slow. Real
tensors, constants that a model computes for itself, keep their values among themselves and count as
meta tensors wherever they meet one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from cnnstat.trace.modules import is_lazy, tensors_of
from cnnstat.trace.shapes import SHAPES

_FACTORIES = frozenset(
    f"aten.{name}" for name in ["empty", "full", "ones", "rand", "randn", "zeros"]
)
_QUESTIONS = frozenset(
    f"aten.{name}" for name in "_local_scalar_dense equal is_nonzero item".split()
)
_SEQUENCES = {
    **dict.fromkeys(("aten._pack_padded_sequence", "aten._pad_packed_sequence"), 1),
    **dict.fromkeys(("aten.gru", "aten.lstm", "aten.rnn_relu", "aten.rnn_tanh"), 1),
}
"""Operations that read the lengths of sequences out of a tensor, and which argument it is."""
_LARGE = 1 << 20  # elements from which a constant that the model makes is not really allocated


class NeedsValues(Exception):
    """The model asks for the value of a tensor, or for a shape that depends on one."""


@dataclass(frozen=True, slots=True)
class OpFacts:
    """What never changes about an operation."""

    name: str
    """`"aten.convolution"`."""
    overload: str
    """`"default"` where it has none."""
    arg_names: tuple[str, ...]
    """By position."""
    composite: bool
    """It is made of other operations."""
    writes: tuple[int | str, ...]
    """The arguments that it writes to, by position or by keyword."""
    mutates: tuple[int | str, ...] | None
    """For each output, which argument it is, where it writes to its arguments and returns them."""
    repeatable: bool
    """Whether equal shapes give equal results: not where a view or an `out=` tensor changes."""
    fresh: bool
    """Its outputs are new tensors, so that shapes alone describe them."""
    views: bool = False
    """Its outputs are views of its first argument."""
    pointwise: bool = False
    """It promotes the types of its arguments to one."""


_FACTS: dict[Any, OpFacts] = {}


def facts_of(func: Any) -> OpFacts:
    """The facts of an operation, looked up once."""
    known = _FACTS.get(func)
    if known is not None:
        return known
    schema = func._schema
    places = {
        argument.name if argument.kwarg_only else index: argument.alias_info
        for index, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    }
    written = {alias: place for place, info in places.items() for alias in info.before_set}
    returned = [item.alias_info for item in schema.returns]
    mutates: tuple[int | str, ...] | None = None
    if written and returned and all(info is not None and info.is_write for info in returned):
        mutates = tuple(written[next(iter(info.before_set))] for info in returned)
    try:
        composite = torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(), "CompositeImplicitAutograd"
        )
    except RuntimeError:  # the dispatcher does not know it
        composite = False
    facts = _FACTS[func] = OpFacts(
        name=schema.name.replace("::", "."),
        overload=schema.overload_name or "default",
        arg_names=tuple(argument.name for argument in schema.arguments),
        composite=composite,
        writes=tuple(places),
        mutates=mutates,
        repeatable=torch.Tag.inplace_view not in func.tags
        and not any(isinstance(place, str) for place in places),
        fresh=bool(returned) and all(info is None for info in returned),
        views=bool(returned) and all(info is not None and not info.is_write for info in returned),
        pointwise=torch.Tag.pointwise in func.tags,
    )
    return facts


class MetaDevice:
    """Runs operations of which at least one argument is on the meta device."""

    def __init__(self) -> None:
        self._results: dict[Any, Callable[[Any], Any]] = {}
        # Real tensors that a meta tensor was written to, by storage: their values are no longer known.
        self._unknown: dict[int, torch.Tensor] = {}
        self.wanted = ""
        """What value was asked for, also where the model's own code caught the exception."""
        self.refused: Exception | None = None
        """What the CPU said of an operation that has no kernel for such types."""

    def run(self, func: Any, facts: OpFacts, args: Any, kwargs: Any) -> Any:
        """The result of `func`. Raises `NeedsValues` where shapes do not determine it."""
        shape = SHAPES.get(func)
        if shape is not None and (result := shape(*args, **kwargs)) is not None:
            return result
        key, on_meta, mixed = _key(func, args, kwargs)
        if not on_meta and self._unknown:
            on_meta = mixed = any(_address(t) in self._unknown for t in tensors_of((args, kwargs)))
        if not on_meta:
            if facts.name in _FACTORIES and _numel(args) >= _LARGE:
                kwargs = {**kwargs, "device": torch.device("meta")}
            try:
                return func(*args, **kwargs)
            except RuntimeError as error:
                self._told(error)
                raise
        if facts.name in _QUESTIONS:
            raise self._needs("the value of a tensor")
        if facts.name in _SEQUENCES and (facts.overload == "data" or "sequence" in facts.name):
            if args[_SEQUENCES[facts.name]].is_meta:
                raise self._needs("the lengths of sequences")
            return func(*args, **kwargs)  # the lengths stay real, and the shapes depend on them
        if mixed:
            self._forget(tensors_of([_at(place, args, kwargs) for place in facts.writes]))
        known = self._results.get(key) if key is not None else None
        if known is not None:
            return known(args)
        given = args, kwargs
        if mixed:
            args, kwargs = _moved(args, "meta"), _moved(kwargs, "meta")
        if "device" in kwargs:
            kwargs = {**kwargs, "device": torch.device("meta")}
        try:
            result = func(*args, **kwargs)
        except NotImplementedError as error:
            raise self._needs(f"{facts.name} has no shape without values") from error
        except Exception as error:  # some kernels assert, and some index what is not there
            raise self._told(self._verdict(func, args, kwargs, error)) from error
        maker: Callable[[Any], Any] | None = None
        if facts.mutates is not None:
            result = _returning(facts.mutates, *given)
            if facts.repeatable:
                maker = partial(_returning, facts.mutates)
        elif facts.fresh and not _aliases(result, args):
            maker = _maker(result)
        if maker is not None and key is not None:
            self._results[key] = maker
        return result

    def _told(self, error: Exception) -> Exception:
        """Keep what a CPU said, where that is about types."""
        if any(word in str(error) for word in _FOR_TYPES):
            self.refused = error
        return error

    def _needs(self, what: str) -> NeedsValues:
        self.wanted = self.wanted or what
        return NeedsValues(what)

    def _forget(self, tensors: Any) -> None:
        for tensor in tensors:
            if not tensor.is_meta:
                self._unknown[_address(tensor)] = tensor

    def _verdict(self, func: Any, args: Any, kwargs: Any, error: Exception) -> Exception:
        """What to raise where the meta kernel refuses: meta kernels say less, or know fewer types.

        The error of the same operation on the CPU, or `NeedsValues` where the CPU does not object.
        """
        if sum(tensor.numel() for tensor in tensors_of((args, kwargs))) > _LARGE * 16:
            # Types are what meta kernels know less of; sizes they compare as the CPU does.
            about_types = any(word in str(error).lower() for word in ("type", "bf16"))
            return self._needs(str(error)) if about_types else error
        try:
            func(*_moved(args, "cpu"), **_moved(kwargs, "cpu"))
        except Exception as truth:
            return truth
        return self._needs(str(error))


_FOR_TYPES = ("not implemented for '", "not supported for", "nputs not supported")


def _key(func: Any, args: Any, kwargs: Any) -> tuple[Any, bool, bool]:
    """What the shapes of the result depend on; is a tensor on meta; is one elsewhere, too."""
    parts: list[Any] = [func]
    devices = _collect(args, parts) | _collect(kwargs.values(), parts)
    if kwargs:
        parts.append(tuple(kwargs))
    try:
        key: Any = tuple(parts)
        hash(key)
    except TypeError:
        key = None
    return key, bool(devices & _META), bool(devices & _REAL)


_META, _REAL = 1, 2


def _collect(values: Any, parts: list[Any]) -> int:
    devices = 0
    for value in values:
        if isinstance(value, torch.Tensor):
            if is_lazy(value):
                continue
            parts.append((value.shape, value.stride(), value.dtype))
            devices |= _META if value.is_meta else _REAL
        elif isinstance(value, list | tuple):
            parts.append(len(value))
            devices |= _collect(value, parts)
        else:
            # 1, 1.0 and True are equal, and promote the type of a result differently.
            parts.append(value if value is None else (type(value), value))
    return devices


def _moved(value: Any, device: str) -> Any:
    """Nested tensors without their data, on a device; those that are there stay the same."""
    if isinstance(value, torch.Tensor):
        if value.device.type == device:
            return value
        size, stride = value.size(), value.stride()
        moved = torch.empty_strided(size, stride, dtype=value.dtype, device=device)
        return moved if device == "meta" else moved.zero_()  # an index must be a valid one
    if isinstance(value, list | tuple):
        return type(value)(_moved(item, device) for item in value)
    if isinstance(value, dict):
        return {name: _moved(item, device) for name, item in value.items()}
    return torch.device(device) if isinstance(value, torch.device) else value


def _at(place: int | str, args: Any, kwargs: Any) -> Any:
    if isinstance(place, str):
        return kwargs.get(place)
    return args[place] if place < len(args) else None


def _returning(
    places: tuple[int | str, ...], args: Any, kwargs: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    found = tuple(_at(place, args, kwargs) for place in places)
    return found if len(found) > 1 else found[0]


def _maker(result: Any) -> Callable[[Any], Any] | None:
    """Makes tensors like a result, or `None` where they cannot be described by shape and stride."""
    if isinstance(result, torch.Tensor):
        if result.layout is not torch.strided or result.storage_offset() or result.is_quantized:
            return None
        size, stride, dtype = tuple(result.shape), result.stride(), result.dtype
        return lambda args: torch.empty_strided(size, stride, dtype=dtype, device="meta")
    if isinstance(result, list | tuple) and all(isinstance(r, torch.Tensor) for r in result):
        makers = [_maker(item) for item in result]
        if all(makers):
            kind = type(result)
            return lambda args: kind(make(args) for make in makers if make is not None)
    return None


def _numel(args: Any) -> int:
    sizes = args[0] if args and isinstance(args[0], list | tuple) else ()
    return math.prod(int(size) for size in sizes)


def _address(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _aliases(result: Any, args: Any) -> bool:
    """Whether a result lies in the memory of an argument, whatever the operation's schema says."""
    given = {_address(tensor) for tensor in tensors_of(args)}
    return any(_address(tensor) in given for tensor in tensors_of(result))
