"""`cnnstat explain`: why that number, and what it would be if the network were built otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cnnstat.cli import options
from cnnstat.cli.output import Outputs, exit_codes
from cnnstat.cli.reports import report_of
from cnnstat.errors import OutputError

if TYPE_CHECKING:
    from cnnstat.render.base import View
    from cnnstat.render.document import Document
    from cnnstat.report import Report

LayerArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[LAYER]",
        help="Path of a layer, such as layer1.0.conv1; (root) is the network's own operations.",
        show_default=False,
    ),
]
WhatIfOption = Annotated[
    list[str] | None,
    typer.Option(
        "--what-if",
        metavar="CHANGE",
        help="Re-cost the layers: separable, groups=4, se=0.25, width=0.5 or bottleneck=4. "
        "May be repeated; they apply one after the other.",
    ),
]


def explain(
    spec: options.SpecArgument,
    layer: LayerArgument = None,
    what_if: WhatIfOption = None,
    input: options.InputOption = None,
    batch: options.BatchOption = None,
    resolution: options.ResolutionOption = None,
    train: options.TrainOption = False,
    backward: options.BackwardOption = False,
    engine: options.EngineOption = None,
    top: options.TopOption = None,
    all: options.AllOption = False,
    format: options.FormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Why that number: formulas with the numbers put in, and what other tools would say.

    \b
      cnnstat explain vit_b_16                       # one network as papers and tools count it
      cnnstat explain resnet50 layer1.0.conv1        # a layer's formulas
      cnnstat explain vgg16 --what-if separable      # an estimate, layer by layer

    Saved reports are explained too, without torch.
    """
    with exit_codes(verbose):
        from cnnstat.render.base import View

        view = View(top=top, all=all, width=width)
        if not what_if and (top is not None or all):
            raise OutputError("--top and --all pick layers of a --what-if", hint="leave them out")
        outputs = Outputs.plan(output, format, json, keep=[spec])
        report = report_of(
            spec,
            inputs=input,
            batch=batch,
            resolution=resolution,
            train=train,
            backward=backward,
            engine=engine,
            convention=None,
        )
        document = _document(report, layer, what_if, view)
        outputs.emit_document(document, view, color=color, quiet=quiet)


def _document(report: Report, layer: str | None, changes: list[str] | None, view: View) -> Document:
    if changes:
        from cnnstat.explaining.whatif import what_if
        from cnnstat.render.whatif import whatif_document

        return whatif_document(what_if(report, changes, within=layer or ""), view)
    from cnnstat.explaining.explanation import explain_layer
    from cnnstat.explaining.quotes import explain_model
    from cnnstat.render.explanation import layer_document, model_document

    if layer is None:
        return model_document(explain_model(report))
    return layer_document(explain_layer(report, layer))
