from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnstat.budgets.toml_lines import TomlLines

DOCUMENT = '''\
# [not.a.table]
title = "a # b [x] = 1"
text = """
[[tool.cnnstat.check]]
max = 1 \\""" still ""inside"""
literal = \'\'\'
[other]
' quotes \'\'\'\'

[tool.cnnstat] # a comment
baseline = 'x.json'
"quoted key" . 'and.dotted' = 1

[[tool.cnnstat.check]]
model = "a"
max = { params = "1 M", "macs" = [1, 2], flops = { deep = 1 } }

[[ tool . cnnstat . check ]]
model = "b"
max.params = 5
max.macs = 6
input = [
  1, # one
  3,
  [ 4,
    5 ],
]

[tool.cnnstat.check.growth]
macs = "0%"

[[tool.cnnstat.check.inner]]
z = 1
[[tool.cnnstat.check.inner]]
z = 2
[last]
end = 1979-05-27T07:32:00Z'''


def line_of(text: str, nth: int = 0) -> int:
    """The line, from 1, of the nth place that has the text."""
    return [n for n, line in enumerate(DOCUMENT.splitlines(), 1) if text in line][nth]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("text",), 3),
        (("literal",), 6),
        (("tool",), line_of("[tool.cnnstat] #")),
        (("tool", "cnnstat", "baseline"), line_of("baseline")),
        (("tool", "cnnstat", "quoted key", "and.dotted"), line_of("quoted key")),
        (("tool", "cnnstat", "check"), line_of("[[tool.cnnstat.check]]", 1)),
        (("tool", "cnnstat", "check", 0), line_of("[[tool.cnnstat.check]]", 1)),
        (("tool", "cnnstat", "check", 0, "max", "params"), line_of("1 M")),
        (("tool", "cnnstat", "check", 0, "max", "flops", "deep"), line_of("1 M")),
        (("tool", "cnnstat", "check", 1), line_of("[[ tool")),
        (("tool", "cnnstat", "check", 1, "model"), line_of('"b"')),
        (("tool", "cnnstat", "check", 1, "max"), line_of("max.params")),
        (("tool", "cnnstat", "check", 1, "max", "macs"), line_of("max.macs")),
        (("tool", "cnnstat", "check", 1, "input", 1), line_of("  3,")),
        (("tool", "cnnstat", "check", 1, "input", 2, 1), line_of("5 ],")),
        (("tool", "cnnstat", "check", 1, "growth", "macs"), line_of('"0%"')),
        (("tool", "cnnstat", "check", 1, "inner", 1, "z"), line_of("z = 2")),
        (("last", "end"), line_of("end =")),
        # What is not there: the innermost table that is, and else the first line.
        (("tool", "cnnstat", "check", 1, "level"), line_of("[[ tool")),
        (("tool", "cnnstat", "check", 7), line_of("[[tool.cnnstat.check]]", 1)),
        (("nothing", "at", "all"), 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines(path: tuple[str | int, ...], line: int, ending: str) -> None:
    assert TomlLines(DOCUMENT.replace("\n", ending)).line(*path) == line


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every table and key that `tomllib` finds."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    found = [path] if path else []
    return found + [deeper for key, item in items for deeper in paths(item, (*path, key))]


@pytest.mark.parametrize(
    "text", [DOCUMENT, (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")]
)
def test_everything_that_tomllib_reads_has_a_line_with_its_name(text: str) -> None:
    lines, split = TomlLines(text), text.splitlines()
    for path in paths(tomllib.loads(text)):
        assert path in lines.lines
        if isinstance(path[-1], str):
            assert path[-1] in split[lines.line(*path) - 1].replace(" . ", ".")


@pytest.mark.parametrize(
    "text", ["", "\n\n# only a comment", "a = [", "a = {b", "= 1", '"x', "[[a]"]
)
def test_a_broken_document_is_scanned_as_far_as_it_goes(text: str) -> None:
    assert TomlLines("first = 1\n" + text).line("first") == 1
    assert TomlLines(text).line("nothing") == 1


def test_depth_is_no_crash() -> None:
    assert TomlLines("a = 1\nb = " + "[" * 100_000).line("a") == 1


KEYS = st.sampled_from(["a", "b", "max", "x y", "q'u\"o", "dot.ted", "ü", "", "#", "[k]"])
LEAVES = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.text(alphabet="ab\"'\\\n#[]{}=,. \t", max_size=9),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=3)
DOCUMENTS = st.tuples(
    TABLES, st.dictionaries(KEYS, st.lists(TABLES, min_size=1, max_size=3), max_size=2)
)


class Writer:
    """Writes a document in a style drawn by chance, and remembers on which line each key came."""

    def __init__(self, seed: int) -> None:
        self.random, self.text, self.lines = random.Random(seed), "", {}

    def here(self, *path: str | int) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def air(self) -> None:
        self.text += self.random.choice(["", "", "\n", " # [[x]] = '\n", "\t\n\n"])

    def string(self, text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        if "'" not in text and "\n" not in text and self.random.random() < 0.3:
            return f"'{text}'"
        if self.random.random() < 0.3:
            return f'"""{escaped}"""'
        return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t") + '"'

    def key(self, key: str) -> str:
        return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def value(self, value: Any, path: tuple[str | int, ...]) -> None:
        if isinstance(value, list):
            self.text += "["
            for n, item in enumerate(value):
                self.air()
                self.here(*path, n)
                self.value(item, (*path, n))
                self.air()
                self.text += ","
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{ "
            for n, (key, item) in enumerate(value.items()):
                self.text += ", " if n else ""
                self.here(*path, key)
                self.text += f"{self.key(key)} = "
                self.value(item, (*path, key))
            self.text += " }"
        elif isinstance(value, str):
            self.text += self.string(value)
        else:
            self.text += str(value).lower()

    def table(self, table: dict[str, Any], path: tuple[str | int, ...]) -> None:
        for key, value in table.items():
            self.air()
            if not self.text.endswith("\n"):
                self.text += "\n"
            self.here(*path, key)
            self.text += f"{self.key(key)} = "
            self.value(value, (*path, key))
            self.text += "\n"


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, st.integers(0, 999))
def test_any_document(
    document: tuple[dict[str, Any], dict[str, list[dict[str, Any]]]], seed: int
) -> None:
    top, arrays = document
    writer = Writer(seed)
    writer.table(top, ())
    for name, tables in arrays.items():
        if name in top:
            continue
        for n, table in enumerate(tables):
            writer.text += "\n"
            writer.here(name, n)
            writer.text += f"[[ {writer.key(name)} ]]\n"
            writer.table(table, (name, n))
    tomllib.loads(writer.text)  # The writer writes TOML.
    lines = TomlLines(writer.text)
    for path, line in writer.lines.items():
        assert lines.lines.get(path) == line, (path, writer.text)
