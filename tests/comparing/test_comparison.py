from __future__ import annotations

import json
from dataclasses import fields, replace
from fractions import Fraction
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cnnstat.comparing.comparison import METRICS, Comparison, compare, compare_given
from cnnstat.errors import SpecError
from cnnstat.render.base import View
from cnnstat.render.comparison import ComparisonView, comparison_document
from cnnstat.render.terminal import TableRenderer
from cnnstat.report import Note, Report
from tests.processes import loaded
from tests.reports import REPORTS, conv, empty, linear, module, normal, quoting, report, unknown


def small(name: str = "small", **fields: Any) -> Report:
    """432 parameters and 442,368 MACs in a convolution; 330 and 320 in a linear layer."""
    return report(
        name,
        module("", "Net", "container", (1, 3, 32, 32), (1, 10)),
        conv("stem", "standard", (1, 3, 32, 32), (1, 16, 32, 32), 3),
        linear("head", (1, 32), (1, 10)),
        **fields,
    )


def large(name: str = "large") -> Report:
    """Twice the channels: 864 parameters and 884,736 MACs; the same linear layer."""
    return report(
        name,
        module("", "Net", "container", (1, 3, 32, 32), (1, 10)),
        conv("stem", "standard", (1, 3, 32, 32), (1, 32, 32, 32), 3),
        linear("head", (1, 32), (1, 10)),
    )


def measured(made: Report, **meta: Any) -> Report:
    return replace(made, meta={**made.meta, **meta})


def of_input(made: Report, *shape: int) -> Report:
    return measured(made, inputs=[{"name": "x", "shape": list(shape), "dtype": "float32"}])


# Numbers


def test_values_and_exact_ratios() -> None:
    comparison = compare(small(), large())
    values = {name: comparison.model("large").value(name) for name in comparison.metrics}
    assert values == {
        "params": 864 + 330,
        "macs": 884736 + 320,
        "flops": 2 * (884736 + 320),
        "activations": 32 * 32 * 32 + 10,
        "bytes": 4 * (864 + 330),
        "depth": 2,
    }
    assert comparison.ratio("large", "macs").value == Fraction(885056, 442688)
    assert comparison.ratio("small", "macs").value == 1
    assert compare(small(), large(), baseline="large").ratio("small", "params").value == Fraction(
        762, 1194
    )


def test_depth_counts_layers_with_macs_of_their_own() -> None:
    # stem, dw, pw, gc, two of the squeeze-and-excitation, head
    assert compare(normal(), empty()).model("littlenet").value("depth") == 7


def test_nothing_in_the_baseline_has_no_ratio() -> None:
    comparison = compare(empty(), small())
    assert comparison.ratio("small", "macs").value is None
    assert comparison.ratio("small", "macs").bound == ""


def test_ratios_of_lower_bounds_are_bounds() -> None:
    comparison = compare(small(), unknown())
    assert comparison.ratio("gappy", "macs").bound == "≥"
    assert comparison.ratio("gappy", "macs").value == Fraction(442368, 442688)
    assert comparison.ratio("gappy", "params").bound == ""  # parameters are known in full
    assert comparison.ratio("small", "macs").bound == ""
    assert compare(unknown(), small()).ratio("small", "macs").bound == "≤"
    both = compare(unknown(), unknown())
    assert both.ratio("gappy #2", "macs").bound == "?"
    assert both.ratio("gappy #2", "macs").value is None
    assert both.ratio("gappy", "macs").value == 1  # to itself


@pytest.mark.parametrize("name", REPORTS)
def test_kinds_add_up_to_the_totals(name: str) -> None:
    model = compare(REPORTS[name](), small()).models[0]
    for field in ("params", "macs", "flops", "activations"):
        total = sum(getattr(part, field) for part in model.kinds.values())
        assert total == getattr(model.report.totals, field)


def test_kinds_are_those_of_the_report() -> None:
    from tests.measured import analyze

    made = analyze("mobilenet_v3_large")
    kinds = compare(made, small()).models[0].kinds
    for kind, total in made.kinds.items():
        for field in ("params", "macs", "flops", "activations"):
            found = getattr(kinds[kind], field) if kind in kinds else 0
            assert found == getattr(total, field), (kind, field)


def test_a_convention_that_all_quote_is_compared_too() -> None:
    assert compare(quoting(), quoting()).metrics[-1] == "quoted"
    assert "quoted" not in compare(quoting(), normal()).metrics
    assert set(METRICS) == {*compare(normal(), normal()).metrics, "quoted"}


# Names


def test_models_of_one_name_are_told_apart() -> None:
    def named(name: str, spec: str) -> Report:
        return replace(small(), subject={"name": name, "spec": spec})

    def labels(*specs: tuple[str, str], given: list[str] | None = None) -> tuple[str, ...]:
        reports = [named(*spec) for spec in specs]
        return compare_given(reports, given or [""] * len(reports)).labels

    assert labels(("a", "zoo:a"), ("b", "zoo:b")) == ("a", "b")
    assert labels(("a", "tv:a"), ("a", "timm:a"), ("b", "zoo:b")) == ("tv:a", "timm:a", "b")
    assert labels(("a", "a"), ("a", "a"), given=["x.json", "y.json"]) == ("x.json", "y.json")
    assert labels(("a", "a"), ("a", "a"), ("a", "a")) == ("a", "a #2", "a #3")
    assert labels(("a", ""), ("a", "")) == ("a", "a #2")
    assert labels(("a", "x"), ("a", "b"), ("b", "")) == ("x", "b", "b #2")


@pytest.mark.parametrize("name", ["large", "zoo:large", "big.json"])
def test_the_baseline_goes_by_label_specification_name_or_as_given(name: str) -> None:
    comparison = compare_given([small(), large()], ["small.json", "big.json"], name)
    assert comparison.baseline.label == "large"
    assert [model.label for model in comparison.others] == ["small"]


def test_a_name_that_fits_several_models_is_no_baseline() -> None:
    with pytest.raises(SpecError, match="'small' is the name of several models") as caught:
        compare_given([small(), small()], ["a.json", "b.json"], "small")
    assert caught.value.hint == "one of: 'a.json', 'b.json'"


def test_an_unknown_baseline_is_told_with_all_labels() -> None:
    with pytest.raises(SpecError, match="no model 'vgg'") as caught:
        compare(small(), large(), baseline="vgg")
    assert caught.value.hint == "one of: 'small', 'large'"


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        ((), "no models were given"),
        ((small(),), "one model was given, and a comparison needs two"),
        ((small(), "resnet50"), "cannot compare str 'resnet50': it is no report"),
        ((None, small()), "cannot compare NoneType None"),
    ],
)
def test_what_is_no_comparison(reports: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        compare(*reports)


def test_names_are_to_be_measured_first() -> None:
    with pytest.raises(SpecError) as caught:
        compare("alexnet", "resnet18")  # type: ignore[arg-type]
    assert "cnnstat.analyze('alexnet')" in caught.value.hint


@pytest.mark.parametrize("shape", [["a", 3, "b", "c"], [1, 3, None, 2.5], [True, 3, 8, 8], "1x3"])
def test_a_shape_that_is_no_list_of_integers_is_not_known(shape: Any) -> None:
    inputs = [{"name": "x", "shape": shape, "dtype": "float32"}]
    comparison = compare(small(), measured(large(), inputs=inputs))
    assert comparison.notes == (
        "inputs differ: 1×3×32×32 float32 (small), not recorded (large); work grows with the input",
    )
    assert [part.stride for part in comparison.stages[0].parts] == [1, None]


# Layers


def test_variants_are_compared_by_layer_and_others_by_stage() -> None:
    assert compare(small(), large()).by == "layer"
    assert compare(small(), REPORTS["strange"]()).by == "stage"
    assert compare(small(), large(), large()).by == "stage"
    with pytest.raises(SpecError, match="aligned for two models, and there are 3"):
        _ = compare(small(), large(), large()).alignment


def test_the_alignment_starts_from_the_baseline() -> None:
    comparison = compare(small(), normal(), baseline="littlenet")
    assert comparison.alignment.totals == (normal().totals, small().totals)


# Notes


def notes(*reports: Report) -> list[str]:
    return list(compare(*reports).notes)


def test_what_differs_is_said() -> None:
    assert notes(small(), large()) == []
    assert notes(of_input(small(), 1, 3, 8, 8), of_input(large(), 4, 3, 8, 8)) == [
        "batch sizes differ: 1 (small), 4 (large); MACs, FLOPs and activations grow with the batch, "
        "parameters do not"
    ]
    assert notes(of_input(small(), 1, 3, 8, 8), of_input(large(), 1, 3, 9, 9)) == [
        "inputs differ: 1×3×8×8 float32 (small), 1×3×9×9 float32 (large); work grows with the input"
    ]
    assert notes(small(), measured(large(), inputs=None))[0].startswith("inputs differ")
    assert notes(small(), measured(large(), mode="train")) == [
        "modes differ: eval (small), train (large)"
    ]
    phases = ["forward", "backward"]
    assert notes(small(), measured(large(), phases=phases)) == [
        "passes differ: forward (small), forward + backward (large)"
    ]
    assert notes(small(), quoting()) == [
        "conventions differ: macs (small), fvcore (littlenet); MACs and FLOPs mean the same under all"
    ]
    shaky = replace(large(), notes=(Note("data-dependent", "ran for real"),))
    assert notes(small(), shaky) == ["large: ran for real"]


def test_of_many_models_a_few_are_named() -> None:
    made = [of_input(small(name), 1, 3, 8, 8) for name in "abcde"] + [
        of_input(small("f"), 1, 3, 9, 9)
    ]
    assert "1×3×8×8 float32 (a, b, c and 2 more), 1×3×9×9 float32 (f)" in notes(*made)[0]


# Data


def whole_numbers(value: Any) -> bool:
    if isinstance(value, dict):
        return all(whole_numbers(item) for item in value.values())
    if isinstance(value, list):
        return all(whole_numbers(item) for item in value)
    return not isinstance(value, float)


@pytest.mark.parametrize("by", [None, "layer", "stage"])
@pytest.mark.parametrize("name", REPORTS)
def test_the_document_is_exact_and_adds_up(name: str, by: Any) -> None:
    comparison = compare(REPORTS[name](), small())
    document = json.loads(comparison.to_json(layers=True, by=by))
    assert document == comparison.to_dict(layers=True, by=by)
    assert whole_numbers(document)
    keys = ["schema", "document", "comparison", "baseline", "models", "layers", "notes"]
    assert list(document) == keys
    assert document["document"] == "comparison"
    for model, made in zip(document["models"], comparison.models, strict=True):
        assert model["values"]["macs"] == made.report.totals.macs
        assert sum(kind["macs"] for kind in model["kinds"].values()) == made.report.totals.macs
    for field in ("params", "macs", "flops", "activations"):
        layers = document["layers"]
        for place, model in zip(("before", "after"), comparison.models, strict=True):
            if layers["by"] == "layer":
                total = sum(pair[place][field] for pair in layers["pairs"] if pair[place])
            else:
                total = sum(stage["models"][model.label][field] for stage in layers["stages"])
            assert total == getattr(model.report.totals, field)


def test_without_layers_the_document_has_none() -> None:
    assert "layers" not in compare(small(), large()).to_dict()


def test_frames() -> None:
    comparison = compare(small(), large(), unknown())
    frame = comparison.to_frame()
    assert list(frame.columns) == [
        *("model", "metric", "kind", "value", "baseline", "at_least", "ratio")
    ]
    totals = frame[frame.kind == ""].set_index(["model", "metric"])
    assert totals.loc[("large", "macs"), "value"] == 885056
    assert totals.loc[("large", "macs"), "ratio"] == 885056 / 442688
    assert totals.loc[("gappy", "macs"), "at_least"]
    assert totals.ratio.isna().sum() == 4  # macs, flops, activations and depth of gappy
    kinds = frame[frame.kind != ""]
    assert kinds[kinds.model == "large"].value.sum() == 885056
    stages = comparison.layers_frame()
    assert stages.groupby("model").macs.sum()["large"] == 885056
    layers = compare(small(), large()).layers_frame()
    assert layers.macs_difference.sum() == 885056 - 442688
    assert list(layers.change) == ["changed", "unchanged"]


def test_unknown_work_is_marked_in_every_row_and_has_no_difference() -> None:
    frame = compare(small(), unknown()).layers_frame("layer").set_index("path_after")
    row = frame.loc["body.fused"]  # three operations without a rule, and nothing before
    assert (row.at_least_before, row.at_least_after) == (False, True)
    assert row.macs_after == 0
    for name in ("macs", "flops", "activations"):
        assert frame[f"{name}_difference"].isna().sum() == 2  # body.fused, and the root's own
    assert row.params_difference == 0  # parameters are known in full
    assert frame.loc["stem", "macs_difference"] == 0
    pairs = compare(small(), unknown()).to_dict(layers=True, by="layer")["layers"]["pairs"]
    gaps = {pair["after"]["path"]: pair["after"]["uncounted"] for pair in pairs if pair["after"]}
    assert gaps == {"": 1, "stem": 0, "body.fused": 3}


# Pictures


def test_how_it_looks_in_a_notebook_and_in_rich() -> None:
    comparison = compare(small(), unknown())
    assert repr(comparison) == "Comparison(small 442.7 k MACs, gappy 442.4 k MACs)"
    html = comparison._repr_html_()
    assert html.startswith('<div class="cnnstat">')
    assert "≥ 442,368" in html
    out = StringIO()
    Console(file=out, width=80, color_system=None).print(comparison)
    drawn = comparison_document(comparison, ComparisonView(width=80))
    text = TableRenderer().draw(drawn, View(width=80))
    assert [line.rstrip() for line in out.getvalue().splitlines()] == text.splitlines()


def test_comparing_saved_reports_loads_nothing_heavy() -> None:
    code = """
import cnnstat
from tests.reports import normal, unknown
from cnnstat.comparing.comparison import compare
made = compare(cnnstat.Report.from_json(normal().to_json()), unknown())
made.to_json(layers=True); made._repr_html_(); repr(made); made.stages
"""
    assert not loaded(code) & {"torch", "torchvision", "pandas", "numpy", "rich", "typer"}


def test_a_comparison_cannot_be_changed() -> None:
    assert [field.name for field in fields(Comparison)] == ["models", "baseline"]
    with pytest.raises(AttributeError):
        compare(small(), large()).models = ()  # type: ignore[misc]
