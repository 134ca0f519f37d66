"""The report that a specification means: read where it was saved, measured where it was not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnstat.cli.output import stdout_kept
from cnnstat.errors import InputError, ReportError
from cnnstat.pause import no_collection

if TYPE_CHECKING:
    from cnnstat.report import Report


def report_of(
    spec: str,
    *,
    inputs: list[str] | None,
    batch: int | None,
    resolution: int | None = None,
    train: bool,
    backward: bool,
    engine: str | None,
    convention: str | None,
    memory: bool = False,
) -> Report:
    """A saved report stays free of torch, and cannot be measured in another way than it was."""
    from cnnstat.sources.base import is_report

    if not is_report(spec):
        # What the model prints must not end up in the document on the standard output.
        with no_collection(), stdout_kept():
            from cnnstat.analysis import analyze

            # Only who asks for it has to know of it.
            more: dict[str, Any] = {"memory": True} if memory else {}
            return analyze(
                spec,
                inputs=inputs or None,
                batch=batch,
                resolution=resolution,
                train=train,
                backward=backward,
                engine=engine or "auto",
                convention=convention or "macs",
                **more,
            )
    options = {
        "--input": inputs,
        "--batch": batch,
        "--resolution": resolution,
        "--train": train,
        "--backward": backward,
    }
    given = [
        name
        for name, value in {**options, "--engine": engine}.items()
        if value is not None and value is not False
    ]
    if given:
        raise InputError(
            f"{spec!r} is a saved report, and {', '.join(given)} would need the model itself",
            hint="give the model's name instead",
        )
    report = read_saved(spec)
    if memory and not report.has_memory:
        name = report.subject.get("spec") or "MODEL"
        raise InputError(
            f"{spec!r} was saved without memory",
            hint=f"write it again: cnnstat summary {name} --memory -o "
            f"{'FILE.json' if spec == '-' else spec}",
        )
    if convention in (None, report.convention):
        return report
    from cnnstat.conventions import requote

    return requote(report, convention)


def read_saved(spec: str) -> Report:
    """The report in a file, or on the standard input for `-`. Raises `ReportError`, naming it."""
    from cnnstat.report import Report

    name = "standard input" if spec == "-" else spec
    if spec == "-" and sys.stdin.isatty():
        raise ReportError(
            "'-' reads a saved report from the standard input, which is a terminal",
            hint="try: cnnstat summary resnet50 -f json | cnnstat summary -",
        )
    try:
        content = sys.stdin.buffer.read() if spec == "-" else Path(spec).read_bytes()
        return Report.from_json(content)
    except OSError as error:
        raise ReportError(
            f"cannot read {name!r}: {(error.strerror or str(error)).lower()}",
            hint="expected a report written by cnnstat summary MODEL -o FILE.json",
        ) from None
    except ReportError as error:
        raise ReportError(f"{name}: {error.message}", hint=error.hint) from None
