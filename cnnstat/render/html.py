"""HTML: a page of its own, and the fragment that a notebook shows."""

from __future__ import annotations

from html import escape

from cnnstat.render import summary
from cnnstat.render.base import View
from cnnstat.render.document import Document, Text
from cnnstat.render.layers import layer_table
from cnnstat.render.rows import select
from cnnstat.render.table import Table
from cnnstat.report import Report

# Colours are the surroundings' own, so that it reads on a light and on a dark page.
_STYLE = """
.cnnstat { font: 13px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
.cnnstat h2 { font-size: 1.25em; margin: 0 }
.cnnstat h3 { font-size: 1em; margin: 1em 0 .2em }
.cnnstat p, .cnnstat ul { margin: .4em 0 1em }
.cnnstat table { border-collapse: collapse; margin: 0 0 1em }
.cnnstat th, .cnnstat td { padding: .1em .8em .1em 0; text-align: left; vertical-align: top; border: 0;
  white-space: nowrap }
.cnnstat td.prose { white-space: normal; min-width: 18em; max-width: 45em }
.cnnstat th { border-bottom: 1px solid; font-weight: 600 }
.cnnstat .n { text-align: right }
.cnnstat .open, .cnnstat .own, .cnnstat .rest, .cnnstat .faint, .cnnstat small { opacity: .6 }
.cnnstat .total td { border-top: 1px solid; font-weight: 600 }
.cnnstat .gap { color: #b35900; font-weight: 600 }
"""


class HtmlRenderer:
    """`-f html`: one file that needs no other."""

    name = "html"
    extensions = (".html", ".htm")
    carries_notes = True

    def render(self, report: Report, view: View) -> str:
        """A whole page; the tree is indented, and an open module's row is faint."""
        head = f'<meta charset="utf-8">\n<title>{escape(report.name)} · cnnstat</title>'
        return f"<!doctype html>\n{head}\n{fragment(report, view)}"

    def draw(self, document: Document, view: View) -> str:
        """A whole page of a document."""
        head = (
            f'<meta charset="utf-8">\n<title>{escape(" · ".join(document.title))} · cnnstat</title>'
        )
        return f"<!doctype html>\n{head}\n{document_fragment(document)}"


def document_fragment(document: Document) -> str:
    """The document as one `div` with its style, for a notebook."""
    parts = [
        f'<div class="cnnstat">\n<style>{_STYLE}</style>\n',
        f"<h2>{escape(' · '.join(document.title))}</h2>\n",
        f"<p><small>{escape(' · '.join(document.circumstances))}</small></p>\n",
    ]
    for block in document.blocks:
        if isinstance(block, Text):
            parts.append(_TEXTS[block.role].format(escape(block.text)))
        else:
            parts.append(f"<h3>{escape(block.title)}</h3>\n" if block.title else "")
            parts.append(html_table(block.table) if block.table.lines else "")
            parts.append(f"<p><small>{escape(block.after)}</small></p>\n" if block.after else "")
    notes = "".join(f"<li>{escape(note)}</li>\n" for note in document.notes)
    parts += [f"<ul>\n{notes}</ul>\n" if notes else "", "</div>\n"]
    return "".join(parts)


_TEXTS = {
    "plain": "<p>{}</p>\n",
    "quiet": "<p><small>{}</small></p>\n",
    "formula": "<p><code>{}</code></p>\n",
    "warning": '<p class="gap">{}</p>\n',
}


def fragment(report: Report, view: View | None = None) -> str:
    """The report as one `div` with its style, for a notebook."""
    view = view or View()
    selection = select(report, view)
    sentence = summary.summary_sentence(report)
    notes = "".join(f"<li>{escape(summary.note_text(n))}</li>\n" for n in summary.notes(report))
    groups = "".join(f"<p>{escape(line)}</p>\n" for line in summary.group_lines(report))
    parts = [
        f'<div class="cnnstat">\n<style>{_STYLE}</style>\n',
        f"<h2>{escape(' · '.join(summary.title(report)))}</h2>\n",
        f"<p><small>{escape(' · '.join(summary.circumstances(report)))}</small></p>\n",
        _totals(report),
        f'<p class="gap">{escape(sentence)}</p>\n' if sentence else "",
        html_table(layer_table(report, selection, view, tree=True)),
        f"<p><small>… {escape(selection.more)}</small></p>\n" if selection.more else "",
        html_table(summary.kind_table(report)) if report.kinds else "",
        groups,
        html_table(summary.uncounted_table(report)) if report.uncounted else "",
        f"<ul>\n{notes}</ul>\n" if notes else "",
        "</div>\n",
    ]
    return "".join(parts)


def html_table(table: Table) -> str:
    """The table, a class for each line's role."""
    table = table.without_ornaments()
    classes = [
        ' class="n"' if column.numeric else ' class="prose"' if column.prose else ""
        for column in table.columns
    ]
    titles = "".join(
        f"<th{cls}>{escape(column.title)}</th>"
        for cls, column in zip(classes, table.columns, strict=True)
    )
    rows = []
    for line in table.lines:
        cells = [f"<td{cls}>{escape(c)}</td>" for cls, c in zip(classes, line.cells, strict=True)]
        if line.indent:
            first = (
                f'<td style="padding-left:{1.2 * line.indent:.1f}em">{escape(line.cells[0])}</td>'
            )
            cells[0] = first
        role = f"{line.role} faint" if line.faint else line.role
        rows.append(f'<tr class="{role}">{"".join(cells)}</tr>\n')
    return f"<table>\n<tr>{titles}</tr>\n{''.join(rows)}</table>\n"


def _totals(report: Report) -> str:
    rows = "".join(
        f'<tr><td class="n"><b>{escape(t.short)}</b></td><td><b>{escape(t.label)}</b></td>'
        f'<td class="n">{escape(t.full)}</td><td><small>{escape(t.meaning)}</small></td></tr>\n'
        for t in summary.totals(report)
    )
    return f"<table>\n{rows}</table>\n"
