"""The file of a table, checked key by key: one error names the file, the place and what was expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from cnnstat.errors import ConfigError
from cnnstat.kinds import KINDS
from cnnstat.published.printed import ROUNDINGS
from cnnstat.published.quantities import QUANTITIES
from cnnstat.published.tables import (
    CellRule,
    Footnote,
    Network,
    PublishedTable,
    Row,
    TableColumn,
)

_ABOUT = set(
    "id title paper year arxiv table_no kind caption document convention notes url".split()
)
_NETWORK = {field.name: field.type for field in fields(Network)}
_CHOICES = {"quantity": QUANTITIES, "rounding": ROUNDINGS, "per_mac": (1, 2)}


def parse_table(text: str, file: str) -> PublishedTable:
    """The table that a file's text describes. Raises `ConfigError`, naming `file` and the key."""
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None
    for key in ("id", "title", "paper", "year", "kind", "columns", "rows"):
        if key not in data:
            raise ConfigError(f"{file}: {key} is missing")
    if f"{data['id']}.toml" != file:
        raise ConfigError(f"{file}: id is {data['id']!r}; expected the name of the file")
    place = _Place(file)
    place.known(data, {*_ABOUT, "columns", "rows", "cells", "footnotes"})
    columns = tuple(
        TableColumn(c["key"], c.get("unit", ""), c.get("label", c["key"])) for c in data["columns"]
    )
    keys = {column.key for column in columns}
    rows = tuple(_row(row, place.at(f"rows {n}"), keys) for n, row in enumerate(data["rows"], 1))
    rules = tuple(
        _rule(cell, place.at(f"cells {n}"), keys, len(rows))
        for n, cell in enumerate(data.get("cells", ()), 1)
    )
    named = keys | {rule.column for rule in rules}
    return PublishedTable(
        id=data["id"],
        about={key: data[key] for key in data if key in _ABOUT},
        columns=columns,
        rows=rows,
        rules=rules,
        footnotes=tuple(
            _footnote(note, place.at(f"footnotes {n}"), named, len(rows))
            for n, note in enumerate(data.get("footnotes", ()), 1)
        ),
    )


class _Place:
    """Where in the file we are, for what may be wrong there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def at(self, name: str) -> _Place:
        return _Place(f"{self.name}: {name}")

    def wrong(self, text: str) -> ConfigError:
        return ConfigError(f"{self.name}: {text}")

    def known(self, table: Mapping[str, Any], names: set[str]) -> None:
        for key in table:
            if key not in names:
                raise self.wrong(f"{key} is no key here; expected {', '.join(sorted(names))}")

    def value(self, key: str, value: Any, kind: str) -> Any:
        """`value` as the annotation `kind` has it."""
        if kind == "str" and isinstance(value, str) and value:
            return value
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind == "int" and isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        if kind.startswith("Decimal") and isinstance(value, int | Decimal) and value > 0:
            return Decimal(value)
        if kind.startswith("tuple[") and isinstance(value, list) and value:
            wanted = int if "int" in kind else str
            if all(isinstance(item, wanted) for item in value):
                return tuple(value)
        expected = {"tuple[int, ...]": "whole numbers", "tuple[str, ...]": "texts"}
        least = kind.replace(" | None", "")
        raise self.wrong(f"{key} is {value!r}; expected {expected.get(least, least)}")

    def rows(self, numbers: tuple[int, ...], count: int) -> None:
        for number in numbers:
            if not 1 <= number <= count:
                raise self.wrong(f"rows: there is no row {number}; expected 1 to {count}")


def _row(row: Mapping[str, Any], place: _Place, columns: set[str]) -> Row:
    place.known(row, columns | {"verified", "unverified_fields", "measured"})
    published = {key: value for key, value in row.items() if key != "measured"}
    measured = row.get("measured", {})
    if not isinstance(measured, dict):
        raise place.wrong(f"measured is {measured!r}; expected a table in braces")
    if "why_not" in measured:
        place.known(measured, {"why_not"})
        return Row(published, {}, place.value("measured.why_not", measured["why_not"], "str"))
    own = {key: value for key, value in measured.items() if key in _NETWORK}
    networks = {"": _network(own, place.at("measured"))} if own else {}
    for name, value in measured.items():
        if name not in _NETWORK:
            if not isinstance(value, dict):
                raise place.wrong(f"measured.{name} is no key of a network nor a network")
            networks[name] = _network(value, place.at(f"measured.{name}"))
    return Row(published, networks)


def _network(table: Mapping[str, Any], place: _Place) -> Network:
    place.known(table, set(_NETWORK))
    if "spec" not in table:
        raise place.wrong("spec is missing")
    found = Network(**{k: place.value(k, v, str(_NETWORK[k])) for k, v in table.items()})
    _kinds(found.kinds, place)
    try:
        re.compile(found.match)
    except re.error as error:
        raise place.wrong(f"match is {found.match!r}: {error}") from None
    return found


def _rule(table: Mapping[str, Any], place: _Place, columns: set[str], rows: int) -> CellRule:
    types = {field.name: str(field.type) for field in fields(CellRule)}
    place.known(table, set(types))
    rule = CellRule(**{key: place.value(key, value, types[key]) for key, value in table.items()})
    if bool(rule.quantity) == bool(rule.why_not):
        raise place.wrong("expected quantity, or why_not")
    for key, choices in _CHOICES.items():
        if key in table and table[key] not in choices:
            known = ", ".join(map(str, choices))
            raise place.wrong(f"{key} is {table[key]!r}; expected one of {known}")
    if rule.column not in columns and not rule.label and not rule.rows:
        raise place.wrong(f"{rule.column!r} is no column, and has no label")
    _kinds(rule.only + rule.exclude, place)
    place.rows(rule.rows, rows)
    place.rows((rule.over,) if rule.over else (), rows)
    return rule


def _footnote(table: Mapping[str, Any], place: _Place, columns: set[str], rows: int) -> Footnote:
    types = {field.name: str(field.type) for field in fields(Footnote)}
    place.known(table, set(types))
    if "text" not in table:
        raise place.wrong("text is missing")
    note = Footnote(**{key: place.value(key, value, types[key]) for key, value in table.items()})
    if note.column and note.column not in columns:
        raise place.wrong(f"{note.column!r} is no column")
    place.rows(note.rows, rows)
    return note


def _kinds(kinds: tuple[str, ...], place: _Place) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise place.wrong(f"{kind!r} is no kind; expected one of {', '.join(KINDS)}")
