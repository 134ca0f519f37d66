"""Why that number: a layer's formulas with the numbers put in.

Works on reports, measured or saved, and imports no torch.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cnnstat.classify import as_counted
from cnnstat.errors import SpecError
from cnnstat.record import OpCall
from cnnstat.record_json import calls_to_list
from cnnstat.report import Group, Layer, Report, Tally, Totals, Uncounted, Work
from cnnstat.rules import Rule, rule_for
from cnnstat.rules.base import RULE_ERRORS, elements
from cnnstat.rules.derivation import QUANTITIES, Derivation, Letter, complete

SCHEMA = 1
"""Version of the JSON form of explanations."""


@dataclass(frozen=True, slots=True)
class Term:
    """One number with its formula: `N·K·oh·ow = 1·64·112·112 = 802,816`."""

    quantity: str
    """`"macs"`, `"adds"`, …: a field of `Work`; or the name of a parameter."""
    formula: str
    """In letters; the number itself where there is nothing to say about it."""
    numbers: str
    """The same with the numbers put in."""
    value: int
    """What it comes to, for one call."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Equal operations of a layer, and how they were counted."""

    op: str
    """`"aten.conv2d"`."""
    times: int
    """How many of them ran."""
    phase: str
    """`"forward"` or `"backward"`."""
    kind: str
    """`"depthwise"`; that of the block for a member of one."""
    rule: str
    """Name of the rule."""
    formula: str
    """The rule's formula in words, for every case that it knows."""
    source: str
    """Where the rule's formula is from."""
    remark: str
    """What the rule says of itself: assumptions, bounds."""
    terms: tuple[Term, ...]
    """What it comes to, a line per quantity."""
    letters: tuple[Letter, ...]
    """What stands in the terms."""

    def to_dict(self) -> dict[str, Any]:
        """As in `LayerExplanation.to_dict`."""
        return {
            "op": self.op,
            "times": self.times,
            "phase": self.phase,
            "kind": self.kind,
            "rule": self.rule,
            "source": self.source,
            "letters": {letter.symbol: letter.value for letter in self.letters},
            "terms": [asdict(term) for term in self.terms],
        }


@dataclass(frozen=True, slots=True)
class LayerExplanation:
    """Every number of one layer, and where it comes from."""

    report: Report
    """The report that it stands in."""
    layer: Layer
    """The layer itself."""
    operations: tuple[Operation, ...]
    """What it ran itself."""
    parameters: tuple[Term, ...]
    """Its own parameters; `quantity` is their name."""
    letters: tuple[Letter, ...]
    """What stands in the formulas of the parameters and not in those of an operation."""
    below: Totals
    """Sums over the layer and all layers in it."""
    children: tuple[tuple[str, Totals], ...]
    """The modules directly in it, each with all below it; they and its own work add up to `below`."""
    group: Group | None
    """The squeeze-and-excitation block that it belongs to."""
    unexplained: tuple[Tally, ...]
    """Work of a report that was saved without its operations: numbers without their formulas."""
    uncounted: tuple[Uncounted, ...] = ()
    """Operations without a rule, of the layer and of all layers in it: its numbers are lower bounds."""

    @property
    def gaps(self) -> tuple[Uncounted, ...]:
        """Those of the layer itself."""
        return tuple(item for item in self.uncounted if item.layer == self.layer.path)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document, schema 1, with every number an integer.

        `{"schema": 1, "layer": {"subject", "path", "type", "kind", "inputs", "outputs", "complete",
        "uncounted": [{"op", "layer", "count", "inputs", "outputs"}], "params", "macs", "flops",
        "activations", "operations": [{"op", "times", "phase", "kind", "rule", "source", "letters": {LETTER:
        NUMBER}, "terms": [TERM]}], "parameters": [TERM], "below": TOTALS, "children": {PATH: TOTALS}}}`

        `TERM = {"quantity", "formula", "numbers", "value"}`; totals are as in a report. Where `complete` is
        false, all work is a lower bound.
        """
        layer = self.layer
        return {
            "schema": SCHEMA,
            "layer": {
                "subject": dict(self.report.subject),
                "path": layer.path,
                "type": layer.type,
                "kind": layer.kind,
                "inputs": [list(shape) for shape in layer.inputs],
                "outputs": [list(shape) for shape in layer.outputs],
                "complete": not self.uncounted,
                "uncounted": [asdict(item) for item in self.uncounted],
                "params": layer.params,
                "macs": layer.macs,
                "flops": layer.flops,
                "activations": layer.activations,
                "operations": [operation.to_dict() for operation in self.operations],
                "parameters": [asdict(term) for term in self.parameters],
                "below": asdict(self.below),
                "children": {path: asdict(totals) for path, totals in self.children},
            },
        }


def explain_layer(report: Report, path: str) -> LayerExplanation:
    """How every number of the layer at `path` comes about; `""` or `"(root)"` is the root.

    Raises `SpecError`, naming close paths, where there is no such layer.
    """
    layer = layer_at(report, path)
    operations: list[Operation] = []
    bare: list[Tally] = []
    weights: dict[tuple[str, tuple[int, ...]], tuple[str, Derivation]] = {}
    for tally in layer.tallies:
        if not trusted(tally):
            bare.append(tally)
            continue
        for call, times in distinct(tally.ops):
            rule = rule_for(call.op)
            assert rule is not None  # or the operations would not come to the tally
            derivation = _derivation(rule, call, _counted(call, tally))
            operations.append(_operation(rule, call, times, tally.kind, derivation))
            for name, formula in derivation.weights.items():
                spec = call.get(name)
                if spec is not None:
                    weights.setdefault((name, spec.shape), (formula, derivation))
    parameters = tuple(_parameter(name, shape, weights) for name, shape in layer.weights.items())
    shown = {letter for operation in operations for letter in operation.letters}
    used = [
        letter
        for (name, shape), (formula, derivation) in weights.items()
        if layer.weights.get(name) == shape
        for letter in derivation.used([formula])
    ]
    return LayerExplanation(
        report=report,
        layer=layer,
        operations=tuple(operations),
        parameters=parameters,
        letters=tuple(dict.fromkeys(letter for letter in used if letter not in shown)),
        below=report.subtree(layer.path),
        children=tuple((child, report.subtree(child)) for child in _children(report, layer.path)),
        group=next((g for g in report.groups if layer.group and g.path == layer.group), None),
        unexplained=tuple(dict.fromkeys(bare)),
        uncounted=uncounted_in(report, layer.path),
    )


def distinct(calls: Iterable[OpCall], *, roles: bool = False) -> list[tuple[OpCall, int]]:
    """Calls that saw the same shapes and arguments, once, and how often they ran.

    With `roles`, only those that also stand at the same place in the network.
    """
    counts: Counter[str] = Counter()
    first: dict[str, OpCall] = {}
    for call in calls:
        (entry,) = calls_to_list([call])
        key = repr({**entry, "roles": call.roles if roles else ()})
        counts[key] += 1
        first.setdefault(key, call)
    return [(call, counts[key]) for key, call in first.items()]


def trusted(tally: Tally) -> bool:
    """Whether the operations of a tally are there, and come to what it counts."""
    found = dict.fromkeys(QUANTITIES, 0)
    for call, times in distinct(tally.ops):
        work = _counted(call, tally)
        for quantity in QUANTITIES:
            found[quantity] += times * getattr(work, quantity)
    return found == {quantity: getattr(tally.work, quantity) for quantity in QUANTITIES}


def _counted(call: OpCall, tally: Tally) -> Work:
    rule = rule_for(call.op)
    try:
        return as_counted(rule.count(call), tally.kind) if rule else Work()
    except RULE_ERRORS:
        return Work()


def layer_at(report: Report, path: str) -> Layer:
    """The layer at a path; `""` or `"(root)"` is the root. Raises `SpecError`, naming close paths."""
    wanted = "" if path == "(root)" else path
    try:
        return report.layer(wanted)
    except KeyError:
        paths = [layer.path for layer in report.layers if layer.path]
        close = difflib.get_close_matches(path, paths, n=3, cutoff=0.5)
        hint = f"close: {', '.join(close)}" if close else f"such as {', '.join(paths[:3])}"
        raise SpecError(f"{report.name} has no layer {path!r}", hint=hint) from None


def uncounted_in(report: Report, path: str) -> tuple[Uncounted, ...]:
    """Operations without a rule in the module at `path` and in all below it."""
    inside = f"{path}."
    return tuple(
        item
        for item in report.uncounted
        if not path or item.layer == path or item.layer.startswith(inside)
    )


def _children(report: Report, path: str) -> list[str]:
    depth = report.layer(path).depth + 1
    inside = f"{path}." if path else ""
    return [
        layer.path
        for layer in report.layers
        if layer.path and layer.path.startswith(inside) and layer.depth == depth
    ]


def _derivation(rule: Rule, call: OpCall, work: Work) -> Derivation:
    """Formulas for what was counted of a call, which may be less than its rule finds in it."""
    try:
        found = rule.derivation(call)
        if all(found.value(text) == getattr(work, name) for name, text in found.formulas.items()):
            return found
    except RULE_ERRORS:
        pass  # a case that the count knows and the derivation does not: its numbers are said plainly
    return complete(None, call, work)


def _operation(
    rule: Rule, call: OpCall, times: int, kind: str, derivation: Derivation
) -> Operation:
    terms = tuple(_term(name, text, derivation) for name, text in derivation.formulas.items())
    return Operation(
        op=call.op,
        times=times,
        phase=call.phase,
        kind=kind,
        rule=rule.name_of(call),
        formula=rule.formula,
        source=rule.source,
        remark=rule.doc,
        terms=terms,
        letters=derivation.used(derivation.formulas.values()),
    )


def _term(quantity: str, formula: str, derivation: Derivation) -> Term:
    return Term(quantity, formula, derivation.numbers(formula), derivation.value(formula))


def _parameter(
    name: str,
    shape: tuple[int, ...],
    weights: Mapping[tuple[str, tuple[int, ...]], tuple[str, Derivation]],
) -> Term:
    if (name, shape) in weights:
        return _term(name, *weights[name, shape])
    product = "·".join(f"{size:,}" for size in shape) or "1"
    return Term(name, product, product, elements(shape))
