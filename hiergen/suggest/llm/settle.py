"""Choices → a nesting of the same shape: every choice sets one parent, so any choices nest; sizes decide the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hiergen.partitions.grouping import Grouping, make_grouping
from hiergen.suggest.llm.votes import Spot
from hiergen.suggest.shape import Shape


@dataclass(frozen=True)
class Settled:
    """`grouping` has the groups of the start under the same names; `of[j][c]` is that of class c at level j, in the
    start's numbers. `reverted`: indices of the spots whose choice would have made a group too small or too large, and
    which stay where they were."""

    grouping: Grouping
    of: tuple[tuple[int, ...], ...]
    reverted: tuple[int, ...]


def settle(
    start: Grouping, spots: Sequence[Spot], choices: Sequence[int], firm: Sequence[bool], shape: Shape
) -> Settled:
    """Move each spot to its chosen group, as far as `shape` allows.

    While a group has too few or too many members, the weakest move out of it, or into it, is taken back: not `firm`
    (answered) before firm, fewest votes first, of equals the last. A group of the start that is outside the bounds
    already may stay as large as it is. The start itself is allowed, so this ends.
    """
    if shape.counts != start.counts:
        raise ValueError(f"a shape of {shape.counts} groups for a nesting of {start.counts}")
    last = len(start.levels) - 1
    parents = [list(start.parents(j + 1)) for j in range(last + 1)]
    allowed = []
    for j, (_, _, low, high) in enumerate(shape.bounds(len(start.classes))):
        sizes = Counter(parents[j])
        allowed.append({group: (min(low, size), max(high, size)) for group, size in sizes.items()})
    moved = {}
    for i, (spot, choice) in enumerate(zip(spots, choices, strict=True)):
        if choice != spot.own:
            parents[spot.level][spot.index] = choice
            moved[i] = choice
    reverted = []
    while (wrong := _first_wrong(parents, allowed)) is not None:
        j, group, few = wrong
        undone = min(
            (i for i in moved if spots[i].level == j and group == (spots[i].own if few else moved[i])),
            key=lambda i: (firm[i], len(spots[i].voters(moved[i])), -i),
        )
        spot = spots[undone]
        parents[j][spot.index] = spot.own
        del moved[undone]
        reverted.append(undone)
    of = [parents[last]]
    for j in range(last - 1, -1, -1):
        of.insert(0, [parents[j][group] for group in of[0]])
    names = [level.names for level in start.levels]
    grouping = make_grouping(start.name, start.classes, of, labels=start.labels, names=names)
    return Settled(grouping, tuple(map(tuple, of)), tuple(sorted(reverted)))


def _first_wrong(
    parents: Sequence[Sequence[int]], allowed: Sequence[dict[int, tuple[int, int]]]
) -> tuple[int, int, bool] | None:
    """(level, group, whether it has too few members rather than too many)."""
    for j, of in enumerate(parents):
        sizes = Counter(of)
        for group, (low, high) in allowed[j].items():
            if not low <= sizes[group] <= high:
                return j, group, sizes[group] < low
    return None
