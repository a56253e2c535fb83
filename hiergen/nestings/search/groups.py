"""A nesting that can be changed in place: group numbers of the classes, and of the groups, on every level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
