"""Several reports side by side: `compare(*reports)` and what it gives. Standard library only.

All numbers are the reports' own integers; ratios are fractions of them, and nothing here rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from cnnstat.comparing.alignment import Alignment, align, related
from cnnstat.comparing.stages import StageRow, stage_rows
from cnnstat.errors import SpecError
from cnnstat.report import KindTotal, Report

if TYPE_CHECKING:
    import pandas
    from rich.console import RenderableType

By = Literal["layer", "stage"]
"""How the layers of two networks are set beside each other."""

METRICS: Mapping[str, Callable[[Report], int]] = {
    "params": lambda report: report.totals.params,
    "macs": lambda report: report.totals.macs,
    "flops": lambda report: report.totals.flops,
    "activations": lambda report: report.totals.activations,
    "bytes": lambda report: report.totals.param_bytes,
    "depth": lambda report: sum(layer.macs > 0 for layer in report.layers),
    "quoted": lambda report: report.totals.quoted,
}
"""What is compared. `bytes` are those of the parameters; `depth` counts layers with MACs of their own."""

_OF_PARAMETERS = ("params", "bytes")
"""What is known in full whatever ran."""

Bound = Literal["", "≥", "≤", "?"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One number to that of the baseline."""

    part: int
    """The number."""
    whole: int
    """The baseline's."""
    bound: Bound = ""
    """`≥` or `≤` where one of the two is a lower bound; `?` where both are: then it says nothing."""

    @property
    def value(self) -> Fraction | None:
        """Exactly; `None` where the baseline has none of it, or nothing is known."""
        return Fraction(self.part, self.whole) if self.whole and self.bound != "?" else None


@dataclass(frozen=True)
class Model:
    """One of the models that are compared."""

    label: str
    """What it is called here; no other model of the comparison is called the same."""
    report: Report
    """What it costs."""
    given: str = ""
    """How it was asked for, where that is known."""

    def value(self, metric: str) -> int:
        """One of `METRICS`."""
        return self._values[metric]

    def at_least(self, metric: str) -> bool:
        """Whether the value leaves out operations without a rule."""
        return metric not in _OF_PARAMETERS and not self.report.complete

    @cached_property
    def _values(self) -> dict[str, int]:
        return {name: measure(self.report) for name, measure in METRICS.items()}

    @property
    def kinds(self) -> Mapping[str, KindTotal]:
        """What each kind costs, parameters by the layer's and work by the operation's; adds up."""
        return self.report.kinds


@dataclass(frozen=True)
class Comparison:
    """Several reports side by side.

    >>> import cnnstat
    >>> reports = [cnnstat.analyze(name) for name in ("resnet50", "mobilenet_v2")]
    >>> comparison = cnnstat.compare(*reports)
    >>> float(comparison.ratio("mobilenet_v2", "macs").value)
    0.07355361...
    """

    models: tuple[Model, ...]
    """In the order in which they were given."""
    baseline: Model
    """The one that ratios refer to."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What the models are called."""
        return tuple(model.label for model in self.models)

    def model(self, name: str) -> Model:
        """The model of that label, specification or name. Raises `SpecError`, listing the labels."""
        return _find(self.models, name)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is compared; `quoted` where all quote one convention other than MACs."""
        conventions = {model.report.convention for model in self.models}
        quoted = len(conventions) == 1 and conventions != {"macs"}
        return tuple(name for name in METRICS if name != "quoted" or quoted)

    def ratio(self, model: Model | str, metric: str) -> Ratio:
        """A model's value to the baseline's."""
        one = self.model(model) if isinstance(model, str) else model
        part, whole = one.value(metric), self.baseline.value(metric)
        if one is self.baseline:
            return Ratio(part, whole)
        return Ratio(part, whole, _BOUNDS[one.at_least(metric), self.baseline.at_least(metric)])

    @property
    def others(self) -> tuple[Model, ...]:
        """All models but the baseline."""
        return tuple(model for model in self.models if model is not self.baseline)

    @cached_property
    def by(self) -> By:
        """How `layers` sets them side by side: variants of one network by layer, others by stage."""
        if len(self.others) != 1:
            return "stage"
        reports = self.baseline.report, self.others[0].report
        return "layer" if related(*reports, lambda: self.alignment) else "stage"

    @cached_property
    def alignment(self) -> Alignment:
        """The baseline's layers beside those of the other model. Raises `SpecError` for several."""
        if len(self.others) != 1:
            raise SpecError(
                f"layers are aligned for two models, and there are {len(self.models)}",
                hint="compare them by stage, or two at a time",
            )
        return align(self.baseline.report, self.others[0].report)

    @cached_property
    def stages(self) -> tuple[StageRow, ...]:
        """What each model spends at each spatial size, in the order of `models`."""
        return stage_rows([model.report for model in self.models])

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What makes the models less comparable than they look."""
        from cnnstat.comparing.comparison_data import differences

        return tuple(differences(self.models))

    # As data

    def to_dict(self, *, layers: bool = False, by: By | None = None) -> dict[str, Any]:
        """The JSON document as plain values; its form is described in `cnnstat.comparing.comparison_data`."""
        from cnnstat.comparing.comparison_data import comparison_to_dict

        return comparison_to_dict(self, layers=layers, by=by)

    def to_json(self, *, layers: bool = False, by: By | None = None) -> str:
        """`to_dict` as indented JSON, with a final newline."""
        from cnnstat.schema import dump

        return dump(self.to_dict(layers=layers, by=by))

    def to_frame(self) -> pandas.DataFrame:
        """One row for each model and metric, and for the MACs of each kind (pandas is imported here).

        Columns: model, metric, kind, value, baseline, at_least, ratio. `kind` is empty for totals;
        `at_least` says that the value is a lower bound, and `ratio` is missing where it would be a bound.
        """
        import pandas

        from cnnstat.comparing.comparison_data import total_records

        rows = total_records(self)
        ratios = {(m.label, name): self.ratio(m, name) for m in self.models for name in METRICS}
        frame = pandas.DataFrame(rows)
        frame["ratio"] = [
            row["value"] / row["baseline"]
            if row["baseline"] and not ratios[row["model"], row["metric"]].bound
            else None
            for row in rows
        ]
        return frame

    def layers_frame(self, by: By | None = None) -> pandas.DataFrame:
        """One row for each pair of layers, or for each stage and model (pandas is imported here).

        By layer: change, and path, kind, output, at_least, params, macs, flops and activations `_before`
        and `_after`, the counts with their `_difference`. `at_least` says that the layer has operations
        without a rule: its work is a lower bound, and what depends on it has no difference. By stage:
        stage, model, layers, params, macs, flops, activations, uncounted.
        """
        import pandas

        from cnnstat.comparing.comparison_data import layer_records

        records = layer_records(self, by)
        differences = [name for name in (records[:1] or [{}])[0] if name.endswith("_difference")]
        # Integers, also where some are missing.
        return pandas.DataFrame(records).astype(dict.fromkeys(differences, "Int64"))

    # As a picture

    def __repr__(self) -> str:
        from cnnstat.units import short

        # Without quotes, but with every control character escaped.
        parts = (f"{repr(m.label)[1:-1]} {short(m.value('macs'))} MACs" for m in self.models)
        return f"Comparison({', '.join(parts)})"

    def _repr_html_(self) -> str:
        from cnnstat.render.comparison import comparison_document
        from cnnstat.render.html import document_fragment

        return document_fragment(comparison_document(self))

    def __rich__(self) -> RenderableType:
        from cnnstat.render.comparison import RichComparison

        return RichComparison(self)


def compare(*reports: Report, baseline: str | None = None) -> Comparison:
    """Set two or more reports side by side.

    Ratios are to the first, or to the one that `baseline` names: its label, specification or name.
    Models of one name are told apart by specification, or by a number. Raises `SpecError` for fewer
    than two reports, for anything that is none, and for an unknown baseline.
    """
    return compare_given(reports, [""] * len(reports), baseline)


def compare_given(
    reports: Sequence[object], given: Sequence[str], baseline: str | None = None
) -> Comparison:
    """`compare`, with how each report was asked for: a file's name tells apart what it holds."""
    measured = [report for report in reports if isinstance(report, Report)]
    for other in reports:
        if not isinstance(other, Report):
            call = (
                f"cnnstat.analyze({other!r:.60})" if isinstance(other, str) else "cnnstat.analyze"
            )
            raise SpecError(
                f"cannot compare {type(other).__name__} {other!r:.60}: it is no report",
                hint=f"measure it first with {call}, or read a saved one with cnnstat.Report.from_json",
            )
    if len(reports) < 2:
        number = "one model was" if reports else "no models were"
        raise SpecError(
            f"{number} given, and a comparison needs two", hint="cnnstat summary shows one"
        )
    models = tuple(
        Model(label, report, text)
        for label, report, text in zip(_labels(measured, given), measured, given, strict=True)
    )
    return Comparison(models, models[0] if baseline is None else _find(models, baseline))


def _labels(reports: Sequence[Report], given: Sequence[str]) -> list[str]:
    """Names; where they are not enough, specifications, then what was given, then numbers."""
    names = [report.name for report in reports]
    choices = (names, [str(report.subject.get("spec", "")) for report in reports], list(given))
    labels: list[str] = []
    for n, name in enumerate(names):
        same = [m for m, other in enumerate(names) if other == name]
        apart = [choice for choice in choices if len({choice[m] for m in same} - {""}) == len(same)]
        label = apart[0][n] if apart else name
        taken, number = set(labels), 1
        while (unique := label if number == 1 else f"{label} #{number}") in taken:
            number += 1
        labels.append(unique)
    return labels


def _find(models: Sequence[Model], name: str) -> Model:
    keys: tuple[Callable[[Model], object], ...] = (
        lambda model: model.label,
        lambda model: model.given,
        lambda model: model.report.subject.get("spec"),
        lambda model: model.report.name,
    )
    known = ", ".join(repr(model.label) for model in models)
    for key in keys:
        found = [model for model in models if key(model) == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise SpecError(f"{name!r} is the name of several models", hint=f"one of: {known}")
    raise SpecError(f"no model {name!r} in the comparison", hint=f"one of: {known}")


_BOUNDS: Mapping[tuple[bool, bool], Bound] = {
    (False, False): "",
    (True, False): "≥",
    (False, True): "≤",
    (True, True): "?",
}
