"""Why another engine's number is not cnnstat's: every part of it predicted from what was recorded.

A difference has a reason only where the engine's own rule, right or wrong, applied to the recorded shapes
gives exactly the number that the engine gives. Whatever is left over is unexplained. No torch here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cnnstat.opinions.base import ATTRIBUTION, UNEXPLAINED, Check, Difference, LayerCheck, Opinion
from cnnstat.opinions.expected import JUDGES, Cause, Part, merged
from cnnstat.report import Layer, Report


def compare(report: Report, opinion: Opinion) -> Check:
    """The opinion beside the report, layer by layer, each difference with its kind."""
    if opinion.failure:
        return Check(opinion)
    judge = JUDGES[opinion.engine]
    layers = _by_path(report)
    uncounted: dict[str, dict[str, None]] = defaultdict(dict)
    for item in report.uncounted:
        uncounted[item.layer][item.op] = None
    parts: dict[str, list[Part]] = {}
    for path in dict.fromkeys((*layers, *uncounted, *opinion.counts)):
        # What cnnstat knows no layer for has nothing to expect.
        parts[path] = judge(_one(layers.get(path) or [Layer(path=path, type="", kind="")]), opinion)
    moved = dict(_attributions(parts))
    checks = []
    for path, found in parts.items():
        own = layers.get(path, [])
        ours = sum(layer.macs for layer in own)
        theirs = sum(opinion.counts.get(path, {}).values())
        differences = [
            Difference(path, reason.kind, reason.op, reason.amount, reason.text)
            for part in found
            for reason in merged([*part.reasons, *moved.get((path, part.op), ())])
        ]
        if not path:
            theirs += _gap(opinion)
        missing = tuple(uncounted.get(path, ()))
        left = theirs - opinion.per_mac * ours - sum(item.amount for item in differences)
        if left:
            text = _unexplained(opinion, path, theirs, left, missing, len(own))
            ops = ", ".join(p.op for p in found if p.residual and (path, p.op) not in moved)
            differences.append(Difference(path, UNEXPLAINED, ops or "total", left, text))
        if ours or theirs or differences or missing:
            kind = own[0].type if own else ""
            checks.append(LayerCheck(path, kind, ours, theirs, tuple(differences), missing))
    return Check(opinion, tuple(checks))


def _by_path(report: Report) -> dict[str, list[Layer]]:
    """The layers of each path: two are one path where a module's own name has a dot in it."""
    layers: dict[str, list[Layer]] = {}
    for layer in report.layers:
        layers.setdefault(layer.path, []).append(layer)
    return layers


def _one(layers: list[Layer]) -> Layer:
    """All of one path as one layer, so that nothing that the report counts is left out."""
    return replace(layers[0], tallies=tuple(tally for layer in layers for tally in layer.tallies))


def _gap(opinion: Opinion) -> int:
    """What the engine's total has more than its layers have together."""
    return opinion.total - sum(sum(counts.values()) for counts in opinion.counts.values())


def _unexplained(
    opinion: Opinion, path: str, theirs: int, left: int, uncounted: tuple[str, ...], layers: int
) -> str:
    """Both numbers, and who may be wrong."""
    where = path or "(root)"
    numbers = f"{opinion.engine} counts {theirs:,} in {where}"
    if uncounted:
        return f"{numbers}, where cnnstat has no rule for {', '.join(sorted(uncounted))}"
    if not path and _gap(opinion) == left:
        return f"{opinion.engine}'s total {opinion.total:,} is not the sum of its layers"
    expected = f"{numbers}, where its rules applied to cnnstat's record give {theirs - left:,}"
    many = f"; {layers} layers are called {where}, and cannot be told apart" if layers > 1 else ""
    return expected + many


def _attributions(
    parts: Mapping[str, list[Part]],
) -> Iterator[tuple[tuple[str, str], tuple[Cause, ...]]]:
    """Whole operations that are missing in one layer and are too many in exactly one other."""
    missing: list[tuple[str, Part]] = []
    extra: dict[tuple[str, int], list[str]] = defaultdict(list)
    for path, found in parts.items():
        for part in found:
            if part.residual < 0:
                missing.append((path, part))
            elif part.residual > 0:
                extra[part.op, part.residual].append(path)
    for path, part in missing:
        amounts = [amount for _, amount in part.calls]
        amount = -part.residual
        homes = extra[part.op, amount]
        if len(homes) == 1 and (amount in amounts or amount == sum(amounts)):
            home = homes.pop()
            text = f"run in {path or '(root)'}, counted in {home or '(root)'}"
            yield (path, part.op), (Cause(ATTRIBUTION, part.op, -amount, text),)
            yield (home, part.op), (Cause(ATTRIBUTION, part.op, amount, text),)
