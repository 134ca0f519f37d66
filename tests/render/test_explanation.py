"""Explanations as people read them."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from cnnstat.conventions import CONVENTIONS
from cnnstat.explaining.explanation import explain_layer
from cnnstat.explaining.quotes import explain_model
from cnnstat.explaining.whatif import what_if
from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.render.explanation import layer_document, model_document
from cnnstat.render.table import width
from cnnstat.render.whatif import whatif_document
from cnnstat.report import Report, Uncounted
from tests.conftest import Golden
from tests.measured import analyze
from tests.reports import conv, module, report

GOLDEN = Path(__file__).with_name("golden")
WIDTHS = [80, 120, 200, None]


@pytest.fixture(scope="module")
def resnet() -> Report:
    return analyze("resnet18")


def test_the_whole_equation_stands_in_one_line(resnet: Report) -> None:
    text = renderer("table").draw(layer_document(explain_layer(resnet, "conv1")), View(width=80))
    assert "MACs = N·K·(C/g)·kh·kw·oh·ow = 1·64·(3/1)·7·7·112·112 = 118,013,952\n" in text
    assert "weight = K·(C/g)·kh·kw = 64·(3/1)·7·7 = 9,408\n" in text
    assert re.search(r"^ow +112  width of the output 1×64×112×112$", text, re.M)


@pytest.mark.parametrize("path", ["conv1", "bn1", "layer2.0", ""])
def test_golden(resnet: Report, path: str, golden: Golden) -> None:
    text = renderer("table").draw(layer_document(explain_layer(resnet, path)), View(width=80))
    golden(GOLDEN / f"explain-{path or 'root'}.txt", text)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "mobilenet_v3_small"])
def test_every_layer_fits(name: str, columns: int | None) -> None:
    report = analyze(name)
    documents = [layer_document(explain_layer(report, layer.path)) for layer in report.layers]
    documents.append(model_document(explain_model(report)))
    documents.append(whatif_document(what_if(report, ["separable"]), View(width=columns)))
    for document in documents:
        for line in renderer("table").draw(document, View(width=columns)).splitlines():
            # A number is never cut, and a path is only shortened.
            assert columns is None or width(line) <= columns or "=" in line, line


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_every_number(resnet: Report, name: str) -> None:
    text = renderer(name).draw(layer_document(explain_layer(resnet, "conv1")), View())
    assert re.search(r"118,?013,?952", text)
    assert re.search(r"9,?408", text)
    text = renderer(name).draw(model_document(explain_model(resnet)), View())
    for quote in explain_model(resnet).quotes:
        assert str(quote.total) in text.replace(",", "").replace("{}", "")


def test_every_convention_says_what_it_includes(resnet: Report) -> None:
    text = renderer("markdown").draw(model_document(explain_model(resnet)), View())
    for name, convention in CONVENTIONS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
        assert convention.includes.split()[-1] in row.replace("\\", "")


def test_json_is_described_and_exact(resnet: Report) -> None:
    document = json.loads(
        renderer("json").draw(layer_document(explain_layer(resnet, "conv1")), View())
    )
    assert document["schema"] == 1
    layer = document["layer"]
    assert layer["macs"] == layer["operations"][0]["terms"][0]["value"] == 118_013_952
    assert layer["operations"][0]["letters"]["K"] == 64
    assert layer["parameters"][0]["value"] == layer["params"] == 9_408


def test_csv_adds_up(resnet: Report) -> None:
    rows = csv.DictReader(
        StringIO(renderer("csv").draw(layer_document(explain_layer(resnet, "bn1")), View()))
    )
    totals = {(row["of"], row["quantity"]): int(row["total"]) for row in rows}
    # 64 channels at 112×112: a product and an addition each; a scale and a shift per channel.
    assert totals == {
        ("aten.batch_norm", "adds"): 802_816,
        ("aten.batch_norm", "muls"): 802_816,
        ("parameter", "weight"): 64,
        ("parameter", "bias"): 64,
    }


def test_what_if_shows_before_and_after(resnet: Report) -> None:
    result = what_if(resnet, ["separable"])
    text = renderer("table").draw(whatif_document(result, View(width=200)), View(width=200))
    assert "An estimate of what it would cost" in text
    # conv1: 7×7 depthwise of 3 and 1×1 of 3→64 at 112×112 positions: (3·49 + 3·64)·12544
    row = next(line for line in text.splitlines() if line.startswith("conv1 "))
    assert row.split()[3:7] == ["118,013,952", "4,252,416", "3.6", "%"]
    assert row.endswith("7×7 depthwise 3, 1×1 3→64")
    total = next(line for line in text.splitlines() if line.startswith("total "))
    assert f"{result.before.macs:,}" in total
    assert f"{result.after.macs:,}" in total


def test_what_if_rows_add_up(resnet: Report) -> None:
    for view in (View(), View(top=3), View(all=True)):
        document = whatif_document(what_if(resnet, ["separable"]), view)
        figure = document.blocks[-2]
        table = figure.table  # type: ignore[union-attr]
        for key in ("params_before", "params_after", "macs_before", "macs_after"):
            *rows, total = (int(text.replace(",", "")) for text in table.column(key))
            assert sum(rows) == total


# ---- unknown is said, never zero


def _inner() -> Report:
    """A block whose inner layer runs an operation without a rule."""
    inside = replace(module("blk.0", "Odd", "identity", (1, 3, 8, 8), (1, 3, 8, 8)), calls=1)
    made = report(
        "net",
        module("", "Net", "container", (1, 3, 8, 8), (1, 8, 8, 8)),
        module("blk", "Block", "container", (1, 3, 8, 8), (1, 8, 8, 8)),
        inside,
        conv("blk.1", "standard", (1, 3, 8, 8), (1, 8, 8, 8), 3),
    )
    return replace(made, uncounted=(Uncounted("mylib.fused", "blk.0", 2, ((1, 3, 8, 8),)),))


@pytest.mark.parametrize("path", ["", "blk", "blk.0"])
def test_what_is_not_known_is_said_in_every_format(path: str) -> None:
    document = layer_document(explain_layer(_inner(), path))
    for name in FORMATS:
        assert "fused" in renderer(name).draw(document, View()), name
    data = json.loads(renderer("json").draw(document, View()))["layer"]
    assert data["complete"] is False
    assert data["uncounted"][0]["count"] == 2
    rows = list(csv.DictReader(StringIO(renderer("csv").draw(document, View()))))
    assert ("mylib.fused", "2", "uncounted", "") in [
        (row["of"], row["times"], row["quantity"], row["value"]) for row in rows
    ]


def test_sums_over_it_are_lower_bounds() -> None:
    text = renderer("table").draw(layer_document(explain_layer(_inner(), "blk")), View(width=80))
    cells = {line.split()[0]: line for line in text.splitlines() if line.startswith(("blk", "tot"))}
    assert "≥ 0" in cells["blk.0"]
    assert "≥" not in cells["blk.1"]
    assert "≥ 13,824" in cells["total"]  # 8·3·9·64


def test_of_two_lower_bounds_no_share_is_known(resnet: Report) -> None:
    partial = replace(resnet, uncounted=(Uncounted("mylib.fused", "fc", 1),))
    result = what_if(partial, ["separable"])
    text = renderer("table").draw(whatif_document(result, View()), View())
    line = next(line for line in text.splitlines() if line.startswith("MACs "))
    assert line.split()[-1] == "?"
    total = [line for line in text.splitlines() if line.startswith(("total", "(all other"))]
    assert all("≥" in line and "?" in line for line in total)
    assert (
        json.loads(renderer("json").draw(whatif_document(result, View()), View()))["what_if"][
            "complete"
        ]
        is False
    )


def test_no_escape_of_a_saved_report_reaches_the_terminal(resnet: Report) -> None:
    evil = "ev\x1b[31mil"
    layers = tuple(
        replace(
            layer,
            kind=evil,
            tallies=tuple(replace(tally, rule=evil, ops=()) for tally in layer.tallies),
        )
        for layer in resnet.layers
    )
    hostile = replace(resnet, subject={"name": evil}, layers=layers)
    for document in (
        layer_document(explain_layer(hostile, "conv1")),
        model_document(explain_model(hostile)),
    ):
        for name in ("table", "markdown", "latex", "html"):
            assert "\x1b" not in renderer(name).draw(document, View()), name
