"""The JSON form of a report, schema 1: written and read here and nowhere else.

The document, with every count an integer and shapes as lists of sizes:

    {"schema": 1,
     "subject": {"name", "spec", "source", "type"},
     "convention": "macs",
     "totals": {"params", "trainable_params", "buffers", "param_bytes", "buffer_bytes",
                "macs", "flops", "activations", "moved_bytes", "quoted"},
     "kinds": {KIND: {"layers", "params", "macs", "flops", "activations"}},
     "groups": [{"kind", "path", "members", "channels", "squeezed", "params", "macs", "flops"}],
     "layers": [{"path", "type", "kind", "inputs", "outputs", "params", "trainable_params", "buffers",
                 "param_bytes", "buffer_bytes", "macs", "flops", "activations", "calls", "quoted",
                 "tied_to", "group", "weights": {NAME: SHAPE}, "attrs", "output_bytes", "live_bytes",
                 "tallies": [{"rule", "kind", "calls", "read", "written",
                              "macs", "adds", "muls", "compares", "special", "moved", "activations",
                              "ops": [{"op", "times", "params", "roles", "args", "outputs"}]}]}],
     "uncounted": {OP: {"count", "where": [{"layer", "count", "inputs", "outputs"}]}},
     "notes": [{"kind", "text", "hint", "where"}],
     "meta": {...},
     "extra": {NAME: NUMBER}}

Totals, kinds and the sums of a layer, of a group and of what is uncounted are written for whoever reads
the file; reading takes the tallies, adds up again, and refuses a document whose sums disagree with them
(`cnnstat.consistency`). The operations behind a tally (`cnnstat.record_json`) and the shapes of the weights
may be missing, as in early documents of version 0.1.0; `extra` is there only where something was
estimated; `output_bytes` and `live_bytes` where memory was asked for, in every layer or in none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from cnnstat.consistency import verify
from cnnstat.errors import ReportError
from cnnstat.record import OpCall
from cnnstat.record_json import calls_from_list, calls_to_list
from cnnstat.report import (
    SCHEMA,
    Group,
    Layer,
    Note,
    Report,
    Shapes,
    Tally,
    Uncounted,
    Work,
)

R = TypeVar("R", bound=Report)

_EXPECTED = "a report written by cnnstat summary MODEL -o FILE.json"

_OTHERS = {
    "comparison": "a comparison",
    "opinions": "a cross-check",
    "conventions": "an explanation",
    "layer": "an explanation",
    "what_if": "a what-if",
    "checks": "the result of a check",
    "timeline": "an estimate of memory",
    "results": "the result of cnnstat fit",
    "devices": "a list of devices",
}
"""What other documents are, by a key that they alone have."""


_MEMORY = ("output_bytes", "live_bytes")


def dump(document: Mapping[str, Any]) -> str:
    """Indented JSON in which a list of plain values stays on one line, with a final newline."""
    return _pretty(document, "") + "\n"


def _pretty(value: Any, indent: str) -> str:
    deeper = indent + " "
    if isinstance(value, Mapping) and value and any(_nested(item) for item in value.values()):
        rows = (f"{deeper}{_flat(key)}: {_pretty(item, deeper)}" for key, item in value.items())
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return "[\n" + ",\n".join(deeper + _pretty(item, deeper) for item in value) + f"\n{indent}]"
    return _flat(value)


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value)
    )


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def report_to_dict(report: Report) -> dict[str, Any]:
    """The document as plain values, in the order shown above."""
    return {
        "schema": SCHEMA,
        "subject": dict(report.subject),
        "convention": report.convention,
        "totals": {k: v for k, v in asdict(report.totals).items() if v or k != "estimated_flops"},
        "kinds": {kind: asdict(total) for kind, total in report.kinds.items()},
        "groups": [_listed(asdict(group)) for group in report.groups],
        "layers": [_layer_to_dict(layer) for layer in report.layers],
        "uncounted": _uncounted_to_dict(report.uncounted),
        "notes": [asdict(note) for note in report.notes],
        "meta": dict(report.meta),
        **({"extra": dict(report.extra)} if report.extra else {}),
    }


def _layer_to_dict(layer: Layer) -> dict[str, Any]:
    return {
        "path": layer.path,
        "type": layer.type,
        "kind": layer.kind,
        "inputs": [list(shape) for shape in layer.inputs],
        "outputs": [list(shape) for shape in layer.outputs],
        "params": layer.params,
        "trainable_params": layer.trainable_params,
        "buffers": layer.buffers,
        "param_bytes": layer.param_bytes,
        "buffer_bytes": layer.buffer_bytes,
        "macs": layer.macs,
        "flops": layer.flops,
        "activations": layer.activations,
        "calls": layer.calls,
        "quoted": layer.quoted,
        "tied_to": list(layer.tied_to),
        "group": layer.group,
        "weights": {name: list(shape) for name, shape in layer.weights.items()},
        "attrs": dict(layer.attrs),
        **{name: value for name in _MEMORY if (value := getattr(layer, name)) is not None},
        "tallies": [
            {
                "rule": tally.rule,
                "kind": tally.kind,
                "calls": tally.calls,
                "read": tally.read,
                "written": tally.written,
                **asdict(tally.work),
                **({"estimated": True} if tally.estimated else {}),
                "ops": calls_to_list(tally.ops),
            }
            for tally in layer.tallies
        ],
    }


def _uncounted_to_dict(items: tuple[Uncounted, ...]) -> dict[str, Any]:
    by_op: dict[str, Any] = {}
    for item in items:
        entry = by_op.setdefault(item.op, {"count": 0, "where": []})
        entry["count"] += item.count
        entry["where"].append(
            {
                "layer": item.layer,
                "count": item.count,
                "inputs": [list(shape) for shape in item.inputs],
                "outputs": [list(shape) for shape in item.outputs],
            }
        )
    return by_op


def _listed(value: dict[str, Any]) -> dict[str, Any]:
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}


def report_from_json(text: str | bytes, cls: type[R]) -> R:
    """Read a document. Raises `ReportError` that says what is wrong and where."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise ReportError(
            f"not a complete JSON document: {reason}", hint=f"expected {_EXPECTED}"
        ) from None
    if not isinstance(document, dict) or "schema" not in document:
        raise ReportError("a JSON document, but not a report", hint=f"expected {_EXPECTED}")
    if document["schema"] != SCHEMA:
        raise ReportError(
            f"report of schema {document['schema']!r}; this version reads schema {SCHEMA}",
            hint="write the report again with this version of cnnstat",
        )
    known = [what for key, what in _OTHERS.items() if key in document]
    if known or "subject" not in document or "layers" not in document:
        what = known[0] if known else "a document of cnnstat"
        raise ReportError(f"{what}, not a report", hint=f"expected {_EXPECTED}")
    reader = _Reader(document, "report")
    reader.named("kinds")
    report = _read(reader, cls)
    verify(report, document)
    without = [n for n, layer in enumerate(report.layers) if layer.live_bytes is None]
    if report.has_memory and without:
        raise ReportError(
            f"report.layers[{without[0]}] has no live_bytes, and other layers have",
            hint="the file was edited or damaged; write it again",
        )
    paths = Counter(layer.path for layer in report.layers)
    if paths and (path := paths.most_common(1)[0])[1] > 1:
        raise ReportError(f"report.layers: {path[0]!r} stands there {path[1]} times")
    return report


class _Reader:
    """A JSON object that names the place when a value is missing or of another type."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ReportError(f"{where}: expected an object, found {_kind(value)}")
        self.value, self.where = value, where

    def get(self, key: str, kind: type) -> Any:
        place = f"{self.where}.{key}"
        if key not in self.value:
            raise ReportError(f"{place} is missing", hint=f"expected {_EXPECTED}")
        item = self.value[key]
        if type(item) is not kind:
            raise ReportError(f"{place}: expected {_NAMES[kind]}, found {_kind(item)}")
        return item

    def count(self, key: str) -> int:
        value: int = self.get(key, int)
        if value < 0:
            raise ReportError(f"{self.where}.{key}: expected a count, found {value}")
        return value

    def text(self, key: str) -> str:
        return str(self.get(key, str))

    def texts(self, key: str) -> tuple[str, ...]:
        items = self.get(key, list)
        if not all(isinstance(item, str) for item in items):
            raise ReportError(f"{self.where}.{key}: expected a list of strings")
        return tuple(items)

    def shapes(self, key: str) -> Shapes:
        items = self.get(key, list)
        if not all(isinstance(s, list) and all(type(n) is int for n in s) for s in items):
            raise ReportError(f"{self.where}.{key}: expected a list of shapes")
        return tuple(tuple(shape) for shape in items)

    def optional(self, key: str, kind: type) -> Any:
        """What came into the schema later; its empty value where the document is older."""
        return self.get(key, kind) if key in self.value else kind()

    def objects(self, key: str) -> list[_Reader]:
        place = f"{self.where}.{key}"
        return [_Reader(item, f"{place}[{n}]") for n, item in enumerate(self.get(key, list))]

    def named(self, key: str) -> dict[str, _Reader]:
        place = f"{self.where}.{key}"
        return {
            name: _Reader(item, f"{place}.{name}") for name, item in self.get(key, dict).items()
        }

    def flat(self, cls: type) -> Any:
        """A dataclass whose fields are all counts, texts or lists of texts."""
        readers = {"int": self.count, "str": self.text, "tuple[str, ...]": self.texts}
        return cls(**{item.name: readers[str(item.type)](item.name) for item in fields(cls)})


_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "an integer",
    bool: "true or false",
}


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)


def _read(reader: _Reader, cls: type[R]) -> R:
    return cls(
        subject=reader.get("subject", dict),
        convention=reader.text("convention"),
        layers=tuple(_read_layer(item) for item in reader.objects("layers")),
        groups=tuple(item.flat(Group) for item in reader.objects("groups")),
        uncounted=tuple(
            Uncounted(
                op=op,
                layer=place.text("layer"),
                count=place.count("count"),
                inputs=place.shapes("inputs"),
                outputs=place.shapes("outputs"),
            )
            for op, item in reader.named("uncounted").items()
            for place in item.objects("where")
        ),
        notes=tuple(item.flat(Note) for item in reader.objects("notes")),
        meta=reader.get("meta", dict),
        extra=_read_extra(reader),
    )


def _read_extra(reader: _Reader) -> dict[str, int]:
    extra = _Reader(reader.optional("extra", dict), f"{reader.where}.extra")
    return {name: extra.count(name) for name in extra.value}


def _read_layer(reader: _Reader) -> Layer:
    counts = ("params", "trainable_params", "buffers", "param_bytes", "buffer_bytes", "calls")
    path = reader.text("path")
    return Layer(
        path=path,
        type=reader.text("type"),
        kind=reader.text("kind"),
        inputs=reader.shapes("inputs"),
        outputs=reader.shapes("outputs"),
        **{name: reader.count(name) for name in counts},
        tallies=tuple(
            Tally(
                rule=tally.text("rule"),
                kind=tally.text("kind"),
                calls=tally.count("calls"),
                read=tally.count("read"),
                written=tally.count("written"),
                work=tally.flat(Work),
                estimated=tally.optional("estimated", bool),
                ops=_read_calls(tally, path),
            )
            for tally in reader.objects("tallies")
        ),
        quoted=reader.count("quoted"),
        tied_to=reader.texts("tied_to"),
        group=reader.text("group"),
        weights=_read_weights(reader),
        attrs=reader.get("attrs", dict),
        # Both or none: of one alone, the other is said to be missing.
        **{
            name: reader.count(name)
            for name in _MEMORY
            if any(other in reader.value for other in _MEMORY)
        },
    )


def _read_weights(reader: _Reader) -> dict[str, tuple[int, ...]]:
    weights = {}
    for name, shape in reader.optional("weights", dict).items():
        if type(shape) is not list or not all(type(n) is int and n >= 0 for n in shape):
            raise ReportError(
                f"{reader.where}.weights.{name}: expected a shape, found {shape!r:.40}"
            )
        weights[name] = tuple(shape)
    return weights


def _read_calls(tally: _Reader, path: str) -> tuple[OpCall, ...]:
    try:
        ops = calls_from_list(tally.optional("ops", list), path)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ReportError(f"{tally.where}.ops: not a list of operations ({error})") from None
    if ops and len(ops) != tally.count("calls"):
        raise ReportError(f"{tally.where}: {len(ops)} operations, where calls is another number")
    return ops
