"""Which nestings a search may visit: those of one shape, or those with the sizes of one nesting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from random import Random

from hiergen.errors import HiergenError
from hiergen.nestings.search.groups import Labels
from hiergen.nestings.suggest.shape import Shape, shape_of
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
    if same_sizes and shape is not None and shape != shape_of(start):
        raise HiergenError(
            "--same-sizes takes all numbers and sizes of groups from the nesting of the file",
            expected="no other --groups, --min-size or --max-size",
        )
    wanted = shape or shape_of(start)
    if not wanted.counts:
        raise HiergenError(
            "there is nothing to search: one level is the classes themselves",
            place=start.name,
            expected="a nesting of two levels or more, or --groups",
        )
    if same_sizes:
        return Space(n, wanted, tuple(level.of for level in start.levels))
    return Space(n, wanted.checked(n))
