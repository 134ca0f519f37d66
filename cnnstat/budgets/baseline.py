"""The baseline: one committed file with what each check measured when it was last accepted.

    {"schema": 1,
     "made_by": {"cnnstat", "torch", …},
     "checks": {NAME: {"model", "input", "mode", "passes", "convention",
                       "engine", and "device", "dtype", "runtime" where something was estimated for them,
                       "params", "param_bytes", "macs", "flops", "activations", …,
                       "made_by": {…} where it differs,
                       "layers": [{"path", "type", "kind", "output", "attrs", "params", "macs", …}]}}}

Keys are sorted and every number has a line of its own, so that a difference reads well; a layer's zeros
are left out. The layers are those that have no children, or numbers of their own, in order.
"""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnstat.budgets.limits import METRICS, MOST, Metric
from cnnstat.budgets.movement import KEPT, kept_layer, kept_layers
from cnnstat.errors import ConfigError
from cnnstat.report import Layer, Report

SCHEMA = 1
"""Version of the file's form."""

PACKAGES = ("cnnstat", "torch", "torchvision", "timm")
"""Whose versions may change a count."""

_TARGET = ("device", "dtype", "runtime")
_CIRCUMSTANCES = ("model", "input", "mode", "passes", "convention", "engine", *_TARGET)
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """What one check measured."""

    numbers: Mapping[str, int]
    """By the name of the metric: `"param-bytes"`."""
    layers: tuple[Layer, ...] = ()
    """Cut down as `cnnstat.budgets.movement` says."""
    circumstances: Mapping[str, str] = field(default_factory=dict)
    """`model`, `input`, `mode`, `passes`, `convention`, `engine`, `device`, …: others make other numbers."""
    made_by: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages behind it."""

    @classmethod
    def of(cls, report: Report, metrics: Sequence[Metric] = ()) -> Entry:
        """What is kept of a report; `metrics` are those that its check looks at."""
        kept = _in_order([*KEPT, *metrics])
        return cls(
            numbers={metric.name: metric.of(report) for metric in kept if metric.known(report)},
            layers=kept_layers(report, kept),
            circumstances=circumstances_of(report),
            made_by=_versions(report),
        )

    def differs(self, now: Mapping[str, str], metric: Metric) -> str:
        """The circumstance that is another now, so that the metric cannot be compared; `""`: none is."""
        then = self.circumstances
        return next((n for n in metric.within if then.get(n, now.get(n)) != now.get(n)), "")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it knows, of the whole and of each layer."""
        return _in_order([METRICS[name] for name in self.numbers])


@dataclass(frozen=True, slots=True)
class Rise:
    """A number of the baseline that would go up."""

    check: str
    """Whose."""
    metric: Metric
    """Which."""
    before: int
    """In the baseline."""
    after: int
    """Now."""

    def describe(self) -> str:
        """`mobile: MACs 300,774,272 → 318,400,000 (+17.63 M)`."""
        full, change = self.metric.full, self.metric.change(self.before, self.after)
        return (
            f"{self.check}: {self.metric.label} {full(self.before)} → {full(self.after)} ({change})"
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """The whole file."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    """By the name of the check."""

    def text(self) -> str:
        """The file's content: the same for the same entries, whatever was updated when."""
        common = _most_frequent(entry.made_by for entry in self.entries.values())
        document = {
            "schema": SCHEMA,
            "made_by": common,
            "checks": {name: _entry_to_dict(e, common) for name, e in self.entries.items()},
        }
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def changes(self, new: Baseline) -> list[Rise]:
        """The numbers that differ in another baseline, where both have the check and the metric."""
        return [
            Rise(name, METRICS[metric], before, entry.numbers[metric])
            for name, entry in new.entries.items()
            if name in self.entries
            for metric, before in self.entries[name].numbers.items()
            if entry.numbers.get(metric, before) != before
            and not self.entries[name].differs(entry.circumstances, METRICS[metric])
        ]


def read_baseline(path: Path, shown: str) -> Baseline | None:
    """The baseline in a file; `None` where there is no file. Raises `ConfigError`, calling it `shown`."""
    hint = "take the file from version control, or delete it and run `cnnstat check --update`"
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{shown}: is no regular file", hint=hint)
        if found.st_size > _MOST_BYTES:
            raise ConfigError(f"{shown}:1: too large for a baseline", hint=hint)
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{shown}: cannot be read: {reason.lower()}", hint=hint) from None
    if content.startswith(b"<<<<<<<") or b"\n<<<<<<<" in content:
        line = content[: content.index(b"<<<<<<<")].count(b"\n") + 1
        raise ConfigError(
            f"{shown}:{line}: a merge was left unfinished here",
            hint="take either side, then run `cnnstat check --update`",
        )
    try:
        document = json.loads(content, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{shown}:{error.lineno}: not a baseline: {error.msg.lower()}", hint=hint
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{shown}:1: not a baseline: {error}", hint=hint) from None
    try:
        return _baseline_from(document)
    except _WrongError as error:
        raise ConfigError(f"{shown}:1: not a baseline: {error}", hint=hint) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: a merge that kept both sides is no baseline."""
    names = Counter(name for name, _ in pairs)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands there twice")
    return dict(pairs)


# Writing


def _entry_to_dict(entry: Entry, common: Mapping[str, str]) -> dict[str, Any]:
    metrics = entry.metrics
    made: dict[str, Any] = {METRICS[name].key: n for name, n in entry.numbers.items()}
    made |= entry.circumstances
    made["layers"] = [_layer_to_dict(layer, metrics) for layer in entry.layers]
    own = {name: v for name, v in entry.made_by.items() if common.get(name) != v}
    return made | ({"made_by": own} if own else {})


def _layer_to_dict(layer: Layer, metrics: Sequence[Metric]) -> dict[str, Any]:
    made: dict[str, Any] = {"path": layer.path, "type": layer.type, "kind": layer.kind}
    if layer.outputs:
        made["output"] = "x".join(map(str, layer.outputs[0]))
    if layer.attrs:
        made["attrs"] = " ".join(f"{name}={value}" for name, value in layer.attrs.items())
    return made | {m.key: m.of_layer(layer) for m in metrics if m.of_layer(layer)}


def _most_frequent(versions: Any) -> dict[str, str]:
    counts: dict[str, Counter[str]] = {}
    for made_by in versions:
        for name, version in made_by.items():
            counts.setdefault(name, Counter())[version] += 1
    return {name: max(c, key=lambda v: (c[v], v)) for name, c in counts.items()}


def circumstances_of(report: Report) -> dict[str, str]:
    """What else makes other numbers of the same network."""
    meta = report.meta
    made = {
        "model": str(report.subject.get("spec") or report.name),
        "input": ", ".join(_input(item) for item in _listed(meta.get("inputs"))),
        "mode": str(meta.get("mode", "")),
        "passes": ", ".join(map(str, _listed(meta.get("phases")))),
        "convention": report.convention,
        "engine": str(meta.get("engine") or ""),
        **{name: str(meta.get(name) or "") for name in _TARGET},
    }
    return {name: text for name, text in made.items() if text}


def _input(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    sizes = "x".join(map(str, _listed(item.get("shape")))) or "scalar"
    name, dtype = item.get("name"), item.get("dtype", "float32")
    return (f"{name}=" if name else "") + sizes + (f":{dtype}" if dtype != "float32" else "")


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _versions(report: Report) -> dict[str, str]:
    meta = report.meta
    versions = {name: str(meta[name]) for name in PACKAGES if meta.get(name)}
    package, _, version = str(meta.get("source_package") or "").rpartition(" ")
    versions |= {package: version} if package and package not in versions else {}
    # What follows the + says for which device torch was built, and counts nothing else.
    return {name: version.partition("+")[0] for name, version in versions.items()}


def _in_order(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    return tuple(metric for metric in METRICS.values() if metric in metrics)


# Reading


class _WrongError(ValueError):
    """What is wrong, and where."""


def _baseline_from(document: Any) -> Baseline:
    top = _object(document, "the document")
    if top.get("schema") != SCHEMA:
        found = top.get("schema")
        raise _WrongError(f"schema {found!r}, and this version reads schema {SCHEMA}")
    common = _texts(top.get("made_by", {}), "made_by")
    checks = _object(top.get("checks"), "checks")
    return Baseline({name: _entry_from(e, f"checks.{name}", common) for name, e in checks.items()})


def _entry_from(value: Any, where: str, common: Mapping[str, str]) -> Entry:
    entry = _object(value, where)
    numbers = _numbers(entry, where)
    layers = _list(entry.get("layers", []), f"{where}.layers")
    return Entry(
        numbers={m.name: numbers[m.key] for m in METRICS.values() if m.key in numbers},
        layers=tuple(_layer_from(item, f"{where}.layers[{n}]") for n, item in enumerate(layers)),
        circumstances=_texts({k: entry[k] for k in _CIRCUMSTANCES if k in entry}, where),
        made_by={**common, **_texts(entry.get("made_by", {}), f"{where}.made_by")},
    )


def _layer_from(value: Any, where: str) -> Layer:
    layer = _object(value, where)
    texts = {key: layer.get(key, "") for key in ("path", "type", "kind", "output", "attrs")}
    known = _texts(texts, where)
    return kept_layer(
        known["path"],
        known["type"],
        known["kind"],
        _shape(known["output"], where) if "output" in layer else None,
        dict(pair.partition("=")[::2] for pair in known["attrs"].split()),
        _numbers(layer, where),
    )


def _shape(text: str, where: str) -> tuple[int, ...]:
    sizes = text.split("x") if text else []
    if not all(size.isascii() and size.isdigit() and len(size) < 20 for size in sizes):
        raise _WrongError(f"{where}.output: expected sizes such as 1x64x56x56, found {text!r}")
    return tuple(map(int, sizes))


def _numbers(value: Mapping[str, Any], where: str) -> dict[str, int]:
    found = {}
    for metric in METRICS.values():
        number = value.get(metric.key, 0)
        if type(number) is not int or not 0 <= number <= MOST:
            raise _WrongError(f"{where}.{metric.key}: expected a count, found {number!r:.40}")
        if metric.key in value:
            found[metric.key] = number
    return found


def _texts(value: Any, where: str) -> dict[str, str]:
    for key, text in _object(value, where).items():
        if not isinstance(text, str):
            raise _WrongError(f"{where}.{key}: expected a text, found {text!r:.40}")
    return dict(value)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError(f"{where}: expected an object, found {value!r:.40}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _WrongError(f"{where}: expected a list, found {value!r:.40}")
    return value
