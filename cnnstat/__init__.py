"""What a neural network costs: parameters, MACs, FLOPs and activations, layer by layer.

Importing this package loads neither torch nor pandas; names are resolved when first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "CnnstatError": "cnnstat.errors",
    "Group": "cnnstat.report",
    "Layer": "cnnstat.report",
    "Note": "cnnstat.report",
    "Report": "cnnstat.report",
    "Totals": "cnnstat.report",
    "Uncounted": "cnnstat.report",
    "Work": "cnnstat.report",
    "analyze": "cnnstat.analysis",
    "counts": "cnnstat.rules",
}

__all__ = [
    "CnnstatError",
    "Group",
    "Layer",
    "Note",
    "Report",
    "Totals",
    "Uncounted",
    "Work",
    "__version__",
    "analyze",
    "counts",
]

if TYPE_CHECKING:
    from cnnstat.analysis import analyze
    from cnnstat.errors import CnnstatError
    from cnnstat.report import Group, Layer, Note, Report, Totals, Uncounted, Work
    from cnnstat.rules import counts


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnstat' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
