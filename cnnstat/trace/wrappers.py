"""Modules that a framework has wrapped to run on several processes: run here as what is in them.

`DistributedDataParallel`, `FullyShardedDataParallel` and `fully_shard` exchange weights and gradients while
their modules run, and note in objects that cannot be copied how far they are. So the module within runs in
their place, with parameters of full size: on this process alone, and without a word to the others.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cnnstat.errors import TraceError
from cnnstat.trace.snapshot import attributes_of


def is_wrapped(module: nn.Module) -> bool:
    """Whether it, or a module in it, is one that a framework has wrapped."""
    return any(
        isinstance(child, (DistributedDataParallel, *_sharded())) for child in module.modules()
    )


def unwrap(module: nn.Module, *, weights: bool = False) -> None:
    """Make wrappers pass their arguments on, with the network's own parameters, on the meta device.

    What is compiled runs as it was written. The module is changed, and only good for running. Raises
    `TraceError` where `weights` are wanted that this process does not have.
    """
    for child in list(module.modules()):
        vars(child).pop("_compiled_call_impl", None)
        if type(child).__name__ == "OptimizedModule":  # torch.compile made it
            vars(child)["forward"] = child._orig_mod
    if is_wrapped(module):
        for child in list(module.modules()):
            _drop_hooks(child)
            for kind, undo in ((DistributedDataParallel, _pass_on), *_sharded().items()):
                if isinstance(child, kind):
                    if weights and undo is _unflatten:
                        raise _Sharded()
                    undo(child)


def whole(parameter: Any) -> torch.Tensor:
    """A copy of a sharded parameter. Raises `TraceError` where other processes have parts of it."""
    local = parameter.to_local() if hasattr(parameter, "to_local") else parameter
    if local.shape != parameter.shape:
        raise _Sharded()
    copied: torch.Tensor = local.detach().clone()
    if isinstance(parameter, nn.Parameter):
        return nn.Parameter(copied, requires_grad=parameter.requires_grad)
    return copied


class _Sharded(TraceError):
    """The model has to run with its weights, and they are not all here."""

    def __init__(self) -> None:
        super().__init__(
            "the model needs the values of its weights, which FSDP keeps in parts on several processes",
            hint="give the module as it is before FSDP wraps it",
        )


def _sharded() -> dict[type, Any]:
    """The classes of FSDP, where it was imported, and what undoes each."""
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None:
        return {}
    return {fsdp.FSDPModule: _unshard, fsdp.FullyShardedDataParallel: _unflatten}


def _drop_hooks(child: nn.Module) -> None:
    # Those of the state dictionary too: torch.jit asks for it, and FSDP gathers all weights then.
    before = child._forward_pre_hooks, child._state_dict_pre_hooks
    for hooks in (*before, child._forward_hooks, child._state_dict_hooks):
        for key, hook in list(hooks.items()):
            if str(getattr(hook, "__module__", "")).startswith("torch.distributed."):
                del hooks[key]


def _pass_on(child: Any) -> None:
    """The wrapped module is what runs; the wrapper's own forward is hidden by it."""
    vars(child)["forward"] = child.module


def _unshard(child: Any) -> None:
    """`fully_shard` made the class another; its parameters are replaced as any others are."""
    kind = type(child)
    object.__setattr__(child, "__class__", kind.__mro__[kind._orig_cls_mro_index])


def _unflatten(child: Any) -> None:
    """`FullyShardedDataParallel` keeps the parameters of the modules in it as one vector."""
    handle = child._handle
    if handle is not None:
        flat = handle.flat_param
        originals = flat._params or [None] * len(flat._shapes)
        made = {}
        places = zip(flat._param_infos, flat._shapes, originals, strict=True)
        for (name, module, path), shape, original in places:
            made[path, name] = given = _give(module, name, shape, flat)
            vars(given).update(attributes_of(original) or {})
        for name, module, _, first, _, path in flat._shared_param_infos:
            vars(module).pop(name, None)
            module._parameters[name] = made[path, first]
        child._parameters.pop("_flat_param", None)
    _pass_on(child)


def _give(module: Any, name: str, shape: Any, flat: torch.Tensor) -> nn.Parameter:
    vars(module).pop(name, None)
    given = nn.Parameter(torch.empty(shape, dtype=flat.dtype, device="meta"), flat.requires_grad)
    module._parameters[name] = given
    return given
