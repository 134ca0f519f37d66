"""What a convention is: weights for the work of each rule, and for the parameters of layers.

It is data, and `Convention.quote` all that reads it. The work itself is the same under all of them. Where
the number is known not to be the tool's own, a `Remark` says so for the networks that it concerns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import accumulate, pairwise
from typing import Literal

from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Layer, Report, Tally

Unit = Literal["MACs", "FLOPs", "mixed"]
Times = Literal["positions", "samples", "steps"]
Shape = tuple[int, ...]


_UNFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading the arguments of an operation may raise where they are not the usual ones."""


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
    call: Callable[[OpCall], int] | None = None
    """What one operation is worth, for a tool that goes by its arguments. Where a report was saved
    without its operations, or they have arguments that the tool would not take, the weights above
    stand in."""

    def of(self, tally: Tally, blind: bool) -> int:
        """The worth of `tally`; `blind`: to whom a complex number is one as any other."""
        if self.call is not None and tally.ops:
            try:
                return sum(map(self.call, tally.ops))
            except _UNFIT:
                pass
        work = tally.work
        macs, adds = work.macs, work.adds
        if blind and tally.ops and tally.ops[0].is_complex:
            macs, adds = macs // 4, adds // 2
        return (
            self.macs * macs
            + self.adds * adds
            + self.compares * work.compares
            + self.read * tally.read
            + self.written * tally.written
        )


Rules = Mapping[str, Weights]
"""Weights by the name of the rule."""


@dataclass(frozen=True, slots=True)
class Uses:
    """How often each parameter of a layer is taken to be used, read off the first output of each call."""

    times: Times
    """`positions`: samples × spatial positions; `samples`: the first size; `steps`: the first two."""
    names: tuple[str, ...]
    """The parameters it is about: names, or patterns with `*` and `?`."""
    layers: str = "*"
    """The class names it is about, likewise."""


_TIMES: Mapping[Times, Callable[[Shape], int]] = {
    "positions": lambda output: math.prod(output[:1] + output[2:]),
    "samples": lambda output: math.prod(output[:1]),
    "steps": lambda output: math.prod(output[:2]),
}

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True, slots=True)
class Cells:
    """How recurrent layers are counted, for tools that do so by the shapes of their weights.

    Each row, which is a step of a sample, counts for every layer and direction the elements of the matrix
    of its input and of that of its state, its two biases, and operations of the cell.
    """

    units: Mapping[str, int]
    """Operations of the cell for each unit of its state, by `"RNN"`, `"GRU"` or `"LSTM"`."""
    element: int = 1
    """For each element of a matrix."""
    gates: int = 0
    """For each row of a matrix."""
    projections: bool = True
    """Whether it sees that `proj_size` makes the state narrower; its own products nobody counts."""
    first_way: bool = True
    """Whether it takes the second direction to be as large as the first."""

    def of(self, layer: Layer) -> int | None:
        """What is counted for a layer; `None`: it is not recurrent, or its weights are not known."""
        cell = layer.type.removesuffix("Cell")
        matrices = sum(math.prod(shape) for shape in layer.weights.values() if len(shape) == 2)
        if cell not in _GATES or cell not in self.units or not matrices or layer.tied_to:
            return None
        names = [
            n for n, shape in layer.weights.items() if n[:9] == "weight_ih" and len(shape) == 2
        ]
        if not names or not all(
            len(layer.weights.get(n.replace("ih", "hh", 1), ())) == 2 for n in names
        ):
            return None
        ways = 2 if any(name.endswith("_reverse") for name in names) else 1
        total = 0
        for name in names:
            if self.first_way and name.endswith("_reverse"):
                continue
            of_input, of_state = (layer.weights[f"weight_{x}{name[9:]}"] for x in ("ih", "hh"))
            gated, width = of_input
            hidden = gated // _GATES[cell]
            if not self.projections and "_l" in name and "_l0" not in name:
                width = hidden * ways
            states = of_state[1] if self.projections else hidden
            biases = 2 * gated if f"bias_ih{name[9:]}" in layer.weights else 0
            total += self.element * gated * (width + states) + 2 * self.gates * gated
            total += biases + self.units[cell] * hidden
        # Every matrix is used once a row, so that its rows are what the work comes to.
        return total * (layer.work.macs // matrices) * (ways if self.first_way else 1)


@dataclass(frozen=True, slots=True)
class Remark:
    """Where the quoted number is not the tool's own, or need not be: in layers that fit all of it."""

    text: str
    """What is not exact, and why."""
    rules: tuple[str, ...] = ("*",)
    """Rules that counted something in the layer, names or patterns; all: it need not have run anything."""
    layers: tuple[str, ...] = ("*",)
    """Its class names, likewise."""
    outside: tuple[str, ...] = ()
    """Class names that it is not about, likewise."""
    call: Callable[[OpCall], bool] | None = None
    """The operations it is about; where a report was saved without them, it may be any."""
    layer: Callable[[Layer], bool] | None = None
    """What else is true of the layer."""
    report: Callable[[Report], bool] | None = None
    """What is true of the whole report."""

    def applies(self, report: Report) -> bool:
        """Whether it is about anything in `report`."""
        if self.report is not None and not self.report(report):
            return False
        return any(map(self._fits, report.layers))

    def _fits(self, layer: Layer) -> bool:
        if not _among(layer.type, self.layers) or _among(layer.type, self.outside):
            return False
        if self.layer is not None and not self.layer(layer):
            return False
        if self.rules == ("*",) and self.call is None:
            return True
        about = (tally for tally in layer.tallies if _among(tally.rule, self.rules))
        return any(not tally.ops or any(map(self._calls, tally.ops)) for tally in about)

    def _calls(self, call: OpCall) -> bool:
        try:
            return self.call is None or self.call(call)
        except _UNFIT:
            return True


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
    cells: Cells | None = None
    """What goes before both for recurrent layers."""
    parameters: tuple[Uses, ...] = ()
    """For tools that count parameters: each one of a layer without children counts as often as the
    first of these that is about it says."""
    per_sample: bool = False
    """Whether the sum is divided by the batch, as by a tool that runs one sample."""
    remarks: tuple[Remark, ...] = ()
    """Where the number is known not to be the tool's own."""

    def quote(self, layer: Layer, leaf: bool) -> int:
        """What this convention counts for one layer, the whole batch; `leaf`: it has no children."""
        total = self.cells.of(layer) if self.cells is not None else None
        if total is None:
            total = sum(
                weights.of(tally, bool(self.tool)) for weights, tally in self._weighted(layer)
            )
        return total + (self._of_parameters(layer) if self.parameters and leaf else 0)

    def settle(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """Layers that `quote` quoted, divided by the batch where it is `per_sample`.

        They add up to the quotient of the sum, rounded down as a tool rounds it.
        """
        batch = self.batch_of(layers)
        if batch == 1:
            return layers
        sums = (total // batch for total in accumulate((x.quoted for x in layers), initial=0))
        return tuple(
            replace(layer, quoted=upto - before)
            for layer, (before, upto) in zip(layers, pairwise(sums), strict=True)
        )

    def batch_of(self, layers: tuple[Layer, ...]) -> int:
        """What quotes of `layers` are divided by: the batch, or 1."""
        return batch_of(layers) if self.per_sample else 1

    def remarks_on(self, report: Report) -> tuple[str, ...]:
        """What is to be said of this convention's number for `report`: where it is not exact."""
        told = [remark.text for remark in self.remarks if remark.applies(report)]
        weighted = (pair for layer in report.layers for pair in self._weighted(layer))
        if any(weights.call is not None and not tally.ops for weights, tally in weighted):
            told.append("saved without its operations, whose arguments decide what they count")
        return tuple(told)

    def _weighted(self, layer: Layer) -> Iterator[tuple[Weights, Tally]]:
        here = self.modules.get(layer.type, self.rules)
        for tally in layer.tallies:
            rules = here if tally.rule in here else self.rules
            yield rules.get(tally.rule, self.default), tally

    def _of_parameters(self, layer: Layer) -> int:
        outputs, _ = outputs_of_calls(layer)
        total = 0
        for name, shape in (*layer.weights.items(), *tied_parameters(layer)) if outputs else ():
            for uses in self.parameters:
                if fnmatchcase(layer.type, uses.layers) and _among(name, uses.names):
                    times = _TIMES[uses.times]
                    total += math.prod(shape) * sum(map(times, outputs))
                    break
        return total


def batch_of(layers: tuple[Layer, ...]) -> int:
    """The first size of what the first of `layers`, the network, received; 1 where that is no batch."""
    if not layers or not layers[0].inputs:
        return 1
    first = layers[0].inputs[0]
    held = next((x.inputs[0] for x in layers if x.weights and x.inputs and x.inputs[0]), first)
    # An image of a list has no batch; whatever holds parameters then receives another one.
    return first[0] if len(first) > 1 and first[0] and held[0] % first[0] == 0 else 1


def outputs_of_calls(layer: Layer) -> tuple[list[Shape], bool]:
    """The first output of each call of a layer, and whether they were seen, rather than only the first.

    A layer that puts out what one of its operations does shows them.
    """
    if not layer.outputs or not layer.calls:
        return [], True
    first = layer.outputs[0]
    if layer.calls > 1:
        for tally in layer.tallies:
            shapes = [op.outputs[0].shape for op in tally.ops if op.outputs]
            if len(shapes) == layer.calls and shapes[0] == first:
                return shapes, True
    return [first] * layer.calls, layer.calls == 1


def tied_parameters(layer: Layer) -> Iterator[tuple[str, Shape]]:
    """Weights and biases of a layer that are parameters of a layer above, as its operations show them."""
    names = ("weight", "bias") if layer.tied_to else ()
    for name in names:
        if name not in layer.weights:
            calls = (op for tally in layer.tallies for op in tally.ops)
            found = next((x for op in calls if isinstance(x := op.get(name), TensorSpec)), None)
            if found is not None:
                yield name, found.shape


def _among(name: str, patterns: Iterable[str]) -> bool:
    return any(pattern == "*" or fnmatchcase(name, pattern) for pattern in patterns)
