"""An explanation as a document: formulas with their numbers, and the conventions side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from cnnstat.explaining.explanation import (
    LayerExplanation,
    Operation,
    Term,
    uncounted_in,
)
from cnnstat.explaining.quotes import ModelExplanation, Quote
from cnnstat.render import summary
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.layers import at_least, kernel, shapes_text, uncounted_text
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.report import Group, Totals
from cnnstat.rules.derivation import QUANTITIES, Letter
from cnnstat.units import grouped, short

# ---- a layer


def layer_document(explanation: LayerExplanation) -> Document:
    """How every number of one layer comes about."""
    layer, report = explanation.layer, explanation.report
    counted = [op for op in explanation.operations if _macs(op)]
    others = [op for op in explanation.operations if not _macs(op)]
    blocks: list[Text | Figure] = []
    for operation in counted:
        blocks += _operation(operation)
    if others:
        blocks.append(_others(others))
        blocks += [Text(text, "quiet") for text in dict.fromkeys(map(_rule, others))]
    blocks += [
        Text(
            f"{visible(tally.rule)} ×{tally.calls}: {grouped(tally.work.macs)} MACs, "
            f"{grouped(tally.work.flops)} FLOPs; the report was saved without the operations behind them",
            "warning",
        )
        for tally in explanation.unexplained
    ]
    blocks += _sums(explanation)
    blocks += _parameters(explanation)
    if explanation.children:
        blocks.append(_children(explanation))
    if (group := explanation.group) is not None:
        blocks.append(Text(f"part of the {_block(group)}", "quiet"))
    details = [visible(layer.type), visible(layer.kind), kernel(layer)]
    shapes = f"{shapes_text(layer.inputs)} → {shapes_text(layer.outputs)}" if layer.calls else ""
    times = (
        f"called {layer.calls} times" if layer.calls > 1 else "" if layer.calls else "never called"
    )
    return Document(
        title=(visible(report.name), visible(layer.path) or "(root)"),
        circumstances=tuple(text for text in (*details, shapes, times) if text),
        blocks=tuple(blocks),
        notes=tuple(_gaps(explanation)),
        data=explanation.to_dict(),
        records=tuple(_layer_records(explanation)),
    )


def _block(group: Group) -> str:
    return (
        f"{visible(group.kind)} block {visible(group.path)}: {group.channels} channels squeezed to "
        f"{group.squeezed}, {grouped(group.params)} params, {grouped(group.macs)} MACs"
    )


def _operation(operation: Operation) -> Iterator[Text | Figure]:
    times = f" ×{operation.times}" if operation.times > 1 else ""
    back = " (backward)" if operation.phase == "backward" else ""
    yield Text(
        f"{visible(operation.op)}{times}{back}, counted by the rule {operation.rule}: "
        f"{operation.formula}"
    )
    for term in operation.terms:
        yield Text(_equation(QUANTITIES[term.quantity], term, operation.times), "formula")
    if operation.letters:
        yield Figure(_letters(operation.letters))
    remark = " ".join(operation.remark.split())
    yield Text(f"source: {operation.source}" + (f". {remark}" if remark else ""), "quiet")


def _equation(name: str, term: Term, times: int = 1) -> str:
    """`MACs = N·K = 1·64 = 64`; a step that says nothing new is left out."""
    result = grouped(term.value)
    steps = [step for step in (term.formula, term.numbers) if step != str(term.value)]
    chain = list(dict.fromkeys([name, *steps, result]))
    total = f", times {times} = {grouped(term.value * times)}" if times > 1 else ""
    return visible(" = ".join(chain)) + total


def _letters(letters: Iterable[Letter]) -> Table:
    columns = (
        Column(key="letter", title="letter"),
        Column(key="value", title="value", numeric=True),
        Column(key="meaning", title="where it comes from", prose=True),
    )
    lines = (
        Line(cells=(letter.symbol, grouped(letter.value), letter.meaning)) for letter in letters
    )
    return Table(columns=columns, lines=tuple(lines))


def _others(operations: Iterable[Operation]) -> Figure:
    """What has no MACs: a line per quantity."""
    columns = (
        Column(key="op", title="operation"),
        Column(key="times", title="×", numeric=True, priority=30),
        Column(key="quantity", title="counts"),
        Column(key="formula", title="formula", priority=50),
        Column(key="numbers", title="numbers", numeric=True, priority=40),
        Column(key="total", title="total", numeric=True),
        Column(key="rule", title="rule", priority=20),
    )
    lines = []
    for operation in operations:
        terms = operation.terms or (Term("macs", "0", "0", 0),)
        for place, term in enumerate(terms):
            lines.append(
                Line(
                    cells=(
                        visible(operation.op) if not place else "",
                        grouped(operation.times) if not place else "",
                        QUANTITIES[term.quantity] if term.value else "nothing",
                        term.formula,
                        term.numbers,
                        grouped(term.value * operation.times),
                        operation.rule if not place else "",
                    )
                )
            )
    table = Table(columns=columns, lines=tuple(lines))
    return Figure(table, "Operations without MACs", key="others")


def _rule(operation: Operation) -> str:
    return f"{operation.rule}: {operation.formula}; source: {operation.source}."


def _sums(explanation: LayerExplanation) -> Iterator[Text]:
    work, layer = explanation.layer.work, explanation.layer
    if not layer.tallies:
        return
    whose = "The FLOPs of its own operations" if explanation.children else "Its FLOPs"
    yield Text(f"{whose}: two per MAC and one for any other operation")
    sign = "≥" if explanation.gaps else "="
    yield Text(
        f"FLOPs {sign} 2·{grouped(work.macs)} + {grouped(work.other)} = {grouped(work.flops)}",
        "formula",
    )


def _parameters(explanation: LayerExplanation) -> Iterator[Text | Figure]:
    layer = explanation.layer
    if explanation.parameters:
        yield Text("Its parameters")
        for term in explanation.parameters:
            yield Text(_equation(term.quantity, term), "formula")
        if len(explanation.parameters) > 1:
            values = " + ".join(grouped(term.value) for term in explanation.parameters)
            yield Text(f"params = {values} = {grouped(layer.params)}", "formula")
    elif layer.params:
        yield Text(
            f"{grouped(layer.params)} parameters; the report was saved without their shapes",
            "warning",
        )
    for name in layer.tied_to:
        yield Text(f"One of its parameters is {visible(name)} itself, and counts there.", "quiet")
    if explanation.letters:
        yield Figure(_letters(explanation.letters))


def _children(explanation: LayerExplanation) -> Figure:
    columns = (
        Column(key="path", title="module, with all in it", elastic=True),
        Column(key="params", title="params", numeric=True),
        Column(key="macs", title="MACs", numeric=True),
        Column(key="flops", title="FLOPs", numeric=True, priority=50),
    )
    layer, report = explanation.layer, explanation.report
    own = Totals(params=layer.params, macs=layer.macs, flops=layer.flops)
    lines = [
        _sum_line(visible(path), totals, bool(uncounted_in(report, path)))
        for path, totals in explanation.children
    ]
    if own != Totals() or explanation.gaps:
        lines.append(_sum_line("(own operations)", own, bool(explanation.gaps)))
    lines.append(_sum_line("total", explanation.below, bool(explanation.uncounted), role="total"))
    table = Table(columns=columns, lines=tuple(lines))
    return Figure(table, "What is in it", key="parts")


def _sum_line(label: str, totals: Totals, partial: bool, role: str = "layer") -> Line:
    bound = at_least(partial)
    macs, flops = (bound + grouped(value) for value in (totals.macs, totals.flops))
    return Line(cells=(label, grouped(totals.params), macs, flops), role=role)


def _gaps(explanation: LayerExplanation) -> Iterator[str]:
    for item in explanation.uncounted:
        yield f"no rule for {uncounted_text(item)}; the numbers are lower bounds"


def _macs(operation: Operation) -> int:
    return next((term.value for term in operation.terms if term.quantity == "macs"), 0)


def _layer_records(explanation: LayerExplanation) -> Iterator[dict[str, object]]:
    for operation in explanation.operations:
        for term in operation.terms:
            yield {
                "of": operation.op,
                "times": operation.times,
                **asdict(term),
                "total": term.value * operation.times,
            }
    for term in explanation.parameters:
        yield {"of": "parameter", "times": 1, **asdict(term), "total": term.value}
    for item in explanation.uncounted:
        # Unknown, which is not zero: the cells for numbers stay empty.
        unknown = dict.fromkeys(("formula", "numbers", "value", "total"), "")
        yield {"of": item.op, "times": item.count, "quantity": "uncounted", **unknown}


# ---- a model


def model_document(explanation: ModelExplanation) -> Document:
    """The network's number as everyone would quote it."""
    report = explanation.report
    return Document(
        title=tuple(summary.title(report)),
        circumstances=tuple(summary.circumstances(report)),
        blocks=(
            Text("One network, one record of what ran, counted as each of these counts:"),
            Figure(_quotes(explanation), key="conventions"),
        ),
        notes=(
            *explanation.missing,
            *(summary.note_text(note) for note in summary.notes(report)),
        ),
        data=explanation.to_dict(),
        records=tuple(_model_records(explanation)),
    )


def _quotes(explanation: ModelExplanation) -> Table:
    macs, bound = explanation.report.totals.macs, at_least(not explanation.report.complete)
    columns = (
        Column(key="name", title="convention"),
        Column(key="total", title="number", numeric=True),
        Column(key="short", title="", numeric=True, priority=40),
        Column(key="ratio", title="÷ MACs", numeric=True, priority=60),
        Column(key="includes", title="what it includes", prose=True),
    )
    lines = tuple(
        Line(
            cells=(
                quote.convention.name,
                bound + grouped(quote.total),
                bound + short(quote.total),
                f"{quote.total / macs:.3f}" if macs else "–",
                _sentence(quote),
            )
        )
        for quote in explanation.quotes
    )
    return Table(columns=columns, lines=lines)


def _sentence(quote: Quote) -> str:
    told = (quote.convention.includes, quote.convention.misses)
    text = " ".join(part[:1].upper() + part[1:].rstrip(".") + "." for part in told if part)
    parts = ", ".join(
        f"{'+' if value > 0 else '−'}{short(abs(value))} {visible(kind)}"
        for kind, value in quote.parts.items()
    )
    text = f"{text} In this network: {parts}." if parts else text
    # The tool's own number may be another one here.
    return " ".join([text, *(f"Not exact here: {remark}." for remark in quote.remarks)])


def _model_records(explanation: ModelExplanation) -> Iterator[dict[str, object]]:
    for quote in explanation.quotes:
        yield {
            "convention": quote.convention.name,
            "at_least": not explanation.report.complete,
            "total": quote.total,
            "unit": quote.convention.unit,
            "includes": quote.convention.includes,
            "misses": quote.convention.misses,
        }
