"""Which nestings a search may visit: those of one shape, or those with the sizes of one nesting; and one that can be
changed in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from random import Random

from hiergen.errors import HiergenError
from hiergen.nestings.suggest.shape import Shape
from hiergen.taxonomy.nesting import Nesting


@dataclass(frozen=True)
class Space:
    """Nestings of `n` classes with the groups and sizes of `shape`.

    With `pattern`, the group numbers of one nesting `(levels, n)`, only nestings with its sizes on every level belong,
    and of `shape` only the numbers of groups hold.
    """

    n: int
    shape: Shape
    pattern: tuple[tuple[int, ...], ...] | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """Groups per level, coarse to fine."""
        return self.shape.counts

    @property
    def fixed(self) -> bool:
        """Whether the sizes of all groups are given."""
        return self.pattern is not None

    @cached_property
    def limits(self) -> list[tuple[int, int]]:
        """Fewest and most members of a group of each level: groups of the next level, at the finest level classes."""
        return [(low, high) for _, _, low, high in self.shape.bounds(self.n)]

    def holds(self, labels: Labels) -> bool:
        """Whether a nesting belongs."""
        sizes = [Counter(level) for level in labels]
        if tuple(map(len, sizes)) != self.counts:
            return False
        if self.pattern is not None:
            pairs = zip(sizes, map(Counter, self.pattern), strict=True)
            return all(sorted(a.values()) == sorted(b.values()) for a, b in pairs)
        members = [Counter(a for a, _ in set(zip(*pair, strict=True))) for pair in pairwise(labels)]
        pairs_ = zip([*members, sizes[-1]], self.limits, strict=True)
        return all(low <= many <= high for level, (low, high) in pairs_ for many in level.values())

    def draw(self, rng: Random) -> list[list[int]]:
        """The group numbers of a nesting of the space at random: each has a chance, not all the same one."""
        if self.pattern is not None:
            order = list(range(self.n))
            rng.shuffle(order)
            return [[level[i] for i in order] for level in self.pattern]
        levels: list[list[int]] = []
        for members, count, low, high in reversed(self.shape.bounds(self.n)):
            sizes = [low] * count
            for _ in range(members - low * count):
                sizes[rng.choice([g for g in range(count) if sizes[g] < high])] += 1
            of = [g for g, size in enumerate(sizes) for _ in range(size)]
            rng.shuffle(of)
            levels.insert(0, [of[g] for g in levels[0]] if levels else of)
        return levels


def space_of(start: Nesting, shape: Shape | None = None, *, same_sizes: bool = False) -> Space:
    """The space of a search: `shape`, by default as many groups as `start` has; with `same_sizes` all sizes of `start`.

    Raises HiergenError for a shape that no nesting of these classes has.
    """
    n = len(start.classes)
    same_counts = Shape(start.counts)
    if same_sizes and shape not in (None, same_counts):
        raise HiergenError(
            "--same-sizes takes all numbers and sizes of groups from the nesting of the file",
            expected="no other --groups, --min-size or --max-size",
        )
    wanted = shape or same_counts
    if not wanted.counts:
        raise HiergenError(
            "there is nothing to search: one level is the classes themselves",
            place=start.name,
            expected="a nesting of two levels or more, or --groups",
        )
    if same_sizes:
        return Space(n, wanted, tuple(level.of for level in start.levels))
    return Space(n, wanted.checked(n))


Labels = Sequence[Sequence[int]]  # the group of each class, per level, coarse to fine
Change = tuple[int, int, int]  # level, and the two groups there between which classes go


class MutableNesting:
    """`labels[j][c]`: the group of class c on level j, coarse to fine; `parent[j][g]`: the group of level j - 1 over g.

    `up[j][f]` is the group of level j over group f of the finest level, `size[j][g]` its classes, `children[j][g]` the
    groups of level j + 1 below it (not of the finest level).
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = [list(level) for level in labels]
        counts = [max(level) + 1 for level in labels]
        self.size = [[0] * count for count in counts]
        for size, level in zip(self.size, self.labels, strict=True):
            for g, many in Counter(level).items():
                size[g] = many
        self.last = len(counts) - 1
        self.parent: list[list[int]] = [[]]
        for j in range(1, len(counts)):
            over = dict(zip(self.labels[j], self.labels[j - 1], strict=True))
            self.parent.append([over[g] for g in range(counts[j])])
        self._look_up()

    def _look_up(self) -> None:
        self.up = [list(range(len(self.size[self.last])))]
        for j in range(self.last, 0, -1):
            self.up.insert(0, [self.parent[j][g] for g in self.up[0]])
        self.children = [[0] * len(size) for size in self.size[:-1]]
        for j in range(1, self.last + 1):
            for g in self.parent[j]:
                self.children[j - 1][g] += 1

    def between(self, a: int, b: int) -> list[Change]:
        """The levels that see a class go from finest group a to b, with the groups there."""
        return [(j, up[a], up[b]) for j, up in enumerate(self.up) if up[a] != up[b]]

    def above(self, level: int, g: int, other: int) -> list[Change]:
        """The levels over `level` that see group g of it go from its parent to `other`, a group of level - 1."""
        changes, a, b = [], self.parent[level][g], other
        for j in range(level - 1, -1, -1):
            if a == b:
                break
            changes.append((j, a, b))
            if j:
                a, b = self.parent[j][a], self.parent[j][b]
        return changes

    def members(self, level: int, g: int) -> list[int]:
        """Ascending class indices."""
        return [c for c, group in enumerate(self.labels[level]) if group == g]

    def carry(self, xs: Sequence[int], ys: Sequence[int], changes: Sequence[Change]) -> None:
        """Classes `xs` go from the first to the second group of each change, `ys` the other way."""
        for j, a, b in changes:
            labels, size, more = self.labels[j], self.size[j], len(xs) - len(ys)
            for c in xs:
                labels[c] = b
            for c in ys:
                labels[c] = a
            size[a] -= more
            size[b] += more

    def hang(self, level: int, g: int, other: int) -> None:
        """Group g of a level below another group of level - 1 (labels and sizes are `carry`'s)."""
        self.parent[level][g] = other
        self._look_up()

    def copy_labels(self) -> list[list[int]]:
        """Group numbers, which can be kept."""
        return [list(level) for level in self.labels]
