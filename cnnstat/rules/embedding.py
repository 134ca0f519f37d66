"""Looking rows up: no arithmetic, and worth a line of its own for its parameters."""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import counts


@counts(
    "aten.embedding",
    family="embedding",
    formula="0",
    source="rows are copied; one-hot products are not computed",
)
def embedding(call: OpCall) -> Work:
    """A copy of the rows that the indices name."""
    return Work()
