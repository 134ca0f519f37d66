"""Dropout: nothing at inference, and by definition nothing of the network in training either."""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import counts


@counts(
    *(
        f"aten.{kind}dropout{form}"
        for kind in ("", "alpha_", "feature_", "feature_alpha_")
        for form in ("", "_")
    ),
    "aten.native_dropout",
    "aten.native_dropout_backward",
    family="dropout",
    formula="0",
    source="Srivastava et al. 2014, section 3: at test time the network has no dropout",
)
def dropout(call: OpCall) -> Work:
    """Counted as the network that is deployed: without it."""
    return Work()
