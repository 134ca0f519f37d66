"""Mixed types are refused as a CPU refuses them: torch's meta kernels let many of them pass.

`nn.Linear` in bfloat16 fed float32 has a shape without data, and fails on every real device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from cnnstat.trace.meta import NeedsValues, OpFacts
from cnnstat.trace.modules import is_lazy

_PRODUCTS = frozenset(
    f"aten.{name}"
    for name in """
        _convolution addbmm addmm addmv addr baddbmm bilinear bmm conv1d conv2d conv3d conv_transpose1d
        conv_transpose2d conv_transpose3d convolution dot einsum inner linear matmul mm mv
        scaled_dot_product_attention tensordot vdot
    """.split()
)
"""Operations that look at the types of all their arguments before they compute anything."""

_MOST = 1 << 24
"""Elements up to which other operations are tried: where they accept the types, they compute."""


class Types:
    """Which mixtures of types the operations of one pass have been found to accept."""

    def __init__(self) -> None:
        self._accepted: set[Any] = set()

    def refusal(self, func: Any, facts: OpFacts, args: Any, kwargs: Any) -> Exception | None:
        """The CPU's own error where it would refuse the types of tensors without data.

        Raises `NeedsValues` where autocast would have made them one: the meta device leaves it out.
        """
        tensors = [
            item
            for value in (*args, *kwargs.values())
            for item in (value if isinstance(value, list | tuple) else (value,))
            if isinstance(item, torch.Tensor)
        ]
        if len(tensors) < 2 or not _mixed(tensors, facts) or any(map(is_lazy, tensors)):
            return None
        key = (func, tuple(tensor.dtype for tensor in tensors))
        if key in self._accepted or not any(map(_without_data, tensors)):
            return None
        if any(tensor.layout is not torch.strided for tensor in tensors):
            return None
        if _in_autocast():
            if any(tensor.is_meta for tensor in tensors):
                raise NeedsValues(
                    f"{facts.name} runs under autocast, which the meta device leaves out"
                )
            return None
        refusal = _refusal(func, facts, args, kwargs, sum(tensor.numel() for tensor in tensors))
        if refusal is None:
            self._accepted.add(key)
        return refusal


def _in_autocast() -> bool:
    """Whether the model's code is in an autocast context; its dispatch key is off when this is asked."""
    depth = torch.autocast_increment_nesting()
    torch.autocast_decrement_nesting()
    return depth > 1


def _mixed(tensors: list[torch.Tensor], facts: OpFacts) -> bool:
    """Whether types meet that operations other than elementwise ones may refuse."""
    first = tensors[0].dtype
    if all(tensor.dtype is first for tensor in tensors):
        return False
    if facts.name in _PRODUCTS:
        return True
    if facts.pointwise:
        return False
    kept = {t.dtype for t in tensors if t.dtype.is_floating_point or t.dtype.is_complex}
    return len(kept) > 1


def _without_data(tensor: torch.Tensor) -> bool:
    return tensor.is_meta or isinstance(tensor, FakeTensor)


def _refusal(func: Any, facts: OpFacts, args: Any, kwargs: Any, numel: int) -> Exception | None:
    """What a CPU says against the types; `None` where it says nothing, or nobody should try."""
    if facts.name not in _PRODUCTS and numel > _MOST:
        return None
    with unset_fake_temporarily():
        try:
            func(*map(_zeros, args), **{name: _zeros(value) for name, value in kwargs.items()})
        except (RuntimeError, TypeError, ValueError) as error:
            # Zeros may be refused for what they are: a matrix of them has no inverse.
            return error if "type" in str(error) else None
    return None


def _zeros(value: Any) -> Any:
    """Zeros of the same shape, all in the memory of one."""
    if isinstance(value, torch.Tensor):
        return torch.zeros((), dtype=value.dtype, device="cpu").expand(value.shape)
    if isinstance(value, list | tuple):
        return type(value)(map(_zeros, value))
    return torch.device("cpu") if isinstance(value, torch.device) else value
