from __future__ import annotations

import re

import pytest

from cnnstat.render.base import View
from cnnstat.render.markdown import MarkdownRenderer, escape
from tests.reports import REPORTS


def tables(text: str) -> list[list[list[str]]]:
    """Cells of each pipe table, without the line of dashes."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [[rows[0], *rows[2:]] for rows in found if rows]


@pytest.mark.parametrize(
    "view", [View(), View(all=True), View(depth=1), View(top=2), View(kinds=("linear",))], ids=str
)
@pytest.mark.parametrize("name", REPORTS)
def test_rows_add_up_to_the_total(name: str, view: View) -> None:
    layers = tables(MarkdownRenderer().render(REPORTS[name](), view))[1]
    titles, *rows, total = layers
    for title in ("params", "MACs"):
        place = titles.index(title)
        numbers = [int(re.sub(r"[^\d]", "", row[place])) for row in [*rows, total]]
        assert sum(numbers[:-1]) == numbers[-1]


@pytest.mark.parametrize("name", REPORTS)
def test_every_row_has_as_many_cells_as_titles(name: str) -> None:
    for table in tables(MarkdownRenderer().render(REPORTS[name](), View(all=True))):
        assert {len(row) for row in table} == {len(table[0])}


def test_escape() -> None:
    assert escape("a_b|c*d<e>`f`[g]#h") == r"a\_b\|c\*d\<e\>\`f\`\[g\]\#h"
