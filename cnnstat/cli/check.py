"""`cnnstat check`: a budget that a model must hold, for people and for CI."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnstat.cli import options
from cnnstat.cli.check_order import Asked, Given
from cnnstat.cli.check_output import CheckOutputs
from cnnstat.cli.measuring import measuring
from cnnstat.cli.output import exit_codes, tell
from cnnstat.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from cnnstat.budgets.checking import Measure, Order
    from cnnstat.budgets.outcome import Outcome

LIMITED = (
    *("params", "macs", "flops", "activations", "param-bytes"),
    *("peak-memory", "arena", "roofline"),
)
"""What `--max-…` limits."""

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        help="Checks of the configuration; with --max-… a model's specification, or a saved report "
        "(.json). [default: every check]",
        show_default=False,
    ),
]


def _limit(
    metric: str, example: str, what: str, much: str = "this many"
) -> typer.models.OptionInfo:
    text = f"At most {much} {what}."
    option: typer.models.OptionInfo = typer.Option(f"--max-{metric}", metavar=example, help=text)
    return option


MaxParamsOption = Annotated[str | None, _limit("params", "26M", "parameters")]
MaxMacsOption = Annotated[str | None, _limit("macs", "4.2G", "multiply–accumulates")]
MaxFlopsOption = Annotated[str | None, _limit("flops", "8.3G", "floating-point operations")]
MaxActivationsOption = Annotated[str | None, _limit("activations", "12M", "activations")]
MaxParamBytesOption = Annotated[str | None, _limit("param-bytes", "98MiB", "bytes of parameters")]
MaxPeakMemoryOption = Annotated[
    str | None,
    _limit("peak-memory", "200MiB", "bytes alive at once in inference, weights included"),
]
MaxArenaOption = Annotated[
    str | None, _limit("arena", "256KiB", "bytes in the arena that a runtime plans")
]
MaxRooflineOption = Annotated[
    str | None,
    _limit("roofline", "20ms", "time on the device, by a bound that no run can beat", "this much"),
]
FitsOption = Annotated[
    bool, typer.Option("--fits", help="It fits the device, by the whole error of the estimate.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="ID", help="What it is for: pixel-1; see cnnstat devices."),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="Number format there: fp32, fp16, bf16 or int8. [default: the device's usual one]",
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="Whose arena: greedy, tflm, litert or ort. [default: the device's, or greedy]",
    ),
]
UncountedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--uncounted",
        metavar="OP",
        help="An operation that may stay without a rule, such as mylib.fused. May be repeated.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration. [default: cnnstat.toml, or pyproject.toml with [tool.cnnstat], here "
        "or in the nearest folder above]",
    ),
]
UpdateOption = Annotated[
    bool, typer.Option("--update", help="Write what is measured as the baseline to compare with.")
]
AllowIncreaseOption = Annotated[
    bool, typer.Option("--allow-increase", help="With --update: also where a number rises.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Checks of level warn count as errors.")
]
ExitZeroOption = Annotated[
    bool, typer.Option("--exit-zero", help="Exit with 0 where a budget is exceeded.")
]
CheckFormatOption = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--format",
        metavar="FORMAT",
        help="table, json, markdown, github, junit, csv, latex or html; for files too. "
        "[default: table; for a file, by its extension, .xml being junit]",
    ),
]


def check(
    names: NamesArgument = None,
    max_params: MaxParamsOption = None,
    max_macs: MaxMacsOption = None,
    max_flops: MaxFlopsOption = None,
    max_activations: MaxActivationsOption = None,
    max_param_bytes: MaxParamBytesOption = None,
    max_peak_memory: MaxPeakMemoryOption = None,
    max_arena: MaxArenaOption = None,
    max_roofline: MaxRooflineOption = None,
    fits: FitsOption = False,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    runtime: RuntimeOption = None,
    uncounted: UncountedOption = None,
    input: options.InputOption = None,
    batch: options.BatchOption = None,
    train: options.TrainOption = False,
    backward: options.BackwardOption = False,
    convention: options.ConventionOption = None,
    engine: options.EngineOption = None,
    timeout: options.TimeoutOption = None,
    config: ConfigOption = None,
    update: UpdateOption = False,
    allow_increase: AllowIncreaseOption = False,
    strict: StrictOption = False,
    exit_zero: ExitZeroOption = False,
    format: CheckFormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Hold models to a budget: exit code 0 they do, 1 a budget is exceeded, 2 it cannot be told.

    \b
      cnnstat check resnet50 --max-macs 4.2G --max-params 26M
      cnnstat check mobilenet_v2 --device pixel-1 --fits --max-roofline 20ms
      cnnstat check                              # every check of pyproject.toml or cnnstat.toml
      cnnstat check --update                     # accept what is measured as the new baseline
      cnnstat check -o check.xml                 # JUnit, for GitLab and others

    Each model is measured in a process of its own, within 600 s or --timeout.
    A check is a table [[tool.cnnstat.check]] of pyproject.toml, or [[check]] of cnnstat.toml.
    """
    with exit_codes(verbose):
        from cnnstat.render.base import View

        outputs, view = CheckOutputs.plan(output, format, json), View(width=width)
        counts = (max_params, max_macs, max_flops, max_activations, max_param_bytes)
        maxima = (*counts, max_peak_memory, max_arena, max_roofline)
        how = Given(input or (), batch, train, backward, convention, uncounted or ())
        given = replace(how, device=device, dtype=dtype, runtime=runtime)
        limits = dict(zip(LIMITED, maxima, strict=True))
        order = Asked(names or (), limits, fits, config, given).order()
        _spare(outputs, order)
        with measuring(order, engine, verbose, timeout) as measure:
            outcome = _outcome(order, measure, strict, exit_zero, update, allow_increase)
        outputs.emit(outcome, view, color=color, quiet=quiet)
        raise typer.Exit(outcome.code)


def _spare(outputs: CheckOutputs, order: Order) -> None:
    """Raise `OutputError` where an output would take the place of what is read."""
    from cnnstat.budgets.config import find_config

    config = order.config
    if config is None and outputs.files:
        with suppress(ConfigError):  # one that cannot be read says nothing of what it keeps
            config = find_config(Path.cwd())
    kept = (config.path, config.baseline) if config else ()
    for path in outputs.files:
        if path.absolute().resolve() in {file.absolute().resolve() for file in kept}:
            raise OutputError(
                f"--output {str(path)!r} would overwrite what is read",
                hint="--update writes the baseline; give the report another name",
            )


def _outcome(
    order: Order,
    measure: Measure,
    strict: bool,
    exit_zero: bool,
    update: bool,
    allow_increase: bool,
) -> Outcome:
    from cnnstat.budgets import checking

    if update:
        return checking.update(
            order, measure, strict, exit_zero, allow_increase=allow_increase, tell=tell
        )
    if allow_increase:
        raise OutputError("--allow-increase goes with --update")
    return checking.hold(order, measure, strict, exit_zero)
