"""The best alignment of two sequences of layers by what they are, whatever they are called.

Like pairs score, and each run of layers that only one sequence has costs once, however long it is: so an
added block stays in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Signature = tuple[Any, ...]
"""What a layer is: kind, class, kernel, output, input, and then whatever else makes it what it is."""

Step = tuple[int | None, int | None]
"""Positions of two layers that belong together, or of one that is alone."""

RUN_COST = 3
"""What a run of added or of removed layers costs."""

_NEVER = -(10**9)


def similarity(one: Signature, two: Signature) -> int | None:
    """How alike two layers are, from 2 to 10; `None`: not alike, they are never paired."""
    if one == two:
        return 10
    kind, type, kernel, output, into = (a == b for a, b in zip(one[:5], two[:5], strict=True))
    if not (kind or type):
        return None
    return int(3 * kind + 2 * type + kernel + 2 * output + into)


Alike = Callable[[Signature, Signature], int | None]
"""How alike two elements of a sequence are; most where they are equal, and `None`: never paired."""


def best_alignment(
    one: Sequence[Signature], two: Sequence[Signature], alike: Alike = similarity
) -> list[Step]:
    """Positions that correspond, in order, so that what pairs score less `RUN_COST` a run is most."""
    # Equal ends belong together: no pair scores more, and a run at the end only becomes shorter.
    shorter = min(len(one), len(two))
    head = next((k for k in range(shorter) if one[k] != two[k]), shorter)
    left = shorter - head
    tail = next((k for k in range(left) if one[-1 - k] != two[-1 - k]), left)
    ends = zip(range(len(one) - tail, len(one)), range(len(two) - tail, len(two)), strict=True)
    middle = [
        (None if i is None else head + i, None if j is None else head + j)
        for i, j in _gotoh(one[head : len(one) - tail], two[head : len(two) - tail], alike)
    ]
    steps = [*((k, k) for k in range(head)), *middle, *ends]
    return _late(_late(steps, one, 0), two, 1)


def anchored_alignment(
    one: Sequence[Signature],
    two: Sequence[Signature],
    anchors: Iterable[tuple[int, int]],
    alike: Alike = similarity,
) -> list[Step]:
    """`best_alignment` of what lies between pairs that are given, in order."""
    steps: list[Step] = []
    start, begin = 0, 0
    for n, m in [*anchors, (len(one), len(two))]:
        for i, j in best_alignment(one[start:n], two[begin:m], alike):
            steps.append((None if i is None else start + i, None if j is None else begin + j))
        if n < len(one):
            steps.append((n, m))
        start, begin = n + 1, m + 1
    return steps


def worth(
    steps: Iterable[Step],
    one: Sequence[Signature],
    two: Sequence[Signature],
    alike: Alike = similarity,
) -> int:
    """What an alignment scores; less than any other where it pairs what is not alike."""
    total, last = 0, 0
    for i, j in steps:
        if i is not None and j is not None:
            score = alike(one[i], two[j])
            total, last = total + (_NEVER if score is None else score), 0
            continue
        side = 1 if j is None else 2
        total, last = total - (RUN_COST if side != last else 0), side
    return total


def _late(steps: list[Step], layers: Sequence[Signature], side: int) -> list[Step]:
    """Of equally good places a run takes the last: `conv relu`, added after its like, stays together."""
    made: list[Step] = []
    run: list[int] = []  # positions of the run that is still to be placed
    for step in steps:
        place, other = step[side], step[1 - side]
        if place is not None and other is None:
            run.append(place)
            continue
        if run and place is not None and layers[run[0]] == layers[place]:
            # What stood after the run is its first layer again: that one takes its place.
            run.append(place)
            step = _step(run.pop(0), other, side)
        else:
            made += [_step(position, None, side) for position in run]
            run = []
        made.append(step)
    return [*made, *(_step(position, None, side) for position in run)]


def _step(place: int, other: int | None, side: int) -> Step:
    return (other, place) if side else (place, other)


_PAIR, _ONE, _TWO, _ONE_GOES_ON, _TWO_GOES_ON = 1, 2, 4, 8, 16


def _gotoh(one: Sequence[Signature], two: Sequence[Signature], like: Alike) -> list[Step]:
    """Global alignment with a cost for each run (Gotoh 1982, with an extension that costs nothing)."""
    if not one or not two:
        return [*((i, None) for i in range(len(one))), *((None, j) for j in range(len(two)))]
    scores, columns = _scores(one, two, like)
    length = len(two)
    # Best score of what is done so far; the same where it ends in a removed layer.
    best = [0] + [-RUN_COST] * length
    removed = [_NEVER] * (length + 1)
    steps = [bytearray([_TWO | _TWO_GOES_ON] * (length + 1))]
    for i in range(len(one)):
        row = scores[i]
        step = bytearray(length + 1)
        step[0] = _ONE | _ONE_GOES_ON
        diagonal, best[0] = best[0], -RUN_COST
        left, added = -RUN_COST, _NEVER
        for j in range(1, length + 1):
            above, mark = best[j], 0
            remove, start = removed[j], above - RUN_COST
            if remove >= start:
                mark = _ONE_GOES_ON
            else:
                remove = start
            removed[j] = remove
            start = left - RUN_COST
            if added >= start:
                mark |= _TWO_GOES_ON
            else:
                added = start
            score = diagonal + row[columns[j - 1]]
            if score >= remove and score >= added:
                mark |= _PAIR
            elif added >= remove:
                score, mark = added, mark | _TWO
            else:
                score, mark = remove, mark | _ONE
            step[j] = mark
            diagonal, best[j], left = above, score, score
        steps.append(step)
    return _walk_back(steps, len(one), length)


def _scores(
    one: Sequence[Signature], two: Sequence[Signature], like: Alike
) -> tuple[list[list[int]], list[int]]:
    """For each layer of the one its score with each distinct layer of the other, and which those are."""
    numbers: dict[Signature, int] = {}
    columns = [numbers.setdefault(key, len(numbers)) for key in two]
    rows: dict[Signature, list[int]] = {}
    for key in one:
        if key not in rows:
            alike = (like(key, other) for other in numbers)
            rows[key] = [_NEVER if score is None else score for score in alike]
    return [rows[key] for key in one], columns


def _walk_back(steps: list[bytearray], i: int, j: int) -> list[Step]:
    found: list[Step] = []
    state = 0  # the run that goes on
    while i or j:
        mark = steps[i][j]
        state = state or mark & (_PAIR | _ONE | _TWO)
        if state == _PAIR:
            i, j, state = i - 1, j - 1, 0
            found.append((i, j))
        elif state == _ONE:
            i, state = i - 1, _ONE if mark & _ONE_GOES_ON else 0
            found.append((i, None))
        else:
            j, state = j - 1, _TWO if mark & _TWO_GOES_ON else 0
            found.append((None, j))
    return found[::-1]
