from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from cnnstat.render.base import View
from cnnstat.render.html import HtmlRenderer, fragment
from tests.reports import REPORTS, normal


class Rows(HTMLParser):
    """Class and cells of every table row; complains where tags are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[tuple[str, list[str]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append((dict(attrs).get("class") or "", []))
        elif tag in ("td", "th"):
            self.rows[-1][1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][1][-1] += data


def number(cell: str) -> int:
    return int(re.sub(r"[^\d]", "", cell))


@pytest.mark.parametrize("name", REPORTS)
def test_rows_add_up_to_the_total(name: str) -> None:
    rows = Rows(HtmlRenderer().render(REPORTS[name](), View(all=True))).rows
    start = next(n for n, (_, cells) in enumerate(rows) if cells[0] == "path")
    end = next(n for n, (role, _) in enumerate(rows) if n > start and role == "total")
    place = rows[start][1].index("MACs")
    additive = [cells for role, cells in rows[start + 1 : end] if not role.startswith("open")]
    assert sum(number(cells[place]) for cells in additive) == number(rows[end][1][place])


def test_names_are_text() -> None:
    text = HtmlRenderer().render(REPORTS["strange"](), View())
    assert "<b>&amp;</b>" not in text
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in text
    assert "&lt;markup&gt;" in text


def test_a_notebook_shows_the_fragment() -> None:
    assert normal()._repr_html_() == fragment(normal())
    Rows(fragment(normal()))
