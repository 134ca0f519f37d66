"""A comparison as plain values: the JSON document, the rows of tables for programs, and its notes.

The document, schema 1, with every count an exact integer; ratios are left to whoever reads it:

    {"schema": 1, "document": "comparison",
     "comparison": [LABEL],
     "baseline": LABEL,
     "models": [{"label", "subject", "convention", "complete", "inputs", "mode", "phases",
                 "values": {"params", "macs", "flops", "activations", "bytes", "depth"},
                 "kinds": {KIND: {"params", "macs", "flops", "activations"}}}],
     "layers": LAYERS,
     "notes": [TEXT]}

Work is a lower bound where `complete` is false. `values` has `quoted` too where all models quote one
convention other than MACs. LAYERS is there only where layers were asked for: by layer

    {"by": "layer", "before": LABEL, "after": LABEL,
     "counts": {"added", "removed", "changed", "unchanged"},
     "pairs": [{"change", "before": LAYER or null, "after": LAYER or null}]}

with LAYER as {"path", "type", "kind", "output", "params", "macs", "flops", "activations", "uncounted"},
or by stage

    {"by": "stage",
     "stages": [{"stage": "56×56", "size": [56, 56], "unit",
                 "models": {LABEL: {"layers", "params", "macs", "flops", "activations", "uncounted"}}}]}

where `unit` is "tokens" or "length" for sequences, and `size` is empty where there is no spatial size.
`uncounted` says how many operations have no rule: while there is one, the work beside it is a lower bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cnnstat.comparing.alignment import Pair
from cnnstat.comparing.stages import Shape, StagePart, inputs
from cnnstat.report import SCHEMA, Layer, Report

if TYPE_CHECKING:
    from cnnstat.comparing.comparison import By, Comparison, Model

_COUNTS = ("params", "macs", "flops", "activations")

_NAMED = 3
"""How many models a note names."""


def comparison_to_dict(
    comparison: Comparison, *, layers: bool = False, by: By | None = None
) -> dict[str, Any]:
    """The document as plain values, in the order shown above."""
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "document": "comparison",
        "comparison": list(comparison.labels),
        "baseline": comparison.baseline.label,
        "models": [_model(model, comparison.metrics) for model in comparison.models],
    }
    if layers:
        aligned = (by or comparison.by) == "layer"
        made["layers"] = _aligned(comparison) if aligned else _staged(comparison)
    return {**made, "notes": list(comparison.notes)}


def _model(model: Model, metrics: Sequence[str]) -> dict[str, Any]:
    report = model.report
    return {
        "label": model.label,
        "subject": dict(report.subject),
        "convention": report.convention,
        "complete": report.complete,
        **{key: report.meta.get(key) for key in ("inputs", "mode", "phases")},
        "values": {name: model.value(name) for name in metrics},
        "kinds": dict(_by_kind(report)),
    }


def _by_kind(report: Report) -> Iterator[tuple[str, dict[str, int]]]:
    """What each kind costs, where it costs anything."""
    for kind, total in report.kinds.items():
        counts = {name: getattr(total, name) for name in _COUNTS}
        if any(counts.values()):
            yield kind, counts


def _aligned(comparison: Comparison) -> dict[str, Any]:
    alignment = comparison.alignment
    gaps = [_gaps(model.report) for model in (comparison.baseline, comparison.others[0])]
    return {
        "by": "layer",
        "before": comparison.baseline.label,
        "after": comparison.others[0].label,
        "counts": dict(alignment.counts),
        "pairs": [
            {
                "change": pair.change,
                "before": _layer(pair.before, gaps[0]) if pair.before else None,
                "after": _layer(pair.after, gaps[1]) if pair.after else None,
            }
            for pair in alignment.pairs
        ],
    }


def _gaps(report: Report) -> Counter[str]:
    """How many operations without a rule each layer has."""
    gaps: Counter[str] = Counter()
    for item in report.uncounted:
        gaps[item.layer] += item.count
    return gaps


def _layer(layer: Layer, gaps: Counter[str]) -> dict[str, Any]:
    return {
        "path": layer.path,
        "type": layer.type,
        "kind": layer.kind,
        "output": list(layer.outputs[0]) if layer.outputs else None,
        **_counts(layer),
        "uncounted": gaps[layer.path],
    }


def _counts(layer: Layer | None) -> dict[str, int]:
    if layer is None:
        return dict.fromkeys(_COUNTS, 0)
    work = layer.work
    return {
        "params": layer.params,
        "macs": work.macs,
        "flops": work.flops,
        "activations": work.activations,
    }


def _staged(comparison: Comparison) -> dict[str, Any]:
    return {
        "by": "stage",
        "stages": [
            {
                "stage": row.stage.label,
                "size": list(row.stage.size),
                "unit": row.stage.unit,
                "models": {
                    label: _stage_part(part)
                    for label, part in zip(comparison.labels, row.parts, strict=True)
                },
            }
            for row in comparison.stages
        ],
    }


def _stage_part(part: StagePart) -> dict[str, int]:
    counts = {name: getattr(part.totals, name) for name in _COUNTS}
    return {"layers": part.layers, **counts, "uncounted": part.uncounted}


# Rows


def total_records(comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each model and metric, and for the MACs of each kind that any model has."""
    kinds = dict.fromkeys(
        kind for model in comparison.models for kind, part in model.kinds.items() if part.macs
    )
    rows = []
    for model in comparison.models:
        base = comparison.baseline
        for metric in comparison.metrics:
            row = (model.value(metric), base.value(metric))
            rows.append(_record(model, metric, "", *row))
        for kind in kinds:
            macs = [m.kinds[kind].macs if kind in m.kinds else 0 for m in (model, base)]
            rows.append(_record(model, "macs", kind, *macs))
    return rows


def _record(model: Model, metric: str, kind: str, value: int, base: int) -> dict[str, Any]:
    return {
        "model": model.label,
        "metric": metric,
        "kind": kind,
        "value": value,
        "baseline": base,
        "at_least": model.at_least(metric),
    }


def layer_records(comparison: Comparison, by: By | None = None) -> list[dict[str, Any]]:
    """One row for each pair of layers, or for each stage and model."""
    if (by or comparison.by) == "layer":
        gaps = [_gaps(model.report) for model in (comparison.baseline, comparison.others[0])]
        return [_pair_record(pair, gaps) for pair in comparison.alignment.pairs]
    return [
        {"stage": row.stage.label, "model": label, **_stage_part(part)}
        for row in comparison.stages
        for label, part in zip(comparison.labels, row.parts, strict=True)
    ]


def _pair_record(pair: Pair, gaps: Sequence[Counter[str]]) -> dict[str, Any]:
    """What is not known in full says so, and has no difference."""
    row: dict[str, Any] = {"change": pair.change}
    sides = (("before", pair.before), ("after", pair.after))
    partial = [layer is not None and gaps[n][layer.path] > 0 for n, (_, layer) in enumerate(sides)]
    for (side, layer), bound in zip(sides, partial, strict=True):
        shape = layer.outputs[0] if layer and layer.outputs else ()
        row[f"path_{side}"] = layer.path if layer else ""
        row[f"kind_{side}"] = layer.kind if layer else ""
        row[f"output_{side}"] = "x".join(map(str, shape))
        row[f"at_least_{side}"] = bound
    before, after = _counts(pair.before), _counts(pair.after)
    for name in _COUNTS:
        row[f"{name}_before"], row[f"{name}_after"] = before[name], after[name]
        unknown = any(partial) and name != "params"
        row[f"{name}_difference"] = None if unknown else after[name] - before[name]
    return row


# Notes


def differences(models: Sequence[Model]) -> Iterator[str]:
    """What makes models less comparable than they look: a sentence each."""
    given = [inputs(model.report) for model in models]
    if len({repr(shapes) for shapes in given}) > 1:
        rest = {repr([(dtype, shape[1:]) for dtype, shape in shapes]) for shapes in given}
        if len(rest) == 1 and all(given):
            batches = [str(shapes[0][1][0]) if shapes[0][1] else "" for shapes in given]
            yield (
                f"batch sizes differ: {_listed(models, batches)}; "
                "MACs, FLOPs and activations grow with the batch, parameters do not"
            )
        else:
            texts = [_inputs_text(shapes) for shapes in given]
            yield f"inputs differ: {_listed(models, texts)}; work grows with the input"
    for what, values in (
        ("modes", [str(model.report.meta.get("mode", "")) for model in models]),
        ("passes", [_phases(model.report) for model in models]),
        ("conventions", [model.report.convention for model in models]),
    ):
        if len(set(values)) > 1:
            end = "; MACs and FLOPs mean the same under all" if what == "conventions" else ""
            yield f"{what} differ: {_listed(models, values)}{end}"
    for model in models:
        for note in model.report.notes:
            if note.kind == "data-dependent":
                yield f"{model.label}: {note.text}"


def _inputs_text(shapes: list[tuple[str, Shape]]) -> str:
    texts = [f"{'×'.join(map(str, shape)) or 'scalar'} {dtype}".strip() for dtype, shape in shapes]
    return " + ".join(texts)


def _phases(report: Report) -> str:
    phases = report.meta.get("phases")
    return " + ".join(map(str, phases)) if isinstance(phases, list | tuple) else ""


def _listed(models: Sequence[Model], values: Sequence[str]) -> str:
    """`1×3×224×224 (resnet50, vgg16), 1×3×299×299 (inception_v3)`."""
    groups: dict[str, list[str]] = {}
    for model, value in zip(models, values, strict=True):
        groups.setdefault(value or "not recorded", []).append(model.label)
    return ", ".join(f"{value} ({_names(labels)})" for value, labels in groups.items())


def _names(labels: list[str]) -> str:
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return ", ".join(labels[:_NAMED]) + more
