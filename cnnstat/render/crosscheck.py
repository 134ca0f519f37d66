"""A cross-check as a document: from cnnstat's number to each other engine's, step by step."""

from __future__ import annotations

from cnnstat.opinions.base import (
    ATTRIBUTION,
    CONVENTION,
    COUNTED_AS_ZERO,
    ERROR,
    KINDS,
    UNEXPLAINED,
    Check,
    CrossCheck,
    LayerCheck,
    Reason,
)
from cnnstat.render import summary
from cnnstat.render.alignment import signed
from cnnstat.render.base import View
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.layers import at_least
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.units import grouped, percent, short

_REASONS_NAMED = 12
"""Sentences about single layers that are shown, unless the view shows all."""


def crosscheck_document(check: CrossCheck, view: View, *, layers: bool = False) -> Document:
    """Header, a table for each engine, its reasons and its verdict; with `layers`, their rows too."""
    report = check.report
    versions = [item.version for item in check.opinions if not item.version.startswith("torch ")]
    bound = at_least(not report.complete)
    blocks: list[Text | Figure] = [
        Text(
            f"cnnstat: {bound}{short(report.totals.macs)} MACs, "
            f"{bound}{grouped(report.totals.macs)} multiply–accumulates"
        ),
        *([] if report.complete else [Text(summary.summary_sentence(report), "warning")]),
    ]
    for opinion in check.checks:
        blocks += _engine(opinion, view, layers)
    notes = dict.fromkeys(
        (*check.notes, *(note for opinion in check.opinions for note in opinion.notes))
    )
    return Document(
        title=tuple(summary.title(report)),
        circumstances=(*summary.circumstances(report), *map(visible, versions)),
        blocks=tuple(blocks),
        notes=(*(summary.note_text(note) for note in summary.notes(report)), *map(visible, notes)),
        data=check.to_dict(),
        records=tuple(check.records()),
    )


def _engine(check: Check, view: View, layers: bool) -> list[Text | Figure]:
    """One opinion. Sentences stand below the table, where there is always room for them."""
    if check.opinion.failure:
        return [Text(verdict(check), "warning")]
    sentences = [f"{reason.kind}, {reason.op}: {reason.text}" for reason in check.reasons]
    named = sentences if view.all else sentences[:_REASONS_NAMED]
    left = len(sentences) - len(named)
    more = [f"… and {left} reason{'s' if left > 1 else ''} more"] if left else []
    return [
        Figure(
            _steps(check),
            title=visible(check.opinion.title),
            hint="every reason: --all" if left else "",
            key=check.opinion.engine,
        ),
        *(Text(visible(text), "quiet") for text in (*named, *more)),
        *([_layers(check, view.all)] if layers or view.all else []),
        Text(verdict(check), "plain" if check.agrees else "warning"),
    ]


def verdict(check: Check) -> str:
    """Whether it agrees, and what of it is what: one sentence."""
    opinion = check.opinion
    if opinion.failure:
        return f"{opinion.engine} gives no opinion: {visible(opinion.failure)}"
    same = all(reason.kind == CONVENTION for reason in check.reasons)
    twice = f" × {opinion.per_mac}" if opinion.per_mac != 1 else ""
    ours = f"{_bound(check)}{grouped(check.ours)} MACs{twice}"
    if same:
        both = f"all {ours}"
    else:
        whole = opinion.per_mac * check.ours
        share = "" if check.uncounted else f" ({percent(check.agreed, whole)})"
        both = f"both count {grouped(check.agreed)} of cnnstat's {ours}{share}"
    parts = [both, *_amounts(check)]
    if check.uncounted:
        parts.append(
            f"cnnstat itself has no rule for {visible(', '.join(check.uncounted))}, "
            "so its own total is a lower bound"
        )
    if not check.explained:
        count = len({item.path for item in check.unexplained})
        layers = "1 layer" if count == 1 else f"{count} layers"
        return f"{opinion.engine} disagrees in {layers}: {'; '.join(parts)}."
    if check.uncounted:
        return f"{opinion.engine} cannot confirm it: {'; '.join(parts)}."
    word = "agrees" if same else "differs for known reasons"
    return f"{opinion.engine} {word}: {'; '.join(parts)}; nothing unexplained."


def _bound(check: Check) -> str:
    return at_least(bool(check.uncounted))


_WORDS = {
    CONVENTION: "more by its convention",
    COUNTED_AS_ZERO: "counted as zero",
    ERROR: "by its errors",
    UNEXPLAINED: "unexplained",
}


def _amounts(check: Check) -> list[str]:
    """What each kind comes to; what is too much does not hide what is too little."""
    parts = []
    for kind in KINDS:
        amounts = [item.amount for item in check.differences if item.kind == kind]
        if not amounts:
            continue
        if kind == ATTRIBUTION:
            moved = sum(1 for amount in amounts if amount < 0)
            parts.append(f"{moved} operation{'s' if moved != 1 else ''} counted in another layer")
            continue
        signs = (sum(a for a in amounts if a > 0), sum(a for a in amounts if a < 0))
        with_sign = kind in (ERROR, UNEXPLAINED)
        numbers = [signed(a) if with_sign else grouped(abs(a)) for a in signs if a]
        parts.append(f"{' and '.join(numbers)} {_WORDS[kind]}")
    return parts


def _steps(check: Check) -> Table:
    """From our number to theirs: the lines add up."""
    opinion = check.opinion
    ours = opinion.per_mac * check.ours
    # Of what is not known in full, no share is known.
    whole = 0 if check.uncounted else ours
    columns = (
        Column(key="kind", title="difference"),
        Column(key="op", title="operation", priority=60),
        Column(key="layers", title="layers", numeric=True, priority=20),
        Column(key="amount", title=opinion.unit, numeric=True),
        Column(key="share", title="of ours", numeric=True, priority=30),
    )
    twice = f" × {opinion.per_mac}" if opinion.per_mac != 1 else ""
    counted = sum(1 for layer in check.layers if layer.ours)
    sum_of_ours = _bound(check) + grouped(ours)
    start = (f"MACs of cnnstat{twice}", "", grouped(counted), sum_of_ours, percent(whole, whole))
    lines = [Line(cells=start)]
    for kind, op, amount, paths in _grouped(check.reasons):
        cells = (kind, visible(op), grouped(paths), signed(amount), percent(abs(amount), whole))
        lines.append(Line(cells=cells))
    total = (opinion.engine, "", grouped(_counting(check)), grouped(check.theirs), "")
    lines.append(Line(cells=total, role="total"))
    return Table(columns=columns, lines=tuple(lines))


def _counting(check: Check) -> int:
    """Layers where the engine counts something."""
    return sum(1 for layer in check.layers if layer.theirs)


def _grouped(reasons: tuple[Reason, ...]) -> list[tuple[str, str, int, int]]:
    """Kind, operation, amount and number of layers, whatever the sentences say."""
    sums: dict[tuple[str, str], tuple[int, set[str]]] = {}
    for reason in reasons:
        amount, paths = sums.get((reason.kind, reason.op), (0, set()))
        sums[reason.kind, reason.op] = (amount + reason.amount, paths | set(reason.layers))
    return [(kind, op, amount, len(paths)) for (kind, op), (amount, paths) in sums.items()]


def _layers(check: Check, all: bool) -> Text | Figure:
    """The layers that differ beyond convention, or all of them; the rest in one line."""
    opinion = check.opinion
    shown = [layer for layer in check.layers if all or _beyond_convention(layer)]
    rest = [layer for layer in check.layers if not all and not _beyond_convention(layer)]
    if not shown:
        by_convention = any(layer.differences for layer in rest)
        word = ", or differs by convention alone" if by_convention else ""
        return Text(f"every layer agrees{word}" if rest else "no layer counts anything", "quiet")
    columns = (
        Column(key="path", title="path", elastic=True),
        Column(key="type", title="type", priority=20),
        Column(key="ours", title="MACs", numeric=True, priority=40),
        Column(key="theirs", title=opinion.unit, numeric=True),
        Column(key="difference", title="difference", numeric=True),
        Column(key="why", title="kind", priority=50),
    )

    def cells(label: str, kind: str, part: list[LayerCheck], why: str) -> tuple[str, ...]:
        ours, theirs = sum(layer.ours for layer in part), sum(layer.theirs for layer in part)
        partial = any(layer.uncounted for layer in part)
        difference = "?" if partial else signed(theirs - opinion.per_mac * ours)
        return (label, kind, at_least(partial) + grouped(ours), grouped(theirs), difference, why)

    lines = [
        Line(
            cells=cells(
                visible(layer.path) or "(root)", visible(layer.type), [layer], _kinds(layer)
            ),
            keep=len(visible(layer.path).rpartition(".")[2]),
        )
        for layer in shown
    ]
    if rest:
        label = f"{len(rest):,} other layer{'s' if len(rest) > 1 else ''}"
        lines.append(Line(cells=cells(label, "", rest, ""), role="rest", keep=len(label)))
    total = cells("total", "", list(check.layers), "")
    lines.append(Line(cells=total, role="total", keep=len("total")))
    return Figure(
        Table(columns=columns, lines=tuple(lines)),
        title=f"layers, cnnstat and {opinion.engine}",
        after="the others agree, or differ by convention alone" if rest else "",
        hint="every layer: --all" if rest else "",
        key=f"{opinion.engine}-layers",
    )


def _beyond_convention(layer: LayerCheck) -> bool:
    return bool(layer.uncounted) or any(item.kind != CONVENTION for item in layer.differences)


def _kinds(layer: LayerCheck) -> str:
    kinds = dict.fromkeys(item.kind for item in layer.differences)
    return ", ".join([*kinds, *(["uncounted"] if layer.uncounted else [])])
