from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnstat.render.table import Column, Line, Table, elided, visible, width

TABLE = Table(
    columns=(
        Column(key="path", title="path", elastic=True),
        Column(key="type", title="type", priority=10),
        Column(key="n", title="n", numeric=True),
        Column(key="bar", title="", priority=0, ornament=True),
    ),
    lines=(
        Line(cells=("a.long.path.to.some.module", "Conv2d", "1,234,567", "██"), keep=7),
        Line(cells=("b", "Linear", "8", ""), indent=1, keep=1),
    ),
)


def total_width(table: Table) -> int:
    return sum(table.widths()) + 2 * (len(table.columns) - 1)


def test_without_a_limit_nothing_changes() -> None:
    assert TABLE.fit(None) == TABLE
    assert TABLE.fit(1000) == TABLE


def test_ornaments_leave_first_then_the_path_shrinks_then_columns_leave() -> None:
    natural = total_width(TABLE)
    assert [c.key for c in TABLE.fit(natural - 1).columns] == ["path", "type", "n"]
    assert TABLE.fit(natural - 1).lines[0].cells[0] == "a.long.path.to.some.module"
    narrow = TABLE.fit(30)
    assert [c.key for c in narrow.columns] == ["path", "type", "n"]
    assert narrow.lines[0].cells[0] == "…ome.module"
    assert [c.key for c in TABLE.fit(20).columns] == ["path", "n"]


@pytest.mark.parametrize("room", range(15, 60))
def test_a_fitted_table_fits_and_keeps_its_digits(room: int) -> None:
    fitted = TABLE.fit(room)
    assert total_width(fitted) <= room
    assert fitted.column("n") == ("1,234,567", "8")


def test_late_columns_leave_together_and_last() -> None:
    columns = (
        Column(key="name", title="n", elastic=True),
        Column(key="first", title="first", numeric=True),
        Column(key="more", title="more", numeric=True, late=1),
        Column(key="count", title="count", numeric=True, late=1),
        Column(key="accuracy", title="accuracy", priority=1),
    )
    table = Table(columns=columns, lines=(Line(cells=("x" * 30, "12345", "1234", "12345", "a")),))

    def keys(room: int) -> list[str]:
        return [column.key for column in table.fit(room).columns]

    assert table.total() == 60
    assert keys(60) == ["name", "first", "more", "count", "accuracy"]
    assert keys(45) == ["name", "first", "more", "count"]
    assert keys(40) == ["name", "first", "more", "count"]
    assert keys(39) == ["name", "first"]
    assert keys(20) == ["name", "first"]


def test_digits_stay_where_nothing_fits() -> None:
    assert TABLE.fit(1).column("n") == ("1,234,567", "8")


def test_elided_keeps_the_end() -> None:
    assert elided("layer1.0.conv1", 7) == "….conv1"
    assert elided("abc", 3) == "abc"
    assert elided("模型网络", 5) == "…网络"


@given(st.text(max_size=30), st.integers(min_value=1, max_value=40))
def test_elided_fits(text: str, room: int) -> None:
    assert width(elided(text, room)) <= room


def test_width_counts_cells() -> None:
    assert width("abc") == 3
    assert width("模型") == 4
    assert width("e\u0301") == 1
    assert width("1×3") == 3


def test_visible_escapes_what_would_move_the_cursor() -> None:
    assert visible("a\nb\x1b[31m") == r"a\nb\x1b[31m"
    assert visible("模型 ×") == "模型 ×"


def test_little_room_shrinks_the_indentation_of_all_lines_alike() -> None:
    lines = tuple(Line(cells=("a.name", "8"), indent=n, keep=5) for n in range(5))
    table = Table(columns=(TABLE.columns[0], TABLE.columns[2]), lines=lines)
    for room, step in [(20, 2), (15, 1), (11, 0)]:
        fitted = table.fit(room)
        assert fitted.step == step
        assert total_width(fitted) <= room
        starts = [len(text) - len(text.lstrip()) for text in map(fitted.indented, fitted.lines)]
        assert starts == [step * n for n in range(5)]


def test_a_first_column_that_is_not_elastic_stays_whole() -> None:
    columns = (Column(key="id", title="id"), Column(key="note", title="note", priority=1))
    table = Table(columns=columns, lines=(Line(cells=("an-id-to-copy", "a note")),))
    assert table.fit(5).lines[0].cells == ("an-id-to-copy",)
