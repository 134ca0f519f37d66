"""Operations as JSON values and back: each distinct call once, with how often it ran.

A tensor is written `{"float32": [1, 3, 224, 224]}`, so that a list stays a list of numbers, a sparse one with
its `"nonzeros"`; arguments left
at `None` are not written. Which storage held a tensor is not kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from cnnstat.record import OpCall, TensorSpec

_ITEMSIZES = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32", "complex32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    "complex128": 16,
}
"""Bytes of an element; of any other type, one."""

_MOST = 1_000_000
"""No network runs one operation more often in one layer; a file that says so is damaged."""


def calls_to_list(calls: Iterable[OpCall]) -> list[dict[str, Any]]:
    """`[{"op", "times", "phase", "params", "roles", "args", "outputs"}]`.

    The phase only where it is not forward, parameters and roles where there are any.
    """
    entries: dict[str, dict[str, Any]] = {}
    for call in calls:
        entry: dict[str, Any] = {"op": call.op, "times": 0}
        if call.phase != "forward":
            entry["phase"] = call.phase
        if call.params:
            entry["params"] = dict(call.params)
        if call.roles:
            entry["roles"] = list(call.roles)
        entry["args"] = {k: _value(v) for k, v in call.args.items() if v is not None}
        entry["outputs"] = [_value(spec) for spec in call.outputs]
        entries.setdefault(repr(entry), entry)["times"] += 1
    return list(entries.values())


def calls_from_list(entries: Iterable[Mapping[str, Any]], scope: str) -> tuple[OpCall, ...]:
    """The calls again, as many as there were.

    Raises an `AttributeError`, `LookupError`, `TypeError` or `ValueError` for anything else.
    """
    calls: list[OpCall] = []
    for entry in entries:
        times = entry["times"]
        if type(times) is not int or not 1 <= times <= _MOST:
            raise ValueError(f"an operation ran {times!r} times")
        call = OpCall(
            index=len(calls),
            op=str(entry["op"]),
            scope=scope,
            args={name: _parsed(value) for name, value in entry["args"].items()},
            outputs=tuple(_tensor(value) for value in entry["outputs"]),
            phase=str(entry.get("phase", "forward")),
            params=tuple((str(name), str(path)) for name, path in entry.get("params", {}).items()),
            roles=tuple(map(str, entry.get("roles", ()))),
        )
        calls += [call] * times
    return tuple(calls)


def _value(value: Any) -> Any:
    if isinstance(value, TensorSpec):
        sparse = {} if value.nonzeros is None else {"nonzeros": value.nonzeros}
        return {value.dtype: list(value.shape), **sparse}
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _parsed(value: Any) -> Any:
    if isinstance(value, dict):
        return _tensor(value)
    return tuple(_parsed(item) for item in value) if isinstance(value, list) else value


def _tensor(value: Mapping[str, Any]) -> TensorSpec:
    nonzeros = value.get("nonzeros")
    if nonzeros is not None and (type(nonzeros) is not int or nonzeros < -1):
        raise ValueError(f"{nonzeros!r} is no number of elements")
    ((dtype, shape),) = ((key, item) for key, item in value.items() if key != "nonzeros")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{shape!r} is no shape")
    return TensorSpec(tuple(shape), dtype, _ITEMSIZES.get(dtype, 1), nonzeros=nonzeros)
