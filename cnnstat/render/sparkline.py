"""Bytes over time, and bytes by part, in a line of characters each, without spaces: they wrap nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

_EIGHTHS = "▁▂▃▄▅▆▇█"
_RULE, _START, MARK = "─", "├", "▲"


def columns(count: int, cells: int) -> list[range]:
    """Which of `count` values stand in each cell; at least one, so that few values are drawn wide."""
    return [range(n * count // cells, -(-(n + 1) * count // cells)) for n in range(cells)]


def sparkline(values: Sequence[int], low: int, high: int, cells: int) -> str:
    """The values between `low` and `high`; a cell shows the largest of those in it."""
    if not values:
        return ""
    span = max(high - low, 1)
    drawn = []
    for places in columns(len(values), cells):
        largest = max(values[place] for place in places)
        drawn.append(_EIGHTHS[min(max((largest - low) * 8 // span, 0), 7)])
    return "".join(drawn)


def ruler(phases: Sequence[str], peak: int, cells: int) -> str:
    """What stands below a sparkline: where each phase starts, its name, and a mark at the value `peak`.

    A name that does not fit beside the mark is cut.
    """
    if not phases:
        return ""
    line = [_RULE] * cells
    mark = next(n for n, places in enumerate(columns(len(phases), cells)) if peak in places)
    done = 0
    for name, group in groupby(phases):
        start = done * cells // len(phases)
        done += sum(1 for _ in group)
        end = done * cells // len(phases)
        if start >= end:
            continue
        line[start] = _START
        free = [(start + 1, end)]
        if start <= mark < end:
            free = [(start + 1, mark), (mark + 1, end)]
        first, last = max(free, key=lambda part: (min(part[1] - part[0], len(name)), -part[0]))
        text = name[: max(last - first, 0)]
        line[first : first + len(text)] = text
    line[mark] = MARK
    return "".join(line)


def stacked(parts: Sequence[tuple[str, int]], cells: int) -> str:
    """Bars one after the other, each of its own character; what is there at all has a cell."""
    whole = sum(value for _, value in parts)
    if not whole:
        return ""
    shown = [(character, value) for character, value in parts if value]
    sizes = [max(value * cells // whole, 1) for _, value in shown]
    # What rounding took goes to the largest, where it is least seen.
    sizes[max(range(len(shown)), key=lambda n: shown[n][1])] += cells - sum(sizes)
    return "".join(character * size for (character, _), size in zip(shown, sizes, strict=True))
