"""`cnnstat fit`: whether models fit devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnstat.cli import options
from cnnstat.cli.devices import FileOption, KindOption
from cnnstat.cli.measuring import within
from cnnstat.cli.memory import (
    AmpOption,
    OptimizerOption,
    TrainOption,
    amp_text,
    optimizer_text,
    refuse_report,
)
from cnnstat.cli.output import Outputs, exit_codes, stdout_kept
from cnnstat.errors import OutputError

if TYPE_CHECKING:
    from cnnstat.devices.device import Device
    from cnnstat.devices.fitting import Fit
    from cnnstat.render.document import Document

SpecsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC...",
        help="Models, each a name, FILE.py:NAME or PACKAGE.MODULE:NAME.",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="ID",
        help="A device in detail, such as pixel-1; may be repeated. Without one, every device. "
        "`cnnstat devices` lists them.",
    ),
]
DtypesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="Number format: fp32, fp16, bf16 or int8; may be repeated. [default: int8 on "
        "microcontrollers and edge accelerators, else fp32]",
    ),
]
LayersOption = Annotated[
    bool, typer.Option("--layers", help="The least time of every layer too; with --device.")
]


def fit(
    specs: SpecsArgument,
    device: DeviceOption = None,
    kind: KindOption = None,
    devices: FileOption = None,
    dtype: DtypesOption = None,
    input: options.InputOption = None,
    batch: options.BatchOption = None,
    resolution: options.ResolutionOption = None,
    train: TrainOption = False,
    optimizer: OptimizerOption = None,
    amp: AmpOption = None,
    layers: LayersOption = False,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = None,
    json: options.JsonOption = False,
    output: options.OutputOption = None,
    width: options.WidthOption = None,
    color: options.ColorOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Whether models fit devices, what is missing, and the least time that a pass takes there.

    \b
      cnnstat fit resnet50                                  # on every device
      cnnstat fit vgg16 mobilenet_v2 --kind phone
      cnnstat fit vgg16 --device pixel-1 --dtype fp32 --dtype int8
      cnnstat fit resnet50 --device rtx4090 --optimizer adamw -b 64

    Estimates, with the margin that was measured for them: `fits` keeps all of it free, `tight` needs
    some of it.
    """
    with exit_codes(verbose):
        from cnnstat.render.base import View

        view = View(width=width)
        outputs = Outputs.plan(output, format, json, keep=[str(devices)] if devices else [])
        if layers and not device:
            raise OutputError("--layers shows one device in detail", hint="name it with --device")
        if device and kind:
            raise OutputError("--device and --kind contradict each other", hint="give one of them")
        optimizer_given = optimizer_text(train, optimizer)
        if layers and optimizer_given != "":
            raise OutputError(
                "--layers shows the least time of inference, and a step of training has none",
                hint="leave out --layers",
            )
        for spec in specs:
            refuse_report(spec)
        chosen = _devices(device or [], kind or [], devices)
        found = within(
            timeout,
            _fits,
            list(dict.fromkeys(specs)),
            chosen,
            named=bool(device),
            dtypes=tuple(dict.fromkeys(dtype or ())),
            inputs=input or None,
            batch=batch,
            resolution=resolution,
            optimizer=optimizer_given,
            amp=amp_text(amp),
        )
        shown = _document(found, detailed=bool(device), layers=layers)
        outputs.emit_document(shown, view, color=color, quiet=quiet)


def _devices(ids: list[str], kinds: list[str], file: Path | None) -> list[Device]:
    from cnnstat.devices.catalogue import all_devices, find, matching

    known = all_devices(file)
    if not ids:
        return list(matching(known, kinds=kinds))
    return list({device.id: device for device in (find(id, known) for id in ids)}.values())


def _fits(
    specs: list[str], devices: list[Device], *, optimizer: str | None, **how: Any
) -> list[Fit]:
    # What the model prints must not end up in the document on the standard output.
    with stdout_kept():
        from cnnstat.estimation import DEFAULT_OPTIMIZER
        from cnnstat.fitting import fit_each

        chosen = DEFAULT_OPTIMIZER if optimizer is None else optimizer
        return fit_each(specs, devices, optimizer=chosen, **how)


def _document(found: list[Fit], *, detailed: bool, layers: bool) -> Document:
    from cnnstat.render.fit import devices_document, fit_document, matrix_document

    if detailed:
        return fit_document(found, layers)
    several = len({fit.spec for fit in found}) > 1
    return matrix_document(found) if several else devices_document(found)
