"""The opinion of torch's own `torch.utils.flop_counter.FlopCounterMode`.

It runs as its documentation shows, with autograd on; torch then takes composite operations apart before
any mode sees them, and attention does not take its fused path. A recorder below it sees each operation
that it sees, just before it counts it: so what its total gains belongs to that operation, and to the
layer that is running. FlopCounterMode's own table by module adds up callers, not owners, and cannot be
taken apart where a layer is called by another than its owner.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from cnnstat.analysis import Prepared
from cnnstat.opinions.base import Opinion
from cnnstat.opinions.running import Ready, run
from cnnstat.record import OpCall
from cnnstat.report import Report
from cnnstat.trace.recorder import Recorder

_FAST_PATH = (
    "FlopCounterMode ran with autograd on, as its documentation shows. Under torch.no_grad() "
    "nn.MultiheadAttention and nn.TransformerEncoderLayer take a fused path on a real device, for which "
    "it has no formula: it would count zero there."
)
_ON_CPU = (
    "FlopCounterMode ran without weights, where attention is taken apart. On the CPU this version of torch "
    "runs it as one operation, for which FlopCounterMode has no formula: it would count zero there."
)
_CPU_ATTENTION = "aten._scaled_dot_product_flash_attention_for_cpu"


def opinion(prepared: Prepared, how: str) -> Opinion:
    """What FlopCounterMode counts, run on `"meta"` or `"cpu"`. Raises what the run raises."""
    return run(prepared, how, lambda on_meta: _Watch(on_meta), lambda ready: _count(ready, how))


def unheard(reason: str) -> Opinion:
    """The opinion that could not be had."""
    return Opinion(**_ABOUT, failure=reason)


_ABOUT: dict[str, Any] = {
    "engine": "flop-counter",
    "title": "torch.utils.flop_counter.FlopCounterMode",
    "version": f"torch {torch.__version__}",
    "unit": "FLOPs",
    "per_mac": 2,
}


def notes(report: Report, opinion: Opinion) -> tuple[str, ...]:
    """Where a user who runs FlopCounterMode would see another number than this opinion's."""
    fused = {"MultiheadAttention", "TransformerEncoderLayer"}
    attends = any("attention" in layer.rules for layer in report.layers)
    no_formula = _CPU_ATTENTION not in map(str, flop_registry)
    return (
        *((_FAST_PATH,) if fused & {layer.type for layer in report.layers} else ()),
        *((_ON_CPU,) if attends and no_formula and opinion.how == "meta" else ()),
    )


class _Watch(Recorder):  # type: ignore[no-untyped-call]
    """Below the counter: notes by how much the counter's total grows after each operation."""

    def __init__(self, on_meta: bool) -> None:
        super().__init__(meta=on_meta, whole=False)
        self.counter = FlopCounterMode(display=False)
        self.amounts: Counter[int] = Counter()
        self._seen = 0

    def settle(self) -> None:
        """What the total has gained belongs to the operation before this one."""
        total = self.counter.get_total_flops()
        if total != self._seen:
            self.amounts[len(self.ops) - 1] += total - self._seen
            self._seen = total

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.settle()
        return super().__torch_dispatch__(func, types, args, kwargs)


def _count(ready: Ready, how: str) -> Opinion:
    watch = ready.recorder
    assert isinstance(watch, _Watch)
    counter = watch.counter
    # Entered last, the counter is the first to see an operation.
    with torch.enable_grad(), watch, counter, ready.stack.watching():
        ready.model(*ready.args, **ready.kwargs)
    watch.settle()
    known = {str(packet) for packet in counter.flop_registry}
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    calls: defaultdict[str, list[OpCall]] = defaultdict(list)
    for call in watch.ops:
        if call.index in watch.amounts:
            counts[call.scope][call.op.partition(".")[2]] += watch.amounts[call.index]
        elif call.op not in known:
            calls[call.scope].append(call)
    return Opinion(
        **_ABOUT,
        total=counter.get_total_flops(),
        counts=counts,
        unknown={path: Counter(call.op for call in found) for path, found in calls.items()},
        unknown_calls={path: tuple(found) for path, found in calls.items()},
        how=how,
    )
