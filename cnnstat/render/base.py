"""What a renderer is, which one a name or a file extension means, and the one way to a file.

A renderer turns a report into text; it prints nothing and opens no file.
"""

from __future__ import annotations

import importlib
import os
import stat
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from cnnstat.errors import OutputError
from cnnstat.render.document import Document
from cnnstat.report import Report

RANKS = (
    "macs",
    "params",
    "flops",
    "activations",
    "quoted",
    "calls",
    "path",
    "type",
    "kind",
    "output",
)
"""What `View.by` may name: numbers rank from the largest, texts from the first in the alphabet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which rows of a report are shown, and in how much room. The default shows a readable tree.

    Raises `OutputError` where the fields contradict each other.
    """

    depth: int | None = None
    """Levels of the tree that are opened; `None`: as many as stay readable."""
    top: int | None = None
    """Show a list of the heaviest layers, this many, instead of the tree."""
    by: str | None = None
    """Column by which layers are ranked; `None`: not ranked, or by MACs where `top` is given."""
    kinds: tuple[str, ...] = ()
    """Show a list of the layers of these kinds alone instead of the tree."""
    all: bool = False
    """Show every row."""
    width: int | None = None
    """Cells in a line; `None`: as many as the widest line takes."""
    color: bool = False
    """Whether the terminal's text carries colours."""

    def __post_init__(self) -> None:
        for name, value, least in (("depth", self.depth, 0), ("top", self.top, 1)):
            if value is not None and value < least:
                raise OutputError(f"--{name} {value}: expected {least} or more")
        if self.width is not None and self.width < 1:
            raise OutputError(f"--width {self.width}: expected 1 or more")
        if self.by is not None and self.by not in RANKS:
            raise OutputError(
                f"unknown column {self.by!r}", hint=f"expected one of {', '.join(RANKS)}"
            )
        if self.all and self.depth is not None:
            raise OutputError("--all and --depth contradict each other", hint="give one of them")
        if self.all and self.top is not None:
            raise OutputError("--all and --top contradict each other", hint="give one of them")
        if self.listed and self.depth is not None:
            raise OutputError(
                "--depth is for the tree, and --top, --by and --kind show a list",
                hint="leave one out",
            )

    @property
    def listed(self) -> bool:
        """Whether the rows are a list of layers rather than a tree of modules."""
        return self.top is not None or self.by is not None or bool(self.kinds)


class Renderer(Protocol):
    """One way to write a report, or a document about reports."""

    name: str
    """What `--format` calls it."""
    extensions: tuple[str, ...]
    """File name extensions that mean it, with the dot."""
    carries_notes: bool
    """Whether the text holds the report's notes; otherwise they go to the standard error."""

    def render(self, report: Report, view: View) -> str:
        """The whole report, with a final newline."""
        ...

    def draw(self, document: Document, view: View) -> str:
        """The whole document, with a final newline."""
        ...


# Name -> module and class. Only the one that is asked for is imported: the terminal's brings rich.
_RENDERERS = {
    "table": ("cnnstat.render.terminal", "TableRenderer", (".txt",)),
    "json": ("cnnstat.render.json", "JsonRenderer", (".json",)),
    "csv": ("cnnstat.render.delimited", "CsvRenderer", (".csv",)),
    "markdown": ("cnnstat.render.markdown", "MarkdownRenderer", (".md", ".markdown")),
    "latex": ("cnnstat.render.latex", "LatexRenderer", (".tex",)),
    "html": ("cnnstat.render.html", "HtmlRenderer", (".html", ".htm")),
}

FORMATS = tuple(_RENDERERS)
"""Names of all renderers."""


def renderer(name: str) -> Renderer:
    """The renderer of that name. Raises `OutputError`, listing the names."""
    if name not in _RENDERERS:
        raise OutputError(f"unknown format {name!r}", hint=f"expected one of {', '.join(FORMATS)}")
    module, cls, _ = _RENDERERS[name]
    return cast(Renderer, getattr(importlib.import_module(module), cls)())


def renderer_for(path: Path) -> Renderer:
    """The renderer that the file's extension means. Raises `OutputError`, listing those known."""
    for name, (_, _, extensions) in _RENDERERS.items():
        if path.suffix.lower() in extensions:
            return renderer(name)
    known = ", ".join(extensions[0] for _, _, extensions in _RENDERERS.values())
    found = f"extension {path.suffix!r}" if path.suffix else "no extension"
    raise OutputError(
        f"cannot tell the format of {str(path)!r} ({found})",
        hint=f"end it with {known}, or say which with --format",
    )


def check_writable(path: Path) -> None:
    """Raise `OutputError` where `write` could not write `path`; leave no trace of having looked."""
    try:
        if path.is_dir():
            raise OutputError(f"cannot write {str(path)!r}: it is a directory")
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"cannot write {str(path)!r}: the file is write-protected")
        if _is_special(path):
            return
        folder = path.resolve().parent
        if not folder.is_dir():
            raise OutputError(
                f"cannot write {str(path)!r}: there is no folder {str(folder)!r}",
                hint="create it first",
            )
        with tempfile.TemporaryFile(dir=folder):
            pass  # the only proof that holds for read-only and full file systems, and for root
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from None


def write(documents: Mapping[Path, str]) -> None:
    """Write all files, or none: each is written beside its target, and then takes its place.

    A file that exists keeps its permissions, a symbolic link stays one, and nobody ever reads half
    a document. Raises `OutputError`.
    """
    ready: dict[Path, Path] = {}
    try:
        for path, text in documents.items():
            # A lone surrogate, from an undecodable name, becomes the escape that JSON knows too.
            content = text.encode("utf-8", "backslashreplace")
            try:
                if _is_special(path):
                    path.write_bytes(content)
                else:
                    target = path.resolve()
                    ready[target] = _write_beside(target, content)
            except OSError as error:
                raise _cannot_write(path, error) from None
        for target in list(ready):
            try:
                ready[target].replace(target)
            except OSError as error:
                raise _cannot_write(target, error) from None
            del ready[target]
    finally:
        for leftover in ready.values():
            with suppress(OSError):
                leftover.unlink()


def clear_leftovers(path: Path) -> None:
    """Remove what a `write` of this file that was killed left beside it; for whoever alone writes it."""
    target = path.resolve()
    for leftover in target.parent.glob(f"{_prefix(target)}*.tmp"):
        with suppress(OSError):
            leftover.unlink()


def _prefix(target: Path) -> str:
    """How the names begin of what is to take the place of a file: of any length, and in any script."""
    return f".cnnstat-{zlib.crc32(target.name.encode('utf-8', 'surrogateescape')):08x}-"


def _write_beside(target: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix=_prefix(target), suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave an empty file under the new name
        temporary.chmod(_mode(target))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _mode(target: Path) -> int:
    """The permissions that the file has, or that a new one would get."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _is_special(path: Path) -> bool:
    """A device or a pipe: replacing `/dev/null` by a file would be a disaster."""
    return path.exists() and not path.is_file()


def _cannot_write(path: Path, error: OSError | ValueError) -> OutputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(f"cannot write {str(path)!r}: {reason[:1].lower()}{reason[1:]}")
