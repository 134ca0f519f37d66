"""Numbers as they stand in print: how fine they are, and whether a computed one would print the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any

ROUNDINGS = ("nearest", "cut", "either")
"""How a paper may have come from its count to the digits: rounded, truncated, or one of the two."""

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")

SUFFIXES = {"K": 3, "M": 6, "G": 9}
"""Powers of ten that letters behind a number stand for."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A number in print, or the two ends of a range."""

    low: Decimal
    """The number, or the lower end."""
    high: Decimal
    """The number again, or the upper end."""
    step: Decimal
    """The place of the last digit: 0.1 for 4.2, 1 for 15300."""
    suffix: str = ""
    """The letter behind it in print, which the numbers above have in them."""

    @classmethod
    def of(cls, value: Any, step: Decimal | None = None) -> Printed | None:
        """From a value of the TOML: a number, or a text such as `"235K"`, `"> 500"`, `"5.289~5.724"`.

        `step` says how fine it is where the digits do not. `None`: there is no number in it. The suffix of
        `"727 MFLOPs"` counts, so that it is a number of operations.
        """
        if isinstance(value, bool) or value is None:
            return None
        if isinstance(value, int | Decimal):
            number = Decimal(value)
            return cls(number, number, step or _last_place(number))
        if not isinstance(value, str):
            return None
        found = list(_NUMBER.finditer(value))
        if not found:
            return None
        numbers = [Decimal(match[0].replace(",", "").lstrip("-+")) for match in found[:2]]
        rest = value[found[0].end() :].strip()
        bare = len(found) == 1 and rest[:1] in SUFFIXES and rest[1:2] not in ("B", "i")
        suffix = rest[0] if bare else ""
        scale = Decimal(10) ** SUFFIXES[suffix] if suffix else Decimal(1)
        fine = step or min(_last_place(number) for number in numbers) * scale
        return cls(min(numbers) * scale, max(numbers) * scale, fine, suffix)

    def agrees(self, computed: Decimal, rounding: str) -> bool:
        """Whether the computed number would be printed like this, or lies within the range."""
        near = self.low - self.step / 2 <= computed <= self.high + self.step / 2
        cut = self.low <= computed < self.high + self.step
        return {"nearest": near, "cut": cut, "either": near or cut}[rounding]

    def difference(self, computed: Decimal) -> Decimal:
        """Computed less published, from the nearer end of a range."""
        if computed < self.low:
            return computed - self.low
        return computed - self.high if computed > self.high else Decimal(0)


def as_printed(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The computed number with the digits of the printed one."""
    mode = ROUND_FLOOR if rounding == "cut" else ROUND_HALF_UP
    return ((value / step).to_integral_value(mode) * step).quantize(step)


def text_of(value: Any) -> str:
    """A value of the TOML as the source prints it: numbers keep their digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | Decimal):
        return f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"
    if isinstance(value, list):
        return " ".join(text_of(item) for item in value)
    return str(value)


def _last_place(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    return Decimal(1).scaleb(min(exponent, 0)) if isinstance(exponent, int) else Decimal(1)
