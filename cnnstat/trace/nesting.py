"""Trees of modules that recursion does not get through: those that lead back to themselves, and deep ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from cnnstat.errors import TraceError

_FRAMES, _SPARE = 3, 500
"""What a pass is given beside Python's own limit: times the limit, and frames of ours around it.

A module in a module takes torch four, five with hooks, and copying it takes nine.
"""


def refuse_circle(model: nn.Module) -> None:
    """Raise `TraceError` where a module holds one that it is in: torch itself cannot put it into `eval`."""
    # By hand: recursion would not end. Each module is gone through once, however many hold it.
    paths = {id(model): ""}  # of the modules that we are in
    done: set[int] = set()
    branch = [(model, iter(model._modules.items()))]
    while branch:
        module, children = branch[-1]
        name, child = next(children, ("", None))
        if child is None and name:
            continue
        if child is None:
            branch.pop()
            done.add(id(module))
            del paths[id(module)]
            continue
        path = f"{paths[id(module)]}.{name}".removeprefix(".")
        if id(child) in paths:
            raise TraceError(
                f"the modules form a circle: {path} is {paths[id(child)] or 'the model itself'}",
                hint="keep it where torch does not look for modules, as in a tuple: self.parent = (parent,)",
            )
        if id(child) not in done:
            paths[id(child)] = path
            branch.append((child, iter(child._modules.items())))


@contextmanager
def room_to_nest() -> Iterator[None]:
    """While the body runs there is room for as deep a tree as torch alone gets through.

    Raises `TraceError` where it is not enough for the body itself.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit * _FRAMES + _SPARE)
    try:
        yield
    except RecursionError as error:
        raise TraceError(
            f"modules are nested deeper than Python's recursion limit of {limit:,} lets torch run",
            hint="where torch alone runs it, sys.setrecursionlimit in the model's file raises it",
        ) from error
    finally:
        sys.setrecursionlimit(limit)
