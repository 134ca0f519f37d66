"""Where in a network its work is done: at which spatial size. Standard library only.

A stage is all that puts out activations of one spatial size: `56×56` of a convolution's N×C×H×W as of a
Swin block's N×H×W×C, `8×56×56` of a video, `197 tokens` of a transformer. A sequence with as many
tokens as one of the network's images has pixels is that image, cut into patches or windows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cnnstat.report import Layer, Report, Totals, total_of

Shape = tuple[int, ...]
Axis = Literal["first", "last"]
"""Where the channels stand: N×C×H×W or N×H×W×C."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One spatial size."""

    size: Shape = ()
    """Sizes without batch and channels; `()`: there is no spatial size."""
    unit: Literal["", "tokens", "length"] = ""
    """What a single size counts: tokens of a transformer, or the length of a one-dimensional signal."""

    @property
    def label(self) -> str:
        """`56×56`, `197 tokens`, `length 16000`, or `no spatial size`."""
        if not self.size:
            return "no spatial size"
        if self.unit == "tokens":
            return "1 token" if self.size == (1,) else f"{self.size[0]} tokens"
        text = "×".join(map(str, self.size))
        return f"length {text}" if self.unit == "length" else text

    @property
    def positions(self) -> int:
        """How many positions there are; 0 where there is no spatial size."""
        return math.prod(self.size) if self.size else 0


NOWHERE = Stage()
"""The stage of what has no spatial size: a linear head."""


@dataclass(frozen=True, slots=True)
class StagePart:
    """What one network spends at one stage."""

    layers: int = 0
    """Layers with multiply–accumulates."""
    totals: Totals = field(default_factory=Totals)
    """Parameters and work."""
    uncounted: int = 0
    """Operations without a rule: while there is one, the work is a lower bound."""
    stride: float | None = None
    """Size of the input divided by that of the stage; `None`: not comparable."""
    present: bool = False
    """Whether the network has the stage at all."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage with what each network spends there."""

    stage: Stage
    """The spatial size."""
    parts: tuple[StagePart, ...]
    """A part for each network, in their order; they add up to the networks' totals."""


def stage_rows(reports: Sequence[Report]) -> tuple[StageRow, ...]:
    """The stages of several networks, matched by their size, from the largest to none."""
    columns = [stage_parts(report) for report in reports]
    stages = list(dict.fromkeys(stage for column in columns for stage in column))
    # Squeeze-and-excitation visits 1×1 at every size, so first come does not order them.
    stages.sort(key=lambda stage: -stage.positions)
    return tuple(
        StageRow(stage, tuple(column.get(stage, StagePart()) for column in columns))
        for stage in stages
    )


def stage_parts(report: Report) -> dict[Stage, StagePart]:
    """What a network spends at each of its stages."""
    axes = Axes(report)
    stages = axes.layers()
    parts: dict[Stage, list[Layer]] = {}
    for layer in report.layers:
        for stage, part in _split(layer, stages[layer.path], axes):
            parts.setdefault(stage, []).append(part)
    gaps: dict[Stage, int] = {}
    for item in report.uncounted:
        stage = stages.get(item.layer, NOWHERE)
        gaps[stage] = gaps.get(stage, 0) + item.count
    into = _input_size(report)
    made = {
        stage: StagePart(
            layers=sum(layer.macs > 0 for layer in layers),
            totals=total_of(layers),
            uncounted=gaps.get(stage, 0),
            stride=_stride(into, stage),
            present=True,
        )
        for stage, layers in parts.items()
    }
    return {
        stage: part
        for stage, part in made.items()
        if part.uncounted or part.totals.params or part.totals.flops or part.totals.activations
    }


class Axes:
    """Which axes of a report's activations are spatial, read off the layers that leave no doubt."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.known: dict[Shape, Axis] = {}
        for layer in report.layers:
            for side, shapes in enumerate((layer.outputs, layer.inputs)):
                if shapes and (found := _channels(layer, shapes[0], side)):
                    self.known.setdefault(shapes[0], found)
        self.batch = _batch(report)
        self.sequences = {
            shape[1]
            for shape, axis in self.known.items()
            if axis == "last" and len(shape) == 3 and shape[0] == self.batch
        }
        self.images: dict[int, Stage] = {}
        # A convolution's image is one; N×windows×positions×C only looks like it.
        for wanted in ("first", "last"):
            for shape, axis in self.known.items():
                if axis == wanted and len(shape) > 3 and not self._heads(shape, axis):
                    image = self._image(shape, axis)
                    self.images.setdefault(image.positions, image)

    def layers(self) -> dict[str, Stage]:
        """The stage of every layer by its path; one that put out nothing has that of the module above."""
        stages: dict[str, Stage] = {}
        for layer in self.report.layers:  # those above come first
            above = stages.get(layer.path.rpartition(".")[0], NOWHERE) if layer.path else NOWHERE
            stages[layer.path] = self.of(layer, above)
        return stages

    def of(self, layer: Layer, above: Stage) -> Stage:
        """The stage of a layer in a module whose own stage is `above`."""
        if not layer.outputs:
            return above
        shape = layer.outputs[0]
        doubtful = len(shape) > 3 and shape not in self.known and above != NOWHERE
        # Attention weights, heads × tokens × tokens, are no image, nor is what keeps their shape.
        if doubtful and (above.unit == "tokens" or shape in layer.inputs):
            return above
        return self.stage(shape)

    def stage(self, shape: Shape) -> Stage:
        """The stage of an activation."""
        axis = self.known.get(shape)
        if len(shape) > 3:
            if self._heads(shape, axis):
                return self._sequence(shape[2])
            image = self._image(shape, axis or _guess(shape))
            return self.images.get(image.positions, image) if axis == "last" else image
        if len(shape) < 3:
            return NOWHERE
        if axis == "first":
            return Stage(shape[2:], "length")
        tokens = math.prod(shape[:-1])
        # Divided by the batch, windows count as the image and T×N×C as N×T×C.
        return self._sequence(tokens // self.batch if tokens % self.batch == 0 else shape[-2])

    def _heads(self, shape: Shape, axis: Axis | None) -> bool:
        """Whether it is N×heads×tokens×C, of a sequence that is known."""
        return axis == "last" and len(shape) == 4 and shape[2] in self.sequences

    def _sequence(self, tokens: int) -> Stage:
        return self.images.get(tokens, Stage((tokens,), "tokens"))

    @staticmethod
    def _image(shape: Shape, axis: Axis) -> Stage:
        return Stage(shape[2:] if axis == "first" else shape[1:-1])


def _channels(layer: Layer, shape: Shape, side: int) -> Axis | None:
    """Where the channels stand, by the weights: a convolution's, a norm's, a linear layer's."""
    if len(shape) < 3:
        return None
    kernel = layer.attrs.get("kernel")
    if isinstance(kernel, list | tuple):
        return "first" if len(kernel) == len(shape) - 2 else None
    weight = layer.weights.get("weight", ())
    if len(weight) not in (1, 2):
        return None
    channels = weight[min(side, len(weight) - 1)]
    fits = [shape[1] == channels, shape[-1] == channels]
    if all(fits):
        return "last" if len(weight) == 2 or "layer_norm" in layer.rules else "first"
    return "first" if fits[0] else "last" if fits[1] else None


def _guess(shape: Shape) -> Axis:
    """Images are mostly square, and hardly ever as wide as they have channels."""
    return "last" if shape[-3] == shape[-2] != shape[-1] else "first"


def _split(layer: Layer, stage: Stage, axes: Axes) -> Iterable[tuple[Stage, Layer]]:
    """A layer's work by stage: a forward that ends without a size may have worked on images.

    Work of one rule stays together, so only operations that all have one size are told apart.
    """
    if stage != NOWHERE or not layer.tallies:
        return [(stage, layer)]
    by_stage: dict[Stage, list[int]] = {}
    for n, tally in enumerate(layer.tallies):
        shapes = {call.outputs[0].shape for call in tally.ops if call.outputs}
        found = {axes.stage(shape) for shape in shapes if len(shape) > 3}
        one = len(found) == 1 and all(len(shape) > 3 for shape in shapes)
        by_stage.setdefault(found.pop() if one else NOWHERE, []).append(n)
    parts = []
    for place, numbers in by_stage.items():
        part = replace(layer, tallies=tuple(layer.tallies[n] for n in numbers))
        parts.append((place, part if place == NOWHERE else _work_alone(part)))
    if NOWHERE not in by_stage:
        parts.append((NOWHERE, replace(layer, tallies=())))
    return parts


def _work_alone(layer: Layer) -> Layer:
    return replace(
        layer,
        params=0,
        trainable_params=0,
        buffers=0,
        param_bytes=0,
        buffer_bytes=0,
        quoted=0,
    )


def inputs(report: Report) -> list[tuple[str, Shape]]:
    """Type and shape of what went in; what a damaged report says of it is left out."""
    listed = report.meta.get("inputs")
    entries = listed if isinstance(listed, list | tuple) else ()
    found = [(str(e.get("dtype", "")), e.get("shape")) for e in entries if isinstance(e, Mapping)]
    return [
        (dtype, tuple(shape))
        for dtype, shape in found
        if isinstance(shape, list | tuple) and all(type(size) is int for size in shape)
    ]


def _batch(report: Report) -> int:
    _, shape = next(iter(inputs(report)), ("", ()))
    return shape[0] if shape and shape[0] > 0 else 1


def _input_size(report: Report) -> Shape:
    """The spatial size of the first image or signal that goes in."""
    return next((shape[2:] for _, shape in inputs(report) if len(shape) > 2), ())


def _stride(into: Shape, stage: Stage) -> float | None:
    if stage.unit == "tokens" or not stage.size or len(into) != len(stage.size):
        return None
    return into[-1] / stage.size[-1] if stage.size[-1] else None
