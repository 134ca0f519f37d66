"""What a network would cost if its layers were built otherwise: recorded operations, counted again.

An estimate of cost: nothing is built or trained, and layers to which a change does not apply stay as they
are. A change turns one recorded operation into those that would run instead; the rules count them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cnnstat.classify import convolution_kind
from cnnstat.errors import SpecError
from cnnstat.explaining.changes import NARROWER, Change, is_depthwise, parse_change
from cnnstat.explaining.explanation import distinct, layer_at, trusted
from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Layer, Report
from cnnstat.rules import rule_for
from cnnstat.rules.base import tensor

_UNSCALED = ("attention", "recurrent", "matmul")
"""Kinds whose width a change of channels would have to follow, and which are not re-costed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What is compared."""

    params: int = 0
    """Parameter elements."""
    macs: int = 0
    """Multiply–accumulates."""
    activations: int = 0
    """Elements put out by convolutions, linear layers and matrix products."""

    def __add__(self, more: Cost) -> Cost:
        return Cost(
            self.params + more.params, self.macs + more.macs, self.activations + more.activations
        )

    def __sub__(self, less: Cost) -> Cost:
        return Cost(
            self.params - less.params, self.macs - less.macs, self.activations - less.activations
        )


@dataclass(frozen=True, slots=True)
class Changed:
    """One layer that would be built otherwise."""

    layer: Layer
    """As it is."""
    before: Cost
    """What it costs."""
    after: Cost
    """What it would cost."""
    built: str
    """What would stand there: `"3×3 depthwise 64, 1×1 64→128"`."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A network before and after."""

    report: Report
    """The report."""
    changes: tuple[str, ...]
    """As they were asked for, in order: `("width=0.5", "separable")`."""
    within: str
    """Path of the module in which layers could change; `""`: the whole network."""
    described: tuple[str, ...]
    """What each of them does, in one sentence."""
    changed: tuple[Changed, ...]
    """The layers that change, in definition order."""
    kept: Mapping[str, int]
    """How many other layers with MACs there are, by kind."""
    before: Cost
    """All layers."""

    @property
    def after(self) -> Cost:
        """All layers, with those that change as they would be."""
        rows = self.changed
        return sum((row.after - row.before for row in rows), self.before)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document, schema 1.

        `{"schema": 1, "what_if": {"subject", "changes", "within", "estimate": true, "complete", "before":
        COST, "after": COST, "layers": [{"path", "kind", "built", "before": COST, "after": COST}], "kept":
        {KIND: layers}}}` with `COST = {"params", "macs", "activations"}`, all integers; where `complete` is
        false, MACs and activations are lower bounds on both sides.
        """
        return {
            "schema": 1,
            "what_if": {
                "subject": dict(self.report.subject),
                "changes": list(self.changes),
                "within": self.within,
                "estimate": True,
                "complete": self.report.complete,
                "before": asdict(self.before),
                "after": asdict(self.after),
                "layers": [
                    {
                        "path": row.layer.path,
                        "kind": row.layer.kind,
                        "built": row.built,
                        "before": asdict(row.before),
                        "after": asdict(row.after),
                    }
                    for row in self.changed
                ],
                "kept": dict(self.kept),
            },
        }


def what_if(report: Report, changes: str | Iterable[str], within: str = "") -> WhatIf:
    """What the network would cost with these changes, applied one after the other.

    `changes` are `"separable"`, `"groups=4"`, `"se=0.25"`, `"width=0.5"`, `"bottleneck=4"`; `within` is
    the module in which layers may change. Raises `SpecError` for any other change, and where one cannot be
    estimated: a width for attention, or for parameters whose channels are not known.
    """
    given = (changes,) if isinstance(changes, str) else tuple(changes)
    parsed = [parse_change(text) for text in given]
    inside = layer_at(report, within).path if within else ""
    places = _places(report, inside)
    for change in parsed:
        if change.whole:
            _check_whole(report, places, change, inside)
        depthwise = any(is_depthwise(op) for place in places for op in place.ops)
        for place in places:
            if place.free:
                found = [(op, change.apply(op, depthwise)) for op in place.ops]
                place.ops = tuple(new for op, made in found for new in (made or (op,)))
        _check_agreement(places, change)
    totals = report.totals
    rows = _rows(report, places)
    changed = {row.layer.path for row in rows}
    kept: dict[str, int] = {}
    for layer in report.layers:
        if layer.macs and layer.path not in changed:
            kept[layer.kind] = kept.get(layer.kind, 0) + 1
    return WhatIf(
        report=report,
        changes=given,
        within=inside,
        described=tuple(change.described for change in parsed),
        changed=rows,
        kept=kept,
        before=Cost(totals.params, totals.macs, totals.activations),
    )


@dataclass(slots=True)
class _Place:
    """Equal operations of one layer, and what stands in their place."""

    layer: Layer
    call: OpCall
    times: int
    free: bool
    """Whether their parameters are their layer's own, and used nowhere else."""
    ops: tuple[OpCall, ...] = field(default=())

    @property
    def weight(self) -> str:
        """Full name of the parameter that makes them one layer's: its weight, or whichever it has."""
        names = dict(self.call.params)
        return names.get("weight") or next(iter(names.values()), "")

    @property
    def same(self) -> bool:
        """Whether what stands in their place is one operation of the same cost."""
        costs = {(_work((op,), 1), _parameters(op)) for op in (self.call, *self.ops)}
        return len(self.ops) == len(costs) == 1


def _places(report: Report, inside: str) -> list[_Place]:
    """Every operation of the report, once. Raises `SpecError` where they are not known."""
    if "backward" in _listed(report.meta.get("phases")):
        raise SpecError("what-if counts a forward pass", hint="leave out --backward")
    found: list[_Place] = []
    users: defaultdict[str, set[str]] = defaultdict(set)
    for layer in report.layers:
        for tally in layer.tallies:
            if not trusted(tally):
                raise SpecError(
                    f"{report.name}: the report was saved without the operations of "
                    f"{layer.path or '(root)'}, or with others than it counts",
                    hint="write it again with this version of cnnstat, or give the model's name",
                )
            for call, times in distinct(tally.ops, roles=True):
                found.append(_Place(layer, call, times, free=False, ops=(call,)))
                for _, name in call.params:
                    users[name].add(layer.path)
    for place in found:
        path = place.layer.path
        within = not inside or path == inside or path.startswith(f"{inside}.")
        own = all(
            name.rpartition(".")[0] == path and users[name] == {path}
            for _, name in place.call.params
        )
        place.free = within and own and bool(place.call.params)
    return found


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _check_whole(report: Report, places: Sequence[_Place], change: Change, inside: str) -> None:
    """Raises `SpecError` where not every layer could follow."""

    def refuse(why: str) -> SpecError:
        return SpecError(
            f"{change.name} cannot be estimated for {report.name}: {why}", hint=NARROWER
        )

    if inside:
        raise refuse(f"the layers around {inside} would not fit any more")
    kinds = [kind for kind in _UNSCALED if report.kinds.get(kind) and report.kinds[kind].macs]
    if kinds:
        raise refuse(f"it has {' and '.join(kinds)}, whose width would have to follow")
    used = [place for place in places if place.call.params]
    shared = next((p for p in used if not p.free), None)
    if shared is not None:
        raise refuse(f"{shared.weight} is used by other layers too")
    mixed = next((p for p in used if "mixed" in p.call.roles), None)
    if mixed is not None:
        where = mixed.layer.path or "(root)"
        raise refuse(f"channels of its input or output meet others in {where}")
    known = {name for place in used for _, name in place.call.params}
    for layer in report.layers:
        for name in layer.weights if layer.calls else ():
            full = f"{layer.path}.{name}".lstrip(".")
            if full not in known:
                raise refuse(f"how {full} depends on the width is not known")


def _check_agreement(places: Sequence[_Place], change: Change) -> None:
    """One weight cannot become two: where its uses would differ, all of them stay as they are."""
    shapes: defaultdict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for place in places:
        if place.free:
            shapes[place.weight].add(tuple(_weight_shape(op) for op in place.ops))
    for place in places:
        if place.free and len(shapes[place.weight]) > 1:
            if change.whole:
                raise SpecError(
                    f"{change.name} cannot be estimated: {place.weight} is used on channels of "
                    "different origin",
                    hint=NARROWER,
                )
            place.ops = (place.call,)


def _weight_shape(call: OpCall) -> tuple[int, ...]:
    weight = call.args.get("weight")
    return weight.shape if isinstance(weight, TensorSpec) else ()


def _rows(report: Report, places: Sequence[_Place]) -> tuple[Changed, ...]:
    by_layer: defaultdict[str, list[_Place]] = defaultdict(list)
    for place in places:
        if not place.same:
            by_layer[place.layer.path].append(place)
    return tuple(
        _changed(layer, by_layer[layer.path]) for layer in report.layers if layer.path in by_layer
    )


def _changed(layer: Layer, places: Sequence[_Place]) -> Changed:
    before = after = Cost(layer.params, layer.macs, layer.activations)
    built: list[str] = []
    seen: set[str] = set()
    for place in places:
        after += _work(place.ops, place.times) - _work((place.call,), place.times)
        if place.weight not in seen:  # several calls use one weight
            seen.add(place.weight)
            after += Cost(sum(map(_parameters, place.ops)) - _parameters(place.call))
            built += map(_described, place.ops)
    return Changed(layer, before, after, ", ".join(built))


def _work(ops: Iterable[OpCall], times: int) -> Cost:
    works = [rule.count(op) for op in ops if (rule := rule_for(op.op))]
    return Cost(0, times * sum(w.macs for w in works), times * sum(w.activations for w in works))


def _parameters(call: OpCall) -> int:
    names = dict.fromkeys(("weight", "bias", *(name for name, _ in call.params)))
    specs = (call.args.get(name) for name in names)
    return sum(spec.numel for spec in specs if isinstance(spec, TensorSpec))


def _described(call: OpCall) -> str:
    """`3×3 depthwise 64`, `1×1 64→128 g4`, `linear 512→10`."""
    weight = tensor(call, "weight").shape
    rule = rule_for(call.op)
    if rule is None or rule.name != "convolution":
        return f"linear {weight[1]}→{weight[0]}" if len(weight) == 2 else f"{weight[0]} channels"
    kernel = "×".join(map(str, weight[2:]))
    groups, kind = int(call.get("groups", 1)), convolution_kind(call)
    if kind == "depthwise" and weight[0] == groups:
        return f"{kernel} depthwise {groups}"
    c, k = weight[1] * groups, weight[0]
    if kind == "transposed":
        c, k = weight[0], weight[1] * groups
    return f"{kernel} {c}→{k}" + (f" g{groups}" if groups > 1 else "")
