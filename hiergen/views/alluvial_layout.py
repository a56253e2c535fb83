"""Where the groups of several nestings stand when they are drawn side by side: few crossings, everything in px."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hiergen.taxonomy.nesting import Nesting

SWEEPS = 8
GAP, OUTER_GAP = 1.5, 6.0  # px between groups of the finest, and of the coarsest level


@dataclass(frozen=True)
class Column:
    """One nesting drawn: `order` are its finest groups from top to bottom, `top` and `bottom` the edges of each group
    of each level in px (by level, then group); `height` is the whole."""

    order: tuple[int, ...]
    top: tuple[NDArray[np.float64], ...]
    bottom: tuple[NDArray[np.float64], ...]
    height: float


@dataclass(frozen=True)
class Ribbon:
    """Classes that go from one finest group to another, all of one colour; edges in px on both sides."""

    before: int
    after: int
    colour: int
    classes: tuple[int, ...]
    left: tuple[float, float]
    right: tuple[float, float]


def finest(nesting: Nesting) -> NDArray[np.int64]:
    """The finest group of each class; all in one for a PHL."""
    return np.array(nesting.levels[-1].of) if nesting.levels else np.zeros(len(nesting.classes), dtype=np.int64)


def columns(nestings: Sequence[Nesting], row: float) -> list[Column]:
    """Groups ordered so that ribbons between neighbours are short, every class `row` px high.

    Each nesting is sorted by where its classes stand in its neighbour (barycentre heuristic of Sugiyama, Tagawa & Toda
    1981, kept within the tree), to and fro; the order with the least sum of shifts is taken.
    """
    keys = [np.arange(len(nestings[0].classes), dtype=np.float64)] * len(nestings)
    orders = [_ordered(g, key) for g, key in zip(nestings, keys, strict=True)]
    best, least = list(orders), _shifts(nestings, orders)
    for sweep in range(SWEEPS):
        forth = range(1, len(nestings)) if sweep % 2 == 0 else range(len(nestings) - 2, -1, -1)
        for i in forth:
            neighbour = i - 1 if sweep % 2 == 0 else i + 1
            orders[i] = _ordered(nestings[i], _places(nestings[neighbour], orders[neighbour]))
        if (shift := _shifts(nestings, orders)) < least - 1e-9:
            best, least = list(orders), shift
    return [_column(g, order, row) for g, order in zip(nestings, best, strict=True)]


def class_rows(
    nesting: Nesting, column: Column, other: Nesting, across: Column, colour: NDArray[np.int64], row: float
) -> NDArray[np.float64]:
    """Top of each class `(n,)` on the edge towards another nesting: within a group by where they go, then by colour."""
    of, there = finest(nesting), finest(other)
    rank = np.empty(len(across.order), dtype=np.int64)
    rank[list(across.order)] = np.arange(len(across.order))
    tops = column.top[-1] if nesting.levels else np.zeros(1)
    order = np.lexsort((np.arange(len(of)), colour, rank[there], of))
    rows = np.empty(len(of))
    start = np.searchsorted(of[order], np.arange(len(tops)))
    rows[order] = tops[of[order]] + (np.arange(len(of)) - start[of[order]]) * row
    return rows


def ribbons(
    a: Nesting,
    b: Nesting,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    colour: NDArray[np.int64],
    row: float,
) -> list[Ribbon]:
    """Bundles between two neighbours, given the tops of the classes on both edges; wide ones first."""
    bundles: dict[tuple[int, int, int], list[int]] = {}
    for c, key in enumerate(zip(finest(a).tolist(), finest(b).tolist(), colour.tolist(), strict=True)):
        bundles.setdefault(key, []).append(c)
    bands = [
        Ribbon(*key, tuple(cs), *((float(edge[cs[0]]), float(edge[cs[0]]) + len(cs) * row) for edge in (left, right)))
        for key, cs in bundles.items()
    ]
    return sorted(bands, key=lambda r: (-len(r.classes), r.before, r.after, r.colour))


def _ordered(nesting: Nesting, key: NDArray[np.float64]) -> tuple[int, ...]:
    """The finest groups, siblings together, each level sorted by its classes' mean key."""
    if not nesting.levels:
        return (0,)
    means = []
    for level in nesting.levels:
        of = np.array(level.of)
        means.append(np.bincount(of, key) / np.bincount(of))
    paths = {}
    for c in range(len(nesting.classes)):
        path = [level.of[c] for level in nesting.levels]
        paths[path[-1]] = tuple((float(means[j][group]), group) for j, group in enumerate(path))
    return tuple(sorted(paths, key=paths.__getitem__))


def _places(nesting: Nesting, order: Sequence[int]) -> NDArray[np.float64]:
    """The middle of each class's finest group, in classes from the top."""
    of = finest(nesting)
    sizes = np.bincount(of)[list(order)]
    middle = np.empty(len(sizes))
    middle[list(order)] = np.cumsum(sizes) - sizes / 2
    places: NDArray[np.float64] = middle[of]
    return places


def _shifts(nestings: Sequence[Nesting], orders: Sequence[Sequence[int]]) -> float:
    places = [_places(g, order) for g, order in zip(nestings, orders, strict=True)]
    return float(sum(np.abs(a - b).sum() for a, b in pairwise(places)))


def _column(nesting: Nesting, order: tuple[int, ...], row: float) -> Column:
    if not nesting.levels:
        return Column(order, (), (), row * len(nesting.classes))
    members = [level.members for level in nesting.levels]
    top = [np.full(len(groups), np.inf) for groups in members]
    bottom = [np.zeros(len(groups)) for groups in members]
    y, last = 0.0, None
    for group in order:
        some = members[-1][group][0]
        path = [level.of[some] for level in nesting.levels]
        if last is not None:
            y += OUTER_GAP if path[0] != last else GAP
        last = path[0]
        end = y + len(members[-1][group]) * row
        for j, above in enumerate(path):
            top[j][above], bottom[j][above] = min(top[j][above], y), end
        y = end
    return Column(order, tuple(top), tuple(bottom), y)
