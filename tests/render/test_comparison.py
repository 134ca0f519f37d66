from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnstat.comparing.alignment import align
from cnnstat.comparing.comparison import Comparison, compare
from cnnstat.errors import OutputError, SpecError
from cnnstat.render.alignment import alignment_rows
from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.render.comparison import ComparisonView, comparison_document, sorted_models
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.table import Table, width
from cnnstat.report import Report
from tests.comparing.test_alignment import sequential
from tests.comparing.test_comparison import large, measured, of_input, small
from tests.conftest import Golden
from tests.reports import REPORTS, normal, unknown

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = [80, 100, 120, 160, 200]


def named(made: Report, name: str) -> Report:
    return replace(made, subject={**made.subject, "name": name})


def dozen() -> Comparison:
    makers = [normal, unknown, small, large]
    return compare(*(named(makers[n % 4](), f"network_number_{n:02}") for n in range(12)))


def draw(comparison: Comparison, format: str = "table", **fields: Any) -> str:
    view = ComparisonView(**fields)
    document = comparison_document(comparison, view)
    return renderer(format).draw(document, View(width=view.width))


def figures(document: Document) -> list[Figure]:
    return [block for block in document.blocks if isinstance(block, Figure)]


def number(cell: str) -> int:
    return int(cell.removeprefix("≥ ").replace(",", "").replace("–", "0"))


def adds_up(table: Table, key: str) -> None:
    *parts, total = table.column(key)
    assert sum(map(number, parts)) == number(total), key


CASES: dict[str, tuple[Comparison, dict[str, Any]]] = {
    "layers": (compare(normal(), unknown()), {"by": "layer", "width": 100}),
    "stages": (compare(normal(), small(), REPORTS["strange"]()), {"layers": True, "width": 80}),
    "dozen": (dozen(), {"sort": "params", "width": 80}),
}


@pytest.mark.parametrize("format", ["table", "json", "csv", "markdown"])
@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, format: str, golden: Golden) -> None:
    comparison, fields = CASES[name]
    extension = renderer(format).extensions[0]
    fields = fields if format == "table" else {**fields, "width": None}
    golden(GOLDEN / f"compare-{name}{extension}", draw(comparison, format, **fields))


# Room


@pytest.mark.parametrize("room", WIDTHS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("by", [None, "layer", "stage"])
def test_no_line_is_wider_than_asked(name: str, by: Any, room: int) -> None:
    comparison, _ = CASES[name]
    if by == "layer" and len(comparison.models) > 2:
        return
    for line in draw(comparison, layers=True, by=by, width=room).splitlines():
        assert width(line) <= room, line


@pytest.mark.parametrize("room", WIDTHS)
def test_a_dozen_models_show_at_least_params_macs_and_ratio(room: int) -> None:
    table = figures(comparison_document(dozen(), ComparisonView(width=room)))[0].table
    keys = [column.key for column in table.columns]
    assert len(table.lines) == 12
    assert {"model", "params", "macs", "macs_ratio", "bar"} <= set(keys)
    if room in (80, 200):
        assert ("depth_ratio" in keys) == (room == 200)


@pytest.mark.parametrize("sort", ["params", "flops", "activations", "bytes", "depth"])
def test_the_column_that_sorts_stays_and_has_the_bar(sort: str) -> None:
    table = figures(comparison_document(dozen(), ComparisonView(width=80, sort=sort)))[0].table
    keys = [column.key for column in table.columns]
    assert {"params", "macs", "macs_ratio"} <= set(keys)
    assert keys.index("bar") == keys.index(sort) + 2
    lengths = [len(text) for text in table.column("bar")]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] in (8, 12)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_up_to_four_models_stand_beside_each_other(count: int) -> None:
    reports = [named(small(), name) for name in "abcd"[:count]]
    table = figures(comparison_document(compare(*reports), ComparisonView(width=120)))[0].table
    assert [column.title for column in table.columns if column.key.startswith("value")] == [
        *"abcd"[:count]
    ]
    assert table.column("total") == (
        *("params", "MACs", "FLOPs", "activations", "param bytes", "depth"),
    )


def test_names_too_long_for_four_columns_stand_below_each_other() -> None:
    reports = [named(small(), f"{letter}_rather_long_name_of_a_network") for letter in "abcd"]
    table = figures(comparison_document(compare(*reports), ComparisonView(width=60)))[0].table
    assert len(table.lines) == 4
    assert all(report.name in table.column("model")[n] for n, report in enumerate(reports))


def test_wide_terminals_and_files_have_all_digits() -> None:
    for room in (120, None):
        assert "1,368,896" in draw(compare(normal(), small(), large()), width=room)
    text = draw(compare(normal(), small(), large()), width=80)
    assert "1.369 M" in text


# Numbers


@pytest.mark.parametrize("two", REPORTS)
@pytest.mark.parametrize("one", REPORTS)
def test_printed_rows_add_up_to_the_printed_totals(one: str, two: str) -> None:
    comparison = compare(REPORTS[one](), REPORTS[two]())
    for by in ("layer", "stage"):
        document = comparison_document(comparison, ComparisonView(by=by))
        for figure in figures(document)[1:]:
            keys = [column.key for column in figure.table.columns]
            for key in keys:
                if key.startswith("value") or re.match(r"(params|macs)_(before|after)", key):
                    adds_up(figure.table, key)


LAYERS = st.lists(
    st.tuples(st.sampled_from(["conv", "relu", "pool"]), st.sampled_from([4, 8])),
    min_size=1,
    max_size=70,
)


@settings(max_examples=50, deadline=None)
@given(LAYERS, LAYERS, st.sampled_from([{"all": True}, {"top": 1}, {"top": 5}, {}]))
def test_every_pair_of_layers_is_behind_one_row(
    one: list[tuple[str, int]], two: list[tuple[str, int]], how: dict[str, Any]
) -> None:
    alignment = align(sequential("one", *one), sequential("two", *two))
    rows = alignment_rows(alignment, **{"all": False, "top": None, **how})
    behind = [id(pair) for row in rows for pair in row.pairs]
    assert sorted(behind) == sorted(map(id, alignment.pairs))
    if "top" in how:
        assert sum(not row.rest for row in rows) <= how["top"]
    if how == {"all": True}:
        assert [row.pairs[0] for row in rows] == list(alignment.pairs)


# What it says


def test_lower_bounds_are_marked_everywhere() -> None:
    comparison = compare(small(), unknown())
    text = draw(comparison, by="layer", width=120)
    assert "gappy: 4 operations have no rule (mylib.fused ×3, mylib.mix ×1)" in text
    assert "≥ 442,368" in text
    assert re.search(r"MACs .*≥ 442,368  ≥ 0\.999", text)  # of 442,688
    total = next(line for line in text.splitlines()[::-1] if line.startswith("total"))
    assert total.split()[-1] == "?"
    assert "≥ 442,368" in draw(comparison, by="stage")
    assert text.count("MACs by kind, of what is counted") == 1
    assert "of what is counted" not in draw(compare(small(), large()), by="stage")
    assert "≤ " in draw(compare(unknown(), small()))


def test_shares_of_a_kind_add_up_to_a_hundred_percent() -> None:
    document = comparison_document(compare(small(), large()))
    table = figures(document)[1].table
    assert table.column("share1") == ("99.9 %", "<0.1 %", "100.0 %")  # 884,736 and 320 of 885,056


def test_a_dozen_models_have_their_shares_in_columns_that_fit() -> None:
    for room in WIDTHS:
        table = figures(comparison_document(dozen(), ComparisonView(width=room)))[1].table
        for line in table.lines:
            cells = [cell.removesuffix(" %").removeprefix("<") for cell in line.cells[1:]]
            assert abs(sum(map(float, cells)) - 100) < 0.5


def test_an_unmatched_stage_is_a_dash_and_strides_are_shown_where_inputs_differ() -> None:
    text = draw(compare(small(), of_input(large(), 1, 3, 64, 64)), by="stage")
    assert "32×32 /1 /2" in text
    assert "/1" not in draw(compare(small(), large()), by="stage")
    table = figures(comparison_document(compare(small(), normal()), ComparisonView(by="stage")))[
        2
    ].table
    assert dict(zip(table.column("stage"), table.column("value0"), strict=True))["16×16"] == "–"


def test_added_modules_are_one_row_and_unchanged_runs_are_another() -> None:
    before, after = small(), normal()
    document = comparison_document(compare(before, after), ComparisonView(by="layer"))
    table = figures(document)[-1].table
    rows = dict(zip(table.column("path"), table.column("change"), strict=True))
    assert rows["block"] == "added"
    assert "block.dw" not in rows
    text = draw(compare(before, before), layers=True)
    assert "… 2 layers unchanged" in text
    assert "0 added, 0 removed, 0 changed, 2 unchanged" in text
    every = draw(compare(before, after), by="layer", all=True)
    assert "block.dw" in every
    assert "--all" not in every


def test_paths_that_differ_are_both_shown() -> None:
    before = sequential("before", ("conv", 8), ("relu", 8), ("conv", 16))
    after = sequential("after", ("conv", 8), ("pool", 8), ("relu", 8), ("conv", 16))
    text = draw(compare(before, after), by="layer", all=True)
    assert "features.2 → features.3" in text


def test_many_changes_are_folded_into_their_modules() -> None:
    from tests.measured import analyze

    once, twice = analyze("resnet50"), analyze("resnet50", batch=2)
    comparison = compare(once, twice)
    table = figures(comparison_document(comparison, ComparisonView(layers=True)))[-1].table
    paths = table.column("path")
    assert len(paths) <= 46
    assert {"conv1", "layer1.0", "layer4.2", "fc", "total"} <= set(paths)
    adds_up(table, "macs_after")
    assert "batch sizes differ" in draw(comparison)
    few = figures(comparison_document(comparison, ComparisonView(layers=True, top=3)))[-1].table
    assert few.column("path")[3:] == ("(139 other differences)", "total")


def test_resnet101_has_17_rows_more_than_resnet50() -> None:
    from tests.measured import analyze

    comparison = compare(analyze("resnet50"), analyze("resnet101"))
    table = figures(comparison_document(comparison, ComparisonView(layers=True)))[-1].table
    assert table.column("path") == (
        "… 114 layers unchanged",
        *(f"layer3.{n}" for n in range(6, 23)),
        "… 28 layers unchanged",
        "total",
    )
    assert table.column("macs_difference")[-1] == "+3,712,221,184"


def test_a_baseline_of_its_own_and_the_order_of_models() -> None:
    comparison = compare(small(), large(), baseline="large")
    text = draw(comparison)
    assert "ratios to large" in text
    assert [model.label for model in sorted_models(comparison, "macs")] == ["large", "small"]
    assert [model.label for model in sorted_models(comparison, "name")] == ["large", "small"]
    assert [model.label for model in sorted_models(comparison, "given")] == ["small", "large"]


def test_what_holds_for_all_is_said_once() -> None:
    made = comparison_document(compare(small(), large()))
    assert made.circumstances[:3] == ("ratios to small", "1×3×32×32 float32", "forward")
    made = comparison_document(compare(small(), measured(large(), mode="train")))
    assert "eval" not in made.circumstances
    assert made.notes == ("modes differ: eval (small), train (large)",)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", REPORTS)
def test_every_format_draws_everything(name: str, format: str) -> None:
    comparison = compare(REPORTS[name](), normal())
    for by in ("layer", "stage"):
        text = draw(comparison, format, by=by)
        assert text.endswith("\n")
        assert "\x1b" not in text or format == "csv"


def test_the_document_has_the_data_that_the_comparison_has() -> None:
    comparison = compare(small(), unknown())
    document = comparison_document(comparison, ComparisonView(layers=True))
    assert document.data == comparison.to_dict(layers=True)
    assert len(document.records) == len(comparison.layers_frame())
    assert len(comparison_document(comparison).records) == len(comparison.to_frame())
    assert [block.role for block in document.blocks if isinstance(block, Text)] == ["warning"]


def test_views_that_contradict_themselves() -> None:
    for fields, message in (
        ({"sort": "beauty"}, "unknown column 'beauty'"),
        ({"all": True}, "--all is about layers"),
        ({"layers": True, "all": True, "top": 1}, "contradict"),
        ({"by": "stage", "top": 1}, "--top and --by stage contradict"),
        ({"by": "stage", "all": True}, "--all and --by stage contradict"),
        ({"width": 0}, "--width 0: expected 1 or more"),
    ):
        with pytest.raises(OutputError, match=message):
            ComparisonView(**fields)  # type: ignore[arg-type]
    unlike, several = compare(small(), REPORTS["strange"]()), compare(small(), large(), normal())
    for comparison, hint in ((unlike, "add --by layer"), (several, "give two models")):
        for fields, option in (({"top": 3}, "--top"), ({"all": True}, "--all")):
            with pytest.raises(SpecError, match=f"{option} is about layers side by side") as caught:
                draw(comparison, layers=True, **fields)
            assert caught.value.hint == f"leave it out, or {hint}"
    assert "other differences" in draw(unlike, by="layer", top=3)
    with pytest.raises(SpecError, match="aligned for two"):
        comparison_document(compare(small(), large(), normal()), ComparisonView(by="layer"))
