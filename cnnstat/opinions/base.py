"""What another engine says, how it differs, and whether that is explained. Standard library only.

All numbers of an opinion are in the engine's own unit. `per_mac` says what a multiply–accumulate is
worth in it, so that for every layer, and in total, theirs = per_mac · ours + the sum of the differences.

The JSON document of a `CrossCheck` (schema 1), every count an integer:

    {"schema": 1, "document": "crosscheck",
     "subject": {"name", "spec", "source", "type"},
     "agrees": bool,
     "complete": bool,
     "macs": cnnstat's own total, a lower bound where it is not complete,
     "uncounted": [{"op", "layer", "count"}],
     "opinions": [{"engine", "version", "unit", "per_mac", "how", "failure", "agrees",
                   "ours", "theirs", "agreed",
                   "differences": [{"kind", "op", "amount", "layers", "text"}],
                   "layers": [{"path", "type", "ours", "theirs",
                               "differences": [{"kind", "op", "amount", "text"}]}],
                   "notes": [TEXT]}],
     "notes": [TEXT],
     "meta": {...}}

`ours` is in MACs, `theirs`, `agreed` and `amount` in the engine's unit. An opinion with a `failure` has
no layers and no differences. Layers where both count nothing are left out. `uncounted` are the operations
that cnnstat itself has no rule for: while there is one, nobody knows the whole, and nothing agrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnstat.record import OpCall
from cnnstat.report import Report

if TYPE_CHECKING:
    import pandas

SCHEMA = 1
"""Version of the JSON form. Raised when a field changes its meaning or goes."""

CONVENTION = "convention"
COUNTED_AS_ZERO = "counted as zero"
ERROR = "error"
ATTRIBUTION = "attribution"
UNEXPLAINED = "unexplained"

KINDS = (CONVENTION, COUNTED_AS_ZERO, ERROR, ATTRIBUTION, UNEXPLAINED)
"""What a difference may be.

convention        the engine counts more than multiply–accumulates, and says so
counted as zero   an operation for which it has no formula
error             its formula is wrong, and gives exactly the number that it says
attribution       the same operation, counted in another layer
unexplained       none of these
"""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one engine counts, or why it does not."""

    engine: str
    """`"fvcore"`, `"flop-counter"`."""
    title: str
    """What it calls itself: `"fvcore.nn.FlopCountAnalysis"`."""
    version: str
    """Version of the package that it is in: `"fvcore 0.1.5"`."""
    unit: str
    """What it counts: `"fvcore flops"`, `"FLOPs"`."""
    per_mac: int
    """What a multiply–accumulate is worth in that unit."""
    total: int = 0
    """Its own total."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """For each layer, what it counts there for each operation, without the layers below."""
    unknown: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """For each layer, how often it met operations that it has no formula for."""
    unknown_calls: Mapping[str, tuple[OpCall, ...]] = field(default_factory=dict)
    """The same operations with their shapes, where these could be recorded."""
    how: str = ""
    """What it was run on: `"meta"` (without weights) or `"cpu"`."""
    failure: str = ""
    """Why there is no opinion; `""`: there is one."""
    notes: tuple[str, ...] = ()
    """What its reader should know."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One reason why a layer's number is another one."""

    path: str
    """The layer."""
    kind: str
    """One of `KINDS`."""
    op: str
    """The operation, in the engine's own words where it has some: `"batch_norm"`."""
    amount: int
    """What the engine counts more than cnnstat (less: negative), in its unit."""
    text: str
    """Why, in one sentence that is the same for every layer with this reason."""


@dataclass(frozen=True, slots=True)
class LayerCheck:
    """One layer's own operations, seen by both."""

    path: str
    """Dotted path; the root is `""`."""
    type: str
    """Class name; `""` where cnnstat knows no such layer."""
    ours: int
    """MACs."""
    theirs: int
    """In the engine's unit."""
    differences: tuple[Difference, ...] = ()
    """Reasons that add up to theirs − per_mac · ours."""
    uncounted: tuple[str, ...] = ()
    """Operations that cnnstat has no rule for: `ours` is a lower bound while there is one."""


@dataclass(frozen=True, slots=True)
class Reason:
    """All differences of one kind for one operation."""

    kind: str
    """One of `KINDS`."""
    op: str
    """The operation."""
    text: str
    """Why."""
    amount: int
    """Sum of the amounts."""
    layers: tuple[str, ...]
    """Paths of the layers that have it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One opinion beside the report."""

    opinion: Opinion
    """What the engine says."""
    layers: tuple[LayerCheck, ...] = ()
    """Every layer where either counts something, in definition order."""

    @property
    def ours(self) -> int:
        """cnnstat's MACs."""
        return sum(layer.ours for layer in self.layers)

    @property
    def theirs(self) -> int:
        """The engine's total in its unit, as its layers add up."""
        return sum(layer.theirs for layer in self.layers)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Those of all layers."""
        return tuple(item for layer in self.layers for item in layer.differences)

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        """Those without a reason."""
        return tuple(item for item in self.differences if item.kind == UNEXPLAINED)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Operations that cnnstat has no rule for, in whatever layer."""
        return tuple(dict.fromkeys(op for layer in self.layers for op in layer.uncounted))

    @property
    def explained(self) -> bool:
        """Whether there is an opinion, and every difference has a reason."""
        return not self.opinion.failure and not self.unexplained

    @property
    def agrees(self) -> bool:
        """Whether the opinion confirms cnnstat's total: it is explained, and cnnstat knows the whole."""
        return self.explained and not self.uncounted

    @property
    def agreed(self) -> int:
        """What both count, in the engine's unit: ours without what the engine leaves out."""
        left_out = (COUNTED_AS_ZERO, ERROR, UNEXPLAINED)
        short = sum(min(item.amount, 0) for item in self.differences if item.kind in left_out)
        return self.opinion.per_mac * self.ours + short

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The differences by kind and operation, kinds in their order and the largest first."""
        grouped: dict[tuple[str, str, str], list[Difference]] = {}
        for item in self.differences:
            grouped.setdefault((item.kind, item.op, item.text), []).append(item)
        reasons = (
            Reason(
                kind,
                op,
                text,
                amount=sum(item.amount for item in items),
                layers=tuple(dict.fromkeys(item.path for item in items)),
            )
            for (kind, op, text), items in grouped.items()
        )
        return tuple(sorted(reasons, key=lambda r: (KINDS.index(r.kind), -abs(r.amount), r.op)))


@dataclass(frozen=True)
class CrossCheck:
    """A report beside the opinions of other engines."""

    report: Report
    """What cnnstat counts."""
    checks: tuple[Check, ...]
    """One for each engine, in the order in which they were asked."""

    @property
    def subject(self) -> Mapping[str, Any]:
        """`name`, `spec`, `source`, `type`: what was measured."""
        return self.report.subject

    @property
    def opinions(self) -> tuple[Opinion, ...]:
        """What the engines say."""
        return tuple(check.opinion for check in self.checks)

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        """Differences without a reason, of all engines."""
        return tuple(item for check in self.checks for item in check.unexplained)

    @property
    def agrees(self) -> bool:
        """Whether every engine gave an opinion, every difference has a reason, and nothing is uncounted."""
        return self.report.complete and all(check.agrees for check in self.checks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What holds for all opinions."""
        shared = [
            "Multiply–accumulates are compared. What cnnstat counts besides (additions, activations, "
            "softmax, …) the other engines count by their convention or not at all."
        ]
        if self.report.uncounted:
            ops = ", ".join(dict.fromkeys(item.op for item in self.report.uncounted))
            shared.append(
                f"cnnstat has no rule for {ops}: its own total is a lower bound, which no other engine "
                "can confirm. Where one counts them, that is unexplained."
            )
        shared += [note.text for note in self.report.notes if note.kind == "left"]
        return tuple(shared)

    def check(self, engine: str) -> Check:
        """The check of that engine. Raises `KeyError`."""
        for check in self.checks:
            if check.opinion.engine == engine:
                return check
        raise KeyError(f"no opinion of {engine!r}")

    def to_dict(self) -> dict[str, Any]:
        """The JSON document (schema 1) as plain values."""
        return {
            "schema": SCHEMA,
            "document": "crosscheck",
            "subject": dict(self.subject),
            "agrees": self.agrees,
            "complete": self.report.complete,
            "macs": self.report.totals.macs,
            "uncounted": [
                {"op": x.op, "layer": x.layer, "count": x.count} for x in self.report.uncounted
            ],
            "opinions": [_check_to_dict(check) for check in self.checks],
            "notes": list(self.notes),
            "meta": dict(self.report.meta),
        }

    def to_frame(self) -> pandas.DataFrame:
        """One row per engine, layer and difference; a layer that agrees has one row without a kind.

        Columns: engine, path, type, ours, theirs, kind, op, amount, text (pandas is imported here). What
        cnnstat has no rule for is `uncounted`, without an amount; it ends the list as engine `cnnstat`.
        """
        import pandas

        frame = pandas.DataFrame(list(self.records()), columns=RECORD_KEYS)
        # Integers, also where some are missing.
        return frame.astype({"theirs": "Int64", "amount": "Int64"})

    def records(self) -> Iterable[dict[str, object]]:
        """The rows of `to_frame`."""
        rows: list[tuple[object, ...]] = []
        for check in self.checks:
            for layer in check.layers:
                numbers = (check.opinion.engine, layer.path, layer.type, layer.ours, layer.theirs)
                rows += [(*numbers, d.kind, d.op, d.amount, d.text) for d in layer.differences]
                rows += [(*numbers, "uncounted", op, None, "") for op in layer.uncounted]
                if not layer.differences and not layer.uncounted:
                    rows.append((*numbers, "", "", 0, ""))
        layers = {layer.path: (layer.type, layer.macs) for layer in self.report.layers}
        for item in self.report.uncounted:
            place = (item.layer, *layers.get(item.layer, ("", 0)))
            rows.append(
                ("cnnstat", *place, None, "uncounted", item.op, None, f"calls: {item.count}")
            )
        return (dict(zip(RECORD_KEYS, row, strict=True)) for row in rows)


RECORD_KEYS = ["engine", "path", "type", "ours", "theirs", "kind", "op", "amount", "text"]


def _check_to_dict(check: Check) -> dict[str, Any]:
    opinion = check.opinion
    return {
        "engine": opinion.engine,
        "version": opinion.version,
        "unit": opinion.unit,
        "per_mac": opinion.per_mac,
        "how": opinion.how,
        "failure": opinion.failure,
        "agrees": check.agrees,
        "ours": check.ours,
        "theirs": check.theirs,
        "agreed": check.agreed,
        "differences": [
            {
                "kind": reason.kind,
                "op": reason.op,
                "amount": reason.amount,
                "layers": len(reason.layers),
                "text": reason.text,
            }
            for reason in check.reasons
        ],
        "layers": [
            {
                "path": layer.path,
                "type": layer.type,
                "ours": layer.ours,
                "theirs": layer.theirs,
                "differences": [
                    {"kind": d.kind, "op": d.op, "amount": d.amount, "text": d.text}
                    for d in layer.differences
                ],
            }
            for layer in check.layers
        ],
        "notes": list(opinion.notes),
    }
