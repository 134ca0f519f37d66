"""Calling somebody's factory with the arguments after the `?`; one line on what went wrong."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from cnnstat.errors import BuildError, SpecError


def call_factory(
    factory: Callable[..., Any],
    args: Mapping[str, Any],
    spec: str,
    where: Callable[[BaseException], str] | None = None,
) -> Any:
    """The model that `factory(**args)` returns.

    Raises `BuildError` where the factory raises, opened by `where(error)` in place of the
    specification, and `SpecError` where it returns something else.
    """
    from torch import nn

    check_arguments(factory, args, spec)
    try:
        model = factory(**args)
    except (Exception, SystemExit) as error:
        place = where(error) if where else spec
        unexpected = args and isinstance(error, TypeError) and "unexpected keyword" in str(error)
        hint = "one of the arguments after the ? is not the model's" if unexpected else ""
        raise BuildError(f"{place}: {first_line(error)}", hint=hint) from error
    if not isinstance(model, nn.Module):
        raise SpecError(f"{spec} returned {describe(model)}, not a torch.nn.Module")
    return model


def check_arguments(factory: Callable[..., Any], args: Mapping[str, Any], spec: str) -> None:
    """Raises `BuildError` where the call cannot succeed: a name is not taken, or one is missing."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return  # Written in C: the call itself will tell.
    takes = signature.parameters.values()
    named = [p for p in takes if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    names = [p.name for p in named]
    if not any(p.kind is p.VAR_KEYWORD for p in takes):
        for name in args:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                accepted = ", ".join(names) or "none"
                raise BuildError(
                    f"{spec}: there is no argument {name!r}", hint=f"{hint}it takes: {accepted}"
                )
    missing = [p.name for p in named if p.default is p.empty and p.name not in args]
    missing += [p.name for p in takes if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    if missing:
        query = "&".join(f"{name}=…" for name in (*args, *missing))
        raise BuildError(
            f"{spec} needs {'an argument' if len(missing) == 1 else 'arguments'}: "
            f"{', '.join(missing)}",
            hint=f"give them after a question mark: {spec.partition('?')[0]}?{query}",
        )


def first_line(error: BaseException) -> str:
    """`ValueError: the first line of what it says`."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0].strip()}" if lines else name


def describe(value: Any) -> str:
    """What a value is, for a message: `a dict`, `the module 'os'`."""
    if value is None:
        return "None"
    if inspect.ismodule(value):
        return f"the module {value.__name__!r}"
    if inspect.isclass(value):
        return f"the class {value.__name__!r}"
    if inspect.isroutine(value):
        return f"the function {value.__name__!r}"
    noun = type(value).__name__
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
