"""Which layers moved between a baseline and a report, told by the alignment that `compare` uses.

A baseline keeps of each layer what tells layers apart and what they cost. To compare like with like, the
new report's layers are cut down in the same way first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnstat.budgets.limits import METRICS, Metric
from cnnstat.comparing.alignment import Change, align
from cnnstat.report import Layer, Report, Tally, Work
from cnnstat.units import percent

KEPT = tuple(METRICS[name] for name in ("params", "param-bytes", "macs", "flops", "activations"))
"""What is always kept, so that a limit has a past when it comes; a budget's other metrics come on top."""


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer that was added, removed or changed."""

    change: Change
    """What happened to it."""
    before: Layer | None
    """In the baseline; `None`: added."""
    after: Layer | None
    """Now; `None`: removed."""

    @property
    def path(self) -> str:
        """Where it is; for a removed one, where it was."""
        layer = self.after or self.before
        return (layer.path if layer else "") or "(root)"

    def values(self, metric: Metric) -> tuple[int, int]:
        """Before and after; 0 where it is not."""
        before, after = (metric.of_layer(x) if x else 0 for x in (self.before, self.after))
        return before, after

    def moved(self, metric: Metric) -> int:
        """What it adds to the total."""
        before, after = self.values(metric)
        return after - before

    def describe(self, metric: Metric) -> str:
        """`features.18.0  +14.30 M MACs (28.10 M → 42.40 M; Conv2d 320→1280, was 320→960)`."""
        before, after = self.values(metric)
        figures = " → ".join(metric.apart([before, after]))
        return (
            f"{self.path} {metric.change(before, after)} {metric.label} ({figures}; {self.story})"
        )

    @property
    def story(self) -> str:
        """`Conv2d 320→1280, was 320→960`; `added: Conv2d 3×3 320→1280`."""
        if self.before is None or self.after is None:
            return f"{self.change}: {' '.join(_traits(self.after or self.before).values())}"
        was, now = _traits(self.before), _traits(self.after)
        moved = [name for name in now if now[name] != was.get(name) and name != "type"]
        moved = moved or [name for name in was if name not in now]
        # Another output follows from whatever else changed.
        moved = [name for name in moved if name != "output"] or moved
        shown = [now["type"], *(now.get(name, f"no {name}") for name in moved)]
        old = [was["type"]] if was["type"] != now["type"] else []
        old += [was.get(name, f"no {name}").removeprefix(f"{name} ") for name in moved]
        place = f", at {self.before.path}" if self.before.path != self.after.path else ""
        return f"{' '.join(shown)}{', was ' + ' '.join(old) if old else ''}{place}"


def kept_layers(report: Report, metrics: Sequence[Metric]) -> tuple[Layer, ...]:
    """The layers that a baseline keeps, in order: those without children or with numbers of their own."""
    parents = {layer.path.rpartition(".")[0] for layer in report.layers if layer.path}
    kept = [_kept(layer, metrics) for layer in report.layers]
    return tuple(
        layer
        for layer in kept
        if layer.path not in parents or any(metric.of_layer(layer) for metric in metrics)
    )


def kept_layer(
    path: str,
    type: str,
    kind: str,
    output: tuple[int, ...] | None,
    attrs: Mapping[str, str],
    numbers: Mapping[str, int],
) -> Layer:
    """A layer of which no more is known than this; numbers by their names in a report."""
    macs = numbers.get("macs", 0)
    work = Work(
        macs=macs,
        adds=max(numbers.get("flops", 0) - 2 * macs, 0),
        moved=numbers.get("moved_bytes", 0),
        activations=numbers.get("activations", 0),
    )
    return Layer(
        path=path,
        type=type,
        kind=kind,
        outputs=() if output is None else (output,),
        params=numbers.get("params", 0),
        trainable_params=numbers.get("trainable_params", 0),
        buffers=numbers.get("buffers", 0),
        param_bytes=numbers.get("param_bytes", 0),
        buffer_bytes=numbers.get("buffer_bytes", 0),
        tallies=(Tally("", kind, 1, work),),
        quoted=numbers.get("quoted", 0),
        attrs=attrs,
    )


def _kept(layer: Layer, metrics: Sequence[Metric]) -> Layer:
    return kept_layer(
        layer.path,
        layer.type,
        layer.kind,
        layer.outputs[0] if layer.outputs else None,
        {name: _word(value) for name, value in sorted(layer.attrs.items())},
        {metric.key: metric.of_layer(layer) for metric in metrics},
    )


def _word(value: Any) -> str:
    """A detail as one word: `3x3`."""
    text = "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return "".join(text.split())


def largest_changes(
    before: Sequence[Layer], after: Report, metrics: Sequence[Metric]
) -> tuple[LayerChange, ...]:
    """The layers that moved, with before and after, in the order of the network.

    `metrics` are those that the layers of the baseline know.
    """
    one, two = (
        Report(subject={}, convention="", layers=tuple(layers))
        for layers in (before, kept_layers(after, metrics))
    )
    return tuple(
        LayerChange(pair.change, pair.before, pair.after)
        for pair in align(one, two).pairs
        if pair.change != "unchanged"
    )


_TOLD = frozenset(("kernel", "in_channels", "out_channels", "multiplier"))


def _traits(layer: Layer | None) -> dict[str, str]:
    """What describes a layer, a word or two each."""
    if layer is None:
        return {}
    attrs = layer.attrs
    traits = {"type": layer.type}
    if "kernel" in attrs:
        traits["kernel"] = str(attrs["kernel"]).replace("x", "×")
    if "in_channels" in attrs:
        traits["channels"] = f"{attrs['in_channels']}→{attrs.get('out_channels', '?')}"
    for name in sorted(set(attrs) - _TOLD):
        value = str(attrs[name])
        # What nearly every layer has is left out.
        if not (set(value) <= set("01x")):
            traits[name] = f"{name} {value.replace('x', '×')}"
    if layer.outputs:
        traits["output"] = "output " + ("×".join(map(str, layer.outputs[0])) or "scalar")
    return traits


# In words


def largest(changes: Sequence[LayerChange], metric: Metric, most: int) -> Iterator[str]:
    """The layers that moved a metric most, a line each."""
    moved = [change for change in changes if change.moved(metric)]
    total = sum(change.moved(metric) for change in moved)
    # Those that went the way of the total come first: they did it.
    moved.sort(key=lambda c: (c.moved(metric) * total < 0, -abs(c.moved(metric))))
    for n, change in enumerate(moved[:most]):
        yield f"{'then' if n else 'largest change'}: {change.describe(metric)}"


def story(changes: Sequence[LayerChange]) -> Iterator[str]:
    """How many layers changed, and which are gone."""
    counts = {what: sum(c.change == what for c in changes) for what in _TOLD_OF}
    told = [f"{n} {what}" for what, n in counts.items() if n]
    if told:
        yield f"layers since the baseline: {', '.join(told)}"
    gone = [change.before for change in changes if change.after is None and change.before]
    if gone:
        more = f" and {len(gone) - _GONE_NAMED} more" if len(gone) > _GONE_NAMED else ""
        names = ", ".join(
            f"{layer.path or '(root)'} ({layer.type})" for layer in gone[:_GONE_NAMED]
        )
        yield f"gone: {names}{more}"


def heaviest(report: Report, metric: Metric, most: int) -> Iterator[str]:
    """The layers that have most of a metric, in one line."""
    whole, of = metric.of(report), metric.of_layer
    ranked = sorted(report.layers, key=lambda layer: -of(layer))[:most]
    named = [
        f"{layer.path or '(root)'} {metric.short(of(layer))} ({percent(of(layer), whole)})"
        for layer in ranked
        if of(layer)
    ]
    if named:
        yield f"heaviest in {metric.label}: {', '.join(named)}"


_TOLD_OF = ("changed", "added", "removed")
_GONE_NAMED = 5
"""Removed layers that are named."""
