"""Numbers as people write them: `"4.2G"` to an integer and back. The only place that rounds."""

from __future__ import annotations

import re
from decimal import Decimal

_DECIMAL = {"": 0, "k": 3, "m": 6, "g": 9, "t": 12, "p": 15}
_BINARY = {"ki": 10, "mi": 20, "gi": 30, "ti": 40}
_TIMES = {"ns": 0, "us": 3, "ms": 6, "s": 9}
_MICRO = re.compile("[µμ](?=s)")
"""Both letters that look like it: the sign of Latin-1 and the Greek one."""
_NUMBER = re.compile(
    r"\s*([+-]?\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d{1,2})?|[+-]?\.\d+)\s*([a-zA-Z]*)\s*\Z", re.ASCII
)
_GROUPED = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+\s*\Z", re.ASCII)
"""Commas between thousands of a whole number, and nowhere else: `4,2 M` is not forty-two million."""


def parse_count(text: str | int) -> int:
    """A count of anything: `"4.2G"`, `"320 M"`, `"25_557_032"`, `"1e9"`.

    Suffixes k, M, G (or B), T, P are decimal, in either case. Raises `ValueError`, naming the text
    and the expected form, also where the result is no whole number.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    return _parse(str(text), {**_DECIMAL, "b": 9}, {}, "a count such as 4.2G, 26M or 25557032")


def parse_bytes(text: str | int) -> int:
    """A size in bytes: `"200MiB"` (2^20), `"12 MB"` (10^6), `"512"`.

    Raises `ValueError`, naming the text and the expected form.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    scales = {f"{unit}b": exponent for unit, exponent in _DECIMAL.items() if unit} | _DECIMAL
    expected = "a size such as 200MiB, 12MB or 512"
    return _parse(str(text), scales | {"b": 0}, _BINARY, expected)


def parse_time(text: str) -> int:
    """A time in nanoseconds: `"5 ms"`, `"120 us"`, `"0.5 s"`. Raises `ValueError`, naming the text.

    Without a unit it is none: nobody counts nanoseconds, and everybody would mean another unit.
    """
    expected = "a time with its unit, such as 5 ms, 120 us or 0.5 s"
    match = _NUMBER.match(_MICRO.sub("u", text)) if isinstance(text, str) else None
    if match is None or match[2] not in _TIMES:
        raise ValueError(f"{text!r} is not {expected}")
    value = Decimal(match[1].replace("_", "")).scaleb(_TIMES[match[2]])
    if value != value.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number of nanoseconds; expected {expected}")
    return int(value)


def _parse(text: str, decimal: dict[str, int], binary: dict[str, int], expected: str) -> int:
    match = _NUMBER.match(text.replace(",", "") if _GROUPED.match(text) else text)
    suffix = match[2].lower() if match else ""
    if match and suffix.removesuffix("b") in binary:
        value = Decimal(match[1].replace("_", "")) * 2 ** binary[suffix.removesuffix("b")]
    elif match and suffix in decimal:
        value = Decimal(match[1].replace("_", "")).scaleb(decimal[suffix])
    else:
        raise ValueError(f"{text!r} is not {expected}")
    if value != value.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number; expected {expected}")
    return int(value)


def grouped(value: int) -> str:
    """All digits, with separators: `4,089,184,256`."""
    return f"{value:,}"


def short(value: int, digits: int = 4) -> str:
    """`digits` significant digits and a decimal suffix: `4.089 G`; below 1000 all digits.

    >>> short(4089184256), short(999999), short(512)
    ('4.089 G', '1.000 M', '512')
    """
    return _scaled(value, 1000, ("", "k", "M", "G", "T", "P"), digits)


def short_bytes(value: int, digits: int = 4) -> str:
    """The same in powers of 1024: `97.49 MiB`.

    >>> short_bytes(102228128), short_bytes(512)
    ('97.49 MiB', '512 B')
    """
    return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), digits)


def short_time(value: int, digits: int = 4) -> str:
    """Nanoseconds in the unit that suits them: `1.208 ms`.

    >>> short_time(1207929), short_time(512)
    ('1.208 ms', '512 ns')
    """
    return _scaled(value, 1000, ("ns", "µs", "ms", "s"), digits)


def short_seconds(seconds: float, digits: int = 4) -> str:
    """The same of seconds, down to picoseconds: `14.42 ms`.

    >>> short_seconds(0.01442), short_seconds(0.5e-9), short_seconds(0.0)
    ('14.42 ms', '500 ps', '0 s')
    """
    pico = round(seconds * 10**12)
    return _scaled(pico, 1000, ("ps", "ns", "µs", "ms", "s"), digits) if pico else "0 s"


def percent(part: int, whole: int) -> str:
    """`part` of `whole` with one decimal; `0.0 %` and `100.0 %` only where it is exactly that."""
    if whole == 0:
        return "–"
    if 0 < part < whole:
        share = min(max((2000 * part + whole) // (2 * whole), 1), 999) / 10
        return f"<{share} %" if 2000 * part < whole else f"{share:.1f} %"
    return f"{Decimal(100 * part) / whole:.1f} %"


def _scaled(value: int, base: int, units: tuple[str, ...], digits: int) -> str:
    magnitude, unit = Decimal(abs(value)), 0
    while magnitude >= base and unit < len(units) - 1:
        magnitude, unit = magnitude / base, unit + 1
    if unit == 0:
        return f"{value} {units[0]}".strip()
    text = _significant(magnitude, digits)
    if Decimal(text) >= base and unit < len(units) - 1:
        text, unit = _significant(magnitude / base, digits), unit + 1
    return f"{'-' if value < 0 else ''}{text} {units[unit]}"


def _significant(value: Decimal, digits: int) -> str:
    text = f"{value:.{max(digits - len(str(int(value))), 0)}f}"
    whole = len(text.partition(".")[0])  # once more: 99.996 rounds to a number with a digit more
    return f"{value:.{max(digits - whole, 0)}f}"
