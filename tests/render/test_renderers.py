"""What holds for every renderer, on every report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.report import Report
from cnnstat.units import grouped
from tests.conftest import Golden
from tests.reports import REPORTS, unknown

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", REPORTS)
def test_golden(name: str, format: str, golden: Golden) -> None:
    made = renderer(format)
    golden(GOLDEN / f"{name}{made.extensions[0]}", made.render(REPORTS[name](), View()))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", REPORTS)
def test_rendering_is_repeatable_and_survives_the_file(name: str, format: str) -> None:
    report = REPORTS[name]()
    text = renderer(format).render(report, View())
    assert text == renderer(format).render(Report.from_json(report.to_json()), View())
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\x1b" not in text or format == "csv"  # which quotes names as they are


@pytest.mark.parametrize(
    "view", [View(), View(all=True), View(depth=0), View(top=1), View(kinds=("linear",))], ids=str
)
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_names_what_was_not_counted(format: str, view: View) -> None:
    text = renderer(format).render(unknown(), view)
    plain = text.replace("\\", "").replace("$times$", "×").replace("×", "x")
    plain = plain.replace(", ", ",").replace(" ", "")
    for item in unknown().uncounted:
        assert item.op in plain
        assert item.layer in plain
        for shape in item.inputs:
            sizes = "x".join(map(str, shape))
            assert sizes in plain or str(list(shape)).replace(" ", "") in plain
    assert re.search(r"mylib.fused[^0-9]{0,80}3", plain)


@pytest.mark.parametrize("format", ["table", "markdown", "latex", "html"])
def test_documents_say_that_totals_are_lower_bounds(format: str) -> None:
    text = renderer(format).render(unknown(), View())
    assert "lower bound" in text
    assert re.search(r"(≥|\$\\geq\$) 442,368", text)


def test_the_summary_reads_as_it_should() -> None:
    assert "≥ 442.4 k MACs" in renderer("table").render(unknown(), View())


@pytest.mark.parametrize("format", ["table", "markdown", "latex", "html"])
@pytest.mark.parametrize("name", REPORTS)
def test_documents_show_all_digits_of_the_totals_and_all_notes(name: str, format: str) -> None:
    report = REPORTS[name]()
    text = renderer(format).render(report, View())
    for value in (report.totals.params, report.totals.macs, report.totals.flops):
        assert grouped(value) in text
    if name != "strange":
        for note in report.notes:
            assert note.text in text
