"""`cnnstat tables`: the tables of the papers, published beside computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cnnstat.cli import options
from cnnstat.cli.output import Outputs, exit_codes
from cnnstat.errors import OutputError, SpecError

if TYPE_CHECKING:
    from cnnstat.render.document import Document
    from cnnstat.report import Report

IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TABLE]...",
        help="Ids of tables, such as mobilenet_v1_table6; without one they are listed.",
        show_default=False,
    ),
]
ArticleOption = Annotated[
    str | None,
    typer.Option(
        "--document",
        metavar="ARTICLE",
        help="All charts of mobilenet_article, cnn_history or compression_survey, in its order.",
        show_default=False,
    ),
]
EveryOption = Annotated[bool, typer.Option("--all", help="Every table.")]
ExactOption = Annotated[bool, typer.Option("--exact", help="Show the exact counts too.")]


def tables(
    ids: IdsArgument = None,
    document: ArticleOption = None,
    all: EveryOption = False,
    exact: ExactOption = False,
    format: options.FormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """The papers' own tables: what was published, what the same convention computes, and why they differ.

    \b
      cnnstat tables                              # what there is
      cnnstat tables mobilenet_v1_table6 --exact
      cnnstat tables --document cnn_history -o history.html
    """
    with exit_codes(verbose):
        from cnnstat.render.base import View

        if (ids is not None) + (document is not None) + all > 1:
            raise OutputError("ids, --document and --all contradict each other")
        view = View(width=width)
        outputs = Outputs.plan(output, format, json)
        shown = _document(ids, document, all, exact)
        outputs.emit_document(shown, view, color=color, quiet=quiet)


def _document(ids: list[str] | None, article: str | None, all: bool, exact: bool) -> Document:
    from cnnstat.published.articles import ARTICLES
    from cnnstat.published.computing import Measured, fill
    from cnnstat.published.tables import list_tables, read_table
    from cnnstat.render.published import list_document, table_document, tables_document

    if article is not None and article not in ARTICLES:
        raise SpecError(f"no article {article!r}", hint=f"one of: {', '.join(ARTICLES)}")
    wanted = ids or (ARTICLES[article] if article else list_tables() if all else ())
    if not wanted:
        return list_document([read_table(id) for id in list_tables()])
    tables = [read_table(id) for id in wanted]
    reports = Measured(_measure)
    filled = [fill(table, reports) for table in tables]
    if ids and len(ids) == 1:
        return table_document(filled[0], exact)
    return tables_document(filled, article or "published tables", exact)


def _measure(spec: str, input: tuple[int, ...] | None) -> Report:
    from cnnstat.analysis import analyze

    return analyze(spec, inputs=input)
