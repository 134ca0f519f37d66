from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cnnstat.errors import ReportError
from cnnstat.render.base import View, renderer
from cnnstat.report import Report
from tests.reports import REPORTS, normal, unknown

Place = tuple[str | int, ...]


@pytest.mark.parametrize("name", REPORTS)
def test_what_is_written_is_read(name: str) -> None:
    made = REPORTS[name]()
    text = made.to_json()
    assert Report.from_json(text) == made
    assert Report.from_json(text.encode()) == made
    assert Report.from_json(text).to_json() == text
    assert made.to_dict() == json.loads(text)


def test_the_document_says_what_it_is() -> None:
    document = normal().to_dict()
    assert document["schema"] == 1
    assert list(document) == [
        *("schema", "subject", "convention", "totals", "kinds", "groups", "layers", "uncounted"),
        *("notes", "meta"),
    ]
    assert document["totals"]["macs"] == normal().totals.macs


def test_operations_without_a_rule_are_listed_by_name() -> None:
    entry = unknown().to_dict()["uncounted"]["mylib.fused"]
    shapes = [[1, 16, 32, 32]]
    place = {"layer": "body.fused", "count": 3, "inputs": shapes, "outputs": shapes}
    assert entry == {"count": 3, "where": [place]}


@pytest.mark.parametrize("end", range(0, 4000, 131))
def test_half_a_document_is_refused(end: int) -> None:
    with pytest.raises(ReportError):
        Report.from_json(normal().to_json()[:end])


def test_another_schema_is_refused() -> None:
    with pytest.raises(ReportError, match="schema 2"):
        Report.from_json('{"schema": 2}')


def test_totals_that_do_not_add_up_are_refused() -> None:
    document = normal().to_dict()
    document["totals"]["macs"] += 1
    with pytest.raises(ReportError, match="add up"):
        Report.from_json(json.dumps(document))


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place in a document but the whole."""
    items: Iterator[Any] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, item in items:
        yield (*place, key)
        yield from places(item, (*place, key))


@pytest.mark.parametrize("wrong", ["missing", None, "x\n\x1b", -1, 1.5, [], {}, [[1, "a"]], True])
def test_a_damaged_document_is_refused_or_can_be_drawn(wrong: Any) -> None:
    document = unknown().to_dict()
    for place in places(document):
        damaged = copy.deepcopy(document)
        holder = damaged
        for key in place[:-1]:
            holder = holder[key]
        if wrong == "missing":
            del holder[place[-1]]
        else:
            holder[place[-1]] = wrong
        try:
            report = Report.from_json(json.dumps(damaged))
        except ReportError:
            continue
        renderer("table").render(report, View(width=60))
        renderer("csv").render(report, View())
