"""What a saved report says more than once must agree: each sum with what it is the sum of.

The layers' parameters and tallies are the facts. Totals, kinds, a layer's own sums and those of groups are
written for whoever reads the file, and a file in which they are others was edited or damaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from cnnstat.errors import ReportError
from cnnstat.kinds import SQUEEZE_EXCITATION
from cnnstat.report import Group, KindTotal, Report, Tally, total_work

Said = tuple[str, Any, int, str]
"""A place, the number there, what it must be, and what that is the sum of."""


def verify(report: Report, document: Mapping[str, Any]) -> None:
    """Raise `ReportError` where `document`, from which the report was read, contradicts itself."""
    for check in (_totals, _kinds, _layers, _uncounted):
        for place, found, expected, parts in check(report, document):
            if type(found) is not int or found != expected:
                _refuse(f"report.{place} is {found!r:.60}, but its {parts} add up to {expected}")
    _groups(report)


def _refuse(message: str) -> NoReturn:
    raise ReportError(message, hint="the file was edited or damaged; write it again")


def _at(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _totals(report: Report, document: Mapping[str, Any]) -> Iterator[Said]:
    written = document.get("totals")
    for name, value in asdict(report.totals).items():
        if name == "estimated_flops" and not value and _at(written, name) is None:
            continue  # not written where there are none
        yield f"totals.{name}", _at(written, name), value, "layers"


def _kinds(report: Report, document: Mapping[str, Any]) -> Iterator[Said]:
    written = document["kinds"]
    for kind in {**report.kinds, **written}:
        for name, value in asdict(report.kinds.get(kind, KindTotal())).items():
            yield f"kinds.{kind}.{name}", _at(written.get(kind), name), value, "layers"


def _layers(report: Report, document: Mapping[str, Any]) -> Iterator[Said]:
    for n, (layer, written) in enumerate(zip(report.layers, document["layers"], strict=True)):
        work = layer.work
        for name in ("macs", "flops", "activations"):
            yield f"layers[{n}].{name}", written.get(name), getattr(work, name), "tallies"
        if layer.weights:
            elements = sum(map(math.prod, layer.weights.values()))
            yield f"layers[{n}].params", layer.params, elements, "weights"
        for m, tally in enumerate(layer.tallies):
            if tally.ops:
                place = f"layers[{n}].tallies[{m}]"
                read = sum(call.inputs[0].numel for call in tally.ops if call.inputs)
                put = sum(call.outputs[0].numel for call in tally.ops if call.outputs)
                yield f"{place}.read", tally.read, read, "operations"
                yield f"{place}.written", tally.written, put, "operations"


def _uncounted(report: Report, document: Mapping[str, Any]) -> Iterator[Said]:
    for op, written in document["uncounted"].items():
        count = sum(item.count for item in report.uncounted if item.op == op)
        yield f"uncounted.{op}.count", _at(written, "count"), count, "places"


# Groups


def _groups(report: Report) -> None:
    layers = {layer.path: layer for layer in report.layers}
    homes = {group.path for group in report.groups}
    for n, layer in enumerate(report.layers):
        if layer.group and layer.group not in homes:
            _refuse(f"report.layers[{n}].group is {layer.group!r:.60}, and no group has that path")
    for n, group in enumerate(report.groups):
        missing = next((path for path in group.members if path not in layers), None)
        if missing is not None:
            _refuse(f"report.groups[{n}].members has {missing!r:.60}, which is no layer")
    sizes = {
        f"{layer.path}.{name}".lstrip("."): math.prod(shape)
        for layer in report.layers
        for name, shape in layer.weights.items()
    }
    for groups in _sharing(report.groups):
        paths = dict.fromkeys(path for group in groups for path in group.members)
        tallies = [tally for path in paths for tally in layers[path].tallies]
        held = [tally for tally in tallies if tally.kind == SQUEEZE_EXCITATION]
        _check_work(report, groups, held)
        _check_params(groups, held, sizes)


def _sharing(groups: Sequence[Group]) -> list[list[Group]]:
    """Groups with the others that run in the same layers, whose tallies do not tell them apart."""
    found: list[list[Group]] = []
    for group in groups:
        joined = [
            other for other in found if any(set(group.members) & set(one.members) for one in other)
        ]
        found = [other for other in found if other not in joined]
        found.append([group, *(one for other in joined for one in other)])
    return found


def _check_work(report: Report, groups: Sequence[Group], tallies: Sequence[Tally]) -> None:
    """What groups cost together against their layers, as far as these determine it."""
    ran = [(_phases(tally, report), tally.work) for tally in tallies]
    # Gradients count in the layers and not in the group; a tally of both may be either's.
    least = total_work(work for phases, work in ran if phases == {"forward"})
    most = total_work(work for phases, work in ran if "forward" in phases)
    for name in ("macs", "flops"):
        total = sum(getattr(group, name) for group in groups)
        low, high = getattr(least, name), getattr(most, name)
        if not low <= total <= high:
            _refuse_groups(groups, name, total, low if total < low else high)


def _phases(tally: Tally, report: Report) -> set[str]:
    """The passes in which a tally's operations ran; where it does not have them, the report's."""
    passes = report.meta.get("phases")
    told = passes if isinstance(passes, list | tuple) else ("forward",)
    return {call.phase for call in tally.ops} or set(map(str, told))


def _check_params(
    groups: Sequence[Group], tallies: Sequence[Tally], sizes: Mapping[str, int]
) -> None:
    """What groups use of the parameters, whose `sizes` are by name; an early document does not say."""
    calls = [call for tally in tallies for call in tally.ops if call.phase == "forward"]
    names = {name for call in calls for _, name in call.params}
    if not all(tally.ops for tally in tallies) or not names <= sizes.keys():
        return
    used, told = sum(sizes[name] for name in names), [group.params for group in groups]
    if not max(told) <= used <= sum(told):  # groups may share some
        _refuse_groups(groups, "params", sum(told), used)


def _refuse_groups(groups: Sequence[Group], name: str, found: int, expected: int) -> None:
    these = ", ".join(repr(group.path) for group in groups)
    _refuse(f"report.groups: {name} of {these} are {found}, but the layers add up to {expected}")
