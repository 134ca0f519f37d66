"""Where models are measured: of a check each in a child process, others in one where time is limited."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cnnstat.cli.output import stdout_kept
from cnnstat.cli.reports import report_of
from cnnstat.errors import CnnstatError

if TYPE_CHECKING:
    from cnnstat.analysis import Prepared
    from cnnstat.budgets.checking import Measure, Measured, Order
    from cnnstat.budgets.limits import Check
    from cnnstat.devices.device import Device

T = TypeVar("T")

SECONDS = 600.0
"""How long the model of a check may take, unless somebody says otherwise."""

_MORE = "--timeout SECONDS gives it more time"


def within(timeout: float | None, function: Callable[..., T], *args: Any, **named: Any) -> T:
    """What the function returns; with a limit of time it is called in a child process."""
    if timeout is None:
        return function(*args, **named)
    from cnnstat.children import Children

    with Children() as children:
        return children.call(function, *args, timeout=timeout, hint=_MORE, **named)


@contextmanager
def measuring(
    order: Order, engine: str | None, verbose: bool, timeout: float | None
) -> Iterator[Measure]:
    """Measures a check, its model in a child process: one of the configuration as seen from its folder.

    Saved reports run no code of anybody's, and are read here.
    """
    from cnnstat.children import Children
    from cnnstat.sources.base import is_report

    specs = [check.model for check in order.checks if not is_report(check.model)]
    with Children() as children:
        children.warm(warm_up, specs)

        def measure(check: Check) -> Measured:
            project = order.config.folder if order.config and check.place else Path.cwd()
            device = order.devices.get(check.target.device)
            try:
                if is_report(check.model):
                    return measured(check, project, device, engine)
                limit = timeout or check.timeout or SECONDS
                args = (check, project, device, engine)
                found, imported = children.call(_apart, *args, timeout=limit, hint=_MORE)
                children.warm(_import, imported)
                return found
            except CnnstatError:
                if verbose:
                    traceback.print_exc()
                raise

        yield measure


def warm_up(specs: Iterable[str]) -> None:
    """Import what measuring these takes, and run no code of a user's."""
    import cnnstat.analysis
    import cnnstat.extras  # noqa: F401
    from cnnstat.sources.base import parse, resolve

    for spec in specs:
        with suppress(CnnstatError):  # said where it is measured
            if parse(spec).source not in ("file", "module"):
                resolve(spec)


def _apart(*args: Any) -> tuple[Measured, list[str]]:
    """`measured` in a child, with the libraries that it imported: the next model may need them too.

    None where there is a thread beside this one: a library that starts threads cannot be forked.
    """
    before = set(sys.modules)
    found = measured(*args)
    try:
        alone = len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:  # not Linux
        alone = False
    return found, [name for name in sys.modules if name not in before] if alone else []


def _import(names: Iterable[str]) -> None:
    """Import what can be imported."""
    from cnnstat.sources.torchvision_operators import importable_torchvision

    with importable_torchvision():
        for name in names:
            with suppress(Exception, SystemExit):
                importlib.import_module(name)


def measured(check: Check, folder: Path, device: Device | None, engine: str | None) -> Measured:
    """What a check asks of its model, as seen from a folder."""
    from cnnstat.budgets.checking import Measured
    from cnnstat.budgets.target import estimates

    with chdir(folder):
        report = report_of(
            check.model,
            inputs=list(check.inputs) or None,
            batch=check.batch,
            train=check.train,
            backward=check.backward,
            engine=engine,
            convention=check.convention,
        )
        if not estimates(check):
            return Measured(report)
        from cnnstat.extras import extended
        from cnnstat.sources.base import is_report

        def prepared() -> Prepared:
            from cnnstat.analysis import prepare

            return prepare(check.model, list(check.inputs) or None, check.batch)

        if is_report(check.model):
            return extended(check, report, device)
        with stdout_kept():
            return extended(check, report, device, prepared)
