"""What a network would cost if its layers were built otherwise: recorded operations, counted again.

An estimate of cost: nothing is built or trained, and layers to which a change does not apply stay as they
are. A change turns one recorded operation into those that would run instead; the rules count them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cnnstat.classify import convolution_kind
from cnnstat.errors import SpecError
from cnnstat.explaining.changes import Change, Network, parse_change
from cnnstat.explaining.explanation import distinct, layer_at
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

        `{"schema": 1, "what_if": {"subject", "changes", "estimate": true, "before": COST, "after": COST,
        "layers": [{"path", "kind", "built", "before": COST, "after": COST}], "kept": {KIND: layers}}}`
        with `COST = {"params", "macs", "activations"}`, all integers.
        """
        return {
            "schema": 1,
            "what_if": {
                "subject": dict(self.report.subject),
                "changes": list(self.changes),
                "estimate": True,
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


def what_if(report: Report, changes: Iterable[str], within: str = "") -> WhatIf:
    """What the network would cost with these changes, applied one after the other.

    `changes` are `"separable"`, `"groups=4"`, `"se=0.25"`, `"width=0.5"`, `"bottleneck=4"`; `within` is
    the module in which layers may change. Raises `SpecError` for any other change.
    """
    given = tuple(changes)
    parsed = [parse_change(text) for text in given]
    _check(report, given)
    network = Network.of(report)
    inside = layer_at(report, within).path if within else ""
    rows: list[Changed] = []
    kept: dict[str, int] = {}
    for layer in report.layers:
        row = None
        if not inside or layer.path == inside or layer.path.startswith(f"{inside}."):
            row = _changed(layer, parsed, network)
        if row is not None:
            rows.append(row)
        elif layer.macs:
            kept[layer.kind] = kept.get(layer.kind, 0) + 1
    totals = report.totals
    return WhatIf(
        report=report,
        changes=given,
        described=tuple(change.described for change in parsed),
        changed=tuple(rows),
        kept=kept,
        before=Cost(totals.params, totals.macs, totals.activations),
    )


def _check(report: Report, changes: Sequence[str]) -> None:
    if not any(tally.ops for layer in report.layers for tally in layer.tallies):
        raise SpecError(
            f"{report.name}: the report was saved without its operations",
            hint="write it again with this version of cnnstat, or give the model's name",
        )
    if "backward" in (report.meta.get("phases") or ()):
        raise SpecError("what-if counts a forward pass", hint="leave out --backward")
    found = [kind for kind in _UNSCALED if report.kinds.get(kind) and report.kinds[kind].macs]
    scaling = [text for text in changes if text.startswith("width=")]
    if found and scaling:
        raise SpecError(
            f"{scaling[0]} is for networks of convolutions and linear layers; {report.name} has "
            f"{' and '.join(found)} layers, whose width would have to follow",
            hint="build the narrower network and compare: cnnstat compare A B",
        )


def _changed(layer: Layer, changes: Sequence[Change], network: Network) -> Changed | None:
    """The layer as it would be, or `None` where nothing in it changes."""
    before = after = Cost(layer.params, layer.macs, layer.activations)
    built: list[str] = []
    seen: set[tuple[int, ...]] = set()
    for tally in layer.tallies:
        for call, times in distinct(tally.ops):
            ops = _stand_in(call, changes, network) if _owns(layer, call) else None
            if ops is None:
                continue
            after += _work(ops, times) - _work((call,), times)
            weight = tensor(call, "weight").shape
            if weight not in seen:  # several calls use one weight
                seen.add(weight)
                after += Cost(sum(map(_parameters, ops)) - _parameters(call))
                built += map(_described, ops)
    return Changed(layer, before, after, ", ".join(built)) if built else None


def _stand_in(
    call: OpCall, changes: Sequence[Change], network: Network
) -> tuple[OpCall, ...] | None:
    """All changes one after the other; `None` where none applies, or all leave it as it is."""
    ops: tuple[OpCall, ...] = (call,)
    for change in changes:
        replaced = [(op, change.apply(op, network)) for op in ops]
        ops = tuple(new for op, found in replaced for new in (found or (op,)))
    same = len(ops) == 1 and ops[0].args == call.args and ops[0].outputs == call.outputs
    return None if same else ops


def _owns(layer: Layer, call: OpCall) -> bool:
    """Whether the operation's weight is a parameter of the layer itself, and of it alone."""
    spec = call.args.get("weight")
    return isinstance(spec, TensorSpec) and layer.weights.get("weight") == spec.shape


def _work(ops: Iterable[OpCall], times: int) -> Cost:
    works = [rule.count(op) for op in ops if (rule := rule_for(op.op))]
    return Cost(0, times * sum(w.macs for w in works), times * sum(w.activations for w in works))


def _parameters(call: OpCall) -> int:
    specs = (call.args.get(name) for name in ("weight", "bias"))
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
