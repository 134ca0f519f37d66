"""One process at a time changes a baseline. The lock goes with its process, however that ends.

It is no file of the project: a lock's file has to stay, since whoever removes it lets two hold it, and would
have to be ignored or committed. It lies in the user's folder for caches, under a name that is the baseline's.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cnnstat.errors import OutputError

PATIENCE = 1.0
"""Seconds after which whoever waits is told for what."""

LONGEST = 60.0
"""Seconds after which nobody waits any more: what is done under the lock takes a moment."""


@contextmanager
def locked(path: Path, shown: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a file that is called `shown`; `tell` is told what is waited for.

    Raises `OutputError` where another process does not give it up, and where there can be no lock.
    """
    from filelock import FileLock, Timeout  # no check without --update needs it

    try:
        lock = FileLock(lock_file(path))
        try:
            lock.acquire(timeout=min(PATIENCE, LONGEST))
        except Timeout:
            tell(f"cnnstat: waiting for another `cnnstat check --update` that is writing {shown}")
            lock.acquire(timeout=max(LONGEST - PATIENCE, 0))
    except Timeout:
        raise OutputError(
            f"cannot write {shown}: another `cnnstat check --update` has held it for {LONGEST:.0f} s",
            hint="end that process, then run this again",
        ) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot lock {shown}: {reason}: {error.filename or path}") from None
    try:
        yield
    finally:
        lock.release()


def lock_file(path: Path) -> Path:
    """Where the lock of a file lies. Raises `OSError` where nothing can be written at all."""
    try:
        folder = _caches() / "cnnstat" / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):  # no home, or one that is read-only, as in a container
        folder = Path(tempfile.gettempdir())
    name = os.path.normcase(path.resolve()).encode("utf-8", "surrogateescape")
    # A lock of another user's in a folder for all could not be opened.
    user = os.getuid() if sys.platform != "win32" else 0
    return folder / f"cnnstat-{user}-{hashlib.sha256(name).hexdigest()[:32]}.lock"


def _caches() -> Path:
    given = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given)
    home = Path.home()
    if not home.is_absolute():
        raise RuntimeError(f"{home} is no home")
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
