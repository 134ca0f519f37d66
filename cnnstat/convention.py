"""How neutral work becomes the number that a paper or another tool quotes.

A convention is data: what each rule's MACs, elements read and elements written weigh. The work itself is
the same under all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cnnstat.errors import SpecError
from cnnstat.report import Report, Tally


@dataclass(frozen=True, slots=True)
class Weights:
    """What one tally is worth."""

    macs: int = 0
    """For each multiply–accumulate."""
    read: int = 0
    """For each element of the first argument."""
    written: int = 0
    """For each element of the first output."""


@dataclass(frozen=True, slots=True)
class Convention:
    """A way of quoting."""

    name: str
    """As given to `--convention`."""
    title: str
    """What the quoted number is called."""
    includes: str
    """What it includes, in one sentence."""
    rules: Mapping[str, Weights] = field(default_factory=dict)
    """Weights by the name of the rule."""
    default: Weights = field(default_factory=Weights)
    """Weights of every other rule."""

    def quote(self, tallies: Iterable[Tally]) -> int:
        """What this convention quotes for some work."""
        total = 0
        for tally in tallies:
            weights = self.rules.get(tally.rule, self.default)
            total += (
                weights.macs * tally.work.macs
                + weights.read * tally.read
                + weights.written * tally.written
            )
        return total


_MAC = Weights(macs=1)

CONVENTIONS: Mapping[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            name="macs",
            title="MACs",
            includes="multiply–accumulates of convolutions, linear layers, matrix products, attention "
            "and recurrent cells; as papers and torchvision count",
            default=_MAC,
        ),
        Convention(
            name="fvcore",
            title="fvcore flops",
            includes="multiply–accumulates once, batch norm 2 an element, layer and group norm 5, adaptive "
            "average pooling 1 an element read, bilinear resizing 4 an element written; attention as "
            "matrix products; as timm publishes in infer_gmacs",
            rules={
                **dict.fromkeys(("convolution", "linear", "matmul", "addmm", "attention"), _MAC),
                "batch_norm": Weights(read=2),
                "batch_norm.plain": Weights(read=1),
                "batch_norm.batch": Weights(read=5),
                "batch_norm.batch.plain": Weights(read=4),
                **dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), Weights(read=5)),
                **dict.fromkeys(
                    ("layer_norm.plain", "group_norm.plain", "instance_norm.plain"), Weights(read=4)
                ),
                "adaptive_avg_pool": Weights(read=1),
                "upsample_nearest": Weights(written=1),
                "upsample_bilinear": Weights(written=4),
                "grid_sample": Weights(written=4),
            },
        ),
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
    """The same report under another convention."""
    convention = convention_named(name)
    layers = tuple(
        replace(layer, quoted=convention.quote(layer.tallies)) for layer in report.layers
    )
    return replace(report, convention=name, layers=layers)
