"""What goes between a process and the child that it calls a function in, as bytes."""

from __future__ import annotations

import io
import pickle
import traceback
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from cnnstat.errors import ChildError, CnnstatError

_ANSWERED = b"cnnstat answer\n"
"""What an answer begins with: a file in which the model's code wrote something does not."""

_PLAIN = ("builtins", "collections", "copyreg", "fractions", "pathlib", "types")
"""Modules that an answer may name beside ours: no library is imported to read one."""


class _There(Exception):
    """The traceback in the child: the cause of the error here, so that it is shown with it."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _view(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)  # whose own name pickle does not find


class _Writer(pickle.Pickler):
    """Knows the read-only mappings of our values too."""

    dispatch_table = {MappingProxyType: lambda view: (_view, (dict(view),))}  # noqa: RUF012


class _Reader(pickle.Unpickler):
    """Reads values of our own and of the standard library."""

    def find_class(self, module: str, name: str) -> Any:
        top = module.partition(".")[0]
        if top != "cnnstat" and top not in _PLAIN:
            raise pickle.UnpicklingError(f"an answer with a {module}.{name}")
        return super().find_class(module, name)


def request(function: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
    """A call of a function that can be imported."""
    return _written((function, args))


def perform(asked: bytes) -> bytes:
    """Make the call that is asked for: the answer, whatever happens in it."""
    try:
        function, args = pickle.loads(asked)
        found = function(*args)
    except BaseException as error:  # sys.exit, pytest.skip and their like are no Exception
        return _ANSWERED + _written((None, _told(error), _traceback(error)))
    try:
        return _ANSWERED + _written((found, None, ""))
    except (AttributeError, TypeError, pickle.PicklingError, RecursionError) as error:
        lost = ChildError(f"what was measured cannot be handed over: {error}")
        return _ANSWERED + _written((None, lost, _traceback(error)))


OUT_OF_MEMORY = _ANSWERED + pickle.dumps(
    (None, ChildError("the model's code ran out of memory"), "")
)
"""Made beforehand: the answer where there is no memory to make one."""


def value(answer: bytes) -> Any:
    """What the call returned. Raises the error that it raised, and `ValueError` where it is no answer."""
    if not answer.startswith(_ANSWERED):
        raise ValueError("it does not begin as an answer does")
    try:
        found, error, there = _Reader(io.BytesIO(answer[len(_ANSWERED) :])).load()
    except Exception as failed:  # rubbish can raise anything
        raise ValueError(f"{type(failed).__name__}: {failed}") from None
    if error is not None:
        raise error from (_There(there) if there else None)
    return found


def _written(content: Any) -> bytes:
    file = io.BytesIO()
    _Writer(file, protocol=5).dump(content)
    return file.getvalue()


def _told(error: BaseException) -> CnnstatError:
    """The error without what hangs on it, a traceback and causes, which hold the model."""
    if isinstance(error, CnnstatError):
        return type(error)(error.message, hint=error.hint)
    if isinstance(error, SystemExit):
        return ChildError(f"the model's code ended the program: sys.exit({error.code!r:.60})")
    if isinstance(error, MemoryError):
        return ChildError("the model's code ran out of memory")
    told = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return ChildError(f"the model's code raised {told.removesuffix(':')}")


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # an exception of the user's may fail to say what it is
        return ""
