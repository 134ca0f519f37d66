"""What stands after the `?` of a specification: `width=0.5&depth=3`. Standard library only."""

from __future__ import annotations

import ast
import warnings
from typing import Any

from cnnstat.errors import SpecError


def arguments(
    query: str, given: str, example: str = "net.py:build?width=0.5&depth=3"
) -> dict[str, Any]:
    """The arguments in `query` as Python values; `given` is what the whole is called in a message.

    Raises `SpecError` where a part is no NAME=VALUE, or a name comes twice.
    """
    args: dict[str, Any] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier():
            raise SpecError(
                f"{given}: {part!r} is no argument; expected NAME=VALUE after the `?`",
                hint=f"several arguments are joined by &: {example}",
            )
        if name in args:
            raise SpecError(f"{given} gives the argument {name!r} twice")
        args[name] = _value(value)
    return args


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
