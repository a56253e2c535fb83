"""Agglomeration to a shape: one dendrogram, cut where each level has its groups, and exchanges at each cut.

Average linkage (UPGMA): again and again the two groups are joined whose classes are most alike on average, but only
where all the rest can still become the wanted number of groups of allowed sizes. Plain average linkage leaves odd
classes alone to the end, and its cut has many groups of one class; here they join the nearest group that they may.
When the finest level's groups stand, exchanges put right what was joined too early (hiergen.suggest.exchange); then the
same goes on with groups instead of classes, so that the levels nest.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hiergen.partitions.grouping import Grouping, make_grouping
from hiergen.suggest.evidence import Evidence, Floats
from hiergen.suggest.exchange import improve
from hiergen.suggest.shape import Shape

MARGIN = 0.1  # of the spread: a class is ambiguous unless its own group is so much more like it than any other


def agglomerate(
    evidence: Evidence, shape: Shape, classes: Sequence[str], labels: Sequence[str], *, exchange: bool = True
) -> Grouping:
    """The nesting of this shape by average linkage on the evidence's similarity; ties go to the first classes.

    Without `exchange` it is the cut of the dendrogram as it is. Raises SpecError where the shape does not fit the
    number of classes.
    """
    n = len(classes)
    shape.checked(n)
    items = [[i] for i in range(n)]
    levels: list[list[int]] = []
    for _, count, low, high in reversed(shape.bounds(n)):
        groups = join(evidence.similarity, items, count, low, high)
        if exchange:
            groups = _exchanged(evidence.similarity, items, groups, low, high)
        items = groups
        of = [0] * n
        for number, members in enumerate(items):
            for i in members:
                of[i] = number
        levels.append(of)
    return make_grouping(evidence.name, classes, levels[::-1], labels=labels)


def _exchanged(
    similarity: Floats, items: list[list[int]], groups: list[list[int]], low: int, high: int
) -> list[list[int]]:
    alike = similarity.copy()
    np.fill_diagonal(alike, 0)
    home = {i: number for number, group in enumerate(groups) for i in group}
    choose = np.zeros((len(items), len(alike)))
    for row, members in enumerate(items):
        choose[row, members] = 1
    of = np.array([home[members[0]] for members in items])
    of = improve(choose @ alike @ choose.T, choose.sum(axis=1), of, low, high)
    found: list[list[int]] = [[] for _ in groups]
    for row, number in enumerate(of):
        found[number] += items[row]
    return _ordered(found)


def join(similarity: Floats, items: list[list[int]], count: int, low: int, high: int) -> list[list[int]]:
    """Join `items` (lists of classes) to `count` groups of `low` to `high` items each."""
    total = len(items)
    choose = np.zeros((total, len(similarity)))
    for row, members in enumerate(items):
        choose[row, members] = 1 / len(members)
    between = choose @ similarity @ choose.T
    between = (between + between.T) / 2
    between[np.tril_indices(total)] = -np.inf  # only pairs above the diagonal
    weight = np.array([len(members) for members in items], dtype=np.float64)
    size = np.ones(total, dtype=np.int64)
    groups = [list(members) for members in items]
    packing = _Packing(total, count, low, high)
    alive = total
    while alive > count:
        a, b = _closest(between, size, packing)
        packing.join(a, b, size)
        joined = (weight[a] * _row(between, a) + weight[b] * _row(between, b)) / (weight[a] + weight[b])
        _set_row(between, a, joined)
        _set_row(between, b, np.full(total, -np.inf))
        groups[a] += groups[b]
        groups[b] = []
        weight[a] += weight[b]
        size[a] += size[b]
        size[b] = 0
        alive -= 1
    return _ordered(group for group in groups if group)


def _ordered(groups: Iterable[list[int]]) -> list[list[int]]:
    return sorted((sorted(group) for group in groups), key=lambda group: group[0])


def _row(between: Floats, i: int) -> Floats:
    """Similarities of one group to all; -inf at itself and at groups that are gone."""
    return np.concatenate([between[:i, i], between[i, i:]])


def _set_row(between: Floats, i: int, values: Floats) -> None:
    between[:i, i] = values[:i]
    between[i, i + 1 :] = values[i + 1 :]


def _closest(between: Floats, size: NDArray[np.int64], packing: _Packing) -> tuple[int, int]:
    """The most alike pair that may be joined."""
    open_pairs = between
    while True:
        a, b = divmod(int(np.argmax(open_pairs)), len(size))
        if open_pairs[a, b] == -np.inf:
            raise AssertionError("two groups of one bin may always be joined")
        if packing.allows(a, b, size):
            return a, b
        if open_pairs is between:
            open_pairs = between.copy()
        # what holds for these sizes holds for all pairs of them
        some, others = np.flatnonzero(size == size[a]), np.flatnonzero(size == size[b])
        for rows, columns in ((some, others), (others, some)):
            block = np.ix_(rows, columns)
            open_pairs[block] = np.where(packing.together(rows, columns), open_pairs[block], -np.inf)


@dataclass
class _Packing:
    """A proof that the present groups can become `count` groups of allowed sizes: the bin that each would be in.

    Two groups of one bin may always be joined, and as long as there are more groups than bins some bin has two;
    others may be joined where a new packing is found (largest first, each into the emptiest bin).
    """

    total: int
    count: int
    low: int
    high: int

    def __post_init__(self) -> None:
        self._bins = np.arange(self.total) % self.count
        self._known: dict[tuple[int, int], bool] = {}

    def together(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these pairs are in one bin."""
        found: NDArray[np.bool_] = np.equal.outer(self._bins[rows], self._bins[columns])
        return found

    def allows(self, a: int, b: int, size: NDArray[np.int64]) -> bool:
        if self._bins[a] == self._bins[b]:
            return True
        key = (int(min(size[a], size[b])), int(max(size[a], size[b])))
        if key not in self._known:
            self._known[key] = self._packed(self._after(a, b, size)) is not None
        return self._known[key]

    def join(self, a: int, b: int, size: NDArray[np.int64]) -> None:
        """Must come before `size` changes."""
        self._known.clear()
        if self._bins[a] != self._bins[b]:
            packed = self._packed(self._after(a, b, size))
            assert packed is not None
            for i, home in packed.items():
                self._bins[i] = home
        self._bins[b] = -1 - b  # gone: with no other in a bin

    def _after(self, a: int, b: int, size: NDArray[np.int64]) -> dict[int, int]:
        sizes = {int(i): int(size[i]) for i in np.flatnonzero(size)}
        sizes[a] += sizes.pop(b)
        return sizes

    def _packed(self, sizes: dict[int, int]) -> dict[int, int] | None:
        """Group → bin, or None where this way of packing finds nothing."""
        heap = [(0, number) for number in range(self.count)]
        home = {}
        for i in sorted(sizes, key=lambda i: (-sizes[i], i)):
            held, number = heapq.heappop(heap)
            home[i] = number
            heapq.heappush(heap, (held + sizes[i], number))
        return home if all(self.low <= held <= self.high for held, _ in heap) else None


@dataclass(frozen=True)
class Doubt:
    """A class whose own group is hardly more like it than another one of the same level: mean similarities."""

    index: int
    level: int
    other: int
    own_similarity: float
    other_similarity: float


def ambiguous(evidence: Evidence, grouping: Grouping, margin: float = MARGIN) -> list[Doubt]:
    """The classes whose mean similarity to the rest of their finest group is not above that to some other group by
    `margin` times the spread of all similarities; each with its best other group. In the order of the classes."""
    if not grouping.levels:
        return []
    level = grouping.levels[-1]
    of, sizes = level.array(), np.asarray(level.sizes(), dtype=np.float64)
    member = np.zeros((len(of), len(sizes)))
    member[np.arange(len(of)), of] = 1
    similarity = evidence.similarity.copy()
    np.fill_diagonal(similarity, 0)
    sums = similarity @ member
    counts = sizes[None, :] - member
    means = np.divide(sums, counts, out=np.full_like(sums, -np.inf), where=counts > 0)
    found = []
    for i, own in enumerate(of):
        others = means[i].copy()
        others[own] = -np.inf
        best = int(np.argmax(others))
        if len(sizes) > 1 and not means[i, own] > others[best] + margin * evidence.spread:
            doubt = Doubt(i, len(grouping.levels) - 1, best, float(means[i, own]), float(others[best]))
            found.append(doubt)
    return found


def sizes_of(grouping: Grouping) -> list[str]:
    """`5 × 2, 3 × 4` for each level: how many groups of which size, for a summary."""
    found = []
    for level in grouping.levels:
        counts = sorted(Counter(level.sizes()).items())
        found.append(", ".join(f"{count} × {size}" for size, count in counts))
    return found
