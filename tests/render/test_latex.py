from __future__ import annotations

import re

import pytest

from cnnstat.render.base import View
from cnnstat.render.latex import LatexRenderer, escape
from tests.render.test_rows import wide
from tests.reports import REPORTS


def body(text: str) -> list[list[str]]:
    """Cells of the first table, the titles first and the total last."""
    table = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in table.splitlines() if line.endswith(r"\\")]
    return [[c.strip() for c in re.split(r"(?<!\\)&", line[:-2])] for line in lines]


@pytest.mark.parametrize(
    "view", [View(), View(all=True), View(depth=1), View(top=2), View(kinds=("linear",))], ids=str
)
@pytest.mark.parametrize("name", REPORTS)
def test_rows_add_up_to_the_total(name: str, view: View) -> None:
    titles, *rows, total = body(LatexRenderer().render(REPORTS[name](), view))
    assert {len(row) for row in rows} <= {len(titles)}
    for title in ("params", "MACs"):
        place = titles.index(title)
        numbers = [int(re.sub(r"[^\d]", "", row[place])) for row in [*rows, total]]
        assert sum(numbers[:-1]) == numbers[-1]


@pytest.mark.parametrize("name", REPORTS)
def test_special_letters_are_escaped_and_groups_are_closed(name: str) -> None:
    text = LatexRenderer().render(REPORTS[name](), View(all=True))
    comment, rest = text.split("\n", 1)
    assert comment.startswith("%")
    for letter in "%#_":
        assert not re.search(rf"(?<!\\){letter}", rest), letter
    assert not re.search(r"[×≥→–·…|<>\"]", rest)
    assert not re.search(r"(?<!-)--(?!-)", rest)
    bare = re.sub(r"\\[{}]", "", rest)
    assert bare.count("{") == bare.count("}")
    assert rest.count(r"\begin{") == rest.count(r"\end{")
    assert len(re.findall(r"(?<!\\)\$", rest)) % 2 == 0


def test_a_long_table_breaks_over_pages() -> None:
    text = LatexRenderer().render(wide(4, 12), View(all=True))
    assert r"\begin{longtable}{lllllrrr}" in text
    assert "longtable" in text.splitlines()[0]
    assert r"\endhead" in text


def test_escape() -> None:
    assert escape("a_b & 50 %") == r"a\_b \& 50 \%"
    assert escape("\\{}") == r"\textbackslash{}\{\}"
    assert escape("--all") == "-{}-all"
