"""Lists of names and of rules: text for people, CSV and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from cnnstat.render.delimited import csv_text
from cnnstat.render.table import Column, Line, Table, visible

Record = Mapping[str, str | list[str]]
"""One entry; a list of strings is one cell in a table."""


class Model(Protocol):
    """What is shown of a model."""

    @property
    def name(self) -> str:
        """`"resnet50"`."""
        ...

    @property
    def source(self) -> str:
        """`"torchvision"`."""
        ...


class CountingRule(Protocol):
    """What is shown of a rule."""

    @property
    def name(self) -> str:
        """`"convolution"`."""
        ...

    @property
    def ops(self) -> tuple[str, ...]:
        """`("aten.convolution",)`."""
        ...

    @property
    def family(self) -> str:
        """`"convolution"`."""
        ...

    @property
    def formula(self) -> str:
        """The formula."""
        ...

    @property
    def source(self) -> str:
        """Where it is from."""
        ...


def model_list(models: Iterable[Model], format: str, width: int | None, color: bool) -> str:
    """Names with their sources."""
    records = [{"name": model.name, "source": model.source} for model in models]
    if format != "table":
        return _data(records, ("name", "source"), format)
    from cnnstat.render.terminal import table_lines, text_of

    columns = (
        Column(key="name", title="name", elastic=True),
        Column(key="source", title="source", priority=10),
    )
    lines = tuple(
        Line(cells=(visible(record["name"]), visible(record["source"]))) for record in records
    )
    return text_of(table_lines(Table(columns=columns, lines=lines), width), color=color)


def rule_list(rules: Iterable[CountingRule], format: str, width: int | None, color: bool) -> str:
    """Each rule with its formula, its source and the operations that it counts."""
    rules = list(rules)
    if format != "table":
        records: list[Record] = [
            {
                "name": rule.name,
                "family": rule.family,
                "ops": list(rule.ops),
                "formula": rule.formula,
                "source": rule.source,
            }
            for rule in rules
        ]
        return _data(records, ("name", "family", "ops", "formula", "source"), format)
    from cnnstat.render.terminal import Part, text_of, wrapped

    lines: list[list[Part]] = []
    inside = None if width is None else max(width - 2, 1)
    for rule in rules:
        lines += [[]] if lines else []
        lines.append([(rule.name, "bold"), (f"  {rule.family}", "dim")])
        for text, style in (
            (rule.formula, "cyan"),
            (rule.source, ""),
            (", ".join(rule.ops), "dim"),
        ):
            lines += [[("  " + part, style)] for part in wrapped(visible(text), inside)]
    return text_of(lines, color=color)


def _data(records: Sequence[Record], keys: tuple[str, ...], format: str) -> str:
    if format == "json":
        return json.dumps(list(records), indent=1, ensure_ascii=False) + "\n"
    rows: list[tuple[object, ...]] = [keys]
    for record in records:
        cells = (record[key] for key in keys)
        rows.append(tuple(" ".join(c) if isinstance(c, list) else c for c in cells))
    return csv_text(rows)
