"""From the record of what ran to the report of what it costs. Pure: no torch, no files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cnnstat.classify import (
    Chain,
    Kinds,
    as_counted,
    classify,
    convolution_attrs,
    kinds_of_users,
    layer_kind,
)
from cnnstat.conventions import convention_named
from cnnstat.dataflow import standing
from cnnstat.kinds import DATA_MOVEMENT, SQUEEZE_EXCITATION
from cnnstat.notes import estimates_in, notes_on
from cnnstat.record import ModuleInfo, OpCall, Trace
from cnnstat.report import (
    Group,
    Layer,
    Note,
    Report,
    Shapes,
    Tally,
    Uncounted,
    Work,
    total_work,
)
from cnnstat.rules import VIEWS, ZERO, rule_for
from cnnstat.rules.base import RULE_ERRORS


def count(
    trace: Trace,
    subject: Mapping[str, Any],
    *,
    convention: str = "macs",
    notes: Iterable[Note] = (),
    meta: Mapping[str, Any] | None = None,
) -> Report:
    """The report of a record.

    Every operation is counted by its rule, is zero by definition, or is listed as uncounted. Raises
    `SpecError` for an unknown convention.
    """
    quoting = convention_named(convention)
    kinds = classify(trace)
    works, uncounted, failures = _work(trace, kinds)
    shares = _shares(trace, kinds, works)
    groups, group_of = _groups(trace, kinds.blocks, works)
    users = kinds_of_users(trace, kinds)
    ran = {call.scope for call in trace.ops}
    parents = {module.path.rpartition(".")[0] for module in trace.modules if module.path}
    layers = tuple(
        _layer(
            module,
            shares[module.path],
            module.path not in parents,
            users,
            ran,
            group_of,
            quoting.quote,
        )
        for module in trace.modules
    )
    return Report(
        subject=subject,
        convention=convention,
        layers=quoting.settle(layers),
        groups=groups,
        uncounted=uncounted,
        notes=(*notes, *notes_on(trace, uncounted), *estimates_in(layers), *failures),
        meta={**trace.meta, **(meta or {})},
    )


# ---- work of each operation


def _hands_back(call: OpCall) -> bool:
    """Whether nothing ran: the result is an argument, and it was not written to."""
    if not call.outputs or not call.inputs or call.op.endswith("_"):
        return False
    return call.output.storage == call.inputs[0].storage >= 0


def _moved(call: OpCall) -> int:
    """Bytes of arguments and outputs, each tensor once."""
    if call.op in VIEWS or _hands_back(call):
        return 0
    specs = {(spec.storage, spec.shape): spec for spec in call.inputs}
    return sum(spec.nbytes for spec in specs.values()) + sum(out.nbytes for out in call.outputs)


def _ragged(call: OpCall) -> bool:
    """Whether a size is no number: jagged tensors, whose work depends on lengths not recorded."""
    specs = (*call.inputs, *call.outputs)
    return any(spec.storage < 0 and min(spec.shape, default=0) < 0 for spec in specs)


def _work(
    trace: Trace, kinds: Kinds
) -> tuple[dict[int, Work], tuple[Uncounted, ...], tuple[Note, ...]]:
    counters = {
        buffer.storage
        for module in trace.modules
        for buffer in module.buffers
        if not buffer.shape and buffer.storage >= 0
    }
    works: dict[int, Work] = {}
    unknown: Counter[tuple[str, str, Shapes, Shapes]] = Counter()
    failures: dict[str, Note] = {}
    for call in trace.ops:
        if call.op.endswith("_") and call.inputs and call.inputs[0].storage in counters:
            continue  # bookkeeping, such as the batches that a batch norm has seen in training
        rule = rule_for(call.op)
        if rule is not None and not _ragged(call):
            try:
                work = as_counted(rule.count(call), kinds.of_op[call.index])
                if call.phase != "forward":  # gradients, and what is computed again
                    work = replace(work, activations=0)
                works[call.index] = replace(work, moved=_moved(call))
                continue
            except RULE_ERRORS as error:
                # A rule met arguments that it does not know: say so, rather than guess.
                kinds.of_op.pop(call.index, None)
                reason = f"{type(error).__name__}: {error}"
                text = f"rule {rule.name} could not count {call.op}: {reason}"
                failures.setdefault(call.op, Note("rule-failed", text, where=call.scope))
        elif call.op in ZERO:
            if not _ragged(call) and (moved := _moved(call)):
                works[call.index] = Work(moved=moved)
            continue
        inputs, outputs = (tuple(s.shape for s in specs) for specs in (call.inputs, call.outputs))
        unknown[(call.op, call.scope, inputs, outputs)] += 1
    names = list(dict.fromkeys(op for op, *_ in unknown))
    uncounted = tuple(
        Uncounted(op=op, layer=scope, count=times, inputs=inputs, outputs=outputs)
        for name in names  # those of one name together, as the JSON form has them
        for (op, scope, inputs, outputs), times in unknown.items()
        if op == name
    )
    return works, uncounted, tuple(failures.values())


@dataclass(slots=True)
class _Share:
    """What one layer's own operations come to."""

    calls: defaultdict[tuple[str, str, bool], list[tuple[OpCall, Work]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Its operations by the rule and the kind they are counted under, those on complex numbers apart."""
    by_kind: defaultdict[str, list[Work]] = field(default_factory=lambda: defaultdict(list))
    """Forward work by the operations' own kind, also inside a group."""
    heaviest: OpCall | None = None
    """Its convolution with the most MACs."""
    heaviest_macs: int = -1

    def add(self, call: OpCall, work: Work, kind: str, block: bool) -> None:
        """Take in one operation."""
        rule = rule_for(call.op)
        if rule is None:
            self.calls[DATA_MOVEMENT, kind, False].append((call, work))
            return
        counted_as = SQUEEZE_EXCITATION if block else kind
        self.calls[rule.name_of(call), counted_as, call.is_complex].append((call, work))
        if call.phase == "backward":
            return
        self.by_kind[kind].append(work)
        if rule.family == "convolution" and work.macs > self.heaviest_macs:
            self.heaviest, self.heaviest_macs = call, work.macs

    def tallies(self) -> tuple[Tally, ...]:
        """A line for each rule and kind."""
        return tuple(
            Tally(
                rule=rule,
                kind=kind,
                calls=len(calls),
                work=total_work(work for _, work in calls),
                read=sum(call.inputs[0].numel for call, _ in calls if call.inputs),
                written=sum(call.outputs[0].numel for call, _ in calls if call.outputs),
                estimated=_is_estimated(calls[0][0]),
                ops=() if rule == DATA_MOVEMENT else tuple(call for call, _ in calls),
            )
            for (rule, kind, _), calls in self.calls.items()
        )


def _is_estimated(call: OpCall) -> bool:
    rule = rule_for(call.op)
    return rule is not None and rule.estimated


def _shares(trace: Trace, kinds: Kinds, works: Mapping[int, Work]) -> defaultdict[str, _Share]:
    shares: defaultdict[str, _Share] = defaultdict(_Share)
    in_blocks = kinds.in_blocks | kinds.gradients_in_blocks
    notes = standing(trace, kinds)
    for call in trace.ops:
        if call.index in works:
            kind = kinds.of_op.get(call.index, DATA_MOVEMENT)
            if call.index in notes:
                params, roles = notes[call.index]
                call = replace(call, params=params, roles=roles)
            shares[call.scope].add(call, works[call.index], kind, call.index in in_blocks)
    return shares


# ---- layers


def _layer(
    module: ModuleInfo,
    share: _Share,
    leaf: bool,
    users: Mapping[int, str],
    ran: Collection[str],
    group_of: Mapping[str, str],
    quote: Callable[[Layer, bool], int],
) -> Layer:
    own = [parameter for parameter in module.params if not parameter.tied_to]
    buffers = [buffer for buffer in module.buffers if not buffer.tied_to]
    tallies = share.tallies()
    works = {kind: total_work(works) for kind, works in share.by_kind.items()}
    kind = layer_kind(module, leaf, works, users, moves=module.path in ran)
    if group_of.get(module.path) == module.path:
        kind = SQUEEZE_EXCITATION
    layer = Layer(
        path=module.path,
        type=module.type,
        kind=kind,
        inputs=tuple(spec.shape for spec in module.inputs),
        outputs=tuple(spec.shape for spec in module.outputs),
        params=sum(parameter.numel for parameter in own),
        trainable_params=sum(parameter.numel for parameter in own if parameter.trainable),
        buffers=sum(buffer.numel for buffer in buffers),
        param_bytes=sum(parameter.nbytes for parameter in own),
        buffer_bytes=sum(buffer.nbytes for buffer in buffers),
        calls=module.calls,
        tallies=tallies,
        tied_to=tuple(parameter.tied_to for parameter in module.params if parameter.tied_to),
        group=group_of.get(module.path, ""),
        weights={parameter.name: parameter.shape for parameter in own},
        attrs=convolution_attrs(share.heaviest) if share.heaviest else {},
    )
    quoted = quote(layer, leaf)
    # Most have none, and a copy takes time.
    return replace(layer, quoted=quoted) if quoted else layer


def _common(paths: Iterable[str]) -> str:
    """The innermost path that holds all of `paths`."""
    parts = [path.split(".") if path else [] for path in paths]
    shared = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return ".".join(shared)


def _groups(
    trace: Trace, blocks: Sequence[Chain], works: Mapping[int, Work]
) -> tuple[tuple[Group, ...], dict[str, str]]:
    """The blocks as groups, and for each layer that is nothing but part of one, that group's path."""
    owners = {
        parameter.storage: parameter.numel
        for module in trace.modules
        for parameter in module.params
        if not parameter.tied_to and parameter.storage >= 0
    }
    ran: defaultdict[str, set[int]] = defaultdict(set)  # counted operations of each layer
    for call in trace.ops:
        if call.index in works and rule_for(call.op) and call.phase == "forward":
            ran[call.scope].add(call.index)
    inside = {index for block in blocks for index in block.ops}
    mixed = {""}  # modules under which something ran that belongs to no block
    for scope, indices in ran.items():
        while scope not in mixed and not indices <= inside:
            mixed.add(scope)
            scope = scope.rpartition(".")[0]
    merged: dict[tuple[str, ...], Group] = {}
    counted: set[int] = set()  # what two blocks share, such as a pool, counts in the first
    for block in blocks:
        calls = [trace.ops[index] for index in block.ops]
        members = tuple(dict.fromkeys(call.scope for call in calls))
        work = total_work(
            works[index] for index in block.ops if index in works and index not in counted
        )
        counted.update(block.ops)
        used = {spec.storage for call in calls for spec in call.inputs} & owners.keys()
        home = _home([call.scope for call in calls if rule_for(call.op)], mixed)
        known = merged.get(members)
        merged[members] = Group(
            kind=SQUEEZE_EXCITATION,
            path=home,
            members=members,
            channels=block.channels,
            squeezed=block.widths[0],
            params=sum(owners[storage] for storage in used),
            macs=work.macs + (known.macs if known else 0),
            flops=work.flops + (known.flops if known else 0),
        )
    group_of: dict[str, str] = {}
    for group in merged.values():
        for path in group.members:
            if path and ran.get(path) and ran[path] <= inside:
                group_of[path] = group.path
        if group.path in mixed:
            group_of.pop(group.path, None)
        else:
            group_of[group.path] = group.path
    return tuple(merged.values()), group_of


def _home(scopes: list[str], mixed: Collection[str]) -> str:
    """The innermost module that is the block: its pool and its scaling may be written outside."""
    candidates = [_common(part) for part in (scopes, scopes[:-1], scopes[1:], scopes[1:-1])]
    return next((path for path in candidates if path not in mixed), candidates[0])
