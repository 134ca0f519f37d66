"""A place where a user's code finds its own modules, and which leaves nothing of them behind."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from cnnstat.sources.torchvision_operators import importable_torchvision


class Environment:
    """The imports of one folder, entered with `with environment():` as often as needed.

    Inside, the folder comes first on `sys.path`, as it does for `python net.py`, and what is
    printed goes to standard error, where it cannot end up in a report. Outside, `sys.path`,
    `sys.argv` and the working directory are as before, and so is `sys.modules`, except for
    libraries that the code imported: to load those twice would break them.
    """

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self.folder = folder.resolve()
        self.alone = alone
        """Whether modules of the same names from other folders make room."""
        self._inside = False
        self._modules: dict[str, ModuleType] = {}
        self._path: list[str] = [str(self.folder)]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Enters it, unless that is done already. What it imported before is there again."""
        if self._inside:
            yield
            return
        before = dict(sys.modules)
        path = list(sys.path)
        for name in self._strangers() if self.alone else ():
            del sys.modules[name]
        sys.modules.update(self._modules)
        sys.path[:] = [*self._path, *(entry for entry in path if entry not in self._path)]
        # The folder may have gained files since it was last listed.
        importlib.invalidate_caches()
        self._inside = True
        try:
            with (
                chdir(Path.cwd()),
                redirect_stdout(sys.stderr),
                patch.object(sys, "argv", sys.argv[:1]),
                patch.object(sys, "dont_write_bytecode", True),
                importable_torchvision(),
            ):
                yield
        finally:
            self._inside = False
            self._path = [entry for entry in sys.path if entry in self._path or entry not in path]
            sys.path[:] = path
            for name, module in list(sys.modules.items()):
                if before.get(name) is not module and self._owns(name, module, before):
                    self._modules[name] = sys.modules.pop(name)
            for name, module in before.items():
                sys.modules.setdefault(name, module)

    def contains(self, file: str | Path | None) -> bool:
        """Whether a file is the user's: in the folder, and not of an environment in it."""
        if not file or str(file).startswith("<"):
            return False
        try:
            inside = Path(file).resolve().relative_to(self.folder)
        except (ValueError, OSError):
            return False
        return not {"site-packages", "dist-packages"} & set(inside.parts) and not any(
            (self.folder / inside).is_relative_to(library) for library in self._standard_library()
        )

    def _owns(self, name: str, module: ModuleType, before: dict[str, ModuleType]) -> bool:
        top = name.partition(".")[0]
        if name in self._modules or top in self._modules:
            return True
        return (top not in before or self._is_stranger(top, before[top])) and any(
            self.contains(file) for file in _files(module)
        )

    def _strangers(self) -> list[str]:
        """Modules from elsewhere that have the name of one in the folder."""
        try:
            here = {
                entry.stem if entry.suffix == ".py" else entry.name for entry in self._entries()
            }
        except OSError:
            return []
        tops = {name.partition(".")[0] for name in sys.modules} & here
        strangers = {top for top in tops if self._is_stranger(top, sys.modules.get(top))}
        return [name for name in sys.modules if name.partition(".")[0] in strangers]

    def _entries(self) -> list[Path]:
        return [
            p for p in self.folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
        ]

    def _is_stranger(self, name: str, module: ModuleType | None) -> bool:
        # The standard library, installed packages and this package are what everything else is
        # built on: a folder with a torch.py in it does not replace torch.
        if name in sys.stdlib_module_names or name in {"cnnstat", "__main__"} or module is None:
            return False
        files = _files(module)
        return bool(files) and not any(
            self.contains(file) or {"site-packages", "dist-packages"} & set(Path(file).parts)
            for file in files
        )

    def _standard_library(self) -> list[Path]:
        # Unless the user's file is a part of it.
        places = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
        return [place for place in places if not self.folder.is_relative_to(place)]


def _files(module: ModuleType) -> list[str]:
    file = getattr(module, "__file__", None)
    if file:
        return [file]
    try:
        return [os.fspath(entry) for entry in getattr(module, "__path__", None) or ()]
    except TypeError:
        return []
