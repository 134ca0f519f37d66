"""What a neural network costs: parameters, MACs, FLOPs and activations, layer by layer.

Importing this package loads neither torch nor pandas; names are resolved when first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "CnnstatError": "cnnstat.errors",
    "Comparison": "cnnstat.comparing.comparison",
    "CrossCheck": "cnnstat.opinions.base",
    "Fit": "cnnstat.devices.fitting",
    "Group": "cnnstat.report",
    "Layer": "cnnstat.report",
    "MemoryReport": "cnnstat.memory.memory_report",
    "Note": "cnnstat.report",
    "Report": "cnnstat.report",
    "Totals": "cnnstat.report",
    "Uncounted": "cnnstat.report",
    "Work": "cnnstat.report",
    "analyze": "cnnstat.analysis",
    "compare": "cnnstat.comparing.comparison",
    "counts": "cnnstat.rules",
    "crosscheck": "cnnstat.opinions.crosscheck",
    "estimate_memory": "cnnstat.estimation",
    "explain_layer": "cnnstat.explaining.explanation",
    "explain_model": "cnnstat.explaining.quotes",
    "fit": "cnnstat.fitting",
    "what_if": "cnnstat.explaining.whatif",
}

__all__ = [
    "CnnstatError",
    "Comparison",
    "CrossCheck",
    "Fit",
    "Group",
    "Layer",
    "MemoryReport",
    "Note",
    "Report",
    "Totals",
    "Uncounted",
    "Work",
    "__version__",
    "analyze",
    "compare",
    "counts",
    "crosscheck",
    "estimate_memory",
    "explain_layer",
    "explain_model",
    "fit",
    "what_if",
]

if TYPE_CHECKING:
    from cnnstat.analysis import analyze
    from cnnstat.comparing.comparison import Comparison, compare
    from cnnstat.devices.fitting import Fit
    from cnnstat.errors import CnnstatError
    from cnnstat.estimation import estimate_memory
    from cnnstat.explaining.explanation import explain_layer
    from cnnstat.explaining.quotes import explain_model
    from cnnstat.explaining.whatif import what_if
    from cnnstat.fitting import fit
    from cnnstat.memory.memory_report import MemoryReport
    from cnnstat.opinions.base import CrossCheck
    from cnnstat.opinions.crosscheck import crosscheck
    from cnnstat.report import Group, Layer, Note, Report, Totals, Uncounted, Work
    from cnnstat.rules import counts


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnstat' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
