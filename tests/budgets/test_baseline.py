from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnstat.budgets.baseline import Baseline, Entry, read_baseline
from cnnstat.budgets.limits import METRICS
from cnnstat.errors import ConfigError
from tests.reports import REPORTS, normal, unknown


def baseline(**entries: Entry) -> Baseline:
    return Baseline(entries or {"little": Entry.of(normal()), "gappy": Entry.of(unknown())})


def saved(folder: Path, content: str | bytes) -> Path:
    path = folder / "baseline.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path) -> Baseline:
    found = read_baseline(path, "baseline.json")
    assert found is not None
    return found


@pytest.mark.parametrize("name", REPORTS)
def test_what_is_written_is_what_is_read(name: str, tmp_path: Path) -> None:
    written = baseline(**{name: Entry.of(REPORTS[name](), tuple(METRICS.values()))})
    again = read(saved(tmp_path, written.text()))
    assert again == written
    assert again.text() == written.text()


def test_the_file_reads_well_in_a_diff() -> None:
    text = baseline().text()
    # Sorted keys, and no line with two numbers but for shapes, which are texts.
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    for line in text.splitlines():
        assert len(re.findall(r": \d+", line)) <= 1
    numbers = re.findall(r"(?<![\w\"x.])-?[\d.]+(?:e[+-]?\d+)?,?$", text, flags=re.MULTILINE)
    assert numbers
    assert all(number.rstrip(",").isdecimal() for number in numbers)


def test_one_number_that_moves_is_one_line_that_differs() -> None:
    one = baseline()
    numbers = {**one.entries["little"].numbers, "macs": 5}
    two = baseline(**{**one.entries, "little": replace(one.entries["little"], numbers=numbers)})
    differ = zip(one.text().splitlines(), two.text().splitlines(), strict=True)
    assert [b.strip() for a, b in differ if a != b] == ['"macs": 5,']


def test_the_documented_form() -> None:
    document = json.loads(baseline().text())
    assert set(document) == {"schema", "made_by", "checks"}
    assert document["made_by"] == {"cnnstat": "0.1.0", "torch": "2.13.0"}
    little, totals = document["checks"]["little"], normal().totals
    for key in ("params", "param_bytes", "macs", "flops", "activations"):
        assert little[key] == getattr(totals, key)
        assert sum(layer.get(key, 0) for layer in little["layers"]) == little[key]
    assert little["input"] == "x=1x3x32x32"
    stem = next(layer for layer in little["layers"] if layer["path"] == "stem")
    assert (stem["type"], stem["kind"], stem["output"]) == ("Conv2d", "standard", "1x16x32x32")


def test_checks_of_different_versions_keep_their_own() -> None:
    old = replace(normal(), meta={**normal().meta, "torch": "2.10.0", "timm": "1.0"})
    mixed = baseline(a=Entry.of(old), b=Entry.of(normal()), c=Entry.of(normal()))
    document = json.loads(mixed.text())
    assert document["made_by"] == {"cnnstat": "0.1.0", "torch": "2.13.0", "timm": "1.0"}
    assert document["checks"]["a"]["made_by"] == {"torch": "2.10.0"}
    assert "made_by" not in document["checks"]["b"]


def test_versions_are_read_back(tmp_path: Path) -> None:
    old = replace(normal(), meta={**normal().meta, "torch": "2.10.0"})
    mixed = baseline(a=Entry.of(old), b=Entry.of(normal()), c=Entry.of(normal()))
    again = read(saved(tmp_path, mixed.text()))
    assert {n: e.made_by["torch"] for n, e in again.entries.items()} == {
        "a": "2.10.0",
        "b": "2.13.0",
        "c": "2.13.0",
    }


def test_the_text_does_not_depend_on_the_order() -> None:
    one = baseline()
    assert Baseline(dict(reversed(one.entries.items()))).text() == one.text()


def test_changes_are_of_what_both_have() -> None:
    old = baseline(a=Entry({"macs": 5, "params": 7}), gone=Entry({"macs": 1}))
    new = baseline(a=Entry({"macs": 6, "params": 7, "flops": 1}), new=Entry({"macs": 2}))
    (change,) = old.changes(new)
    assert change.describe() == "a: MACs 5 → 6 (+1)"


def test_a_missing_file_is_no_baseline(tmp_path: Path) -> None:
    assert read_baseline(tmp_path / "none.json", "none.json") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ":1: not a baseline"),
        ('{"schema": 1,\n"checks": {},\n}', ":3: not a baseline"),
        ("[]", "expected an object"),
        ("null", "expected an object"),
        ('{"checks": {}}', "schema None"),
        ('{"schema": 2, "checks": {}}', "schema 2"),
        ('{"schema": 1}', "checks: expected an object"),
        ('{"schema": 1, "checks": []}', "checks: expected an object"),
        ('{"schema": 1, "checks": {"a": 1}}', "checks.a: expected an object"),
        ('{"schema": 1, "made_by": 1, "checks": {}}', "made_by"),
        ('{"schema": 1, "made_by": {"torch": 2}, "checks": {}}', "made_by.torch"),
        ('{"schema": 1, "checks": {"a": {"macs": "5"}}}', "checks.a.macs: expected a count"),
        ('{"schema": 1, "checks": {"a": {"macs": -5}}}', "checks.a.macs"),
        ('{"schema": 1, "checks": {"a": {"macs": 5.0}}}', "checks.a.macs"),
        ('{"schema": 1, "checks": {"a": {"macs": true}}}', "checks.a.macs"),
        ('{"schema": 1, "checks": {"a": {"layers": {}}}}', "checks.a.layers"),
        ('{"schema": 1, "checks": {"a": {"layers": [{"path": 1}]}}}', "layers[0].path"),
        ('{"schema": 1, "checks": {"a": {"layers": [{"output": "1xx"}]}}}', "layers[0].output"),
        (b'{"schema": 1, "checks": {"\xff": {}}}', "not a baseline"),
        ("[" * 100_000, "not a baseline"),
        ('{"schema": 1,\n<<<<<<< HEAD\n=======\n>>>>>>> other\n}', ":2: a merge was left"),
    ],
)
def test_what_is_no_baseline(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(saved(tmp_path, content))
    assert caught.value.message.startswith("baseline.json:")
    assert words in caught.value.message
    assert "--update" in caught.value.hint


def odd(value: Any) -> Any:
    """The document with each of its values replaced by one that does not belong there, in turn."""
    yield from (None, -1, 1.5, [], {}, "x", True, [[1]], {"a": None})
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else list(enumerate(value))[:3]:
            for other in odd(item):
                copy = dict(value) if isinstance(value, dict) else list(value)
                copy[key] = other
                yield copy


def test_no_damage_is_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    for document in odd(json.loads(baseline(a=Entry.of(normal())).text())):
        path.write_text(json.dumps(document), encoding="utf-8")
        try:
            read(path).text()
        except ConfigError as error:
            assert error.message.startswith("baseline.json:1: not a baseline")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no regular file"):
        read_baseline(tmp_path, "baseline.json")
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="no regular file"):
        read_baseline(pipe, "pipe.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": 1, "checks": {"n": {"macs": 1}, "n": {"macs": 9}}}', "'n' stands there twice"),
        ('{"schema": 1, "checks": {"n": {"macs": 1' + "0" * 30 + "}}}", "expected a count"),
    ],
)
def test_a_merge_that_kept_both_and_absurd_numbers(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        read_baseline(path, "baseline.json")
