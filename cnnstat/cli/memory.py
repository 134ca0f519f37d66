"""`cnnstat memory`: what a network takes in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnstat.cli import options
from cnnstat.cli.measuring import within
from cnnstat.cli.output import Outputs, exit_codes, stdout_kept, tell
from cnnstat.errors import InputError, SpecError

if TYPE_CHECKING:
    from cnnstat.memory.memory_report import MemoryReport
    from cnnstat.render.base import Renderer, View

RuntimeOption = Annotated[
    str,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="Whose plan of inference: greedy (by size, best fit), tflm, litert or ort.",
    ),
]
DtypeOption = Annotated[
    str,
    typer.Option(
        "--dtype", metavar="NAME", help="Number format of that plan: fp32, fp16, bf16 or int8."
    ),
]
TrainOption = Annotated[
    bool,
    typer.Option(
        "--train",
        help="A step of training too; by SGD with momentum 0.9, unless --optimizer says another.",
    ),
]
OptimizerOption = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        metavar="NAME",
        help="A step of training with this optimizer of torch: adamw, 'sgd?momentum=0.9&nesterov=true'.",
    ),
]
AmpOption = Annotated[
    str | None, typer.Option("--amp", metavar="NAME", help="Under autocast to bf16 or fp16.")
]
LimitOption = Annotated[
    str | None,
    typer.Option(
        "--limit",
        metavar="SIZE",
        help="The largest batch whose CUDA process fits, such as 24GiB: of training if that is asked for.",
    ),
]


def memory(
    spec: options.SpecArgument,
    input: options.InputOption = None,
    batch: options.BatchOption = None,
    resolution: options.ResolutionOption = None,
    runtime: RuntimeOption = "greedy",
    dtype: DtypeOption = "fp32",
    train: TrainOption = False,
    optimizer: OptimizerOption = None,
    amp: AmpOption = None,
    limit: LimitOption = None,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """What a network takes in memory, where the peak is, and what is alive there. Estimates.

    \b
      cnnstat memory resnet50 -b 8
      cnnstat memory mobilenet_v2 --runtime tflm --dtype int8
      cnnstat memory resnet50 --optimizer adamw --amp bf16 --limit 24GiB

    json holds everything, with live bytes at each operation; csv has a row for each part. A model
    is needed, as saved reports do not say what lives when.
    """
    with exit_codes(verbose):
        from cnnstat.render.base import View

        view = View(width=width)
        outputs = Outputs.plan(output, format, json)
        refuse_report(spec)
        report = within(
            timeout,
            _report,
            spec,
            inputs=input or None,
            batch=batch,
            resolution=resolution,
            runtime=runtime,
            dtype=dtype,
            optimizer=optimizer_text(train, optimizer),
            amp=amp_text(amp),
            limit=_limit(limit),
        )
        _show(outputs, report, view, color=color, quiet=quiet)


def _report(spec: str, *, optimizer: str | None, **how: Any) -> MemoryReport:
    # What the model prints must not end up in the document on the standard output.
    with stdout_kept():
        from cnnstat.estimation import DEFAULT_OPTIMIZER, estimate_memory

        chosen = DEFAULT_OPTIMIZER if optimizer is None else optimizer
        return estimate_memory(spec, optimizer=chosen, **how)


def refuse_report(spec: str) -> None:
    """Raise `InputError` for a saved report."""
    from cnnstat.sources.base import is_report

    if is_report(spec):
        raise InputError(
            f"{spec!r} is a saved report, which does not say what lives when",
            hint="give the model's name instead",
        )


def optimizer_text(train: bool, given: str | None) -> str | None:
    """As for `estimate_memory`; `None`: the default one."""
    if given is not None and not given.strip():
        raise SpecError("--optimizer is empty", hint="such as sgd?momentum=0.9 or adamw")
    return None if train and given is None else given or ""


def amp_text(given: str | None) -> str:
    """As for `estimate_memory`."""
    if given is not None and not given.strip():
        raise SpecError("--amp is empty", hint="bf16 or fp16")
    return given or ""


def _limit(text: str | None) -> int | None:
    from cnnstat.units import parse_bytes

    if text is None:
        return None
    try:
        limit = parse_bytes(text)
    except ValueError as error:
        raise SpecError(f"--limit: {error}") from None
    if limit < 1:
        raise SpecError(f"--limit {text}: expected more than nothing, such as 24GiB")
    return limit


def _show(outputs: Outputs, report: MemoryReport, view: View, *, color: str, quiet: bool) -> None:
    """Draw it for each output in the room that there is."""
    from cnnstat.render.memory import memory_document

    def draw(renderer: Renderer, given: View) -> str:
        # Only a terminal's table is made for its width, and LaTeX has no letters for bars.
        room = given.width if renderer.name == "table" else None
        return renderer.draw(memory_document(report, room, renderer.name != "latex"), given)

    def notes() -> None:
        for text in memory_document(report).notes:
            tell(f"cnnstat: note: {text}")

    outputs.emit(draw, view, color=color, quiet=quiet, notes=notes)
