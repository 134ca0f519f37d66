from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cnnstat
from cnnstat.errors import ReportError, SpecError
from cnnstat.record import OpCall, TensorSpec
from cnnstat.record_json import calls_to_list
from cnnstat.render.base import View, renderer
from cnnstat.report import Layer, Report, Tally, Work
from tests.reports import REPORTS, normal, unknown

Place = tuple[str | int, ...]

SAMPLES = Path(__file__).parent / "data" / "written_by_0_1_0"


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


def test_estimates_are_there_only_where_something_was_estimated() -> None:
    assert "extra" not in normal().to_dict()
    made = replace(normal(), extra={"peak_memory": 3488})
    assert made.to_dict()["extra"] == {"peak_memory": 3488}
    assert Report.from_json(made.to_json()) == made


@pytest.mark.parametrize("wrong", [5, [], None, {"arena": -1}, {"arena": 1.5}, {"arena": True}])
def test_estimates_are_counts(wrong: Any) -> None:
    document = normal().to_dict() | {"extra": wrong}
    with pytest.raises(ReportError, match=r"report\.extra"):
        Report.from_json(json.dumps(document))


def test_memory_is_there_in_every_layer_or_in_none() -> None:
    assert "live_bytes" not in normal().to_dict()["layers"][0]
    document = REPORTS["remembered"]().to_dict()
    layer = document["layers"][1]
    assert layer["live_bytes"] > layer["output_bytes"] == 4 * 16 * 32 * 32
    del layer["output_bytes"]
    with pytest.raises(ReportError, match=r"layers\[1\].output_bytes is missing"):
        Report.from_json(json.dumps(document))
    del layer["live_bytes"]
    with pytest.raises(ReportError, match=r"layers\[1\] has no live_bytes"):
        Report.from_json(json.dumps(document))


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


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (("kinds", "standard", "macs"), "report.kinds.standard.macs is 1, but its layers add up"),
        (("kinds", "squeeze-excitation", "layers"), "kinds.squeeze-excitation.layers is 1"),
        (("groups", 1, "macs"), "report.groups: macs of 'blocks.0' are 1, but the layers add up"),
        (("groups", 0, "flops"), "report.groups: flops of 'blocks.0.excite' are 1"),
        (("groups", 2, "params"), "report.groups: params of 'blocks.1.excite' are 1"),
        (("layers", 1, "flops"), "report.layers[1].flops is 1, but its tallies add up to"),
        (("layers", 1, "params"), "but its layers add up to 1055"),
        (("uncounted", "sample.fused", "count"), "uncounted.sample.fused.count is 1, but its"),
        (("layers", 1, "tallies", 0, "read"), "tallies[0].read is 1, but its operations add up"),
        (("layers", 8, "group"), "group is 1"),
    ],
)
def test_sums_that_disagree_with_what_they_are_of_are_refused(place: Place, words: str) -> None:
    damaged = json.loads((SAMPLES / "report_uncounted.json").read_text())
    *way, last = place
    holder = damaged
    for key in way:
        holder = holder[key]
    holder[last] = "1" if last == "group" else 1
    expected = re.escape(words.replace("group is 1", "group is '1', and no group has that path"))
    with pytest.raises(ReportError, match=expected):
        Report.from_json(json.dumps(damaged))


def test_a_kind_that_no_layer_is_of_is_refused_and_so_is_one_that_is_missing() -> None:
    document = normal().to_dict()
    document["kinds"]["attention"] = {**document["kinds"]["standard"]}
    with pytest.raises(
        ReportError, match=r"kinds\.attention\.layers is 1, but its layers add up to 0"
    ):
        Report.from_json(json.dumps(document))
    del document["kinds"]["attention"], document["kinds"]["standard"]
    with pytest.raises(ReportError, match=r"kinds\.standard\.layers is None, but"):
        Report.from_json(json.dumps(document))


FACTS = re.compile(
    r"layers\.\d+\.(inputs|outputs|calls|attrs|output_bytes|live_bytes)\b"
    r"|layers\.\d+\.tallies\.\d+\.(calls|read|written)$"  # of data movement, which has no operations
    r"|layers\.\d+\.tallies\.\d+\.ops\.\d+\.(args|outputs)\b"
    r"|groups\.\d+\.(channels|squeezed)$"
    r"|uncounted\.[\w.]+\.where\.\d+\.(inputs|outputs)\b"
    r"|meta\.inputs\.\d+\.shape\b"
    r"|extra\."
)
"""Integers that nothing else in a report says: what was measured, and is not the sum of anything."""


def everything() -> Any:
    """A saved report with all that one may have: groups, gaps, memory and estimates."""
    made = json.loads((SAMPLES / "report_uncounted.json").read_text())
    remembered = json.loads((SAMPLES / "report_memory.json").read_text())
    for layer, other in zip(made["layers"], remembered["layers"], strict=True):
        layer |= {name: other[name] for name in ("output_bytes", "live_bytes")}
    return made | {"extra": {"peak_memory": 3488}}


def test_every_integer_is_a_fact_or_is_refused_where_it_is_another() -> None:
    document = everything()
    twice = {
        n for n, layer in enumerate(document["layers"]) if layer["path"].startswith("blocks.1.")
    }
    found = [
        place
        for place in places(document)
        if type(at(document, place)) is int and not (place[0] == "layers" and place[1] in twice)
    ]
    refused = 0
    for place in found:
        *way, last = place
        holder, was = at(document, tuple(way)), at(document, place)
        holder[last] = was + 1
        try:
            report = Report.from_json(json.dumps(document))
        except ReportError:
            refused += 1
        else:
            assert FACTS.match(".".join(map(str, place))), place
            assert place[-1] not in ("read", "written") or not holder["ops"]
            assert at(report.to_dict(), place) == was + 1
        holder[last] = was
    assert document == everything()
    assert refused > len(found) / 3


def at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


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


# ---- operations and weights, which came later and may be missing


def _with_ops(**changes: Any) -> str:
    document = json.loads(with_operations().to_json())
    for path, value in changes.items():
        place: Any = document["layers"][0]
        *way, last = path.split("__")
        for step in way:
            place = place[int(step) if step.isdigit() else step]
        place[int(last) if last.isdigit() else last] = value
    return json.dumps(document)


def with_operations() -> Report:
    """One convolution of 3 into 4 channels, run twice."""
    call = OpCall(
        0,
        "aten.conv2d",
        "",
        {"input": TensorSpec((1, 3, 8, 8)), "weight": TensorSpec((4, 3, 1, 1)), "groups": 1},
        (TensorSpec((1, 4, 8, 8)),),
        params=(("weight", "weight"),),
        roles=("input",),
    )
    work = Work(macs=2 * 768, activations=2 * 256)
    layer = Layer(
        path="",
        type="Conv2d",
        kind="pointwise",
        params=12,
        weights={"weight": (4, 3, 1, 1)},
        calls=2,
        tallies=(Tally("convolution", "pointwise", 2, work, 384, 512, ops=(call, call)),),
    )
    return Report(subject={"name": "net"}, convention="macs", layers=(layer,))


def test_operations_come_back_with_their_shapes_and_places() -> None:
    report = with_operations()
    (layer,) = Report.from_json(report.to_json()).layers
    assert layer.weights == {"weight": (4, 3, 1, 1)}
    assert len(layer.tallies[0].ops) == 2
    call = layer.tallies[0].ops[0]
    assert (call.op, call.args["weight"].shape, call.output.shape) == (
        "aten.conv2d",
        (4, 3, 1, 1),
        (1, 4, 8, 8),
    )
    assert (call.params, call.roles) == ((("weight", "weight"),), ("input",))


def test_an_older_document_has_neither() -> None:
    document = json.loads(with_operations().to_json())
    del document["layers"][0]["weights"]
    del document["layers"][0]["tallies"][0]["ops"]
    (layer,) = Report.from_json(json.dumps(document)).layers
    assert (layer.weights, layer.tallies[0].ops) == ({}, ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tallies__0__ops__0__times": 4_000_000_000}, "ran 4000000000 times"),
        ({"tallies__0__ops__0__times": 0}, "ran 0 times"),
        ({"tallies__0__ops__0__times": "2"}, "ran '2' times"),
        ({"tallies__0__ops__0__times": 1.7}, "ran 1.7 times"),
        ({"tallies__0__ops__0__times": float("inf")}, "ran inf times"),
        ({"tallies__0__ops__0__times": 3}, "3 operations"),
        ({"tallies__0__ops__0__args": {"input": {"float32": [1, -3, 8, 8]}}}, "is no shape"),
        ({"tallies__0__ops__0__args": {"input": {}}}, "not a list of operations"),
        ({"tallies__0__ops__0__args": 3}, "not a list of operations"),
        (
            {"tallies__0__ops__0__args": {}},
            "tallies[0].read is 384, but its operations add up to 0",
        ),
        ({"tallies__0__ops__0": 3}, "not a list of operations"),
        ({"tallies__0__ops": {}}, "expected a list"),
        ({"weights": {"weight": 3}}, "weights.weight: expected a shape"),
        ({"weights": {"weight": "abcd"}}, "expected a shape"),
        ({"weights": {"weight": [1.5]}}, "expected a shape"),
        ({"weights": {"weight": [-1, 3]}}, "expected a shape"),
        ({"weights": []}, "expected an object"),
    ],
)
def test_damaged_operations_are_one_clear_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ReportError, match=re.escape(words)):
        Report.from_json(_with_ops(**changes))


def test_operations_that_do_not_come_to_their_tally_are_not_used() -> None:
    other = {"input": {"float32": [1, 3, 8, 8]}, "weight": {"float32": [4, 3, 3, 3]}}
    for damaged in (
        _with_ops(tallies__0__ops__0__args=other),
        _with_ops(tallies__0__ops__0__op="aten.nothing"),
    ):
        report = Report.from_json(damaged)
        explanation = cnnstat.explain_layer(report, "")
        assert (explanation.operations, len(explanation.unexplained)) == ((), 1)
        with pytest.raises(SpecError, match="saved without the operations"):
            cnnstat.what_if(report, ["separable"])


def test_infinity_is_no_json() -> None:
    call = OpCall(
        0, "aten.clamp", "", {"self": TensorSpec((2,)), "max": float("inf")}, (TensorSpec((2,)),)
    )
    (entry,) = calls_to_list([call])
    assert entry["args"]["max"] == "inf"
