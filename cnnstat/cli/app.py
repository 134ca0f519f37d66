"""The commands. A body parses, calls one function, renders; what is heavy is imported inside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from cnnstat import __version__
from cnnstat.cli import options
from cnnstat.cli.check import check
from cnnstat.cli.compare import compare
from cnnstat.cli.crosscheck import crosscheck
from cnnstat.cli.devices import devices
from cnnstat.cli.explain import explain
from cnnstat.cli.fit import fit
from cnnstat.cli.measuring import within
from cnnstat.cli.memory import memory as memory_command
from cnnstat.cli.output import FAILED, Outputs, colored, exit_codes, room, show, tell
from cnnstat.cli.reports import report_of
from cnnstat.cli.tables import tables

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it; Typer makes the same of it."""

app = typer.Typer(
    name="cnnstat",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: shorter, and its examples can be copied
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        show(f"cnnstat {__version__}\n")
        raise typer.Exit


@app.callback()
def cnnstat(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """What does this neural network cost, and why that number?

    \b
      cnnstat summary resnet50
      cnnstat summary net.py:Net -i 1x3x32x32 -o net.json -o net.md
    """


@app.command()
def summary(
    spec: options.SpecArgument,
    input: options.InputOption = None,
    batch: options.BatchOption = None,
    resolution: options.ResolutionOption = None,
    train: options.TrainOption = False,
    backward: options.BackwardOption = False,
    convention: options.ConventionOption = None,
    engine: options.EngineOption = None,
    timeout: options.TimeoutOption = None,
    memory: options.MemoryOption = False,
    depth: options.DepthOption = None,
    top: options.TopOption = None,
    by: options.ByOption = None,
    kind: options.KindOption = None,
    all: options.AllOption = False,
    format: options.FormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Parameters, MACs, FLOPs, activations and shapes, layer by layer.

    \b
      cnnstat summary resnet50 --top 10 --by params
      cnnstat summary tv:mobilenet_v2 --kind depthwise -f csv
      cnnstat summary resnet50 -o resnet50.json && cnnstat summary resnet50.json --all

    Without -o the result is printed; with -o it is written to files alone. json always holds the
    whole report, whatever rows are asked for, and csv every module unless --depth, --top, --by or
    --kind picks some.
    """
    with exit_codes(verbose):
        from cnnstat.render.base import View
        from cnnstat.sources.base import is_report

        view = View(depth=depth, top=top, by=by, kinds=tuple(kind or ()), all=all, width=width)
        outputs = Outputs.plan(output, format, json)
        report = within(
            timeout if not is_report(spec) else None,
            report_of,
            spec,
            inputs=input,
            batch=batch,
            resolution=resolution,
            train=train,
            backward=backward,
            engine=engine,
            convention=convention,
            memory=memory,
        )
        outputs.emit_report(report, view, color=color, quiet=quiet)


@app.command()
def models(
    pattern: options.PatternArgument = "",
    source: options.SourceOption = None,
    format: options.ListFormatOption = "table",
    verbose: options.VerboseOption = False,
) -> None:
    """The names that cnnstat knows.

    \b
      cnnstat models 'efficientnet*' --source torchvision
    """
    with exit_codes(verbose):
        from cnnstat.render.listing import model_list
        from cnnstat.sources.base import list_models

        show(model_list(list_models(pattern, source), format, room(None), colored("auto")))


@app.command()
def rules(
    format: options.ListFormatOption = "table",
    verbose: options.VerboseOption = False,
) -> None:
    """Every counting rule: operations, formula and source."""
    with exit_codes(verbose):
        from cnnstat.render.listing import rule_list
        from cnnstat.rules import all_rules

        show(rule_list(all_rules(), format, room(None), colored("auto")))


app.command()(check)
app.command()(compare)
app.command()(explain)
app.command()(crosscheck)
app.command()(tables)
app.command("memory")(memory_command)
app.command()(devices)
app.command()(fit)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    try:
        code = app(args=args, prog_name="cnnstat", standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        # Typer's errors of usage come from a click of its own, which it does not export.
        if not hasattr(error, "format_message"):
            raise
        code = _usage(error)
    if code == INTERRUPTED:
        tell("cnnstat: error: interrupted")
    sys.exit(code or 0)


def _usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "cnnstat")
    message = str(error.format_message())  # type: ignore[attr-defined]
    if type(error).__name__ == "NoArgsIsHelpError":
        show(message.rstrip() + "\n")
        return FAILED
    message = message.removesuffix(".").replace("Value error, ", "")
    see = " See" if message.endswith("?") else "; see"
    tell(f"{command}: error: {message}{see} {command} --help")
    return FAILED
