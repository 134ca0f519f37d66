"""Models of the user's own: `path/to/net.py:Net` and `package.module:build`.

The name may be an `nn.Module` class, a function that returns a model, or a model.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cnnstat.errors import BuildError, CnnstatError, SpecError
from cnnstat.inputs import Inputs
from cnnstat.sources.base import Spec, Subject
from cnnstat.sources.environment import Environment
from cnnstat.sources.factory import call_factory, describe, first_line

if TYPE_CHECKING:
    from torch import nn


def subject(spec: Spec) -> Subject:
    """The model that `spec` names; runs the file. Raises `SpecError` or `BuildError`."""
    code = _File(spec) if spec.source == "file" else _Module(spec)
    target = code.target()

    def build() -> nn.Module:
        with code.environment():
            return code.build(target)

    return Subject(
        name=code.object or getattr(target, "__name__", code.place),
        spec=spec.pinned,
        source=str(spec.source),
        build=build,
        inputs=Inputs.declared_by(target),
        versions=code.versions(),
        environment=code.environment,
    )


class _Code:
    """Code that defines a model, loaded once."""

    place: str
    """File or module as the user wrote it."""
    object: str
    """What stood after the colon; `""`: nothing did."""
    environment: Environment
    """Where its imports work."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def load(self) -> ModuleType:
        """Runs the code."""
        raise NotImplementedError

    def target(self) -> Any:
        """What the specification names: a class, a function or a model."""
        with self.environment():
            module = self._loaded()
            names = _candidates(module)
            if not self.object:
                return self._only(module, names)
            value: Any = module
            for part in self.object.split("."):
                try:
                    value = getattr(value, part)
                except AttributeError:
                    raise self._no_such(part, names, module) from None
        self._check(value)
        return value

    def versions(self) -> dict[str, str]:
        """The package that it is of, where that is installed: `{"source_package": "kan 0.2.8"}`."""
        return {}

    def build(self, target: Any) -> nn.Module:
        """The model that `target` is or returns."""
        from torch import nn

        if isinstance(target, nn.Module):
            if self.spec.args:
                raise BuildError(f"{self._name} is a model already and takes no arguments")
            return target
        model: nn.Module = call_factory(target, self.spec.args, self._name, self._where)
        return model

    @property
    def _name(self) -> str:
        return f"{self.place}:{self.object}" if self.object else self.place

    def _loaded(self) -> ModuleType:
        from cnnstat.sources.skeleton import build_skeleton

        try:
            # A file may build its model while it is imported.
            return build_skeleton(self.load)
        except CnnstatError:
            raise
        except SyntaxError as error:
            file = self._shown(error.filename or self.place)
            raise BuildError(
                f"{file}:{error.lineno}: {type(error).__name__}: {error.msg}"
            ) from error
        except (Exception, SystemExit) as error:
            raise BuildError(f"{self._where(error)}: {first_line(error)}") from error

    def _only(self, module: ModuleType, names: list[str]) -> Any:
        classes = [name for name in names if inspect.isclass(getattr(module, name))]
        if len(classes) == 1:
            return getattr(module, classes[0])
        which = ", ".join(f"{self.place}:{name}" for name in names[:8])
        raise SpecError(
            f"{self.place} defines {len(classes) or 'no'} models; which one is meant?",
            hint=f"one of {which}" if which else "name what builds the model: file.py:Name",
        )

    def _no_such(self, part: str, names: list[str], module: ModuleType) -> SpecError:
        # What the module only imports may be meant, but is not worth listing.
        close = difflib.get_close_matches(part, names or list(vars(module)), n=1)
        hint = f"did you mean {self.place}:{close[0]}? " if close else ""
        defined = f"it defines {', '.join(names[:12])}" if names else "it defines no model"
        return SpecError(f"{self.place} has no {self.object!r}", hint=hint + defined)

    def _check(self, value: Any) -> None:
        from torch import nn

        wrong_class = inspect.isclass(value) and not issubclass(value, nn.Module)
        if wrong_class or not (callable(value) or isinstance(value, nn.Module)):
            raise SpecError(
                f"{self._name} is {describe(value)}; "
                "expected an nn.Module class, a function that returns a model, or a model"
            )

    def _where(self, error: BaseException) -> str:
        """File and line of the user's that were running, the innermost."""
        frames = traceback.extract_tb(error.__traceback__)
        for frame in reversed(frames):
            if self.environment.contains(frame.filename):
                return f"{self._shown(frame.filename)}:{frame.lineno}"
        return self._name

    def _shown(self, file: str) -> str:
        """A file as the user would write it."""
        if file == self.place or not Path(file).is_absolute():
            return file
        if Path(self.place).is_absolute() or os.name == "nt":
            return file
        return os.path.relpath(file)


class _File(_Code):
    """A Python file."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        head, _, tail = spec.name.rpartition(".py")
        self.place, self.object = f"{head}.py", tail.removeprefix(":")
        self.path = Path(self.place).expanduser()
        _check_file(self.path, self.place)
        self.path = self.path.resolve()
        root, self.package = _package(self.path.parent)
        self.environment = Environment(root, alone=True)

    def load(self) -> ModuleType:
        """Runs the file."""
        # Not by its own name: a file may be called random.py, or torch.py.
        name = f"_cnnstat_{self.path.stem}"
        if self.package:
            importlib.import_module(self.package)
            name = f"{self.package}.{name}"
        found = importlib.util.spec_from_file_location(name, self.path)
        assert found is not None and found.loader is not None  # The suffix is .py.
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        try:
            found.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


class _Module(_Code):
    """A module that can be imported, from the working directory too."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.place, _, self.object = spec.name.partition(":")
        self.environment = Environment(Path.cwd(), alone=False)

    def load(self) -> ModuleType:
        """Imports it."""
        try:
            return importlib.import_module(self.place)
        except ModuleNotFoundError as error:
            if error.name and (self.place + ".").startswith(error.name + "."):
                raise SpecError(
                    f"no module named {error.name!r}",
                    hint="sources are tv:, zoo: and timm:; a file is path/to/file.py:Name",
                ) from error
            raise

    def versions(self) -> dict[str, str]:
        """As what it is imported and as what it is installed may be two names."""
        package = self.place.partition(".")[0]
        try:
            return {"source_package": f"{package} {metadata.version(package)}"}
        except metadata.PackageNotFoundError:
            names = metadata.packages_distributions().get(package)
            return {"source_package": f"{names[0]} {metadata.version(names[0])}"} if names else {}


def _check_file(path: Path, place: str) -> None:
    if path.is_dir():
        raise SpecError(f"{place} is a directory", hint="give a file in it: path/to/file.py:Name")
    if not path.exists():
        beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, beside, n=1)
        hint = f"did you mean {path.with_name(close[0])}?" if close else ""
        raise SpecError(f"{place} does not exist", hint=hint)
    try:
        path.open("rb").close()
    except OSError as error:
        raise SpecError(f"{place} cannot be read: {error.strerror}") from error


def _package(folder: Path) -> tuple[Path, str]:
    """The folder that imports start from, and the package that a file in `folder` belongs to."""
    parts: list[str] = []
    while (folder / "__init__.py").exists() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _candidates(module: ModuleType) -> list[str]:
    """Names of the models and functions that the module itself defines, models first."""
    from torch import nn

    def own(value: Any) -> bool:
        return getattr(value, "__module__", None) == module.__name__

    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    classes = [
        name
        for name, value in public.items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and own(value)
    ]
    models = [name for name, value in public.items() if isinstance(value, nn.Module)]
    functions = [name for name, value in public.items() if inspect.isfunction(value) and own(value)]
    return classes + models + functions
