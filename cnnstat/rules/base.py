"""What a rule is, and the one registry that finds the rule for an operation.

A rule is a pure function of an `OpCall`; it never sees a tensor and imports no torch. Every operation is
in exactly one of three lists: counted (has a rule), zero by definition (`cnnstat.rules.zero`), unknown.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from cnnstat.record import OpCall, TensorSpec
from cnnstat.report import Work
from cnnstat.rules.complex_numbers import in_reals
from cnnstat.rules.derivation import Derivation, complete
from cnnstat.rules.sparse import of_nonzeros

Count = Callable[[OpCall], Work]
Variant = Callable[[OpCall], str]
Derive = Callable[[OpCall], Derivation]


@dataclass(frozen=True, slots=True)
class Rule:
    """How the work of some operations is counted."""

    name: str
    """Its name in reports: `"convolution"`."""
    ops: tuple[str, ...]
    """The operations it counts: `"aten.convolution"`."""
    family: str
    """Kind of operation: `"convolution"`, `"linear"`, `"normalisation"`, `"elementwise"`, …"""
    formula: str
    """The formula, in the letters of the textbook."""
    source: str
    """Where the formula is from, or how it is derived."""
    formal: Count
    """The operations of the formula, each as one whatever the numbers are."""
    derive: Derive | None = None
    """The formula for one call, with the numbers that go into it; `None`: multiples of its elements."""
    variant: Variant | None = None
    """A suffix to the name for calls that other tools count differently: `".plain"`."""
    estimated: bool = False
    """Whether what runs is not known to the operation: the formula is of a textbook's algorithm."""
    of_reals: bool = False
    """Whether the formula counts operations on real numbers where the tensors are complex."""
    place: str = ""
    """The file that registered it; `""`: a notebook or a prompt, whose cells have no lasting name."""
    edited: bool = False
    """Whether it took the place of another that an earlier cell of the notebook registered."""

    def count(self, call: OpCall) -> Work:
        """The work of one call in operations on real numbers."""
        work = of_nonzeros(self.formal, call) if call.is_sparse else self.formal(call)
        return work if self.of_reals else in_reals(work, call, self.family)

    def name_of(self, call: OpCall) -> str:
        """Name under which this call is tallied."""
        return self.name + (self.variant(call) if self.variant else "")

    def derivation(self, call: OpCall) -> Derivation:
        """A formula for everything that `count` finds in this call."""
        work = self.count(call)
        derivation = self.derive(call) if self.derive else None
        if derivation is not None and call.is_sparse:
            derivation = None  # its letters are of all elements
        elif derivation is not None and work != (formal := self.formal(call)):
            derivation = _in_reals(derivation, formal, work)
        return complete(derivation, call, work)

    @property
    def doc(self) -> str:
        """What the rule says of itself."""
        return inspect.getdoc(self.formal) or ""


def _in_reals(derivation: Derivation, formal: Work, work: Work) -> Derivation:
    """Formulas for complex numbers: those whose value is a multiple of what they say."""
    formulas = {}
    for quantity, formula in derivation.formulas.items():
        one, all_of_it = getattr(formal, quantity), getattr(work, quantity)
        if one and all_of_it % one == 0:
            many = all_of_it // one
            inner = f"({formula})" if "+" in formula or "−" in formula else formula
            formulas[quantity] = formula if many == 1 else f"{many}·{inner}"
    return replace(derivation, formulas=formulas)


RULE_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, StopIteration, TypeError, ValueError
)  # fmt: skip
"""What a rule may raise where it meets arguments that it does not know."""

_RULES: dict[str, Rule] = {}


def counts(
    *ops: str,
    family: str,
    formula: str,
    source: str,
    name: str | None = None,
    derive: Derive | None = None,
    variant: Variant | None = None,
    estimated: bool = False,
    of_reals: bool = False,
) -> Callable[[Count], Count]:
    """Register the decorated function as the rule for `ops`, also for operations of your own.

    >>> @counts("mylib::scale", family="elementwise", formula="n", source="one product an element")
    ... def scale(call):
    ...     return Work(muls=call.output.numel)

    `call` is an `OpCall` with `args` by schema name and `outputs`, all shapes; the result is a `Work`.
    `family` is `"convolution"`, `"linear"`, `"matmul"`, `"attention"`, `"recurrent"`, `"embedding"`,
    `"normalisation"`, `"activation"`, `"pooling"`, `"resize"`, `"elementwise"`, `"reduction"`,
    `"comparison"` or a word of your own. Register it where the model is defined.

    Where tensors are complex, each operation that the function counts is one on complex numbers, and is
    turned into those on real ones; with `of_reals` the function has done so itself. What is `estimated` is
    marked so in every report.

    A file that is loaded again, or a cell that runs again, replaces the rule of the same name that it
    registered before. Raises `ValueError` where an operation has a rule from another file or under
    another name, or is zero by definition.
    """
    place = _place(sys._getframe(1).f_code.co_filename)

    def register(count: Count) -> Count:
        rule = Rule(
            name=name or str(getattr(count, "__name__", "rule")),
            ops=tuple(op.replace("::", ".") for op in ops),
            family=family,
            formula=formula,
            source=source,
            formal=count,
            derive=derive,
            variant=variant,
            estimated=estimated,
            of_reals=of_reals,
            place=place,
        )
        from cnnstat.rules.zero import ZERO

        older = list(dict.fromkeys(_RULES[op] for op in rule.ops if op in _RULES))
        for op in rule.ops:
            if op in _RULES and not _is_again(rule, _RULES[op]):
                where = f" ({_RULES[op].place})" if _RULES[op].place != place else ""
                raise ValueError(f"{op} has a rule already: {_RULES[op].name}{where}")
            if op in ZERO:
                raise ValueError(f"{op} is zero by definition")
        for op in [op for replaced in older for op in replaced.ops]:
            _RULES.pop(op, None)
        if not place and any(_says_otherwise(rule, replaced) for replaced in older):
            rule = replace(rule, edited=True)
        _RULES.update(dict.fromkeys(rule.ops, rule))
        return count

    return register


_CELLS = ("ipykernel_", "ipython-input", "notebook-cell", "__marimo__")


def _place(file: str) -> str:
    """The file, or `""` for a cell: its name changes with what is written in it."""
    cell = file.startswith("<") or any(mark in file for mark in _CELLS)
    return "" if cell else os.path.realpath(file)


def _is_again(rule: Rule, older: Rule) -> bool:
    """Whether two rules are the same definition, run twice."""
    return (rule.place, rule.name, _qualified(rule)) == (older.place, older.name, _qualified(older))


def _qualified(rule: Rule) -> str:
    return str(getattr(rule.formal, "__qualname__", ""))


def _says_otherwise(rule: Rule, older: Rule) -> bool:
    """Whether a definition was changed between two runs of it."""
    stated, before = ((r.ops, r.family, r.formula, r.source) for r in (rule, older))
    code, old = (getattr(r.formal, "__code__", None) for r in (rule, older))
    return stated != before or code != old


def rule_for(op: str) -> Rule | None:
    """The rule that counts `op`, or `None`."""
    return _RULES.get(op)


def all_rules() -> tuple[Rule, ...]:
    """Every rule once, in the order of registration."""
    return tuple(dict.fromkeys(_RULES.values()))


def counted_ops() -> frozenset[str]:
    """Names of all operations that have a rule."""
    return frozenset(_RULES)


# ---- what rules share


def elements(shape: tuple[int, ...]) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)


def tensor(call: OpCall, *names: str) -> TensorSpec:
    """The first tensor argument found under one of `names`; else the call's first tensor."""
    for name in names:
        value = call.args.get(name)
        if isinstance(value, TensorSpec):
            return value
    return call.inputs[0]


def per_output(*, adds: int = 0, muls: int = 0, compares: int = 0, special: int = 0) -> Count:
    """A count of so many operations for each element of the first output."""
    unit = Work(adds=adds, muls=muls, compares=compares, special=special)
    return lambda call: times(call.output.numel, unit)


def times(n: int, unit: Work) -> Work:
    """`n` times the work `unit`."""
    return Work(
        macs=n * unit.macs,
        adds=n * unit.adds,
        muls=n * unit.muls,
        compares=n * unit.compares,
        special=n * unit.special,
        activations=n * unit.activations,
    )
