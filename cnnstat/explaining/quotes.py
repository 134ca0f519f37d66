"""One network's number as everyone would quote it, and what makes the difference. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnstat.conventions import CONVENTIONS, requote
from cnnstat.conventions.base import Convention
from cnnstat.errors import ReportError
from cnnstat.explaining.explanation import SCHEMA
from cnnstat.kinds import SQUEEZE_EXCITATION
from cnnstat.report import Report


@dataclass(frozen=True, slots=True)
class Quote:
    """The network's number under one convention."""

    convention: Convention
    """What is counted."""
    total: int
    """The number that is quoted."""
    parts: Mapping[str, int]
    """What it has beyond its one or two per MAC, or short of that, by kind of layer."""
    remarks: tuple[str, ...] = ()
    """Where the tool itself may print another number for this network."""


@dataclass(frozen=True, slots=True)
class ModelExplanation:
    """One network under every convention."""

    report: Report
    """The report."""
    quotes: tuple[Quote, ...]
    """A line per convention, in the order of `CONVENTIONS`."""
    missing: tuple[str, ...] = ()
    """Why a convention has no line."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON document, schema 1, with every number an integer.

        `{"schema": 1, "conventions": {"subject", "macs", "complete", "quotes": [{"name", "total", "unit",
        "includes", "misses", "verified_with", "remarks", "parts": {KIND: NUMBER}}]}}`; a quote's parts are
        what it has beyond one per MAC, or two where its unit is FLOPs.
        """
        return {
            "schema": SCHEMA,
            "conventions": {
                "subject": dict(self.report.subject),
                "macs": self.report.totals.macs,
                "complete": self.report.complete,
                "quotes": [
                    {
                        "name": quote.convention.name,
                        "total": quote.total,
                        "unit": quote.convention.unit,
                        "includes": quote.convention.includes,
                        "misses": quote.convention.misses,
                        "verified_with": quote.convention.versions,
                        "remarks": list(quote.remarks),
                        "parts": dict(quote.parts),
                    }
                    for quote in self.quotes
                ],
            },
        }


def explain_model(report: Report) -> ModelExplanation:
    """The network's number as everyone would quote it, and what makes the difference."""
    quotes, missing = [], []
    for convention in CONVENTIONS.values():
        try:
            quotes.append(_quote(report, convention))
        except ReportError as error:
            missing.append(error.message)
    return ModelExplanation(report, tuple(quotes), tuple(missing))


def _quote(report: Report, convention: Convention) -> Quote:
    quoted = requote(report, convention.name)
    per_mac = 2 if convention.unit == "FLOPs" else 1
    samples = convention.batch_of(report.layers)
    parts: Counter[str] = Counter()
    for layer in quoted.layers:
        kind = SQUEEZE_EXCITATION if layer.group else layer.kind
        parts[kind] += layer.quoted - per_mac * layer.macs // samples
    named = {kind: part for kind, part in parts.most_common() if part}
    return Quote(convention, quoted.totals.quoted, named, convention.remarks_on(report))
