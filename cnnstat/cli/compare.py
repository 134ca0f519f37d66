"""`cnnstat compare`: several models side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cnnstat.cli import options
from cnnstat.cli.output import Outputs, exit_codes, tell
from cnnstat.cli.reports import report_of
from cnnstat.errors import SpecError
from cnnstat.pause import no_collection

if TYPE_CHECKING:
    from cnnstat.comparing.comparison import Comparison
    from cnnstat.render.base import Renderer, View
    from cnnstat.render.comparison import ComparisonView
    from cnnstat.report import Report

SpecsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC...",
        help="Two models or more, each a name, FILE.py:NAME, PACKAGE.MODULE:NAME, a saved report "
        "(.json), or - for a saved report on the standard input.",
        show_default=False,
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline", metavar="NAME", help="What ratios refer to. [default: the first model]"
    ),
]
LayersOption = Annotated[
    bool,
    typer.Option(
        "--layers",
        help="Variants of one network layer by layer, others by the spatial size they work at. Variants "
        "share half of the layers of the smaller one (a quarter, if of one class): by path and class, or "
        "unchanged but for their path.",
    ),
]
LayersByOption = Annotated[
    Literal["layer", "stage"] | None,
    typer.Option("--by", help="The one or the other, whatever the networks are."),
]
SortOption = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="COLUMN",
        help="Order of the models: given, macs, params, flops, activations, bytes, depth or name.",
    ),
]
TopDifferencesOption = Annotated[
    int | None,
    typer.Option(
        "--top", metavar="N", parser=options.whole_number, help="The N largest differences alone."
    ),
]
EveryLayerOption = Annotated[bool, typer.Option("--all", help="Every layer, also unchanged ones.")]


def compare(
    specs: SpecsArgument,
    baseline: BaselineOption = None,
    layers: LayersOption = False,
    by: LayersByOption = None,
    sort: SortOption = "given",
    top: TopDifferencesOption = None,
    all: EveryLayerOption = False,
    input: options.InputOption = None,
    batch: options.BatchOption = None,
    resolution: options.ResolutionOption = None,
    train: options.TrainOption = False,
    backward: options.BackwardOption = False,
    convention: options.ConventionOption = None,
    engine: options.EngineOption = None,
    format: options.FormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Several models side by side: totals with ratios, shares by kind, and layer by layer.

    \b
      cnnstat compare resnet50 mobilenet_v3_large vgg16
      cnnstat compare resnet50 resnet101 --layers
      cnnstat compare old.json net.py:Net -i 1x3x32x32 --layers --top 10

    Models and saved reports may be mixed; how to measure holds for those that are measured. json
    holds every layer with --layers, and csv has a row for each; without it csv has a row for each
    model and total.
    """
    with exit_codes(verbose):
        from cnnstat.render.comparison import ComparisonView

        view = ComparisonView(
            layers=layers, by=by, sort=sort.lower(), top=top, all=all, width=width
        )
        outputs = Outputs.plan(output, format, json, keep=specs)
        check_specs(specs, by, view.chosen)
        measured = {
            "inputs": input,
            "batch": batch,
            "resolution": resolution,
            "train": train,
            "backward": backward,
            "engine": engine,
        }
        comparison = comparison_of(specs, baseline, convention, measured)
        show_comparison(outputs, comparison, view, color=color, quiet=quiet)


def check_specs(specs: list[str], by: str | None, chosen: str) -> None:
    """Say what cannot be compared before anything is measured. Raises `SpecError`."""
    if len(specs) < 2:
        raise SpecError(
            f"one model given, {specs[0]!r}, and a comparison needs two",
            hint=f"cnnstat summary {specs[0]} shows one",
        )
    if specs.count("-") > 1:
        raise SpecError(
            "'-' is given twice, and the standard input can be read once", hint="save it to a file"
        )
    if by == "layer" and len(specs) != 2:
        raise SpecError(
            f"--by layer aligns two models, and {len(specs)} were given",
            hint="--by stage sets any number side by side",
        )
    if chosen and len(specs) != 2:
        raise SpecError(
            f"{chosen} is about two models layer by layer, and {len(specs)} were given",
            hint="leave it out, or give two models",
        )


def comparison_of(
    specs: list[str], baseline: str | None, convention: str | None, measured: dict[str, Any]
) -> Comparison:
    """The comparison of what the specifications mean; what is given twice is measured once.

    `measured` says how, and holds for saved reports only where there is nothing else: they then say
    that they cannot be measured again.
    """
    from cnnstat.comparing.comparison import compare_given
    from cnnstat.sources.base import is_report

    nothing: dict[str, Any] = dict.fromkeys(measured)
    mixed = not all(map(is_report, specs))
    reports: dict[str, Report] = {}
    with no_collection():
        for spec in specs:
            if spec not in reports:
                how = nothing if mixed and is_report(spec) else measured
                reports[spec] = report_of(spec, convention=convention, **how)
    return compare_given([reports[spec] for spec in specs], specs, baseline)


def show_comparison(
    outputs: Outputs,
    comparison: Comparison,
    view: ComparisonView,
    *,
    color: str,
    quiet: bool,
) -> None:
    """Draw it for each output in the room that there is."""
    from cnnstat.render.base import View
    from cnnstat.render.comparison import comparison_document, warnings_in

    def draw(renderer: Renderer, given: View) -> str:
        # Only a terminal's table is made for its width.
        room = given.width if renderer.name == "table" else None
        return renderer.draw(comparison_document(comparison, replace(view, width=room)), given)

    def notes() -> None:
        document = comparison_document(comparison)
        for text in (*warnings_in(document), *document.notes):
            tell(f"cnnstat: note: {text}")

    outputs.emit(draw, View(width=view.width), color=color, quiet=quiet, notes=notes)
