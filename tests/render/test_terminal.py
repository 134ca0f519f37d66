from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from cnnstat.render.base import View
from cnnstat.render.table import width
from cnnstat.render.terminal import TableRenderer
from cnnstat.report import Report, Uncounted
from tests.reports import REPORTS, conv, module, normal, report, unknown

NUMERIC = ("params", "MACs", "fvcore flops", "share")
NUMBER = re.compile(r"(≥ )?\d{1,3}(,\d{3})*\Z")
WIDTHS = [*range(40, 201, 4), None]


def render(report: Report, **fields: object) -> str:
    return TableRenderer().render(report, View(**fields))  # type: ignore[arg-type]


def layer_rows(text: str) -> tuple[list[str], list[tuple[int, str, list[str]]]]:
    """Titles of the numeric columns, and (indentation, first word, numeric cells) of each row."""
    lines = text.splitlines()
    top = next(n for n, line in enumerate(lines) if line.startswith("path "))
    rules = [n for n, line in enumerate(lines) if line.startswith("──") and n > top]
    titles = [title for title in NUMERIC if title in lines[top]]
    rows = []
    for line in [*lines[rules[0] + 1 : rules[1]], lines[rules[1] + 1]]:
        # The numeric columns are never empty, and only a bar may follow them.
        cells = re.split(r"\s{2,}", re.sub(r"\s+[█▏▎▍▌▋▊▉]+$", "", line.rstrip()))
        indent = len(line) - len(line.lstrip())
        rows.append((indent, line.strip(), cells[-len(titles) :]))
    return titles, rows


def value(cell: str) -> int:
    return int(cell.removeprefix("≥ ").replace(",", ""))


@pytest.mark.parametrize("room", WIDTHS)
@pytest.mark.parametrize("name", REPORTS)
def test_printed_rows_add_up_to_the_printed_total_in_any_width(name: str, room: int | None) -> None:
    made = REPORTS[name]()
    titles, rows = layer_rows(render(made, width=room))
    for column, title in enumerate(titles):
        cells = [cells[column] for _, _, cells in rows]
        assert not any("…" in cell for cell in cells), title
        if title == "share":
            continue
        assert all(NUMBER.match(cell) for cell in cells), cells
        # A row is open where the next one stands further in; its children add up to it.
        closed = [
            value(cells[column])
            for n, (indent, _, cells) in enumerate(rows[:-1])
            if not rows[n + 1][0] > indent
        ]
        assert sum(closed) == value(cells[-1])
    assert "MACs" in titles


@pytest.mark.parametrize("room", [room for room in WIDTHS if room])
@pytest.mark.parametrize("name", ["normal", "unknown", "strange", "quoting"])
def test_no_line_is_wider_than_asked(name: str, room: int) -> None:
    text = render(REPORTS[name](), width=room)
    unbreakable = max(map(width, re.split(r"\s+", text)), default=0)
    for line in text.splitlines():
        assert width(line) <= max(room, unbreakable if "─" not in line else 0), line


def test_natural_width_shows_everything() -> None:
    text = render(REPORTS["strange"]())
    assert "…" not in text
    assert REPORTS["strange"]().layers[-1].path in text


def test_columns_leave_and_the_heaviest_facts_stay() -> None:
    for room, titles in [
        (120, "path type kind kernel output params MACs share"),
        (80, "path kind output params MACs share"),
        (60, "path kind params MACs"),
        (45, "path params MACs"),
        (34, "path MACs"),
    ]:
        text = render(normal(), width=room)
        top = next(line for line in text.splitlines() if line.startswith("path "))
        assert top.split() == titles.split(), room


def test_marks() -> None:
    text = render(normal())
    assert "act ×2" in text
    assert "tail (tied)" in text
    assert "never called" in text
    assert "3×3 /2 ×2" in text
    assert "3×3 d2 g4" in text
    assert "squeeze-excitation: 1 block, ratio 0.25, 552 params, 512 MACs" in text


def test_another_convention_has_a_column_and_a_total() -> None:
    text = render(REPORTS["quoting"]())
    assert "fvcore flops" in text
    assert "1,368,911" in text  # the MACs and one for each of 15 layers


def test_a_ranked_list_shows_the_column_it_is_ranked_by() -> None:
    text = render(normal(), top=2, by="flops")
    assert re.search(r"path .* FLOPs .* of FLOPs", text)
    assert "(10 other layers)" in text
    assert "of params" in render(normal(), top=2, by="params")


def test_a_kind_that_is_absent_shows_an_empty_list() -> None:
    text = render(normal(), kinds=("attention",))
    assert "(12 other layers)" in text


def test_many_gaps_are_cut_short_unless_all_are_asked_for() -> None:
    shape = ((1, 8, 4, 4),)
    gaps = tuple(Uncounted("lib.op", "a", n + 1, shape, ((n + 1,),)) for n in range(20))
    layers = (module("", "Net", "container"), conv("a", "standard", (1, 3, 8, 8), (1, 4, 8, 8), 3))
    made = replace(report("many", *layers), uncounted=gaps)
    text = render(made)
    assert "210 operations have no rule (lib.op ×210)" in text
    assert text.count("lib.op  ") == 12
    assert "… 8 more places with 132 operations without a rule: --all" in text  # 13 + … + 20
    assert render(made, all=True).count("lib.op  ") == 20


def test_colour_changes_no_letter() -> None:
    colored = render(unknown(), color=True)
    assert "\x1b[" in colored
    plain = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert plain == render(unknown())


@pytest.mark.parametrize("room", [40, 80, 200])
def test_rich_shows_the_same(room: int) -> None:
    out = StringIO()
    Console(file=out, width=room, color_system=None).print(normal())
    assert [line.rstrip() for line in out.getvalue().splitlines()] == render(
        normal(), width=room
    ).splitlines()
