"""Building a network without its weights: every shape is there, no memory and no arithmetic.

Not `torch.device("meta")`: constructors that compute with small tensors (torchvision's RegNet
reads its widths out of one) must go on working. Here small tensors are real and only parameters,
and other tensors that are large, live on the meta device.

One build at a time: `nn.Module.register_parameter` and `torch.nn.init` are replaced for all threads
of the process while a skeleton is being built.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.weak import WeakIdKeyDictionary

from cnnstat.errors import CnnstatError, causes

T = TypeVar("T")

LARGE = 2**16
"""Elements from which a new tensor is put on the meta device, parameter or not."""

_FACTORIES = frozenset(
    {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full, torch.empty_strided}
)
_LIKE = frozenset(
    {torch.empty_like, torch.zeros_like, torch.ones_like, torch.rand_like, torch.randn_like}
)
_NEW = frozenset({torch.Tensor.new_empty, torch.Tensor.new_zeros, torch.Tensor.new_ones})
_SIZED = _FACTORIES | _LIKE | _NEW


def build_skeleton(build: Callable[[], T]) -> T:
    """What `build()` returns, without weights where its constructors permit it.

    A constructor that reads a value out of a large tensor or a parameter cannot do so on the meta
    device. It is called again with real tensors, and after that with real parameters too; also where
    its own code caught the refusal. Raises what the last call raised, which names the first one's
    failure where that was another.
    """
    first: Exception | None = None
    for large in (LARGE, None):
        with skeleton(large=large) as refusals:
            try:
                built = build()
            except (Exception, SystemExit) as error:
                if not refusals and not _for_want_of_values(error):
                    raise
                first = first or (refusals[0] if refusals else _as_exception(error))
            else:
                if not refusals:
                    return built
                first = first or refusals[0]
    with _unchanged_globals():
        try:
            return build()
        except CnnstatError as error:
            before = _first_line(first)
            if before and before not in error.message:
                text = f"{error.message} (built for real, after building without values: {before})"
                raise type(error)(text, hint=error.hint) from error.__cause__
            raise


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(str(error))


def _first_line(error: Exception | None) -> str:
    lines = str(error or "").strip().splitlines()
    return lines[0] if lines else ""


@contextmanager
def skeleton(*, large: int | None = LARGE) -> Iterator[list[Exception]]:
    """While this is active, new parameters have no storage and `torch.nn.init` does nothing.

    `large` is the number of elements from which any new tensor has no storage; `None`: never. On
    exit everything is as before, the random number generators and the default dtype included. Gives
    a list of what torch refused in the meantime because a tensor had no values.
    """
    # Weak, so that a real tensor is freed as soon as its module holds the meta one in its place.
    seen = WeakIdKeyDictionary()
    register = nn.Module.register_parameter

    def register_parameter(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        with torch._C.DisableTorchFunction():  # reading its attributes is no part of the build
            param = param if param is None else _on_meta(param, seen)
        register(module, name, param)

    with ExitStack() as stack:
        stack.enter_context(_unchanged_globals())
        stack.enter_context(patch.object(nn.Module, "register_parameter", register_parameter))
        active = [True]
        stack.callback(active.clear)
        for name, function in _init_functions().items():
            stack.enter_context(patch.object(nn.init, name, _idle(function, active)))
        watch = stack.enter_context(_LargeOnMeta(large))
        yield watch.refusals


class _LargeOnMeta(TorchFunctionMode):
    """Sends the creation of large tensors to the meta device, and what is computed with them."""

    def __init__(self, large: int | None) -> None:
        super().__init__()
        self.large = large
        self.refusals: list[Exception] = []

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        large = self.large
        if large is not None and func in _SIZED and self._numel(func, args, kwargs) >= large:
            unfit = ("pin_memory", "generator")
            kwargs = {name: value for name, value in kwargs.items() if name not in unfit}
            kwargs["device"] = "meta"
        try:
            return func(*args, **kwargs)
        except Exception as error:
            # A constructor that runs its own layers, to learn the size of their output, feeds a
            # real tensor to meta parameters.
            leaves, structure = tree_flatten((args, kwargs))
            on_meta = {t.is_meta for t in leaves if isinstance(t, torch.Tensor)}
            mixed = len(on_meta) == 2 and isinstance(error, RuntimeError)
            if not mixed or large is None:
                self._note(error, True in on_meta)
                raise
            there = [t.to("meta") if isinstance(t, torch.Tensor) else t for t in leaves]
            moved, named = tree_unflatten(there, structure)
            try:
                return func(*moved, **named)
            except Exception as again:
                self._note(again, True)
                raise

    def _note(self, error: Exception, on_meta: bool) -> None:
        # While torch.jit traces, sizes are tensors, which meta kernels cannot read.
        tracing = on_meta and torch._C._get_tracing_state() is not None
        if tracing or _for_want_of_values(error):
            self.refusals.append(error)

    def _numel(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        size: Any
        try:
            if func in _FACTORIES:
                size = args or (kwargs["size"],)
            elif func in _NEW:
                size = args[1:] or (kwargs["size"],)
            elif func in _LIKE:
                return int(args[0].numel())
            else:
                return 0
            if isinstance(size[0], tuple | list):
                size = size[0]
            return math.prod(int(n) for n in size)
        except (KeyError, IndexError, TypeError, AttributeError):
            return 0  # Not a call that can succeed: torch says what is wrong with it.


def _on_meta(param: Any, seen: WeakIdKeyDictionary) -> Any:
    """The meta parameter that stands for `param`, always the same one."""
    if not isinstance(param, nn.Parameter) or param.is_meta or param.grad_fn is not None:
        return param
    kind: Any = type(param)
    wrapper: bool = is_traceable_wrapper_subclass(param)
    if param.layout is not torch.strided or wrapper:
        return param
    if param in seen:
        return seen[param]
    if issubclass(kind, UninitializedParameter):
        twin = kind(param.requires_grad, device="meta", dtype=param.dtype)
    else:
        data = torch.empty_strided(param.shape, param.stride(), dtype=param.dtype, device="meta")
        twin = torch.Tensor._make_subclass(kind, data, param.requires_grad)
    twin.__dict__.update(param.__dict__)
    seen[param] = twin
    return twin


def _init_functions() -> dict[str, Callable[..., Any]]:
    # The deprecated names without an underscore are wrappers of those with one.
    functions = vars(nn.init)
    names = [name for name in functions if name.endswith("_") and not name.startswith("_")]
    wrappers = [name.removesuffix("_") for name in names if name.removesuffix("_") in functions]
    return {name: functions[name] for name in names + wrappers}


def _idle(function: Callable[..., Any], active: list[bool]) -> Callable[..., Any]:
    """`function`, except that it does nothing while `active` is not empty.

    A package that is first imported now may keep this under a name of its own for good.
    """

    @wraps(function)
    def idle(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        return tensor if active else function(tensor, *args, **kwargs)

    return idle


@contextmanager
def _unchanged_globals() -> Iterator[None]:
    dtype = torch.get_default_dtype()
    grad = torch.is_grad_enabled()
    torch_state = torch.get_rng_state()
    python_state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)


def _for_want_of_values(error: BaseException | None) -> bool:
    """Whether a constructor failed because a tensor was on the meta device.

    Told by torch's wording, because the alternative (to try every failing constructor again with
    real weights) asks for the memory of a model that is merely misspelt.
    """
    words = ("meta", "incompatible tensor type")
    return any(word in str(link).lower() for link in causes(error) for word in words)
