"""What `cnnstat check` is asked for: checks of the configuration, or a budget of the command line."""

from __future__ import annotations

import difflib
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from cnnstat.cli.output import FAILED, tell
from cnnstat.cli.reports import report_of
from cnnstat.errors import CnnstatError, ConfigError

if TYPE_CHECKING:
    from cnnstat.budgets.checking import Measure, Order
    from cnnstat.budgets.config import Config
    from cnnstat.budgets.limits import Check, Limit
    from cnnstat.report import Report

_SAMPLE = """\

[[tool.cnnstat.check]]
model = {model}
max = {{ params = "26 M", macs = "4.2 G" }}
growth = {{ params = "0%", macs = "1%" }}
"""


@dataclass(frozen=True, slots=True)
class Given:
    """How a specification of the command line is measured."""

    inputs: Sequence[str] = ()
    """As given to `--input`."""
    batch: int | None = None
    """As given to `--batch`."""
    train: bool = False
    """Training mode."""
    backward: bool = False
    """With the backward pass."""
    convention: str | None = None
    """As given to `--convention`."""
    uncounted: Sequence[str] = ()
    """Operations that may stay without a rule."""

    def options(self) -> list[str]:
        """The options that were given."""
        given = {**asdict(self), "input": self.inputs, "inputs": None}
        return [f"--{name}" for name, value in given.items() if value]


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line's words."""

    names: Sequence[str]
    """Checks or specifications."""
    limits: Mapping[str, str | None]
    """By metric, as given; `None`: not given."""
    config: Path | None = None
    """The configuration's file; `None`: look for it."""
    given: Given = Given()
    """What is about specifications alone."""

    def order(self) -> Order:
        """The checks that are meant. Raises `ConfigError`; leaves where there is nothing to hold."""
        from cnnstat.budgets.checking import Order
        from cnnstat.budgets.config import read_config

        limits = self._limits()
        config = self._found(limits) if self.config is None else read_config(self.config)
        named = {check.name: check for check in config.checks} if config else {}
        if not limits and (not named or (config is None and self.names)):
            _nothing(self.names, config)
        if limits and not self.names:
            raise ConfigError(
                f"{limits[0].option} needs a model",
                hint="try: cnnstat check resnet50 --max-macs 4.2G",
            )
        checks = []
        for name in dict.fromkeys(self.names):
            if name in named:
                checks.append(self._of_config(named[name], limits))
            elif limits:
                checks.append(self._of_spec(name, limits))
            else:
                _unknown(name, named, config)
        options = self.given.options()
        if options and not any(check.place is None for check in checks):
            raise ConfigError(
                f"{', '.join(options)}: for a model of the command line alone, and these checks are "
                "of the configuration",
                hint="say it there, or give a specification with --max-macs or another limit",
            )
        if checks and all(check.place is None for check in checks):
            config = None  # Nor is its baseline any business of a model of the command line.
        return Order(tuple(checks) or tuple(named.values()), config, all=not self.names)

    def _found(self, limits: tuple[Limit, ...]) -> Config | None:
        """The configuration around us; a broken one stops nobody who brings model and limits."""
        from cnnstat.budgets.config import find_config

        try:
            return find_config(Path.cwd())
        except ConfigError as error:
            if not (limits and self.names):
                raise
            tell(
                "cnnstat: note: the configuration cannot be read, so the limits of the command line "
                f"are held alone: {error.message}"
            )
            return None

    def _limits(self) -> tuple[Limit, ...]:
        from cnnstat.budgets.limits import Limit

        found = []
        for metric, given in self.limits.items():
            option = f"--max-{metric}"
            try:
                found += [] if given is None else [Limit.of(metric, given, option=option)]
            except ValueError as error:
                raise ConfigError(f"{option}: {error}") from None
        return tuple(found)

    def _of_config(self, check: Check, limits: tuple[Limit, ...]) -> Check:
        """What the command line says goes before what the configuration says, and is meant to hold."""
        if not limits:
            return check
        given = {limit.metric.name for limit in limits}
        kept = tuple(limit for limit in check.limits if limit.metric.name not in given)
        return replace(check, limits=(*kept, *limits), level="error")

    def _of_spec(self, spec: str, limits: tuple[Limit, ...]) -> Check:
        from cnnstat.budgets.limits import Check

        given = self.given
        return Check(
            name=spec,
            model=spec,
            inputs=tuple(given.inputs),
            batch=given.batch,
            train=given.train,
            backward=given.backward,
            convention=given.convention,
            limits=limits,
            uncounted=tuple(given.uncounted),
        )


def _unknown(name: str, named: Mapping[str, Check], config: Config | None) -> NoReturn:
    where = config.shown if config else "the configuration"
    close = difflib.get_close_matches(name, named, n=1)
    known = f"did you mean {close[0]!r}? " if close else f"checks: {', '.join(named)}; "
    raise ConfigError(
        f"no check named {name!r} in {where}",
        hint=f"{known}for a model without one give a limit, such as --max-macs 4.2G",
    )


def _nothing(names: Sequence[str], config: Config | None) -> NoReturn:
    """Say that there is no budget, with one to paste."""
    model = names[0] if names else "resnet50"
    found = (
        f"{config.shown} has no check"
        if config
        else "no cnnstat.toml and no [tool.cnnstat] in a pyproject.toml, here or in a folder above"
    )
    tell(
        f"cnnstat: error: no budget to hold: {found}; give one (cnnstat check {model} --max-macs 4.2G) "
        "or paste this into pyproject.toml, with numbers of your own:"
    )
    sample = _SAMPLE.format(model=json.dumps(model, ensure_ascii=False))
    if config is not None and config.path.name != "pyproject.toml":
        sample = sample.replace("tool.cnnstat.", "")
    sys.stderr.write(sample)
    raise typer.Exit(FAILED)


def measuring(order: Order, engine: str | None, verbose: bool) -> Measure:
    """Measures a check: one of the configuration as seen from its folder."""

    def measure(check: Check) -> Report:
        project = order.config.folder if order.config and check.place else Path.cwd()
        try:
            with chdir(project):
                return report_of(
                    check.model,
                    inputs=list(check.inputs) or None,
                    batch=check.batch,
                    train=check.train,
                    backward=check.backward,
                    engine=engine,
                    convention=check.convention,
                )
        except CnnstatError:
            if verbose:
                traceback.print_exc()
            raise

    return measure
