"""How papers and other tools quote a network: each a `Convention`, verified against the tool itself.

Weights of rules say what a tool counts wherever it runs; `modules` what it counts for a layer of a class
that it knows; `cells` for a recurrent one; `parameters` is for those that never look at operations. Numbers
are equal to the last unit, or `remarks` say what is not: tests/test_conventions_of_tools.py holds both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cnnstat.conventions import calflops, flop_counter, fvcore, papers, ptflops, thop, torchinfo
from cnnstat.conventions.base import Convention
from cnnstat.errors import ReportError, SpecError
from cnnstat.report import Report

_TOOLS = (fvcore, flop_counter, ptflops, thop, torchinfo, calflops)

CONVENTIONS: Mapping[str, Convention] = {
    convention.name: convention
    for convention in (
        papers.MACS,
        papers.TWO_PER_MAC,
        papers.CONV,
        *(tool.CONVENTION for tool in _TOOLS),
    )
}
"""Every convention by name."""


def convention_named(name: str) -> Convention:
    """The convention of that name. Raises `SpecError`, listing the names."""
    if name not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise SpecError(f"unknown convention {name!r}", hint=f"one of: {known}")
    return CONVENTIONS[name]


def requote(report: Report, name: str) -> Report:
    """The same report under another convention.

    Raises `SpecError` for an unknown one, and `ReportError` for one that counts parameters where the
    report was saved without their shapes.
    """
    convention = convention_named(name)
    if convention.parameters and any(x.params and not x.weights for x in report.layers):
        raise ReportError(
            f"{report.name}: {name} counts parameters, and the report was saved without their shapes",
            hint="write it again with this version of cnnstat",
        )
    parents = {layer.path.rpartition(".")[0] for layer in report.layers if layer.path}
    layers = tuple(
        replace(layer, quoted=convention.quote(layer, layer.path not in parents))
        for layer in report.layers
    )
    return replace(report, convention=name, layers=convention.settle(layers))
