"""What `cnnstat check` is asked for: checks of the configuration, or a budget of the command line."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from cnnstat.cli.output import FAILED, tell
from cnnstat.errors import ConfigError

if TYPE_CHECKING:
    from cnnstat.budgets.checking import Order
    from cnnstat.budgets.config import Config
    from cnnstat.budgets.limits import Check, Fits, Limit, Target
    from cnnstat.devices.device import Device

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
    device: str | None = None
    """As given to `--device`."""
    dtype: str | None = None
    """As given to `--dtype`."""
    runtime: str | None = None
    """As given to `--runtime`."""

    def options(self) -> list[str]:
        """The options that were given."""
        given = {**asdict(self), "input": self.inputs, "inputs": None}
        return [f"--{name}" for name, value in given.items() if value]

    def target(self) -> Target:
        """What it is meant for."""
        from cnnstat.budgets.limits import Target

        words = {"device": self.device, "dtype": self.dtype, "runtime": self.runtime}
        given = {name: text for name, text in words.items() if text is not None}
        for name, text in given.items():
            if not text.strip():
                raise ConfigError(f"--{name}: expected a name, found {text!r}")
        return Target(**given, said={name: f"--{name}" for name in given})


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line's words."""

    names: Sequence[str]
    """Checks or specifications."""
    limits: Mapping[str, str | None]
    """By metric, as given; `None`: not given."""
    fits: bool = False
    """As given."""
    config: Path | None = None
    """The configuration's file; `None`: look for it."""
    given: Given = Given()
    """What is about specifications alone."""

    def order(self) -> Order:
        """The checks that are meant. Raises `ConfigError`; leaves where there is nothing to hold."""
        from cnnstat.budgets.checking import Order
        from cnnstat.budgets.config import read_config

        limits = self._limits()
        options = [*(limit.option for limit in limits), *(["--fits"] if self.fits else [])]
        config = self._found(options) if self.config is None else read_config(self.config)
        named = {check.name: check for check in config.checks} if config else {}
        if not options and (not named or (config is None and self.names)):
            _nothing(self.names, config)
        if options and not self.names:
            raise ConfigError(
                f"{options[0]} needs a model",
                hint="try: cnnstat check resnet50 --max-macs 4.2G",
            )
        checks = []
        for name in dict.fromkeys(self.names):
            if name in named:
                checks.append(self._of_config(named[name], limits))
            elif options:
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
        held = tuple(checks) or tuple(named.values())
        devices = _devices(held, config)
        if checks and all(check.place is None for check in checks):
            config = None  # Nor is its baseline any business of a model of the command line.
        return Order(held, config, all=not self.names, devices=devices)

    def _found(self, options: Sequence[str]) -> Config | None:
        """The configuration around us; a broken one stops nobody who brings model and limits."""
        from cnnstat.budgets.config import find_config

        try:
            return find_config(Path.cwd())
        except ConfigError as error:
            if not (options and self.names):
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
        from cnnstat.budgets.target import verify

        if not limits and not self.fits:
            return check
        given = {limit.metric.name for limit in limits}
        kept = tuple(limit for limit in check.limits if limit.metric.name not in given)
        fits = self._fits() or check.fits
        check = replace(check, limits=(*kept, *limits), fits=fits, level="error")
        verify(check)
        return check

    def _fits(self) -> Fits | None:
        from cnnstat.budgets.limits import Fits

        return Fits(option="--fits") if self.fits else None

    def _of_spec(self, spec: str, limits: tuple[Limit, ...]) -> Check:
        from cnnstat.budgets.limits import Check
        from cnnstat.budgets.target import verify

        given = self.given
        check = Check(
            name=spec,
            model=spec,
            inputs=tuple(given.inputs),
            batch=given.batch,
            train=given.train,
            backward=given.backward,
            convention=given.convention,
            limits=limits,
            fits=self._fits(),
            target=given.target(),
            uncounted=tuple(given.uncounted),
        )
        verify(check)
        return check


def _devices(checks: Sequence[Check], config: Config | None) -> Mapping[str, Device]:
    """The devices that the checks name: built in, or those of the configuration."""
    if not any(check.target.device for check in checks):
        return {}
    from cnnstat.budgets.config_file import read_table
    from cnnstat.devices.catalogue import built_in
    from cnnstat.devices.reading import devices_in_config, unlike
    from cnnstat.devices.target import devices_of

    own = devices_in_config(read_table(config.path)) if config else ()
    return devices_of(checks, unlike((*built_in(), *own)))


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
        "or paste this into pyproject.toml, with numbers of your own, and write its baseline with "
        "cnnstat check --update:"
    )
    sample = _SAMPLE.format(model=json.dumps(model, ensure_ascii=False))
    if config is not None and config.path.name != "pyproject.toml":
        sample = sample.replace("tool.cnnstat.", "")
    if sys.stderr is not None:
        sys.stderr.write(sample)
    raise typer.Exit(FAILED)
