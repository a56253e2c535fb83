"""Which nestings a search may visit: the numbers of groups, and the sizes of the finest ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hiergen.errors import HiergenError
from hiergen.partitions.grouping import Grouping
from hiergen.suggest.search.chance import permutation, uniforms
from hiergen.suggest.search.nest import Nest
from hiergen.suggest.shape import Shape, shape_of

FEWEST = 2  # groups of the next level in a coarser group, as a taxonomy file has it


@dataclass(frozen=True)
class Space:
    """Nestings of `n` classes with `counts` groups per level, coarse to fine.

    Each group of the finest level has `smallest` … `largest` classes, each coarser one `FEWEST` groups below it or
    more. With `pattern`, the group numbers of one nesting `(levels, n)`, only nestings with its sizes on every level
    belong, and the two other rules do not hold.
    """

    n: int
    counts: tuple[int, ...]
    smallest: int
    largest: int
    pattern: tuple[tuple[int, ...], ...] | None = None

    @property
    def fixed(self) -> bool:
        """Whether the sizes of all groups are given."""
        return self.pattern is not None

    def sizes(self, level: int) -> list[int] | None:
        """Descending sizes of the groups of one level, where they are fixed."""
        return sorted(Counter(self.pattern[level]).values(), reverse=True) if self.pattern is not None else None

    def limits(self, level: int) -> tuple[int, int]:
        """Bounds on the classes of a group of this level (the finest level's are reached)."""
        if (sizes := self.sizes(level)) is not None:
            return sizes[-1], sizes[0]
        finest, others = self.counts[-1], self.counts[level] - 1
        held = FEWEST ** (len(self.counts) - 1 - level)  # groups of the finest level in any group here
        most = min((finest - others * held) * self.largest, self.n - others * held * self.smallest)
        return max(held * self.smallest, self.n - (finest - held) * self.largest), most

    def holds(self, labels: Sequence[Sequence[int]]) -> bool:
        """Whether a nesting belongs."""
        found = [Counter(level) for level in labels]
        if tuple(map(len, found)) != self.counts:
            return False
        if self.fixed:
            return all(sorted(c.values(), reverse=True) == self.sizes(j) for j, c in enumerate(found))
        below = [Counter(a for a, _ in set(zip(*pair, strict=True))) for pair in pairwise(labels)]
        return all(self.smallest <= size <= self.largest for size in found[-1].values()) and all(
            many >= FEWEST for level in below for many in level.values()
        )

    def draw(self, key: Sequence[int]) -> Nest:
        """A nesting of the space at random: every one has a chance, not the same one where sizes are free."""
        order = permutation((*key, 0), self.n)
        if self.pattern is not None:
            return Nest([[level[i] for i in order] for level in self.pattern])
        sizes = self._sizes((*key, 1))
        finest = [g for g, size in enumerate(sizes) for _ in range(size)]
        labels = [[finest[i] for i in order]]
        for j in range(len(self.counts) - 2, -1, -1):
            many, few = self.counts[j + 1], self.counts[j]
            place, u = permutation((*key, 2, j), many), uniforms((*key, 3, j), many)
            parent = [place[g] % few if place[g] < FEWEST * few else int(u[g] * few) for g in range(many)]
            labels.insert(0, [parent[g] for g in labels[0]])
        return Nest(labels)

    def _sizes(self, key: Sequence[int]) -> list[int]:
        groups = self.counts[-1]
        sizes, rest = [self.smallest] * groups, self.n - groups * self.smallest
        for u in uniforms(key, rest) if rest else ():
            free = [g for g in range(groups) if sizes[g] < self.largest]
            sizes[free[int(u * len(free))]] += 1
        return sizes


def space_of(start: Grouping, shape: Shape | None = None, *, same_sizes: bool = False) -> Space:
    """The space of a search: `shape`, by default as many groups as `start` has; with `same_sizes` all sizes of `start`.

    Raises HiergenError for a shape that no nesting of these classes has.
    """
    n = len(start.classes)
    if same_sizes:
        if shape is not None and shape != shape_of(start):
            raise HiergenError(
                "--same-sizes takes all numbers and sizes of groups from the nesting of the file",
                expected="no other --groups, --min-size or --max-size",
            )
        _something(start.counts, start.name)
        sizes = start.levels[-1].sizes()
        return Space(n, start.counts, min(sizes), max(sizes), tuple(level.of for level in start.levels))
    wanted = shape or shape_of(start)
    _something(wanted.counts, start.name)
    wanted.checked(n)
    most = n - (wanted.counts[-1] - 1) * wanted.min_size
    return Space(n, wanted.counts, wanted.min_size, min(wanted.largest(n), most))


def _something(counts: tuple[int, ...], name: str) -> None:
    if not counts:
        raise HiergenError(
            "there is nothing to search: one level is the classes themselves",
            place=name,
            expected="a nesting of two levels or more, or --groups",
        )
