"""Carries out a `Step`: autocast around forward, an optimizer over the weights.

Composite operations are then seen as the CPU takes them apart, with autograd's saved tensors alive
between forward and backward, where a record for counting sees them whole and keeps nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from cnnstat.errors import SpecError
from cnnstat.memory.step import Step

_NEEDS_MORE = frozenset(
    {"lbfgs", "muon", "sparseadam"}
)  # a closure, matrices only, sparse gradients


def autocast(step: Step) -> AbstractContextManager[Any]:
    """What forward runs under."""
    return torch.autocast("cpu", dtype=getattr(torch, step.amp)) if step.amp else nullcontext()


def check_optimizer(step: Step) -> None:
    """Carry out one update of one number, before a model is built. Raises `SpecError` where that fails."""
    if not step.trains:
        return
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    try:
        optimizer_of(step, [weight]).step()
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise _refused(step, error) from error


def primed_optimizer(step: Step, model: nn.Module) -> torch.optim.Optimizer:
    """The step's optimizer over the weights of `model`, with the state that its first update makes.

    Raises `SpecError` where there is no such optimizer, or it does not take these arguments.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(step, weights or [nn.Parameter(torch.empty(0))])
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return optimizer


def without_gradient(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    """Take the state away of weights that have no gradient, which torch skips; every tensor of it."""
    for weight in [w for w in optimizer.state if w.grad is None]:
        state = optimizer.state.pop(weight)
        yield from (value for value in state.values() if isinstance(value, torch.Tensor))


def state_of(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    """Every tensor of an optimizer's state."""
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, torch.Tensor))


def optimizers() -> dict[str, Any]:
    """The classes of optimizers that a step can use, by lower-case name."""
    return {
        name.lower(): made
        for name, made in vars(torch.optim).items()
        if inspect.isclass(made)
        and issubclass(made, torch.optim.Optimizer)
        and made is not torch.optim.Optimizer
        and name.lower() not in _NEEDS_MORE
    }


def optimizer_of(step: Step, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The step's optimizer, new. Raises `SpecError` as `primed_optimizer` does."""
    known = optimizers()
    kind = known.get(step.optimizer)
    if kind is None:
        near = get_close_matches(step.optimizer, known, 1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise SpecError(
            f"unknown optimizer {step.optimizer!r}",
            hint=f"{guess}one of: {', '.join(sorted(known))}",
        )
    takes = inspect.signature(kind).parameters
    # Who asks for the fused update does not get the other.
    given = (
        {"foreach": step.foreach and not step.options.get("fused")} if "foreach" in takes else {}
    )
    try:
        made: torch.optim.Optimizer = kind(weights, **{**given, **step.options})
    except (TypeError, ValueError) as error:
        names = ", ".join(name for name in takes if name not in ("params", "foreach"))
        raise _refused(step, error, f"it takes {names}") from error
    return made


def _refused(step: Step, error: Exception, hint: str = "") -> SpecError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return SpecError(f"optimizer {step}: {reason}", hint=hint)
