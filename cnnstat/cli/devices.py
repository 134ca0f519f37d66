"""`cnnstat devices`: what networks run on, and how well that is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnstat.cli import options
from cnnstat.cli.output import Outputs, exit_codes
from cnnstat.errors import OutputError

if TYPE_CHECKING:
    from cnnstat.memory.graph import Graph
    from cnnstat.render.document import Document
    from cnnstat.report import Report

PatternsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DEVICE]...",
        help="A device's id shows all of it; parts of ids and names, or patterns with * and ?, list them.",
        show_default=False,
    ),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Devices of this kind alone: gpu, tpu, accelerator, cpu, soc, sbc, phone, mcu or other. May "
        "be repeated.",
    ),
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--devices",
        metavar="FILE",
        help="A TOML file of your own devices, [[device]] each; they come after those of cnnstat.toml "
        "and pyproject.toml.",
        show_default=False,
    ),
]
MeasuredOption = Annotated[
    bool,
    typer.Option(
        "--measured", help="Times and memory that papers published, beside the least possible."
    ),
]


def devices(
    patterns: PatternsArgument = None,
    kind: KindOption = None,
    devices: FileOption = None,
    measured: MeasuredOption = False,
    format: options.FormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Devices with their memory, bandwidth and peak rates, each figure with its source or a mark.

    \b
      cnnstat devices --kind mcu
      cnnstat devices h100
      cnnstat devices 'raspberry*' --devices boards.toml -o boards.md
    """
    with exit_codes(verbose):
        from cnnstat.render.base import View

        if measured and (patterns or kind or devices):
            raise OutputError("--measured shows its own devices: give it alone")
        view = View(width=width)
        outputs = Outputs.plan(output, format, json, keep=[str(devices)] if devices else [])
        shown = _measured() if measured else _document(patterns or [], kind or [], devices)
        outputs.emit_document(shown, view, color=color, quiet=quiet)


def _document(patterns: list[str], kinds: list[str], file: Path | None) -> Document:
    from cnnstat.devices.catalogue import all_devices, find, matching
    from cnnstat.render.devices import device_document, list_document

    known = all_devices(file)
    for blank in (pattern for pattern in patterns if not pattern.strip()):
        find(blank, known)  # raises: it is part of every name, and was not meant to be
    found = matching(known, patterns, kinds)
    exact = [device for device in found if [device.id.lower()] == [p.lower() for p in patterns]]
    return device_document(exact[0]) if exact else list_document(found)


def _measured() -> Document:
    from cnnstat.devices.measured import TIMINGS, memory_rows, timed_rows
    from cnnstat.published.computing import Measured
    from cnnstat.render.measured import measured_document

    reports = Measured(_measure)
    columns = [timed_rows(timing, reports) for timing in TIMINGS]
    return measured_document(columns, memory_rows(_graph))


def _graph(spec: str, resolution: int) -> Graph:
    from cnnstat.analysis import prepare
    from cnnstat.estimation import record_whole
    from cnnstat.memory.folding import plan_graph

    return plan_graph(record_whole(prepare(spec, resolution=resolution)))


def _measure(spec: str, input: tuple[int, ...] | None) -> Report:
    from cnnstat.analysis import analyze

    return analyze(spec, inputs=input)
