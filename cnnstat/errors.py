"""The exceptions of cnnstat.

CnnstatError                    base: one clear line, and the command line exits with 2
├── SpecError                   a model specification that cannot be read
│   ├── UnknownModel            no source has a model of that name
│   └── SourceUnavailable       the package behind a source is missing or broken
├── BuildError                  the model's own code raised while it was built
├── InputError                  an input specification that cannot be read
├── TraceError                  the model's forward raised, or could not be recorded
├── ChildError                  the process in which a model was measured ended, or took too long
├── ReportError                 a saved report that cannot be read
├── ConfigError                 a configuration or a baseline that cannot be used
└── OutputError                 an output that cannot be written or a format that does not exist
"""

from __future__ import annotations

from collections.abc import Iterator


class CnnstatError(Exception):
    """What was given, what was expected, what to try: `message` and an optional `hint`.

    `str(error)` is the message alone; the command line prints the hint after it, and so does a
    traceback.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)


class SpecError(CnnstatError):
    """A model specification that cannot be read or resolved."""


class UnknownModel(SpecError):
    """No source has a model of that name; the hint lists close matches."""


class SourceUnavailable(SpecError):
    """The package behind a source is not installed, or is installed and does not import."""


class BuildError(CnnstatError):
    """The model's own code raised while it was built; the message names file and line."""


class InputError(CnnstatError):
    """An input specification that cannot be read."""


class TraceError(CnnstatError):
    """The model's forward raised, or no engine could run it; the message names the layer."""

    types: tuple[str, ...] = ()
    """Floating and complex types of the model's parameters, where it got as far as being built."""


class ChildError(CnnstatError):
    """The process in which a model was measured gave no answer: it ended, was killed or took too long."""


class ReportError(CnnstatError):
    """A saved report that is not one: truncated, another schema, wrong types."""


class ConfigError(CnnstatError):
    """A configuration or a baseline that cannot be used; the message names file and line."""


class OutputError(CnnstatError):
    """An output that cannot be written, or a format that does not exist."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what led to it, each once: one that was kept and raised again can close a circle."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
