"""One network on one device, figure by figure, and layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

from cnnstat.devices.device import VERIFIED
from cnnstat.devices.fitting import LARGEST_IMAGE, Fit
from cnnstat.devices.roofline import LayerBound, Roofline
from cnnstat.devices.rooms import DOES_NOT_FIT, FILE, TIGHT
from cnnstat.render.figures import NONE, sign_of, signed
from cnnstat.render.fit_cells import WORDS, batch_text, bound_text, least_seconds
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.units import grouped, percent, short, short_bytes, short_seconds

_NOTHING = (
    "none of these alone: fewer bits, a quarter of the width, smaller images, a smaller batch"
)


def details_title(fit: Fit) -> str:
    """Network, device, number format and verdict."""
    name = visible(fit.device.name)
    return f"{visible(fit.spec)} on {name} in {fit.dtype}: {WORDS[fit.verdict]}"


def details_table(fit: Fit) -> Table:
    """What is needed and available, what fits at most, and the least time."""
    columns = (
        Column(key="what", title="what"),
        Column(key="figure", title="figure", numeric=True),
        Column(key="meaning", title="", prose=True),
    )
    lines = tuple(Line(cells=cells) for cells in (*_memory(fit), *_most(fit), *_time(fit)))
    return Table(columns=columns, lines=lines)


def _memory(fit: Fit) -> Iterator[tuple[str, str, str]]:
    if fit.estimator is None or fit.demand is None:
        return
    demand, device = fit.demand, fit.device
    trains = not fit.step.startswith("inference")
    kept = "weights, buffers and optimizer state" if trains else "weights and buffers"
    for room in fit.rooms:
        sizes = {kept: demand.weights, "tensors": demand.working, "software": demand.overhead}
        if room.name != "memory":
            sizes.pop(kept)
        parts = ", ".join(f"{name} {short_bytes(size)}" for name, size in sizes.items() if size)
        if room.name == "flash":
            parts = f"{kept}; the program itself takes some more"
        yield f"{room.name} needed", short_bytes(room.needed), parts
        by = FILE if room.name == "flash" else fit.estimator
        margin = f"+{short_bytes(room.over)}" if room.over else short_bytes(0)
        yield "margin", margin, f"{by.evidence} ({by.what})"
        note = device.app_note if room.figure == "app_bytes" else ""
        known = device.mark(room.figure)
        how = "; ".join(text for text in (note, known if known != VERIFIED else "") if text)
        share = f"{percent(room.needed, room.available)} of it is needed"
        available = signed(device, room.figure) + short_bytes(room.available)
        yield f"{room.name} available", available, visible(f"{share}; {how}" if how else share)


def _most(fit: Fit) -> Iterator[tuple[str, str, str]]:
    if not fit.rooms:
        return
    meaning = "samples that fit with the whole margin"
    if fit.largest_batch is None:
        meaning = "not known: the network keeps its batch, or does not grow in proportion with it"
    yield "largest batch", batch_text(fit), meaning
    if fit.largest_resolution is not None:
        side = grouped(fit.largest_resolution)
        more = " or more" if fit.largest_resolution >= LARGEST_IMAGE else ""
        yield (
            "largest image",
            f"{side}×{side}{more}" if fit.largest_resolution else "none",
            "pixels, in steps of 32",
        )
    if fit.verdict in (TIGHT, DOES_NOT_FIT) and not fit.reason:
        remedies = "; ".join(fit.remedies) or _NOTHING
        yield "what would fit", "", remedies


def _time(fit: Fit) -> Iterator[tuple[str, str, str]]:
    roofline = fit.roofline
    if roofline is None:
        return
    for reason in roofline.reasons:
        yield "not known", "", visible(reason)
    if least_seconds(roofline) is not None:
        limit = {True: "memory-bound", False: "compute-bound", None: ""}[roofline.memory_bound]
        halves = {
            "arithmetic": roofline.arithmetic_seconds,
            "weights, input and output": roofline.memory_seconds,
        }
        at = "" if roofline.dtype == fit.dtype else f", were all of it in {roofline.dtype}"
        parts = [f"a lower bound, never a prediction: no run is faster{at}", limit]
        parts += [
            f"{name} {short_seconds(took)}" for name, took in halves.items() if took is not None
        ]
        yield "bound", bound_text(fit), "; ".join(part for part in parts if part)
    if roofline.layered_seconds is not None:
        bound = sum(layer.memory_bound is True for layer in roofline.layers)
        yield (
            "layer by layer",
            sign_of(roofline) + short_seconds(roofline.layered_seconds),
            f"at least, where every layer reads and writes its tensors in memory; {bound} of "
            f"{len(roofline.layers)} layers are memory-bound",
        )
    if roofline.traffic:
        turn = ""
        if roofline.rate and roofline.bandwidth:
            ridge = roofline.rate / roofline.bandwidth
            turn = f"; below {sign_of(roofline)}{ridge:.1f} memory is the limit there"
        yield (
            "intensity",
            f"{roofline.flops / roofline.traffic:.1f}",
            f"operations for each byte, layer by layer{turn}",
        )


def layers_table(roofline: Roofline) -> Table:
    """The least time of every layer."""
    columns = (
        Column(key="layer", title="layer", elastic=True),
        Column(key="kind", title="kind", priority=20),
        Column(key="flops", title="FLOPs", numeric=True, priority=40),
        Column(key="traffic", title="bytes", numeric=True, priority=40),
        Column(key="intensity", title="FLOPs/byte", numeric=True, priority=60),
        Column(key="limit", title="limit", priority=70),
        Column(key="least", title="at least", numeric=True),
        Column(key="share", title="share", numeric=True, priority=30),
    )
    whole, sign = roofline.layered_seconds, sign_of(roofline)
    lines = tuple(Line(cells=_layer(layer, whole, sign)) for layer in roofline.layers)
    total = _layer(roofline.within(""), whole, sign) if roofline.layers else ()
    if total:
        lines += (Line(cells=("total", "", *total[2:5], "", *total[6:]), role="total"),)
    return Table(columns=columns, lines=lines)


def _layer(layer: LayerBound, whole: float | None, sign: str) -> tuple[str, ...]:
    limit = {True: "memory", False: "arithmetic", None: NONE}[layer.memory_bound]
    share = NONE
    if whole and layer.seconds is not None:
        share = percent(round(1e6 * layer.seconds / whole), 10**6)
    return (
        visible(layer.path) or "(root)",
        layer.kind,
        short(layer.flops),
        short_bytes(layer.traffic),
        NONE if layer.intensity is None else f"{layer.intensity:.1f}",
        limit,
        NONE if layer.seconds is None else sign + short_seconds(layer.seconds),
        share,
    )
