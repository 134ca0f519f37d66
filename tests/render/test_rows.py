from __future__ import annotations

import itertools

import pytest

from cnnstat.errors import OutputError
from cnnstat.kinds import KINDS
from cnnstat.render.base import RANKS, View
from cnnstat.render.rows import OWN, READABLE_ROWS, add, own_rows, select
from cnnstat.report import Report, total_of
from tests.reports import REPORTS, conv, module, normal, report, unknown

VIEWS = [
    View(),
    View(all=True),
    *(View(depth=depth) for depth in range(4)),
    *(View(top=top) for top in (1, 3, 99)),
    *(View(by=by) for by in RANKS),
    *(
        View(kinds=kinds)
        for kinds in itertools.combinations(("pointwise", "linear", "container"), 2)
    ),
]


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("name", REPORTS)
def test_additive_rows_add_up_to_the_totals(name: str, view: View) -> None:
    made = REPORTS[name]()
    assert add(row.totals for row in select(made, view).additive) == made.totals


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_no_view_loses_an_operation_without_a_rule(view: View) -> None:
    made = unknown()
    found = [item for row in select(made, view).additive for item in row.uncounted]
    assert sorted(map(str, found)) == sorted(map(str, made.uncounted))


@pytest.mark.parametrize("name", REPORTS)
def test_open_rows_hold_what_the_subtree_holds(name: str) -> None:
    made = REPORTS[name]()
    for row in select(made, View(all=True)).rows:
        if row.layer is not None and row.role in ("open", "layer"):
            assert row.totals == made.subtree(row.layer.path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_a_kind_add_up_to_its_total(kind: str) -> None:
    made = normal()
    rows = [row for row in select(made, View(kinds=(kind,))).rows if row.layer is not None]
    found, expected = add(row.totals for row in rows), made.kinds.get(kind)
    for name in ("params", "macs", "flops", "activations"):
        assert getattr(found, name) == (getattr(expected, name) if expected else 0), name


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(OutputError, match="'fancy'") as caught:
        select(normal(), View(kinds=("fancy",)))
    assert "depthwise" in caught.value.hint


def test_what_a_module_ran_itself_stands_before_its_children() -> None:
    labels = [row.label or (row.layer and row.layer.path) for row in select(normal(), View()).rows]
    assert labels[labels.index("block") + 1] == OWN
    assert labels[labels.index("block") + 2] == "block.dw"


def test_depth_folds_and_says_how_much() -> None:
    folded = select(normal(), View(depth=1))
    paths = [row.layer.path for row in folded.rows if row.layer]
    assert paths == ["stem", "bn", "act", "block", "aux", "head", "tail"]
    # own operations, dw, pw, gc, se with fc1 and fc2, and aux.fc
    assert folded.more == "8 more rows: --depth 2 or --all"
    assert select(normal(), View(depth=2)).more == "2 more rows: --all"
    assert select(normal(), View(depth=3)).more == ""
    assert [row.role for row in select(normal(), View(depth=0)).rows] == ["folded"]


def wide(stages: int, blocks: int) -> Report:
    """Stages of blocks of two layers each."""
    layers = [module("", "Net", "container")]
    for stage in range(stages):
        layers.append(module(f"s{stage}", "Sequential", "container"))
        for block in range(blocks):
            path = f"s{stage}.{block}"
            layers.append(module(path, "Block", "container"))
            shape = (1, 4, 8, 8)
            layers += [conv(f"{path}.{name}", "pointwise", shape, shape, 1) for name in "ab"]
    return report("wide", *layers)


@pytest.mark.parametrize(
    ("stages", "blocks", "rows"),
    [(4, 3, 4 + 4 * 3 + 4 * 3 * 2), (4, 10, 4 + 4 * 10), (4, 11, 4), (100, 1, 100)],
)
def test_a_tree_is_opened_as_far_as_it_stays_readable(stages: int, blocks: int, rows: int) -> None:
    shown = select(wide(stages, blocks), View()).rows
    assert len(shown) == rows
    assert rows <= READABLE_ROWS or blocks == 1


def test_ranking_is_from_the_largest_and_stable() -> None:
    rows = select(normal(), View(top=4, by="params")).rows
    assert [row.layer.path for row in rows if row.layer] == [
        "block.gc",
        "block.pw",
        "stem",
        "aux.fc",  # 330 parameters, as the head has, and defined before it
    ]
    assert rows[-1].label == "(8 other layers)"
    by_path = [row.layer.path for row in select(normal(), View(by="path")).rows if row.layer]
    assert by_path == sorted(by_path)


def test_every_module_has_its_own_row() -> None:
    made = normal()
    rows = own_rows(made)
    assert [row.layer for row in rows] == list(made.layers)
    assert add(row.totals for row in rows) == total_of(made.layers)
