"""The knapsack over the children of one node: tables [own groups, children of the rest] after 0, 1, 2 … children.

Each child either brings groups of its own, at a cost by their number, or joins the rest with so many children. `closed`
says what any number of groups costs at the end; `undo` how it came about. Children that are all alike and bring just
one (classes) need one diagonal per step instead of a whole table: a group of 5,000 classes takes megabytes, not
terabytes. Both do the same additions in the same order, so that ties fall alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Table: TypeAlias = NDArray[np.float64]
Part: TypeAlias = tuple[Table, Table]  # of one child: cost by number of own groups, and of children in the rest
LARGE = 2**27  # bytes of tables; where they may be more, not all are kept for the way back


class Knapsack(Protocol):
    """The tables of one node's children."""

    def closed(self, rest_cost: Table) -> tuple[Table, NDArray[np.int64]]:
        """Cost by number of groups, and per number the children of its rest (0: no rest).

        A rest with two or more children is one more group; `rest_cost` is what it costs by its children.
        """
        ...

    def undo(self, groups: int, rest: int) -> list[tuple[int, int]]:
        """Of each child how many groups it brought, and how many children to the rest (one of the two is 0).

        Asked of `Tables` that were made with `trace`.
        """
        ...


class Tables:
    """`count` children of any kind, `part(i)` of the i-th; up to `cap` own groups and `cap` children of the rest.

    Only the last table is kept, or with `trace` every one, or of many large ones every √count-th, from which `undo`
    finds those between.
    """

    def __init__(self, count: int, part: Callable[[int], Part], cap: int, *, trace: bool = False) -> None:
        self._count, self._part, self._cap = count, part, cap
        many = 8 * count * (cap + 1) ** 2 > LARGE
        self._stride = 0 if not trace else math.isqrt(count) if many else 1
        self._kept: dict[int, Table] = {}
        self._last = self._run(np.zeros((1, 1)), 0, count, self._kept, self._stride)

    def _run(self, table: Table, first: int, end: int, kept: dict[int, Table], stride: int) -> Table:
        """The table after `end` children from that after `first`; those after every `stride` go to `kept`."""
        for i in range(first, end):
            if stride and i % stride == 0:
                kept[i] = table
            table = _step(table, *self._part(i), self._cap)
        return table

    def closed(self, rest_cost: Table) -> tuple[Table, NDArray[np.int64]]:
        return _close_rest(self._last, rest_cost)

    def undo(self, groups: int, rest: int) -> list[tuple[int, int]]:
        brought: list[tuple[int, int]] = []
        between: dict[int, Table] = {}
        target = self._last[groups, rest]
        for i in range(self._count - 1, -1, -1):
            first = i - i % self._stride
            if i not in between:
                between.clear()
                self._run(self._kept[first], first, i + 1, between, 1)
            old = between[i]
            alone, joined = self._part(i)
            if (count := _find(old, alone, groups, rest, target, axis=0)) is not None:
                brought.append((count, 0))
                groups -= count
            else:
                count = _find(old, joined, groups, rest, target, axis=1)
                assert count is not None
                brought.append((0, count))
                rest -= count
            target = old[groups, rest]
        assert groups == rest == 0
        return brought[::-1]


class Alike:
    """`count` children that bring one group of their own, at the cost `alone`, or one child of the rest (`joined`).

    After t of them own groups and children of the rest sum to t, so that a table is its diagonal.
    """

    def __init__(self, count: int, alone: float, joined: float) -> None:
        self._count, self._alone, self._joined = count, alone, joined
        self._choices: list[NDArray[np.uint8]] | None = None
        self._closed: tuple[Table, Table, NDArray[np.int64]] | None = None  # for the rest's costs that come first
        self._last = self._run(None)

    def _run(self, choices: list[NDArray[np.uint8]] | None) -> Table:
        """The last diagonal, by number of own groups; `choices` gets a bit for each: the last child joined the rest."""
        row = np.zeros(1)
        for count in range(1, self._count + 1):
            new = np.full(count + 1, np.inf)
            new[1:] = row + self._alone
            came = row + self._joined
            if choices is not None:
                choices.append(np.packbits(np.append(new[:-1] > came, False)))
            np.minimum(new[:-1], came, out=new[:-1])
            row = new
        return row

    def closed(self, rest_cost: Table) -> tuple[Table, NDArray[np.int64]]:
        if self._closed is None or self._closed[0] is not rest_cost:
            self._closed = rest_cost, *self._close(rest_cost)
        return self._closed[1].copy(), self._closed[2]

    def _close(self, rest_cost: Table) -> tuple[Table, NDArray[np.int64]]:
        count = self._count
        table = np.full(count + 2, np.inf)
        rests = np.zeros(count + 2, dtype=np.int64)
        table[count] = self._last[count]
        counts = np.arange(1, max(count - 1, 1))  # none alone: that is the whole node, which is counted as itself
        costs = self._last[counts] + rest_cost[count - counts]
        better = costs < table[counts + 1]
        table[counts[better] + 1] = costs[better]
        rests[counts[better] + 1] = count - counts[better]
        return table, rests

    def undo(self, groups: int, rest: int) -> list[tuple[int, int]]:
        if self._choices is None:
            self._choices = []
            self._run(self._choices)
        brought = []
        for joined in reversed(self._choices):
            together = bool(joined[groups >> 3] >> (7 - (groups & 7)) & 1)
            brought.append((0, 1) if together else (1, 0))
            groups, rest = (groups, rest - 1) if together else (groups - 1, rest)
        assert groups == rest == 0
        return brought[::-1]


def _close_rest(last: Table, rest_cost: Table) -> tuple[Table, NDArray[np.int64]]:
    """Turn [own groups, children of the rest] into [groups]; see `Knapsack.closed`."""
    rows, columns = last.shape
    table = np.full(rows + 1, np.inf)
    rests = np.zeros(rows + 1, dtype=np.int64)
    table[:rows] = last[:, 0]
    table[0] = np.inf
    if columns > 2:
        closed = last[:, 2:] + rest_cost[2:columns]
        chosen = np.argmin(closed, axis=1)
        costs = closed[np.arange(rows), chosen]
        better = costs < table[1:]
        better[0] = False  # all in the rest is the whole node, which is counted as itself
        table[1:][better] = costs[better]
        rests[1:][better] = chosen[better] + 2
    return table, rests


def _step(old: Table, alone: Table, joined: Table, cap: int) -> Table:
    """One more child."""
    rows = min(old.shape[0] + len(alone) - 1, cap + 1)
    columns = min(old.shape[1] + len(joined) - 1, cap + 1)
    new = np.full((rows, columns), np.inf)
    for count in np.flatnonzero(np.isfinite(alone)):
        part = old[: max(rows - count, 0), :columns]
        target = new[count : count + part.shape[0], : part.shape[1]]
        np.minimum(target, part + alone[count], out=target)
    for count in np.flatnonzero(np.isfinite(joined)):
        part = old[:rows, : max(columns - count, 0)]
        target = new[: part.shape[0], count : count + part.shape[1]]
        np.minimum(target, part + joined[count], out=target)
    return new


def _find(old: Table, part: Table, groups: int, rest: int, target: float, axis: int) -> int | None:
    """The number that a child brought, if `target` was reached through it."""
    limit = (groups, rest)[axis]
    for count in range(min(len(part) - 1, limit) + 1):
        row, column = (groups - count, rest) if axis == 0 else (groups, rest - count)
        inside = row < old.shape[0] and column < old.shape[1]
        if inside and np.isfinite(part[count]) and old[row, column] + part[count] == target:
            return count
    return None
