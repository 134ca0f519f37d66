"""How a count comes about: the formula in letters, what each letter stands for, and the numbers put in.

A rule counts; its derivation says the same as text that can be calculated. A test holds that the two
agree on every operation.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from cnnstat.record import OpCall
from cnnstat.report import Work

QUANTITIES: Mapping[str, str] = {
    "macs": "MACs",
    "adds": "additions",
    "muls": "products",
    "compares": "comparisons",
    "special": "divisions and functions",
    "activations": "activations",
}
"""The fields of `Work` that have a formula, as they are called in text."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_PYTHON = str.maketrans({"·": "*", "−": "-"})


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter of a formula."""

    symbol: str
    """`"K"`, `"kh"`."""
    value: int
    """64."""
    meaning: str
    """Where the number comes from: `"output channels: weight 64×3×7×7"`."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """Formulas for the work of one call, and for the parameters that it uses."""

    formulas: Mapping[str, str]
    """By field of `Work`: `{"macs": "N·K·(C/g)·kh·kw·oh·ow"}`. Signs: `· + − / ( )`."""
    letters: tuple[Letter, ...]
    """What stands in the formulas, in reading order."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Elements of tensor arguments by schema name: `{"weight": "K·(C/g)·kh·kw"}`."""

    @property
    def values(self) -> dict[str, int]:
        """The letters as numbers."""
        return {letter.symbol: letter.value for letter in self.letters}

    def numbers(self, formula: str) -> str:
        """The formula with the numbers put in: `1·64·(3/1)·7·7·112·112`."""
        values = self.values
        return _NAME.sub(lambda match: f"{values[match[0]]:,}", formula)

    def value(self, formula: str) -> int:
        """What the formula comes to. Raises `ArithmeticError` where that is no whole number."""
        return evaluate(formula, self.values)

    def used(self, formulas: Iterable[str]) -> tuple[Letter, ...]:
        """The letters that stand in any of the formulas."""
        names = {name for formula in formulas for name in _NAME.findall(formula)}
        return tuple(letter for letter in self.letters if letter.symbol in names)


def evaluate(formula: str, values: Mapping[str, int]) -> int:
    """What a formula comes to. Raises `ArithmeticError` where that is no whole number."""
    result = _evaluated(_parsed(formula), values)
    if result.denominator != 1:
        raise ArithmeticError(f"{formula} is {result}, no whole number")
    return int(result)


@lru_cache
def _parsed(formula: str) -> ast.expr:
    return ast.parse(formula.translate(_PYTHON), mode="eval").body


def _evaluated(node: ast.expr, values: Mapping[str, int]) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if isinstance(node, ast.Name):
        return Fraction(values[node.id])
    if isinstance(node, ast.BinOp):
        left, right = _evaluated(node.left, values), _evaluated(node.right, values)
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Div):
            return left / right
    raise ValueError(f"{ast.unparse(node)!r} is no formula of · + − / ( )")


def complete(derivation: Derivation | None, call: OpCall, work: Work) -> Derivation:
    """The derivation with every other part of the work as a multiple of the elements, where it is one.

    `written` is the elements put out, `read` those of the first argument. What is neither stands as the
    number that it is.
    """
    derivation = derivation or Derivation({}, ())
    formulas, taken = dict(derivation.formulas), derivation.values
    free = [
        Letter(symbol, spec.numel, f"{meaning}: {sizes(spec.shape)}")
        for symbol, specs, meaning in (
            ("written", call.outputs, "elements put out"),
            ("read", call.inputs, "elements read"),
        )
        for spec in specs[:1]
        if symbol not in taken
    ]
    named: list[Letter] = []
    for quantity in QUANTITIES:
        value = getattr(work, quantity)
        if value and quantity not in formulas:
            formulas[quantity] = formula = _of_elements(value, free)
            named += [letter for letter in free if letter.symbol in formula]
    ordered = {quantity: formulas[quantity] for quantity in QUANTITIES if quantity in formulas}
    letters = tuple(dict.fromkeys((*derivation.letters, *named)))
    return Derivation(ordered, letters, derivation.weights)


def _of_elements(value: int, letters: Sequence[Letter]) -> str:
    if len(letters) == 2 and value == letters[1].value - letters[0].value:
        return f"{letters[1].symbol} − {letters[0].symbol}"  # all read but the first of each
    for letter in letters:
        if letter.value > 1 and value % letter.value == 0:
            times = value // letter.value
            return letter.symbol if times == 1 else f"{times}·{letter.symbol}"
    return str(value)


def sizes(shape: tuple[int, ...]) -> str:
    """`1×64×112×112`."""
    return "×".join(map(str, shape)) or "a single number"
