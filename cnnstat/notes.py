"""What the reader of a report should know, read off the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnstat.record import Trace, tensors_in
from cnnstat.report import Layer, Note, Uncounted
from cnnstat.rules import rule_for

_SHOWN = 5


def notes_on(trace: Trace, uncounted: tuple[Uncounted, ...]) -> tuple[Note, ...]:
    """All notes that a record gives cause for."""
    return tuple(
        note
        for source in (
            _unknown(uncounted),
            _engine(trace),
            _communication(trace),
            _types(trace),
            _edited(trace),
            _shared(trace),
            _never_called(trace),
            _unregistered(trace),
            left_by(trace),
        )
        for note in source
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _unknown(uncounted: tuple[Uncounted, ...]) -> Iterator[Note]:
    counts: dict[str, int] = {}
    for item in uncounted:
        counts[item.op] = counts.get(item.op, 0) + item.count
    if counts:
        names = [f"{op} ×{count}" for op, count in counts.items()]
        yield Note(
            "uncounted",
            f"the totals are a lower bound: no rule for {_listed(names)}",
            hint='write one: @cnnstat.counts("namespace::name", …) on a function of the call',
        )


def estimates_in(layers: Sequence[Layer]) -> Iterator[Note]:
    """What was counted by the algorithm of a textbook."""
    tallies = [tally for layer in layers for tally in layer.tallies if tally.estimated]
    if flops := sum(tally.work.flops for tally in tallies):
        calls: dict[str, int] = {}
        for tally in tallies:
            calls[tally.rule] = calls.get(tally.rule, 0) + tally.calls
        names = [f"{rule} ×{count}" for rule, count in calls.items()]
        yield Note(
            "estimated",
            f"{flops:,} FLOPs are estimated: a textbook's algorithm, where the kernel may run another one, "
            f"for {_listed(names)}",
        )


def _engine(trace: Trace) -> Iterator[Note]:
    reasons = "; ".join(trace.meta.get("tried", ()))
    if trace.meta.get("engine") == "cpu":
        why = f" ({reasons})" if reasons else ""
        seeded = trace.meta.get("seeded", ("weights", "inputs"))
        given = f" with seeded {' and '.join(seeded)}" if seeded else ""
        yield Note(
            "data-dependent",
            f"ran for real on the CPU{given}: shapes may depend on the data, "
            f"and then so do the counts{why}",
        )
    elif reasons:
        yield Note("engine", f"traced with fake CPU tensors ({reasons})")
    if trace.meta.get("mode") == "train":
        yield Note("mode", "traced in training mode; layers that only training runs are counted")


_COLLECTIVES = ("c10d.", "_c10d_functional.", "_c10d_functional_autograd.")
_WAITING = ("barrier", "wait_tensor", "wrap_tensor_autograd")


def _communication(trace: Trace) -> Iterator[Note]:
    """What processes send each other: the tensors that each of them hands over."""
    counts: dict[str, int] = {}
    nbytes = 0
    for call in trace.ops:
        name = call.op.rpartition(".")[2].strip("_")
        if call.op.startswith(_COLLECTIVES) and not name.startswith(_WAITING):
            counts[name] = counts.get(name, 0) + 1
            nbytes += sum(spec.nbytes for spec in call.inputs)
    if counts:
        named = [f"{name} ×{count}" for name, count in counts.items()]
        yield Note(
            "communication",
            f"communication between processes, no arithmetic of the model: {_listed(named)} of "
            f"{nbytes:,} bytes",
        )


def _types(trace: Trace) -> Iterator[Note]:
    types: list[str] = list(trace.meta.get("types", ()))
    if len(types) > 1:
        yield Note(
            "types",
            f"the input is {types[0]}, the type of the first parameter; others are "
            f"{_listed(types[1:])}",
        )


def _edited(trace: Trace) -> Iterator[Note]:
    rules = {call.op: rule_for(call.op) for call in trace.ops}
    if names := [op for op, rule in rules.items() if rule is not None and rule.edited]:
        yield Note(
            "edited-rule",
            f"counted by the newest rule, which replaced that of an earlier cell: {_listed(names)}",
        )


def _shared(trace: Trace) -> Iterator[Note]:
    names = [
        f"{module.path} is {', '.join(module.aliases)} too"
        for module in trace.modules
        if module.aliases
    ]
    if names:
        yield Note(
            "shared", f"modules under several names, counted under the first: {_listed(names)}"
        )


def _never_called(trace: Trace) -> Iterator[Note]:
    used = {spec.storage for call in trace.ops for spec in call.inputs}
    idle = [
        module.path
        for module in trace.modules
        if module.path
        and not module.calls
        and module.params
        and not any(held.storage in used or held.storage < 0 for held in module.params)
    ]
    if idle:
        count = sum(
            parameter.numel
            for module in trace.modules
            if module.path in set(idle)
            for parameter in module.params
            if not parameter.tied_to
        )
        yield Note(
            "never-called",
            f"never called, though their {count:,} parameters count: {_listed(idle)}",
        )


def _unregistered(trace: Trace) -> Iterator[Note]:
    """Weights that no module holds as parameter or buffer: a plain list of layers, a frozen module."""
    constants = {storage.id for storage in trace.storages if storage.role == "constant"}
    weights: dict[int, int] = {}
    scopes: dict[str, None] = {}
    for call in trace.ops:
        if call.phase != "forward":
            continue
        rule = rule_for(call.op)
        product = rule is not None and rule.family in ("linear", "matmul")
        for name, value in call.args.items():
            if product or name in ("weight", "bias"):
                for spec in tensors_in(value):
                    if spec.storage in constants:
                        weights[spec.storage] = max(spec.numel, weights.get(spec.storage, 0))
                        scopes[call.scope or "the model's own code"] = None
    if weights:
        yield Note(
            "unregistered",
            f"{sum(weights.values()):,} weights are used and not registered, in {_listed(list(scopes))}: "
            "they are in no module's parameters, and params leaves them out",
            hint="layers go into an nn.ModuleList; what torch.jit froze is constant, and has no parameters",
        )


def left_by(trace: Trace) -> Iterator[Note]:
    """Where the model's code still holds tensors that the pass made, and cannot use."""
    if places := trace.meta.get("left"):
        yield Note(
            "left",
            f"tensors of the pass, without values, are still held by {_listed(list(places))}",
            hint="clear it before the model runs again",
        )
