"""How a pass failed, and what the user is told of it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from cnnstat.errors import TraceError, causes
from cnnstat.inputs import Inputs, InputSpec
from cnnstat.trace.modules import is_lazy


class Failed:
    """One engine could not run the model; `run` is the pass that it made."""

    def __init__(self, error: Exception, run: Any, wants: bool) -> None:
        refused = run.recorder.refused
        self.error = error
        self.final = any(cause is refused for cause in causes(error))
        self.wants = wants and not self.final
        self.path: str
        self.given: tuple[Any, ...]
        self.path, self.given = run.stack.failed_at(error) or ("", ())
        modules = dict(run.model.named_modules())  # a scripted module has no get_submodule
        self.type = type(modules.get(self.path, run.model)).__name__
        self.place = (type(error), self.path)
        self.inputs, self.types = run.inputs, run.types
        self.needed = sum(p.nbytes for p in run.model.parameters() if not is_lazy(p))

    @property
    def reason(self) -> str:
        """What went wrong, in which layer and at which line of the user's code."""
        where = f" in {_shortened(self.path)}" if self.path else ""
        return f"{_first_line(self.error)}{where}{_place(self.error)}"


def failure(failed: Failed, expected: Inputs | None) -> TraceError:
    """What is told of it: the layer, what it received, torch's own words and the input that may work."""
    where, inputs = "", failed.inputs
    if failed.path:
        shapes = ", ".join("x".join(map(str, spec.shape)) for spec in failed.given)
        received = f", which received {shapes}" if shapes else ""
        where = f" in {_shortened(failed.path)} ({failed.type}{received})"
    error, hint = failed.error, ""
    if isinstance(error, _ABOUT_INPUTS) and not isinstance(error, RecursionError):
        own = expected is not None and expected != inputs
        hint = f"its own input is {expected}" if own else "is this the input that it expects? (-i)"
    if isinstance(error, RuntimeError | ValueError) and _TYPES.search(str(error)):
        hint = _right_types(failed) or hint
    if _ONE_VALUE in str(error):
        hint = (
            "batch norm in training needs more than one value a channel: try a larger batch (-b 2)"
        )
    told = TraceError(
        f"forward failed{where} with input {inputs or 'as given'}: {_told(error)}{_place(error)}",
        hint=hint,
    )
    told.types = failed.types
    return told


_TYPES = re.compile(r"dtype|\btypes?\b|ScalarType", re.IGNORECASE)
"""How torch says that types do not go together."""


def _right_types(failed: Failed) -> str:
    """The inputs in the type of the parameters; `""` where they have it already."""
    if not failed.types:
        return ""
    if "indices" in str(failed.error):  # whole numbers, of which any table has the first
        wanted = failed.inputs.map(lambda leaf: _cast(leaf, "int64"))
        what = "indices are whole numbers"
    else:
        given = {spec.dtype for spec in failed.inputs.specs()}
        other = next((name for name in failed.types if name not in given), failed.types[0])
        wanted = failed.inputs.map(lambda leaf: _cast(leaf, other))
        what = f"its parameters are {' and '.join(failed.types)}"
    texts = " ".join(f"-i {spec.full}" for spec in wanted.specs())
    return f"{what}: {texts}" if wanted.entries() != failed.inputs.entries() else what


def _cast(leaf: Any, dtype: str) -> Any:
    """A tensor's shape in another type."""
    return InputSpec(tuple(leaf.shape), dtype) if hasattr(leaf, "shape") else leaf


def _shortened(path: str) -> str:
    """A path of hundreds of levels, without those in the middle."""
    return path if len(path) <= 200 else f"{path[:40]}…{path[-40:]}"


_ABOUT_INPUTS = (IndexError, RuntimeError, TypeError, ValueError)
"""What a wrong input makes torch raise; other exceptions are about the model's code."""


_ONE_VALUE = "Expected more than 1 value per channel when training"


def _told(error: BaseException) -> str:
    name, line = type(error).__name__, _first_line(error)
    return name if line == name else f"{name}: {line}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    if lines and (
        missing := _NO_KERNEL.match(lines[0])
    ):  # torch lists all the backends that have one
        return f"{missing[1]} has no kernel for {missing[2].lower()} tensors"
    return lines[0] if lines else type(error).__name__


_NO_KERNEL = re.compile(r"(?:.*: )?Could not run '([^']+)' with arguments from the '(\w+)' backend")


_OWN = str(Path(__file__).parent.parent) + os.sep


def _place(error: BaseException) -> str:
    """` (net.py:12)`: the innermost line of the user's own code, if the error came through it."""
    place, step = "", error.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if not name.startswith((_OWN, sys.prefix, sys.base_prefix)) and Path(name).exists():
            place = f" ({os.path.relpath(name)}:{step.tb_lineno})"
        step = step.tb_next
    return place
