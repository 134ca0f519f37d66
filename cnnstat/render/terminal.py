"""The table that a terminal shows: totals, layers, kinds, and last what the reader should know."""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import StringIO
from typing import TYPE_CHECKING

from cnnstat.render import summary
from cnnstat.render.base import View
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.layers import layer_table, uncounted_text
from cnnstat.render.rows import select
from cnnstat.render.table import GAP, Line, Table, width
from cnnstat.report import Report

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text as RichText

_UNCOUNTED_SHOWN = 12
"""Places of operations without a rule that are listed, unless the view shows all."""

_SHORTEST_PROSE = 30
"""Sentences in a narrower column than this are harder to read than below their line."""

Part = tuple[str, str]
"""A text and its style; a line is a list of parts."""


class TableRenderer:
    """`-f table`: for people, and for `grep`."""

    name = "table"
    extensions = (".txt",)
    carries_notes = True

    def render(self, report: Report, view: View) -> str:
        """Plain text, or text with colour codes where the view asks for them."""
        return text_of(report_lines(report, view), color=view.color)

    def draw(self, document: Document, view: View) -> str:
        """The same for a document."""
        return text_of(document_lines(document, view.width), color=view.color)


class ReportView:
    """What `rich.print(report)` and a notebook's `rich` show."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view = View(width=options.max_width)
        for line in report_lines(self.report, view):
            yield _styled(line)


def text_of(lines: list[list[Part]], *, color: bool) -> str:
    """The lines as one text, with a final newline."""
    if not color:
        return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)
    from rich.console import Console

    out = StringIO()
    # Only the sixteen colours of the terminal's own theme, and never a line break of rich's.
    console = Console(
        file=out, force_terminal=True, color_system="standard", highlight=False, no_color=False
    )
    for line in lines:
        console.print(_styled(line), soft_wrap=True)
    return out.getvalue()


def _styled(line: list[Part]) -> RichText:
    from rich.text import Text as RichText

    text = RichText(no_wrap=True, overflow="ignore", end="\n")
    for part, style in line:
        text.append(part, style)
    text.rstrip()
    return text


def report_lines(report: Report, view: View) -> list[list[Part]]:
    """The whole document as styled lines, none wider than the view unless a number is."""
    selection = select(report, view)
    layers = layer_table(report, selection, view, tree=True)
    return [
        *_header(report, view.width),
        [],
        *table_lines(layers, view.width),
        *([[(f"… {selection.more}", "dim")]] if selection.more else []),
        *_kinds(report, view.width),
        *_gaps(report, view),
        *_notes(report, view.width),
    ]


def _header(report: Report, room: int | None) -> list[list[Part]]:
    lines = _joined(summary.title(report), room, "bold", "")
    lines += _joined(summary.circumstances(report), room, "dim", "dim")
    lines.append([])
    totals = summary.totals(report)
    head = max(width(total.short) for total in totals)
    label = max(width(total.label) for total in totals)
    digits = max(width(total.full) for total in totals)
    for total in totals:
        # "4.089 G" and "512" line up at the end of the digits, as the suffix follows them.
        line: list[Part] = [
            (total.short.rjust(head), "bold"),
            (" " + total.label.ljust(label), "bold"),
            (GAP + total.full.rjust(digits), ""),
        ]
        used = sum(width(text) for text, _ in line)
        if room is None or used + len(GAP) + width(total.meaning) <= room:
            line.append((GAP + total.meaning, "dim"))
        elif used > room:
            line = line[2:] + line[1:2]
        lines.append(line)
    sentence = summary.summary_sentence(report)
    if sentence:
        lines += [[], *([(text, "yellow")] for text in wrapped(sentence, room))]
    return lines


def _kinds(report: Report, room: int | None) -> list[list[Part]]:
    table = summary.kind_table(report)
    lines: list[list[Part]] = [[], *table_lines(table, room)] if len(table.lines) > 1 else []
    groups = [text for line in summary.group_lines(report) for text in wrapped(line, room)]
    return [*lines, *([[]] if groups else []), *([(text, "")] for text in groups)]


def _gaps(report: Report, view: View) -> list[list[Part]]:
    table = summary.uncounted_table(report)
    if not table.lines:
        return []
    shown = table.lines if view.all else table.lines[:_UNCOUNTED_SHOWN]
    lines: list[list[Part]] = [[]]
    room = view.width
    part = Table(columns=table.columns, lines=shown)
    if room is None or sum(part.widths()) + len(GAP) * 4 <= room:
        lines += table_lines(part, room)
    else:  # A place may not be left out for want of room, so it takes as many lines as it needs.
        for item in report.uncounted[: len(shown)]:
            lines += [
                [(text, "yellow" if n == 0 else "")]
                for n, text in enumerate(wrapped(uncounted_text(item), room, "  "))
            ]
    if len(shown) < len(table.lines):
        left = report.uncounted[len(shown) :]
        count = sum(item.count for item in left)
        more = f"… {len(left)} more places with {count} operations without a rule: --all"
        lines += [[(text, "dim")] for text in wrapped(more, room)]
    return lines


def _notes(report: Report, room: int | None) -> list[list[Part]]:
    return _note_lines(map(summary.note_text, summary.notes(report)), room)


def _note_lines(notes: Iterable[str], room: int | None) -> list[list[Part]]:
    lines: list[list[Part]] = []
    for note in notes:
        first, *others = wrapped(note, None if room is None else room - 6)
        lines.append([("note: ", "cyan"), (first, "")])
        lines += [[("      " + text, "")] for text in others]
    return [[], *lines] if lines else []


# A document

_TEXT_STYLES = {"plain": "", "quiet": "dim", "formula": "cyan", "warning": "yellow"}


def document_lines(document: Document, room: int | None) -> list[list[Part]]:
    """The whole document as styled lines, none wider than the room unless a number is."""
    lines = _joined(list(document.title), room, "bold", "")
    lines += _joined(list(document.circumstances), room, "dim", "dim")
    before: Text | Figure | None = None
    shown = {
        (block.key, column.key)
        for block in document.blocks
        if isinstance(block, Figure)
        for column in block.table.fit(room).columns
    }
    for block in document.blocks:
        if isinstance(block, Text) and block.about and shown.isdisjoint(block.about):
            continue
        # Paragraphs of one kind stand together; everything else has a line of air before it.
        together = (
            isinstance(block, Text) and isinstance(before, Text) and block.role == before.role
        )
        lines += [] if together else [[]]
        if isinstance(block, Text):
            style = _TEXT_STYLES[block.role]
            lines += [[(text, style)] for text in wrapped(block.text, room)]
        else:
            lines += [[(text, "bold")] for text in wrapped(block.title, room) if text]
            lines += table_lines(block.table, room)
            missing = _missing(block.table, room) if block.tells else ""
            after = " · ".join(text for text in (block.after, block.hint, missing) if text)
            lines += [[(text, "dim")] for text in wrapped(after, room) if text]
        before = block
    return lines + _note_lines(document.notes, room)


def _missing(table: Table, room: int | None) -> str:
    """Which columns have left; `""`: none."""
    stayed = [column.key for column in table.fit(room).columns]
    left = dict.fromkeys(column.title for column in table.columns if column.key not in stayed)
    return f"no room for {' · '.join(left)}: --width {table.total()}" if left else ""


# A table as lines


def table_lines(table: Table, room: int | None) -> list[list[Part]]:
    """Titles, a rule, the lines; another rule above a total."""
    if table.columns and table.columns[-1].prose and room is not None:
        return _with_prose(table, room)
    fitted = table.fit(room)
    widths = fitted.widths()
    rule: list[Part] = [("─" * (sum(widths) + len(GAP) * (len(widths) - 1)), "dim")]
    titles = Line(cells=tuple(column.title for column in fitted.columns))
    lines = [_line(fitted, titles, widths, "bold"), rule]
    for line in fitted.lines:
        if line.role == "total":
            lines.append(rule)
        lines.append(_line(fitted, line, widths, ""))
    return lines


def _with_prose(table: Table, room: int) -> list[list[Part]]:
    """The last column's sentences beside the others where there is room for them, else below."""
    others = table.only(table.columns[:-1])
    taken = sum(others.fit(room).widths()) + len(GAP) * len(others.columns)
    beside = room - taken >= _SHORTEST_PROSE
    title, *rest = table_lines(others, room)
    rule, *rows = rest
    indent = " " * (taken if beside else 4)
    if beside:
        title = [*_padded(title, taken), (table.columns[-1].title, "bold")]
        rule = [("─" * room, "dim")]
    lines = [title, rule]
    sentences = iter(line.cells[-1] for line in table.lines)
    for row in rows:
        lines.append(row)
        if row == rest[0]:  # the rule above a total
            continue
        text = wrapped(next(sentences), room - len(indent))
        if beside and text[0]:
            lines[-1] = [*_padded(row, taken), (text.pop(0), "")]
        lines += [[(indent + part, "")] for part in text if part]
    return lines


def _padded(line: list[Part], size: int) -> list[Part]:
    used = sum(width(text) for text, _ in line)
    return [*line, (" " * (size - used), "")]


def _line(table: Table, line: Line, widths: tuple[int, ...], style: str) -> list[Part]:
    quiet = line.faint or line.role in ("open", "own", "rest")
    base = style or ("bold" if line.role == "total" else "dim" if quiet else "")
    parts: list[Part] = []
    for place, column in enumerate(table.columns):
        text = table.indented(line) if place == 0 else line.cells[place]
        padding = " " * (widths[place] - width(text))
        if place:
            parts.append((GAP, ""))
        if column.numeric:
            zero = "dim" if text in ("0", "–", "0.0 %") else base
            parts += [(padding, ""), (text, zero)]
        elif column.elastic and "." in text and not style:
            cut = text.rfind(".") + 1
            parts += [(text[:cut], "dim"), (text[cut:], base), (padding, "")]
        else:
            parts += [(text, "cyan" if column.key == "bar" else base), (padding, "")]
    return parts


# Running text


def _joined(items: list[str], room: int | None, first: str, others: str) -> list[list[Part]]:
    """Items between dots, on as many lines as it takes."""
    lines: list[list[Part]] = []
    used = 0
    for n, item in enumerate(items):
        style = others if n else first
        if lines and (room is None or used + 3 + width(item) <= room):
            lines[-1] += [(" · ", "dim"), (item, style)]
            used += 3 + width(item)
        else:
            lines.append([(item, style)])
            used = width(item)
    return lines


def wrapped(text: str, room: int | None, indent: str = "") -> list[str]:
    """The text on lines of at most `room` cells, broken between words alone."""
    if room is None:
        return [text]
    lines = [""]
    for word in re.split(r" +", text):
        joined = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
        if width(joined) <= room or not lines[-1].strip():
            lines[-1] = joined
        else:
            lines.append(indent + word)
    return lines
