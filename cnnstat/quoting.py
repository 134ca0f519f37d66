"""What a convention is: weights for the work of each rule, and for the parameters of layers.

It is data, and `Convention.quote` all that reads it. The work itself is the same under all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from cnnstat.report import Layer, Tally

Unit = Literal["MACs", "FLOPs", "mixed"]
Times = Literal["positions", "samples", "steps"]


@dataclass(frozen=True, slots=True)
class Weights:
    """What one tally is worth."""

    macs: int = 0
    """For each multiply–accumulate."""
    adds: int = 0
    """For each addition: of a convolution or linear layer, those of its bias."""
    compares: int = 0
    """For each comparison."""
    read: int = 0
    """For each element of the first argument."""
    written: int = 0
    """For each element of the first output."""

    def of(self, tally: Tally) -> int:
        """The worth of `tally`."""
        work = tally.work
        return (
            self.macs * work.macs
            + self.adds * work.adds
            + self.compares * work.compares
            + self.read * tally.read
            + self.written * tally.written
        )


Rules = Mapping[str, Weights]
"""Weights by the name of the rule."""


@dataclass(frozen=True, slots=True)
class Uses:
    """How often each parameter of a layer is taken to be used, read off the layer's first output."""

    times: Times
    """`positions`: samples × spatial positions; `samples`: the first size; `steps`: the first two."""
    names: tuple[str, ...]
    """The parameters it is about: names, or patterns with `*` and `?`."""
    layers: str = "*"
    """The class names it is about, likewise."""


_TIMES: Mapping[Times, Callable[[tuple[int, ...]], int]] = {
    "positions": lambda output: math.prod(output[:1] + output[2:]),
    "samples": lambda output: math.prod(output[:1]),
    "steps": lambda output: math.prod(output[:2]),
}


@dataclass(frozen=True, slots=True)
class Convention:
    """A way of quoting."""

    name: str
    """As given to `--convention`."""
    title: str
    """What the quoted number is called."""
    includes: str
    """What it counts, in one sentence."""
    unit: Unit
    """What the number is closest to; `mixed`: MACs, and operations of other layers beside them."""
    misses: str = ""
    """What it leaves out or counts otherwise than the network computes it; `""`: nothing to say."""
    tool: str = ""
    """The package that quotes so; `""`: papers do."""
    versions: str = ""
    """Which release of it the numbers were compared with."""
    rules: Rules = field(default_factory=dict)
    """Weights by the name of the rule."""
    default: Weights = field(default_factory=Weights)
    """Weights of every other rule."""
    modules: Mapping[str, Rules] = field(default_factory=dict)
    """By class name, what goes before `rules` inside layers of that class: some tools know classes."""
    parameters: tuple[Uses, ...] = ()
    """For tools that count parameters: each one of a layer without children counts as often as the
    first of these that is about it says."""

    def quote(self, layer: Layer, leaf: bool) -> int:
        """What this convention quotes for one layer; `leaf`: it has no children."""
        here = self.modules.get(layer.type, self.rules)
        total = 0
        for tally in layer.tallies:
            rules = here if tally.rule in here else self.rules
            total += rules.get(tally.rule, self.default).of(tally)
        return total + (self._of_parameters(layer) if self.parameters and leaf else 0)

    def _of_parameters(self, layer: Layer) -> int:
        if not layer.outputs:
            return 0
        total = 0
        for name, shape in layer.weights.items():
            for uses in self.parameters:
                if fnmatchcase(layer.type, uses.layers) and _among(name, uses.names):
                    total += math.prod(shape) * _TIMES[uses.times](layer.outputs[0])
                    break
        return total * layer.calls


def _among(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
