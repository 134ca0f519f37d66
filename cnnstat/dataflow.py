"""Which operations stand where the network begins and ends, and which parameters they use. Pure.

Channels that come in or go out are given, those between them are a choice. To know which is which, channels
are followed through everything that leaves them as they are, from the inputs on and from the outputs back.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from cnnstat.classify import Kinds
from cnnstat.record import OpCall, TensorSpec, Trace
from cnnstat.rules import rule_for

_MAKES_CHANNELS = frozenset("convolution linear matmul attention recurrent embedding".split())
"""Families whose output has other channels than their input."""

GIVEN, CHOSEN, MIXED = "given", "chosen", "mixed"


def standing(trace: Trace, kinds: Kinds) -> dict[int, tuple[Params, Roles]]:
    """Parameters and roles of every operation that has any, as in `OpCall`, by its index."""
    roles = _roles(trace, kinds)
    owners = {
        parameter.storage: f"{module.path}.{parameter.name}".lstrip(".")
        for module in trace.modules
        for parameter in module.params
        if not parameter.tied_to and parameter.storage >= 0
    }
    found: dict[int, tuple[Params, Roles]] = {}
    for call in trace.ops:
        params = tuple(
            (name, owners[value.storage])
            for name, value in call.args.items()
            if isinstance(value, TensorSpec) and value.storage in owners
        )
        if params or call.index in roles:
            found[call.index] = params, tuple(sorted(roles.get(call.index, ())))
    return found


Params = tuple[tuple[str, str], ...]
Roles = tuple[str, ...]


def _roles(trace: Trace, kinds: Kinds) -> dict[int, set[str]]:
    roles: defaultdict[int, set[str]] = defaultdict(set)
    forward = [call for call in trace.ops if call.phase == "forward"]
    makers = {call.index for call in forward if _makes_channels(call, kinds.of_op.get(call.index))}
    _from_outputs(forward, makers, _storages(trace.outputs), roles)
    _from_inputs(forward, makers, _storages(trace.inputs), roles)
    for index in _excited(forward, kinds):
        roles[index].add("excited")
    return roles


def _storages(specs: Iterable[TensorSpec]) -> set[int]:
    return {spec.storage for spec in specs if spec.storage >= 0}


def _makes_channels(call: OpCall, kind: str | None) -> bool:
    """Not a depthwise convolution, where each channel of the input makes its own of the output."""
    rule = rule_for(call.op)
    return rule is not None and rule.family in _MAKES_CHANNELS and kind != "depthwise"


def _from_outputs(
    calls: list[OpCall], makers: set[int], given: set[int], roles: defaultdict[int, set[str]]
) -> None:
    for call in reversed(calls):
        if any(spec.storage in given for spec in call.outputs):
            if call.index in makers:
                roles[call.index].add("output")
            else:
                given |= _storages(call.inputs)


def _from_inputs(
    calls: list[OpCall], makers: set[int], inputs: set[int], roles: defaultdict[int, set[str]]
) -> None:
    labels = dict.fromkeys(inputs, GIVEN)
    for call in calls:
        live = [spec for spec in call.inputs if spec.storage in labels]
        if not live:
            continue
        label = labels[live[0].storage]
        if len(live) > 1:
            label = _meeting([(spec, labels[spec.storage]) for spec in live])
        if label == GIVEN:
            roles[call.index].add("input")
        elif label == MIXED:
            roles[call.index].add("mixed")
        if call.index in makers:
            label = GIVEN if "output" in roles.get(call.index, ()) else CHOSEN
        elif (
            label == CHOSEN
            and call.outputs
            and len(live[0].shape) > 2
            and _reduced(live[0].shape, call.output.shape)
        ):
            label = GIVEN
        for storage in _storages(call.outputs):
            labels[storage] = label


def _meeting(operands: list[tuple[TensorSpec, str]]) -> str:
    """What channels come of several operands; one that is broadcast along them has no say."""
    most = max(_channels(spec.shape) for spec, _ in operands)
    labels = {label for spec, label in operands if _channels(spec.shape) > 1 or most == 1}
    return labels.pop() if len(labels) == 1 else MIXED


def _channels(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) > 2 else shape[-1] if shape else 1


def _reduced(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether the channels were summed up into one, as in spatial attention.

    Not where positions were, with the channels last: then all sizes but the last are one.
    """
    fewer = math.prod(after) < math.prod(before)
    return len(after) > 2 and after[1] == 1 < before[1] and fewer and math.prod(after[2:-1]) > 1


def _excited(calls: list[OpCall], kinds: Kinds) -> Iterator[int]:
    """Convolutions whose output a squeeze-and-excitation block scales."""
    pools = {block.ops[0] for block in kinds.blocks}
    if not pools:
        return
    makers: dict[int, int] = {}
    for call in calls:
        if call.index in pools:
            maker = makers.get(call.inputs[0].storage)
            if maker is not None:
                yield maker
        rule = rule_for(call.op)
        made = call.index if rule is not None and rule.family == "convolution" else None
        if made is None:
            found = (makers[spec.storage] for spec in call.inputs if spec.storage in makers)
            made = next(found, None)
        if made is not None:
            makers.update((spec.storage, made) for spec in call.outputs)
