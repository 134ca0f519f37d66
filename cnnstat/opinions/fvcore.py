"""The opinion of `fvcore.nn.FlopCountAnalysis`, which reads a graph that torch.jit traces.

torch.jit cannot trace tensors of the meta device by itself: their kernels are Python code, and see the
tracer's own sizes. So while it traces, cnnstat's recorder stands in for the kernels, outside the tracer's
sight. Where that does not give an opinion, or gives one that cannot be explained, the caller has the model
built and run for real.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from cnnstat.analysis import Prepared
from cnnstat.opinions.base import Opinion
from cnnstat.opinions.running import Ready, run
from cnnstat.report import Report
from cnnstat.trace.modules import tensors_of
from cnnstat.trace.recorder import Recorder

_INSIDE = "model"
"""Name of the model in the module that is traced."""


def opinion(prepared: Prepared, how: str) -> Opinion:
    """What fvcore counts, run on `"meta"` or `"cpu"`. Raises what the run raises."""
    return run(prepared, how, _Kernels, lambda ready: _count(ready, how))


def unheard(reason: str) -> Opinion:
    """The opinion that could not be had."""
    return Opinion(**_ABOUT, failure=reason)


def notes(report: Report, opinion: Opinion) -> tuple[str, ...]:
    """None: what fvcore says does not depend on how it runs."""
    return ()


_ABOUT: dict[str, Any] = {
    "engine": "fvcore",
    "title": "fvcore.nn.FlopCountAnalysis",
    "version": f"fvcore {version('fvcore')}",
    "unit": "fvcore flops",
    "per_mac": 1,
}


def _count(ready: Ready, how: str) -> Opinion:
    leaves, structure = tree_flatten((ready.args, ready.kwargs))
    tensors = tuple(leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
    analysis = FlopCountAnalysis(_Flat(ready.model, leaves, structure), tensors)
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    with ExitStack() as context:
        context.enter_context(torch.no_grad())
        if ready.on_meta:
            context.enter_context(ready.recorder)
        context.enter_context(ready.stack.watching())
        total = analysis.total()
    counts = analysis.by_module_and_operator()
    return Opinion(
        **_ABOUT,
        total=_whole(total),
        counts=_own(counts),
        unknown=_own({path: analysis.unsupported_ops(path) for path in counts}),
        how=how,
    )


class _Flat(nn.Module):
    """The model with tensors alone as arguments and results: torch.jit traces nothing else."""

    def __init__(self, model: nn.Module, leaves: list[Any], structure: Any) -> None:
        super().__init__()
        self.add_module(_INSIDE, model)
        self._leaves, self._structure = leaves, structure

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Put the tensors where they belong among the arguments, and run."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(x, torch.Tensor) else x for x in self._leaves]
        args, kwargs = tree_unflatten(leaves, self._structure)
        return tuple(tensors_of(self.get_submodule(_INSIDE)(*args, **kwargs)))


def _own(inclusive: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """From sums over each module and all below it to the module's own, under the model's own paths."""
    own = {path: Counter(amounts) for path, amounts in inclusive.items()}
    for path, amounts in inclusive.items():
        if path:
            own[path.rpartition(".")[0]].subtract(amounts)
    paths: dict[str, dict[str, int]] = {}
    for path, left in own.items():
        inside = path.removeprefix(_INSIDE).removeprefix(".")
        for op, amount in left.items():
            if amount:
                place = paths.setdefault(inside, {})
                place[op] = place.get(op, 0) + _whole(amount)
    return paths


def _whole(amount: Any) -> int:
    """An einsum's count is a float, and makes one of every sum it is in."""
    if amount != int(amount):
        raise ValueError(f"fvcore counts {amount}, which is not a whole number")
    return int(amount)


class _Kernels(Recorder):  # type: ignore[no-untyped-call]
    """Results without arithmetic, while torch.jit traces."""

    def __init__(self, on_meta: bool) -> None:
        super().__init__(meta=on_meta, whole=True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        state: Any = torch._C._get_tracing_state()
        if state is None:  # an operation that is in the graph already, or part of one
            return super().__torch_dispatch__(func, types, args, kwargs)
        if func is torch.ops.aten.convolution.default:
            # Not a node of the graph itself: what is traced is the operation that it calls.
            with self, _tracer_allowed():
                return torch._convolution(*args, False, False, False, False)  # type: ignore[call-overload]
        _trace_into(None)
        try:
            return super().__torch_dispatch__(func, types, args, kwargs)
        finally:
            _trace_into(state)


_TRACER = torch._C._dispatch_key_parse("Tracer")


@contextmanager
def _tracer_allowed() -> Iterator[None]:
    excluded = torch._C._dispatch_tls_is_dispatch_key_excluded(_TRACER)
    torch._C._dispatch_tls_set_dispatch_key_excluded(_TRACER, False)
    try:
        yield
    finally:
        torch._C._dispatch_tls_set_dispatch_key_excluded(_TRACER, excluded)


def _trace_into(state: Any) -> None:
    """Let torch.jit write into a graph, or into none."""
    with _tracer_allowed():
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]
