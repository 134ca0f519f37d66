"""Whether networks fit devices, as documents: one in detail, one on every device, or several side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from cnnstat.devices.device import KINDS
from cnnstat.devices.fitting import Fit
from cnnstat.devices.roofline import LayerBound
from cnnstat.devices.rooms import UNKNOWN, Room, engine_memories
from cnnstat.render.document import Document, Figure, Text
from cnnstat.render.figures import NONE, numeric, signed
from cnnstat.render.fit_cells import (
    WORDS,
    batch_text,
    bound_text,
    least_seconds,
    verdict_text,
)
from cnnstat.render.fit_details import details_table, details_title, layers_table
from cnnstat.render.table import Column, Line, Table, visible
from cnnstat.units import grouped, short_bytes

SCHEMA = 1
"""Version of the JSON form."""

_KEYS = {
    "~": "~ made of figures that were not read in a source",
    "*": "* made of figures that were computed: `cnnstat devices ID` shows the rule",
    "a": "a arithmetic alone, as no bandwidth is known",
    "m": "m memory alone, as no rate is known for the dtype",
}
_LEGEND = (
    "fits: with the whole margin of the estimate; tight: within the margin; memory is what one process or "
    "app can count on, where that is known"
)
_ASSUMED = (
    "margins were measured for some devices, steps and dtypes, and are assumed for the others: `--device` "
    "says where"
)
_BOUND = "bound: no run is faster on that device; it is no prediction of how long one takes"


def fit_document(fits: Sequence[Fit], layers: bool = False) -> Document:
    """Each network on each named device in detail; `layers`: with the least time of every layer."""
    blocks: list[Text | Figure] = []
    for number, fit in enumerate(fits, 1):
        table = details_table(fit)
        blocks.append(Figure(table, title=details_title(fit), key=f"fit-{number}", tells=True))
        if fit.reason:
            blocks.append(Text(visible(fit.reason), "warning"))
        if layers and fit.roofline is not None:
            title = f"The least time of each layer of {visible(fit.spec)} on {fit.device.id}"
            table = layers_table(fit.roofline)
            blocks.append(Figure(table, title=title, key=f"layers-{number}", tells=True))
    quiet = [*_quiet(_legend_text(fits), *_engines(fits)), *_keys(blocks)]
    return _document(fits, blocks, quiet, layers)


def devices_document(fits: Sequence[Fit]) -> Document:
    """One network on many devices, by kind."""
    blocks: list[Text | Figure] = []
    for kind, some in groupby(_shown(fits), key=lambda fit: fit.device.kind):
        table = _table(list(some), kind)
        blocks.append(Figure(table, title=f"{KINDS[kind]} ({kind})", key=kind, tells=True))
    bounds = tuple((b.key, "bound") for b in blocks if isinstance(b, Figure) and _has_bound(b))
    quiet = [
        *_quiet(_LEGEND),
        *([Text(_BOUND, "quiet", bounds)] if bounds else []),
        *_quiet(*_assumed(fits), *_engines(fits)),
        *_keys(blocks),
        *_quiet(*_left_out(fits)),
    ]
    return _document(fits, blocks, quiet)


def matrix_document(fits: Sequence[Fit]) -> Document:
    """Several networks on many devices: the verdicts alone."""
    specs = list(dict.fromkeys(fit.spec for fit in fits))
    blocks: list[Text | Figure] = []
    rows: dict[tuple[str, str], dict[str, Fit]] = {}
    for fit in _shown(fits):
        rows.setdefault((fit.device.id, fit.dtype), {})[fit.spec] = fit
    columns = (
        Column(key="device", title="device"),
        _dtype_column(fits),
        *(Column(key=f"model-{n}", title=visible(spec)) for n, spec in enumerate(specs, 1)),
    )
    first = {key: next(iter(row.values())) for key, row in rows.items()}
    for kind, keys in groupby(rows, key=lambda key: first[key].device.kind):
        lines = tuple(
            Line(
                cells=(
                    visible(key[0]),
                    key[1],
                    *(
                        verdict_text(rows[key][spec]) if spec in rows[key] else NONE
                        for spec in specs
                    ),
                )
            )
            for key in keys
        )
        table = Table(columns=columns, lines=lines)
        blocks.append(Figure(table, title=f"{KINDS[kind]} ({kind})", key=kind, tells=True))
    quiet = [
        *_quiet(_LEGEND, *_assumed(fits), *_engines(fits)),
        *_keys(blocks),
        *_quiet(*_left_out(fits)),
    ]
    return _document(fits, blocks, quiet)


def _document(
    fits: Sequence[Fit], blocks: list[Text | Figure], quiet: Sequence[Text], layers: bool = False
) -> Document:
    specs = list(dict.fromkeys(visible(fit.spec) for fit in fits))
    steps = dict.fromkeys(f"{visible(fit.step)}, batch {grouped(fit.batch)}" for fit in fits)
    devices = {fit.device.id for fit in fits}
    return Document(
        title=(", ".join(specs),),
        circumstances=(
            *steps,
            f"{len(devices)} device{'' if len(devices) == 1 else 's'}",
            "estimates: nothing is measured",
        ),
        blocks=(*blocks, *quiet),
        notes=_notes(fits),
        data={"schema": SCHEMA, "results": [_result(fit, layers) for fit in fits]},
        records=tuple(row for fit in fits for row in (_layers if layers else _records)(fit)),
    )


# ---- one network on many devices


def _table(fits: Sequence[Fit], kind: str) -> Table:
    """Microcontrollers have two memories, everything else has one."""

    def needed(name: str) -> Callable[[Fit], str]:
        return lambda fit: short_bytes(room.needed) if (room := _room(fit, name)) else NONE

    def available(name: str) -> Callable[[Fit], str]:
        return lambda fit: (
            signed(fit.device, room.figure) + short_bytes(room.available)
            if (room := _room(fit, name))
            else NONE
        )

    cells: list[tuple[Column, Callable[[Fit], str]]] = [
        (Column(key="device", title="device"), lambda fit: visible(fit.device.id)),
        (_dtype_column(fits), lambda fit: fit.dtype),
        (Column(key="verdict", title="verdict"), lambda fit: WORDS[fit.verdict]),
    ]
    for name in ("RAM", "flash") if kind == "mcu" else ("memory",):
        key = name.lower()
        title = "needed" if name == "memory" else f"{name} need"
        cells.append((numeric(f"{key}_needed", title), needed(name)))
        cells.append((numeric(f"{key}_available", f"of {name}"), available(name)))
    if any(fit.largest_batch is not None for fit in fits):
        cells.append((numeric("largest_batch", "largest batch", 40), batch_text))
    if any(fit.roofline and least_seconds(fit.roofline) is not None for fit in fits):
        cells.append((numeric("bound", "bound", 60), bound_text))
    return Table(
        columns=tuple(column for column, _ in cells),
        lines=tuple(Line(cells=tuple(cell(fit) for _, cell in cells)) for fit in fits),
    )


def _dtype_column(fits: Sequence[Fit]) -> Column:
    """It stays where it tells rows of one device apart."""
    several = len({(fit.device.id, fit.dtype) for fit in fits}) > len({f.device.id for f in fits})
    return Column(key="dtype", title="dtype", priority=100 if several else 50)


def _has_bound(figure: Figure) -> bool:
    return any(column.key == "bound" for column in figure.table.columns)


def _room(fit: Fit, name: str) -> Room | None:
    return next((room for room in fit.rooms if room.name == name), None)


def _shown(fits: Sequence[Fit]) -> list[Fit]:
    """Those with a verdict, in the order of kinds."""
    order = list(KINDS)
    known = [fit for fit in fits if fit.verdict != UNKNOWN]
    return sorted(known, key=lambda fit: order.index(fit.device.kind))


def _left_out(fits: Sequence[Fit]) -> Iterator[str]:
    out = list(dict.fromkeys(fit.device.id for fit in fits if fit.verdict == UNKNOWN))
    if out:
        yield f"without an answer: {', '.join(map(visible, out))} (`--device` says why)"


# ---- legends


def _quiet(*texts: str) -> list[Text]:
    return [Text(text, "quiet") for text in texts if text]


def _engines(fits: Sequence[Fit]) -> list[str]:
    """Where `cnnstat devices` shows other memories than a network has to fit."""
    found = {fit.device.id: figures for fit in fits if (figures := engine_memories(fit.rooms))}
    return [
        f"{visible(id)}: the memories of its engine for networks ({', '.join(figures)}), not the RAM and "
        "flash that `cnnstat devices` shows"
        for id, figures in found.items()
    ]


def _legend_text(fits: Sequence[Fit]) -> str:
    return _LEGEND if any(fit.rooms for fit in fits) else ""


def _assumed(fits: Sequence[Fit]) -> list[str]:
    return [_ASSUMED] if any(f.estimator and not f.estimator.measured for f in fits) else []


def _notes(fits: Sequence[Fit]) -> tuple[str, ...]:
    """Each once, with the network that it is about where there are several."""
    several = len({fit.spec for fit in fits}) > 1
    found = (f"{fit.spec}: {note}" if several else note for fit in fits for note in fit.notes)
    return tuple(dict.fromkeys(map(visible, found)))


def _keys(blocks: Sequence[Text | Figure]) -> list[Text]:
    """What the signs mean that stand in some cell, each with the columns where it does."""
    places: dict[str, list[tuple[str, str]]] = {sign: [] for sign in _KEYS}
    for figure in (block for block in blocks if isinstance(block, Figure)):
        for column in figure.table.columns[1:]:
            cells = figure.table.column(column.key)
            for sign, found in places.items():
                if any(_bears(cell, sign) for cell in cells):
                    found.append((figure.key, column.key))
    return [Text(_KEYS[sign], "quiet", tuple(found)) for sign, found in places.items() if found]


def _bears(cell: str, sign: str) -> bool:
    return cell.endswith(f" {sign}") if sign in "am" else cell.strip(sign) != cell


# ---- as data


def _result(fit: Fit, layers: bool) -> dict[str, Any]:
    found = fit.to_dict()
    if layers and fit.roofline is not None:
        found["layers"] = [_layer(layer) for layer in fit.roofline.layers]
    return found


def _layer(layer: LayerBound) -> dict[str, Any]:
    return {
        "path": layer.path,
        "kind": layer.kind,
        "flops": layer.flops,
        "traffic_bytes": layer.traffic,
        "intensity": layer.intensity,
        "memory_bound": layer.memory_bound,
        "seconds": layer.seconds,
    }


def _layers(fit: Fit) -> Iterator[dict[str, object]]:
    """A row for each layer, in the place of one for the whole."""
    about = {"spec": fit.spec, "device": fit.device.id, "dtype": fit.dtype}
    for layer in fit.roofline.layers if fit.roofline else ():
        yield {**about, **_layer(layer), "roofline_marks": _marks(fit)}


def _records(fit: Fit) -> Iterator[dict[str, object]]:
    yield _record(fit)


def _marks(fit: Fit) -> str:
    marks = fit.roofline.marks if fit.roofline else {}
    return "; ".join(f"{name} {mark}" for name, mark in marks.items())


def _record(fit: Fit) -> dict[str, object]:
    """One row: a memory has columns of its own, and lists are texts."""
    found = fit.to_dict()
    plain = {key: value for key, value in found.items() if not isinstance(value, list | dict)}
    plain.pop("roofline_marks", None)
    for name in ("memory", "RAM", "flash"):
        room = _room(fit, name)
        plain[f"{name.lower()}_needed_bytes"] = room.needed if room else None
        plain[f"{name.lower()}_available_bytes"] = room.available if room else None
        plain[f"{name.lower()}_mark"] = fit.device.mark(room.figure) if room else None
    return {
        **plain,
        "roofline_marks": _marks(fit),
        "remedies": "; ".join(fit.remedies),
        "notes": "; ".join(fit.notes),
    }
