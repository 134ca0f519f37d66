"""A document by hand in every format: nothing is lost, nothing is wider than it may be."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest

from cnnstat.render.base import FORMATS, View, renderer
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.table import Column, Line, Table, width
from tests.conftest import Golden

GOLDEN = Path(__file__).with_name("golden")
EXTENSIONS = {
    "table": "txt", "json": "json", "csv": "csv", "markdown": "md", "latex": "tex", "html": "html"
}  # fmt: skip

PROSE = "a sentence that is longer than the room that is left beside the numbers, so that it wraps"


def document() -> Document:
    table = Table(
        columns=(
            Column(key="name", title="name"),
            Column(key="macs", title="MACs", numeric=True),
            Column(key="says", title="what it says", prose=True),
        ),
        lines=(
            Line(cells=("a_b", "1,000", PROSE)),
            Line(cells=("100 % & <c>", "2,000", "short")),
            Line(cells=("total", "3,000", ""), role="total"),
        ),
    )
    return Document(
        title=("net*", "layer_1"),
        circumstances=("eval", "meta engine"),
        blocks=(
            Text("Two paragraphs"),
            Text("that stand together."),
            Text("MACs = N·K·(C/g) = 1·64·(3/1) = 192", "formula"),
            Text("an estimate", "warning"),
            Figure(table, "The table", "3 more rows: --all"),
            Text("source: a paper", "quiet"),
        ),
        notes=("the first note", PROSE),
        data={"schema": 1, "rows": [{"name": "a_b", "macs": 1000}]},
        records=({"name": "a_b", "macs": 1000}, {"name": 'with "quotes", and', "macs": 2000}),
    )


@pytest.mark.parametrize("name", FORMATS)
def test_golden(name: str, golden: Golden) -> None:
    text = renderer(name).draw(document(), View(width=60))
    golden(GOLDEN / f"document.{EXTENSIONS[name]}", text)


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
def test_no_line_is_wider_than_it_may_be(columns: int) -> None:
    text = renderer("table").draw(document(), View(width=columns))
    assert max(map(width, text.splitlines())) <= columns
    words = " ".join(text.split())
    # Whatever the room, every word is there, in its order.
    for sentence in ("Two paragraphs that stand together.", "an estimate", "3 more rows: --all"):
        assert sentence in words
    for word in PROSE.split():
        assert word in words


def test_in_a_pipe_a_row_is_a_line() -> None:
    lines = renderer("table").draw(document(), View()).splitlines()
    assert any(line.startswith("a_b") and line.endswith(PROSE) for line in lines)


def test_colours_change_no_letter() -> None:
    import re

    plain = renderer("table").draw(document(), View(width=60))
    colored = renderer("table").draw(document(), View(width=60, color=True))
    assert colored != plain
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()


def test_json_and_csv_are_the_data() -> None:
    assert json.loads(renderer("json").draw(document(), View())) == document().data
    rows = list(csv.DictReader(StringIO(renderer("csv").draw(document(), View()))))
    assert rows == [
        {"name": "a_b", "macs": "1000"},
        {"name": 'with "quotes", and', "macs": "2000"},
    ]


def test_html_shows_every_letter() -> None:
    class Texts(HTMLParser):
        found = ""

        def handle_data(self, data: str) -> None:
            self.found += data

    parser = Texts()
    parser.feed(renderer("html").draw(document(), View()))
    for text in ("100 % & <c>", "MACs = N·K·(C/g) = 1·64·(3/1) = 192", PROSE, "the first note"):
        assert text in parser.found


def test_an_empty_document_is_a_title() -> None:
    for name in FORMATS:
        assert renderer(name).draw(Document(title=("nothing",)), View()).endswith("\n")
