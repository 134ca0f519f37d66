"""A model's specification, what it resolves to, and the one list of sources. Must not import torch.

resnet50                       the first source that has it: torchvision, zoo, timm
tv:resnet50  timm:resnet50.a1_in1k  zoo:lenet5
pkg.module:build  src/net.py:Net
src/net.py:build?width=0.5&depth=3
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cnnstat.errors import CnnstatError, SourceUnavailable, SpecError, UnknownModel
from cnnstat.inputs import Inputs
from cnnstat.queries import arguments
from cnnstat.report import Note

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Spec:
    """A specification, taken apart."""

    source: str | None
    """`"torchvision"`, `"zoo"`, `"timm"`, `"file"`, `"module"`; `None`: a bare name."""
    name: str
    """The name within the source: `"resnet50"`, `"src/net.py:Net"`."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """What stood after the `?`, as Python values."""
    text: str = ""
    """As it was given."""

    @property
    def pinned(self) -> str:
        """The specification with its source, which means the same model everywhere."""
        text = f"{PREFIXES[self.source]}:{self.name}" if self.source in PREFIXES else self.name
        if self.args:
            text += "?" + "&".join(f"{name}={value}" for name, value in self.args.items())
        return text


@dataclass(frozen=True)
class Subject:
    """A model that can be built, and what to feed it."""

    name: str
    """What people call it: `"resnet50"`, `"Net"`."""
    spec: str
    """The specification with its source: `"tv:resnet50"`."""
    source: str
    """`"torchvision"`, `"zoo"`, `"timm"`, `"file"`, `"module"` or `"object"`."""
    build: Callable[[], nn.Module]
    """Calls the source's own factory. Raises `BuildError` where that raises."""
    inputs: Inputs | None = None
    """What the source says the model takes; `None`: it does not say."""
    notes: tuple[Note, ...] = ()
    """What the reader should know about where it came from."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages behind it, torch's excepted."""
    environment: Callable[[], AbstractContextManager[Any]] = nullcontext
    """A context to hold while the model is built and run: a user's imports work in it."""


class Source(Protocol):
    """A module of `cnnstat.sources` that finds models by name."""

    def names(self) -> Sequence[str]:
        """All names that it has. Raises `SourceUnavailable`."""

    def subject(self, spec: Spec) -> Subject:
        """The model that `spec` names, which is one of `names()`."""


class ModelName(NamedTuple):
    """A model that a source has."""

    name: str
    """Within the source."""
    source: str
    """`"torchvision"`, `"zoo"`, `"timm"`."""


PREFIXES = {"torchvision": "tv", "zoo": "zoo", "timm": "timm"}
"""The sources that have names, in the order in which a bare name is looked for; their prefixes."""

_BY_PREFIX = {"torchvision": "torchvision"} | {short: long for long, short in PREFIXES.items()}
_FILE = re.compile(r"(?P<path>(?:[A-Za-z]:(?=[\\/]))?[^:]+\.py)(?::(?P<object>[^:]*))?")
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_FORMS = "expected NAME, SOURCE:NAME, path/to/file.py:Name or package.module:Name"
_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".onnx", ".pt2")


def parse(text: str) -> Spec:
    """The specification that `text` is. Raises `SpecError`; opens and imports nothing."""
    given = text.strip()
    if not given:
        raise SpecError(f"the model is empty; {_FORMS}")
    if not given.isprintable():
        raise SpecError(f"model {given!r} has characters that cannot be printed; {_FORMS}")
    body, mark, query = given.partition("?")
    args = arguments(query, f"model {given!r}") if mark else {}
    head, colon, tail = body.partition(":")
    if colon and head.lower() in _BY_PREFIX:
        if not tail:
            raise SpecError(f"model {given!r} has no name after the colon; {_FORMS}")
        return Spec(_BY_PREFIX[head.lower()], tail, args, given)
    if _FILE.fullmatch(body):
        return Spec("file", body, args, given)
    if "/" in body or "\\" in body:
        raise SpecError(
            f"model {given!r} has a slash but is neither a Python file nor a name",
            hint="a file is path/to/file.py:Name; a timm or torchvision name has no slash",
        )
    if body.lower().endswith(_WEIGHTS):
        raise SpecError(
            f"model {given!r} is a file of weights or a graph, which cannot be measured",
            hint="give the Python code that builds the model: path/to/file.py:Name",
        )
    if not colon:
        return Spec(None, body, args, given)
    if len(head) > 1 and _DOTTED.fullmatch(head) and _DOTTED.fullmatch(tail):
        return Spec("module", body, args, given)
    raise SpecError(f"model {given!r}: {head!r} is no source; {_FORMS}", hint=_sources())


def is_report(text: str) -> bool:
    """Whether a specification means a saved report: `report.json`, or `-` for standard input."""
    return text.strip() == "-" or text.strip().lower().endswith(".json")


def resolve(text: str) -> Subject:
    """The model that `text` means. Raises a `SpecError`, or a `BuildError` for a user's file."""
    spec = parse(text)
    if spec.source is None:
        return _resolve_bare(spec)
    source = _source(spec.source)
    if spec.source in PREFIXES and not _has(source, spec.name):
        raise _unknown(spec, [spec.source])
    return source.subject(spec)


def list_models(pattern: str = "", source: str | None = None) -> list[ModelName]:
    """The models whose name matches, sorted so that resnet18 comes before resnet101.

    A pattern with `*`, `?` or `[` is matched as file names are, any other text anywhere in the
    name. Sources that are not installed are left out, unless `source` asks for one.
    """
    if source is not None and source.lower() not in _BY_PREFIX:
        raise SpecError(f"source {source!r} does not exist", hint=_sources())
    wanted = [_BY_PREFIX[source.lower()]] if source else list(PREFIXES)
    match = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    found: list[ModelName] = []
    for name in wanted:
        try:
            names = _source(name).names()
        except SourceUnavailable:
            if source:
                raise
            continue
        hits = [model for model in names if fnmatchcase(model.lower(), match.lower())]
        found += [ModelName(model, name) for model in sorted(hits, key=_natural)]
    return found


def _resolve_bare(spec: Spec) -> Subject:
    # The order is that of `PREFIXES`, so a name means the same whatever else is installed; a source
    # further down is not even imported, which keeps timm's two seconds out of `resnet50`.
    for name in PREFIXES:
        try:
            source = _source(name)
            if not _has(source, spec.name):
                continue
        except SourceUnavailable:
            if name == "timm":
                break
            raise
        return source.subject(replace(spec, source=name))
    raise _unknown(spec, list(PREFIXES))


def _has(source: Source, name: str) -> bool:
    has = getattr(source, "has", None)
    return bool(has(name)) if has else name in source.names()


def _source(name: str) -> Source:
    module = {"file": "pyfile", "module": "pyfile"}.get(name, name)
    source: Any = importlib.import_module(f"cnnstat.sources.{module}")
    found: Source = source
    return found


def _unknown(spec: Spec, sources: list[str]) -> CnnstatError:
    known: list[str] = []
    missing: list[str] = []
    for name in sources:
        try:
            known += _source(name).names()
        except SourceUnavailable as error:
            missing.append(error.message)
    close = list(
        dict.fromkeys(difflib.get_close_matches(spec.name.lower(), known, n=5, cutoff=0.6))
    )
    hints = [f"close: {', '.join(close)}"] if close else [f"see `cnnstat models {spec.name}`"]
    where = ", ".join(name for name in sources if not any(m.startswith(name) for m in missing))
    return UnknownModel(f"no model named {spec.name!r} in {where}", hint="; ".join(hints + missing))


def _sources() -> str:
    return "sources: " + ", ".join(
        f"{long} ({short}:)" if long != short else f"{long}:" for long, short in PREFIXES.items()
    )


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", name.lower())
        if part
    ]
