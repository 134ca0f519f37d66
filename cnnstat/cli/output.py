"""Where output goes and how it looks there: the standard streams, width, colour, exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from cnnstat.cli.look_alikes import ERRORS
from cnnstat.errors import CnnstatError, OutputError

if TYPE_CHECKING:
    from cnnstat.render.base import Renderer, View
    from cnnstat.render.document import Document
    from cnnstat.report import Report

FAILED = 2
"""Exit code for wrong input and for everything that kept us from an answer."""


Draw = Callable[["Renderer", "View"], str]
"""Draws what is shown with a renderer."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is written where, settled and checked before anything is measured."""

    stdout: Renderer | None
    """For the standard output; `None`: nothing goes there."""
    files: tuple[tuple[Path, Renderer], ...]
    """For each file."""

    @classmethod
    def plan(
        cls, paths: list[Path] | None, format: str | None, json: bool, keep: Iterable[str] = ()
    ) -> Outputs:
        """From the options.

        Raises `OutputError` for a wrong format, extension or path, and for one of `keep`: files that are
        read, and would be lost.
        """
        from cnnstat.render.base import check_writable, renderer, renderer_for

        if json and format not in (None, "json"):
            raise OutputError(f"--json and --format {format} contradict each other")
        name = "json" if json else format
        named = renderer(name) if name is not None else None
        files: dict[Path, tuple[Path, Renderer]] = {}
        for path in paths or ():
            if str(path) == "-":
                continue
            # Compared by where they lead: out.csv and ./out.csv are one file.
            if any(path.absolute().resolve() == Path(spec).absolute().resolve() for spec in keep):
                raise OutputError(
                    f"--output {str(path)!r} would overwrite what is read", hint="give another name"
                )
            if path.absolute().resolve() in files:
                raise OutputError(f"--output {str(path)!r} is given twice")
            check_writable(path)
            files[path.absolute().resolve()] = (path, named or renderer_for(path))
        on_stdout = not paths or Path("-") in paths
        return cls((named or renderer("table")) if on_stdout else None, tuple(files.values()))

    def emit(
        self, draw: Draw, view: View, *, color: str, quiet: bool, notes: Callable[[], None]
    ) -> None:
        """Render everything, then write the files, then the standard output.

        `notes` says on the standard error what no rendering had a place for.
        """
        from cnnstat.render.base import write

        documents = {path: draw(renderer, view) for path, renderer in self.files}
        printed = ""
        if self.stdout is not None:
            on_screen = replace(view, width=room(view.width), color=colored(color))
            printed = draw(self.stdout, on_screen)
        write(documents)
        renderers = [renderer for _, renderer in self.files]
        if self.stdout is not None:
            renderers.append(self.stdout)
            show(printed)
        if quiet:
            return
        if not any(renderer.carries_notes for renderer in renderers):
            notes()
        for path in documents:
            tell(f"wrote {path}")

    def emit_report(self, report: Report, view: View, *, color: str, quiet: bool) -> None:
        """`emit` for a report."""
        self.emit(
            lambda renderer, view: renderer.render(report, view),
            view,
            color=color,
            quiet=quiet,
            notes=lambda: tell_notes(report),
        )

    def emit_document(self, document: Document, view: View, *, color: str, quiet: bool) -> None:
        """`emit` for a document."""

        def notes() -> None:
            for note in document.notes:
                tell(f"cnnstat: note: {note}")

        self.emit(
            lambda renderer, view: renderer.draw(document, view),
            view,
            color=color,
            quiet=quiet,
            notes=notes,
        )


def room(given: int | None) -> int | None:
    """Cells in a line: as given, as the terminal has, as COLUMNS says, or no limit."""
    if given is not None:
        return given
    if sys.stdout.isatty():
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        if columns:
            return columns
    columns_text = os.environ.get("COLUMNS", "")
    return int(columns_text) if columns_text.isdecimal() and int(columns_text) else None


def colored(choice: str) -> bool:
    """Whether to use colours: as chosen, or where they are neither unwanted nor useless."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def show(text: str) -> None:
    """Print on the standard output, as UTF-8 unless a terminal says otherwise: then with look-alikes."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        if sys.stdout.isatty():
            reconfigure(errors=ERRORS)
        else:
            # A pipe gets what a file gets. A lone surrogate becomes the escape that JSON knows.
            reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough, as `head` has; what else there is to do is still done.
        # Python flushes once more at exit, and must not complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise OutputError(f"cannot write the standard output: {error.strerror}") from None


def tell(text: str) -> None:
    """Print one line on the standard error; where nobody can read it, do without."""
    from cnnstat.render.table import visible

    line = visible(" ".join(text.split()))
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    try:
        sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # `None` where it was closed from the start
        return


def tell_notes(report: Report) -> None:
    """The notes of a report whose rendering has no place for them."""
    from cnnstat.render.summary import note_text, notes, summary_sentence

    sentence = summary_sentence(report)
    for line in [*([sentence] if sentence else []), *map(note_text, notes(report))]:
        tell(f"cnnstat: note: {line}")


@contextmanager
def stdout_kept() -> Iterator[None]:
    """While a model's code runs, what it or its child processes print goes to the standard error.

    The standard output belongs to the document.
    """
    try:
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
    except (OSError, ValueError):  # one of them is closed
        kept = -1
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept >= 0:
            with suppress(OSError, ValueError, AttributeError):
                sys.__stdout__.flush()  # type: ignore[union-attr]
            os.dup2(kept, 1)
            os.close(kept)


@contextmanager
def exit_codes(verbose: bool) -> Iterator[None]:
    """Turn whatever goes wrong into one line on the standard error and exit code 2.

    Ctrl-C goes on to `main`, which has one line and a code of its own for it.
    """
    try:
        yield
    except (typer.Exit, KeyboardInterrupt):
        raise
    except CnnstatError as error:
        fail(_one_line(error), verbose)
    except SystemExit as error:
        fail(f"the model's code ended the program: sys.exit({error.code!r})", verbose)
    except Exception as error:
        kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        fail(f"unexpected {kind} (this is a bug; -v shows the traceback)", verbose)
    except BaseException as error:  # pytest.skip and its like are no Exception
        fail(f"the model's code raised {type(error).__name__}: {error}", verbose)


def fail(message: str, verbose: bool) -> NoReturn:
    """Say what is wrong, and leave."""
    if verbose or os.environ.get("CNNSTAT_DEBUG", "") not in ("", "0"):
        traceback.print_exc()
    tell(f"cnnstat: error: {message}")
    raise typer.Exit(FAILED)


def _one_line(error: CnnstatError) -> str:
    return f"{error.message.rstrip('.')}; {error.hint}" if error.hint else error.message
