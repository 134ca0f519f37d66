"""Markdown as GitHub and GitLab read it: the totals, the layers that add up to them, the gaps."""

from __future__ import annotations

import re

from cnnstat.render import summary
from cnnstat.render.base import View
from cnnstat.render.document import Document, Text
from cnnstat.render.layers import layer_table
from cnnstat.render.rows import select
from cnnstat.render.table import Column, Line, Table, width
from cnnstat.report import Report

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$!&])")


class MarkdownRenderer:
    """`-f markdown`: for an issue, a README or a job summary."""

    name = "markdown"
    extensions = (".md", ".markdown")
    carries_notes = True

    def render(self, report: Report, view: View) -> str:
        """Sections with a table each. An open module has no row of its own, so the rows add up."""
        selection = select(report, view)
        layers = layer_table(report, selection, view, tree=False)
        parts = [
            f"## {escape(' · '.join(summary.title(report)))}",
            escape(" · ".join(summary.circumstances(report))),
            _totals(report),
            escape(summary.summary_sentence(report)),
            markdown_table(layers),
            f"*{escape(selection.more)}*" if selection.more else "",
            markdown_table(summary.kind_table(report)) if report.kinds else "",
            "\n".join(f"- {escape(line)}" for line in summary.group_lines(report)),
            markdown_table(summary.uncounted_table(report)) if report.uncounted else "",
            "\n".join(f"- {escape(summary.note_text(note))}" for note in summary.notes(report)),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def draw(self, document: Document, view: View) -> str:
        """A heading, then paragraphs and tables, each with its own."""
        parts = [
            f"## {escape(' · '.join(document.title))}",
            escape(" · ".join(document.circumstances)),
        ]
        for block in document.blocks:
            if isinstance(block, Text):
                parts.append(_paragraph(block))
            else:
                parts.append(f"### {escape(block.title)}" if block.title else "")
                parts.append(markdown_table(block.table) if block.table.lines else "")
                parts.append(f"*{escape(block.after)}*" if block.after else "")
        parts.append("\n".join(f"- {escape(note)}" for note in document.notes))
        return "\n\n".join(part for part in parts if part) + "\n"


def _paragraph(text: Text) -> str:
    if text.role == "formula":
        fence = "``" if "`" in text.text else "`"
        return f"{fence}{text.text}{fence}"
    return f"**{escape(text.text)}**" if text.role == "warning" else escape(text.text)


def escape(text: str) -> str:
    """The text as Markdown shows it, letter by letter."""
    return _SPECIAL.sub(r"\\\1", text)


def markdown_table(table: Table) -> str:
    """A pipe table whose source is aligned too."""
    table = table.without_ornaments()
    titles = [escape(column.title) for column in table.columns]
    rows = [[_cell(line, n) for n in range(len(titles))] for line in table.lines]
    widths = [max(3, *(width(row[n]) for row in [titles, *rows])) for n in range(len(titles))]
    lines = [titles, [_dashes(c, w) for c, w in zip(table.columns, widths, strict=True)], *rows]
    return "\n".join(
        "| "
        + " | ".join(
            _padded(text, size, column)
            for text, size, column in zip(line, widths, table.columns, strict=True)
        )
        + " |"
        for line in lines
    )


def _cell(line: Line, place: int) -> str:
    text = escape(line.cells[place])
    return f"**{text}**" if line.role == "total" and text else text


def _dashes(column: Column, size: int) -> str:
    return "-" * (size - 1) + (":" if column.numeric else "-")


def _padded(text: str, size: int, column: Column) -> str:
    padding = " " * (size - width(text))
    return padding + text if column.numeric else text + padding


def _totals(report: Report) -> str:
    columns = (
        Column(key="total", title="total"),
        Column(key="short", title="", numeric=True),
        Column(key="full", title="exactly", numeric=True),
        Column(key="meaning", title=""),
    )
    lines = tuple(
        Line(cells=(total.label, total.short, total.full, total.meaning))
        for total in summary.totals(report)
    )
    return markdown_table(Table(columns=columns, lines=lines))
