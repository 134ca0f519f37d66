"""LaTeX tables with booktabs, to be read into a paper with `\\input`."""

from __future__ import annotations

import re

from cnnstat.render import summary
from cnnstat.render.base import View
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.layers import layer_table
from cnnstat.render.rows import READABLE_ROWS, select
from cnnstat.render.table import Column, Line, Table
from cnnstat.report import Report

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    # What this program writes itself; any other letter is left to the paper's encoding.
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\to$",
    "–": r"\textendash{}",
    "−": r"$-$",
    "÷": r"$\div$",
    "α": r"$\alpha$",
    "Δ": r"$\Delta$",
    "²": r"\textsuperscript{2}",
    "⁶": r"\textsuperscript{6}",
    "⁰": r"\textsuperscript{0}",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
}


class LatexRenderer:
    """`-f latex`: a table of the layers and one of the kinds."""

    name = "latex"
    extensions = (".tex",)
    carries_notes = True

    def render(self, report: Report, view: View) -> str:
        """Two tables. An open module has no row of its own, so the rows add up."""
        selection = select(report, view)
        layers = layer_table(report, selection, view, tree=False)
        long = len(layers.lines) > READABLE_ROWS + 1
        packages = "booktabs, longtable" if long else "booktabs"
        caption = f"{' · '.join(summary.title(report))}: {_sums(report)}."
        label = re.sub(r"[^A-Za-z0-9]+", "-", report.name).strip("-") or "model"
        remarks = _remarks(report, selection.more)
        parts = [
            f"% \\usepackage{{{packages}}}",
            _float(layers, caption, f"tab:{label}-layers", remarks, long),
        ]
        if report.kinds:
            kinds = summary.kind_table(report)
            parts.append(_float(kinds, f"{report.name} by kind.", f"tab:{label}-kinds", [], False))
        return "\n\n".join(parts) + "\n"

    def draw(self, document: Document, view: View) -> str:
        """Paragraphs, and a table in a float each, or a long one over pages."""
        figures = [block for block in document.blocks if isinstance(block, Figure)]
        long = any(len(figure.table.lines) > READABLE_ROWS + 1 for figure in figures)
        parts = [f"% \\usepackage{{{'booktabs, longtable' if long else 'booktabs'}}}"]
        name = " · ".join(document.title)
        stem = _label(name)
        for block in document.blocks:
            if isinstance(block, Text):
                parts.append(f"{{\\footnotesize {escape(block.text)}\\par}}")
            elif block.table.lines:
                caption = f"{name}: {block.title}." if block.title else f"{name}."
                name_of_it = block.key or block.title
                label = f"tab:{stem}-{_label(name_of_it)}" if name_of_it else f"tab:{stem}"
                over_pages = len(block.table.lines) > READABLE_ROWS + 1
                after = [f"{block.after}."] if block.after else []
                parts.append(_float(block.table, caption, label, after, over_pages))
        parts += [f"{{\\footnotesize {escape(note)}\\par}}" for note in document.notes]
        return "\n\n".join(parts) + "\n"


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "model"


def escape(text: str) -> str:
    """The text as LaTeX prints it, letter by letter."""
    letters = "".join(_SPECIAL.get(character, character) for character in text)
    return letters.replace("--", "-{}-")  # which would be drawn as a dash


def _sums(report: Report) -> str:
    return ", ".join(f"{total.full} {total.label}" for total in summary.totals(report))


def _remarks(report: Report, more: str) -> list[str]:
    """What a reader of the table should know, a paragraph each."""
    gaps = summary.uncounted_table(report)
    return [
        *([summary.summary_sentence(report)] if report.uncounted else []),
        *(
            f"No rule for {op}, {count} in {layer}: {inputs} → {outputs}."
            for op, count, layer, inputs, outputs in (line.cells for line in gaps.lines)
        ),
        *(f"{line}." for line in summary.group_lines(report)),
        *(summary.note_text(note) for note in summary.notes(report)),
        *([f"{more}."] if more else []),
    ]


def _float(table: Table, caption: str, label: str, remarks: list[str], long: bool) -> str:
    table = table.without_ornaments()
    columns = "".join(map(_alignment, table.columns))
    titles = " & ".join(escape(column.title) for column in table.columns) + r" \\"
    body: list[str] = []
    for line in table.lines:
        if line.role == "total":
            body.append(r"\midrule")
        body.append(_row(line))
    notes = [f"{{\\footnotesize {escape(remark)}\\par}}" for remark in remarks]
    name = f"\\caption{{{escape(caption)}}}\\label{{{label}}}"
    if long:
        head = [f"\\begin{{longtable}}{{{columns}}}", name + r"\\", r"\toprule", titles]
        head += [r"\midrule", r"\endfirsthead", r"\toprule", titles, r"\midrule", r"\endhead"]
        return "\n".join([*head, *body, r"\bottomrule", r"\end{longtable}", *notes])
    head = [r"\begin{table}", r"\centering", name, f"\\begin{{tabular}}{{{columns}}}", r"\toprule"]
    tail = [r"\bottomrule", r"\end{tabular}", *([r"\par\smallskip"] if notes else []), *notes]
    return "\n".join([*head, titles, r"\midrule", *body, *tail, r"\end{table}"])


def _alignment(column: Column) -> str:
    return "r" if column.numeric else r"p{.5\linewidth}" if column.prose else "l"


def _row(line: Line) -> str:
    # An empty group first: a cell that starts with a bracket would be read as an option of \\.
    cells = [escape(text) for text in line.cells]
    start = "{}" if cells and cells[0].startswith(("[", "*")) else ""
    return f"{start}{' & '.join(cells)} \\\\"
