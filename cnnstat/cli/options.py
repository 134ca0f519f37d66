"""The options that commands share: one name and one meaning everywhere. Imports nothing heavy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

Engine = Literal["auto", "meta", "fake", "cpu"]
Color = Literal["auto", "always", "never"]
ListFormat = Literal["table", "json", "csv"]


def whole_number(text: str) -> int:
    """An option's number. Typer's own message does not say what was given."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def seconds(text: str) -> float:
    """An option's time."""
    try:
        found = float(text)
    except ValueError:
        found = 0
    if not 0 < found < math.inf:
        raise typer.BadParameter(f"{text!r} is not a number of seconds above 0")
    return found


SpecArgument = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A model's name, FILE.py:NAME, PACKAGE.MODULE:NAME, a saved report (.json), or - for "
        "a saved report on the standard input.",
        show_default=False,
    ),
]

# How to measure

InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "-i",
        "--input",
        metavar="SHAPE",
        help="Shape of an input, such as 1x3x224x224 or ids=1x128:int64. Once for each input.",
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option(
        "-b",
        "--batch",
        metavar="N",
        parser=whole_number,
        help="Batch size: the first size of every input.",
    ),
]
ResolutionOption = Annotated[
    int | None,
    typer.Option(
        "--resolution",
        metavar="N",
        parser=whole_number,
        help="Height and width of every image.",
    ),
]
TrainOption = Annotated[
    bool,
    typer.Option("--train", help="Training mode, not evaluation."),
]
BackwardOption = Annotated[
    bool,
    typer.Option("--backward", help="Count the backward pass too."),
]
ConventionOption = Annotated[
    str | None,
    typer.Option(
        "-c",
        "--convention",
        metavar="NAME",
        help="How work is quoted: macs (papers, torchvision), two-per-mac, conv, fvcore (timm's "
        "published figures), flop-counter (torch's), ptflops, thop, torchinfo, calflops.",
    ),
]
EngineOption = Annotated[
    Engine | None,
    typer.Option(
        "--engine", help="Where the pass runs: meta and fake need no arithmetic. [default: auto]"
    ),
]

TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        parser=seconds,
        help="How long a model may take: then its process is ended, and the exit code is 2. "
        "[default: of a check 600, else no limit]",
    ),
]

MemoryOption = Annotated[
    bool,
    typer.Option(
        "--memory",
        help="Bytes of each layer's parameters and output, and those alive while it runs in inference.",
    ),
]

# Which rows

DepthOption = Annotated[
    int | None,
    typer.Option(
        "--depth",
        parser=whole_number,
        metavar="N",
        help="Levels of the tree. [default: as many as stay readable]",
    ),
]
TopOption = Annotated[
    int | None,
    typer.Option("--top", metavar="N", parser=whole_number, help="The N heaviest layers alone."),
]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="COLUMN",
        help="Rank by macs, params, flops, activations, quoted, calls, output, path, type or kind.",
    ),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Layers of this kind alone: depthwise, linear, … May be repeated.",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every row.")]

# Output

FormatOption = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--format",
        metavar="FORMAT",
        help="table, json, csv, markdown, latex or html; for files too. "
        "[default: table; for a file, by its extension]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
OutputOption = Annotated[
    list[Path] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write a file instead of the standard output; may be repeated. "
        "Use -o - to have the standard output as well.",
    ),
]
WidthOption = Annotated[
    int | None,
    typer.Option(
        "--width",
        parser=whole_number,
        metavar="N",
        help="Cells in a line; columns leave until it fits. "
        "[default: the terminal's; in a pipe no limit]",
    ),
]
ColorOption = Annotated[Color, typer.Option("--color", help="Colours.")]
QuietOption = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="Nothing but errors on stderr."),
]
VerboseOption = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Errors with their traceback."),
]

# Lists

PatternArgument = Annotated[
    str, typer.Argument(metavar="[PATTERN]", help="Part of a name, or a pattern with * and ?.")
]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", help="Models of one source: torchvision, zoo, timm."),
]
ListFormatOption = Annotated[ListFormat, typer.Option("-f", "--format", help="How to write it.")]
