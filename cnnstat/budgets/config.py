"""The configuration: `[tool.cnnstat]` of pyproject.toml, or cnnstat.toml, where the prefix is left out.

    [tool.cnnstat]
    baseline = "cnnstat-baseline.json"
    convention = "macs"
    missing-baseline = "fail"           # or "pass": growth without a baseline passes, and says so

    [[tool.cnnstat.check]]
    model = "src/net.py:build"
    input = [1, 3, 224, 224]
    name = "mobile"
    max = { params = "3.5 M", macs = "320 M" }
    growth = { macs = "0%", params = "+10 k" }
    level = "error"
    uncounted = ["mylib.fused"]
    timeout = 60                        # seconds that the model may take

    device = "pixel-1"                  # what is estimated for a device
    dtype = "int8"
    fits = true

Devices of one's own, `[tool.cnnstat.devices.my-board]`, are read by `cnnstat.devices.reading`.
Whatever is wrong is said with file and line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnstat.budgets.config_file import find_table, read_table, shown
from cnnstat.budgets.config_table import ConfigTable
from cnnstat.budgets.limits import LEVELS, METRICS, Check, Fits, Growth, Limit, Target
from cnnstat.budgets.target import verify
from cnnstat.conventions import CONVENTIONS
from cnnstat.errors import CnnstatError, ConfigError
from cnnstat.inputs import parse_input

BASELINE = "cnnstat-baseline.json"
"""Where the baseline is, unless the configuration says otherwise."""

_TOP_KEYS = ("baseline", "missing-baseline", "convention", "check", "devices")
_CHECK_KEYS = (
    *("model", "input", "name", "max", "growth", "level", "uncounted"),
    *("batch", "train", "backward", "convention", "device", "dtype", "runtime", "fits"),
    *("missing-baseline", "timeout"),
)
_TARGET_KEYS = ("device", "dtype", "runtime")
_GROWN = ("params", "macs")
"""What a growth without a name is about, where nothing has a maximum."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a project holds its models to."""

    path: Path
    """The file."""
    shown: str
    """The file, as people would write it from where they are."""
    checks: tuple[Check, ...]
    """In the order of the file."""
    baseline: Path
    """Where the baseline is or will be: inside the project, also when links are followed."""

    @property
    def folder(self) -> Path:
        """The project: what relative paths in the file start from."""
        return self.path.parent

    @property
    def baseline_shown(self) -> str:
        """The baseline, as people would write it."""
        return shown(self.baseline)


def find_config(start: Path) -> Config | None:
    """The configuration of the innermost project around a folder; `None` where there is none.

    A pyproject.toml without `[tool.cnnstat]` is not one. Raises `ConfigError`.
    """
    found = find_table(start)
    return _config(*found) if found else None


def read_config(path: Path) -> Config:
    """The configuration in a file. Raises `ConfigError`."""
    path = path.absolute()
    return _config(path, read_table(path))


# What it says


def _config(path: Path, top: ConfigTable) -> Config:
    top.only(_TOP_KEYS, "key")
    baseline = _baseline(path.parent, top)
    convention, missing = _convention(top), _missing(top)
    listed = top.value.get("check", [])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        header = ".".join((*map(str, top.path), "check"))
        top.expect("check", f"tables, each under [[{header}]]")
    checks: dict[str, Check] = {}
    for n, item in enumerate(listed):
        table = ConfigTable(item, (*top.path, "check", n), top.lines, top.shown)
        check = _check(table, convention, missing)
        if check.name in checks:
            first = checks[check.name].place
            table.wrong(
                f"a second check named {check.name!r}; the first is at {first}",
                "name" if "name" in item else "model",
                hint="give each a name of its own",
            )
        checks[check.name] = check
    return Config(path, top.shown, tuple(checks.values()), baseline)


def _baseline(folder: Path, top: ConfigTable) -> Path:
    given = top.text("baseline", BASELINE) or BASELINE
    try:
        project, path = folder.resolve(), (folder / given).resolve()
        inside, is_folder = path.is_relative_to(project), path.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        top.wrong(f"the baseline {given!r} is no path: {error}", "baseline")
    if not inside:
        top.wrong(
            f"the baseline {given!r} leads out of the project, to {path}",
            "baseline",
            hint=f"give a path inside {project}",
        )
    if is_folder:
        top.wrong(f"the baseline {given!r} is a folder; expected a file", "baseline")
    if path.suffix.lower() != ".json":
        top.wrong(f"the baseline {given!r} does not end in .json, which it is", "baseline")
    return path


def _convention(table: ConfigTable) -> str | None:
    name = table.text("convention")
    if name is not None and name not in CONVENTIONS:
        table.wrong(
            f"unknown convention {name!r}", "convention", hint=f"one of {', '.join(CONVENTIONS)}"
        )
    return name


def _missing(table: ConfigTable, default: str = "") -> str:
    """What lets growth pass that the baseline says nothing of, with its place; `""`: nothing does."""
    given = table.text("missing-baseline")
    if given not in (None, "fail", "pass"):
        table.wrong(
            f"missing-baseline {given!r}; expected 'fail', or 'pass' where growth without a baseline passes",
            "missing-baseline",
        )
    said = f'missing-baseline = "pass" at {table.place("missing-baseline")}'
    return {None: default, "fail": "", "pass": said}[given]


def _check(table: ConfigTable, convention: str | None, missing: str) -> Check:
    table.only(_CHECK_KEYS, "key of a check")
    model = table.text("model")
    if model is None:
        table.wrong('a check without a model; expected model = "resnet50" or another specification')
    level = table.text("level", "error")
    if level not in LEVELS:
        table.wrong(f"level {level!r}; expected one of {', '.join(LEVELS)}", "level")
    limits = _limits(table)
    check = Check(
        name=table.text("name", model) or model,
        model=model,
        inputs=_inputs(table),
        batch=_batch(table),
        train=table.flag("train"),
        backward=table.flag("backward"),
        convention=_convention(table) or convention,
        limits=limits,
        growth=_growth(table, limits),
        fits=_fits(table),
        target=_target(table),
        level=level,
        uncounted=_texts(table, "uncounted"),
        missing_baseline=_missing(table, missing),
        timeout=_timeout(table),
        place=table.place(),
    )
    for rule in check.rules:
        if rule.metric.name == "quoted" and check.convention is None:
            raise ConfigError(
                f"{rule.place}: 'quoted' is what a convention quotes, and none is given",
                hint='add convention = "fvcore", or another one',
            )
    if not check.metrics and not check.fits:
        table.wrong(
            f"check {check.name!r} has neither max nor growth, so it holds nothing",
            hint='add max = { params = "26 M" } or growth = { macs = "0%" }',
        )
    if "missing-baseline" in table.value and not check.growth:
        table.wrong(
            "'missing-baseline' changes nothing here",
            "missing-baseline",
            hint="growth alone looks at the baseline; give some, or leave it out",
        )
    verify(check)
    return check


def _target(table: ConfigTable) -> Target:
    given = {key: table.text(key) or "" for key in _TARGET_KEYS if key in table.value}
    return Target(**given, said={key: str(table.place(key)) for key in given})


def _fits(table: ConfigTable) -> Fits | None:
    given = table.value.get("fits", False)
    if not isinstance(given, bool) and given != "tight":
        table.expect("fits", 'true, or "tight" where a tight fit passes too')
    return Fits(given == "tight", table.place("fits")) if given else None


def _limits(table: ConfigTable) -> tuple[Limit, ...]:
    if "max" not in table.value:
        return ()
    maxima = table.table("max", 'a table such as { params = "26 M", macs = "4.2 G" }')
    maxima.only(tuple(METRICS), "metric")
    found = []
    for name, given in maxima.value.items():
        if isinstance(given, float) and given.is_integer():
            given = int(given)
        try:
            found.append(Limit.of(name, given, maxima.place(name)))
        except ValueError as error:
            maxima.wrong(f"max.{name}: {error}", name)
    return tuple(found)


def _growth(table: ConfigTable, limits: tuple[Limit, ...]) -> tuple[Growth, ...]:
    if "growth" not in table.value:
        return ()
    given = table.value["growth"]
    if isinstance(given, str):
        names = [limit.metric.name for limit in limits] or list(_GROWN)
        rises, place = dict.fromkeys(names, given), table.place("growth")
        try:
            return tuple(Growth.of(name, text, place) for name, text in rises.items())
        except ValueError as error:
            table.wrong(f"growth: {error}", "growth")
    rises_table = table.table("growth", 'a text such as "1%", or a table such as { macs = "0%" }')
    rises_table.only(tuple(METRICS), "metric")
    found = []
    for name, text in rises_table.value.items():
        try:
            found.append(Growth.of(name, text, rises_table.place(name)))
        except ValueError as error:
            rises_table.wrong(f"growth.{name}: {error}", name)
    return tuple(found)


def _batch(table: ConfigTable) -> int | None:
    batch = table.value.get("batch")
    if batch is None or (type(batch) is int and 1 <= batch < 2**31):
        return batch
    table.expect("batch", "a whole number, 1 or more")


def _timeout(table: ConfigTable) -> float | None:
    seconds = table.value.get("timeout")
    if seconds is None or (type(seconds) in (int, float) and 0 < seconds < math.inf):
        return None if seconds is None else float(seconds)
    table.expect("timeout", "a number of seconds above 0")


def _texts(table: ConfigTable, key: str) -> tuple[str, ...]:
    value = table.value.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        table.expect(key, 'a list of names such as ["mylib.fused"]')
    return tuple(value)


def _inputs(table: ConfigTable) -> tuple[str, ...]:
    """`[1, 3, 224, 224]`, `"ids=1x128:int64"`, a list of these, or a table of them by name."""
    given = table.value.get("input", [])
    expected = 'a shape such as [1, 3, 224, 224] or "ids=1x128:int64"'
    if _is_shape(given) or isinstance(given, str):
        given = [given]
    if not isinstance(given, list | dict):
        table.expect("input", expected)
    texts = []
    for name, item in given.items() if isinstance(given, dict) else enumerate(given):
        if not (_is_shape(item) or isinstance(item, str)):
            table.expect("input", expected)
        text = item if isinstance(item, str) else "x".join(map(str, item))
        texts.append(f"{name}={text}" if isinstance(name, str) else text)
        try:
            parse_input(texts[-1])
        except CnnstatError as error:
            table.wrong(error.message, "input")
    return tuple(texts)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(size) is int for size in value)
