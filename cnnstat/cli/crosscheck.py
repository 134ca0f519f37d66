"""`cnnstat crosscheck`: a second opinion from engines that others wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cnnstat.cli import options
from cnnstat.cli.output import Outputs, exit_codes, stdout_kept
from cnnstat.errors import InputError

if TYPE_CHECKING:
    from cnnstat.opinions.base import CrossCheck

DIFFERS = 1
"""Exit code where nothing vouches for the number: see the help."""

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A model's name, FILE.py:NAME or PACKAGE.MODULE:NAME.",
        show_default=False,
    ),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="ENGINE",
        help="Whom to ask: fvcore, flop-counter (torch's own). May be repeated. [default: both]",
    ),
]
LayersOption = Annotated[
    bool,
    typer.Option("--layers", help="The layers that differ beyond convention; with --all, all."),
]


def crosscheck(
    spec: ModelArgument,
    engine: WithOption = None,
    input: options.InputOption = None,
    batch: options.BatchOption = None,
    resolution: options.ResolutionOption = None,
    layers: LayersOption = False,
    all: options.AllOption = False,
    format: options.FormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """What fvcore and torch's own counter say, and why it is another number.

    \b
      cnnstat crosscheck resnet50
      cnnstat crosscheck vit_b_16 --with fvcore --layers
      cnnstat crosscheck net.py:Net -i 1x3x32x32 --json

    Exit code 0: every difference has a reason (the other engine's convention, an operation that it
    counts as zero, an error of it). 1: one has none, an engine could not run the model, or cnnstat
    itself has no rule for an operation: its total is then a lower bound that nobody can confirm.
    """
    with exit_codes(verbose):
        from cnnstat.render.base import View

        view = View(all=all, width=width)
        outputs = Outputs.plan(output, format, json)
        check = _checked(spec, input, batch, resolution, [name.lower() for name in engine or ()])
        from cnnstat.render.crosscheck import crosscheck_document

        document = crosscheck_document(check, view, layers=layers)
        outputs.emit_document(document, view, color=color, quiet=quiet)
        if not check.agrees:
            raise typer.Exit(DIFFERS)


def _checked(
    spec: str,
    inputs: list[str] | None,
    batch: int | None,
    resolution: int | None,
    engines: list[str],
) -> CrossCheck:
    from cnnstat.sources.base import is_report

    if is_report(spec):
        raise InputError(
            "a saved report cannot be cross-checked: it takes the model itself",
            hint="give the model's name instead",
        )
    # What the model prints must not end up in the document on the standard output.
    with stdout_kept():
        from cnnstat.opinions.crosscheck import ENGINES, crosscheck

        return crosscheck(
            spec, inputs or None, batch=batch, resolution=resolution, engines=engines or ENGINES
        )
