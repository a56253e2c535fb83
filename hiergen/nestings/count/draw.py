"""Drawing from the tables: the same recursion as counting, with a die thrown wherever it adds up.

A set of children is nested by choosing the block of its first element, with the probability that the counts give it,
then the next one's, and then by nesting each block one level further down (Nijenhuis & Wilf 1978; Flajolet, Zimmermann
& Van Cutsem 1994). All weights are integers, so every nesting has exactly the same probability.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, factorial, prod

from hiergen.nestings.count.problem import TreeItem
from hiergen.nestings.count.tables import CountTables, Key, Series, SeriesLayout, whole

Members = list[list[int]]  # of each kind, the items that are left


@dataclass(frozen=True)
class _Task:
    """Nest these children of an item on levels `level` and below, with so many groups of each tracked level."""

    level: int
    item: int
    members: Members
    groups: Key


class Drawer:
    """Draws nestings from tables, any number of them."""

    def __init__(self, tables: CountTables, rng: random.Random) -> None:
        self.tables, self.rng = tables, rng
        self.blocks: dict[tuple[int, int], list[tuple[Key, int]]] = {}
        self.ways: dict[tuple[int, int], dict[Key, int]] = {}

    def draw(self, groups: Key, classes: int) -> list[list[int]]:
        """The group of each class on each level, coarse to fine, with so many groups of each tracked level."""
        levels, items = len(self.tables.levels), self.tables.problem.items
        labels = [[-1] * classes for _ in range(levels)]
        used = [0] * levels

        def grouped(level: int, below: Iterable[int]) -> None:
            for c in below:
                labels[level][c] = used[level]
            used[level] += 1

        stack = [_Task(0, 0, [list(kind.members) for kind in items[0].kinds], groups)]
        while stack:
            task = stack.pop()
            if task.level == levels:
                continue
            for block, part in self._split(task):
                chosen = [v for members in block for v in members]
                item = items[chosen[0]]
                if len(chosen) > 1:
                    grouped(task.level, self._classes(chosen))
                    stack.append(_Task(task.level + 1, task.item, block, self._less(part, task.level)))
                elif item.kinds:
                    stack.append(_Task(task.level, chosen[0], [list(kind.members) for kind in item.kinds], part))
                else:
                    for level in range(task.level, levels):
                        grouped(level, item.classes)
        return labels

    def _less(self, groups: Key, level: int) -> Key:
        return tuple(g - (tracked == level) for g, tracked in zip(groups, self.tables.tracked, strict=True))

    def _classes(self, chosen: Sequence[int]) -> list[int]:
        stack, classes = list(chosen), list[int]()
        while stack:
            item = self.tables.problem.items[stack.pop()]
            classes += item.classes
            stack += [v for kind in item.kinds for v in kind.members]
        return classes

    def _split(self, task: _Task) -> list[tuple[Members, Key]]:
        """The blocks that the children fall into on this level, and the groups of the tracked levels in each."""
        item = self.tables.problem.items[task.item]
        left, groups = task.members, task.groups
        blocks: list[tuple[Members, Key]] = []
        while any(left):
            block = self._first_block(item, task.level, (*map(len, left), *groups))
            lead = next(t for t, members in enumerate(left) if members)
            chosen = []
            for t, members in enumerate(left):
                inside = [members[0]] if t == lead else []
                rest = members[1:] if t == lead else list(members)
                for _ in range(block[t] - len(inside)):
                    inside.append(rest.pop(self.rng.randrange(len(rest))))
                rest.sort()
                chosen.append(sorted(inside))
                left = [*left[:t], rest, *left[t + 1 :]]
            blocks.append((chosen, block[len(left) :]))
            groups = tuple(a - b for a, b in zip(groups, block[len(left) :], strict=True))
        return blocks

    def _first_block(self, item: TreeItem, level: int, key: Key) -> Key:
        """The exponents of the block of the first element of what `key` counts."""
        kinds = len(item.kinds)
        lead = next(t for t in range(kinds) if key[t])
        ways = self._ways(item.shape, level)
        left = self.rng.randrange(ways[key])
        for block, number in self._blocks(item.shape, level):
            if not block[lead] or any(b > a for a, b in zip(key, block, strict=True)):
                continue
            rest = ways.get(tuple(a - b for a, b in zip(key, block, strict=True)))
            if rest is None:
                continue
            choices = (comb(key[t] - (t == lead), block[t] - (t == lead)) for t in range(kinds))
            left -= number * rest * prod(choices)
            if left < 0:
                return block
        raise AssertionError("the parts add up to the whole")

    def _blocks(self, shape: int, level: int) -> list[tuple[Key, int]]:
        if (shape, level) not in self.blocks:
            form = self.tables.layouts[shape]
            blocks = _integers(self.tables.T[shape, level], form).items()
            self.blocks[shape, level] = sorted(blocks, key=lambda pair: (sum(pair[0][: form.kinds]), pair[0]))
        return self.blocks[shape, level]

    def _ways(self, shape: int, level: int) -> dict[Key, int]:
        if (shape, level) not in self.ways:
            self.ways[shape, level] = _integers(self.tables.A[shape, level], self.tables.layouts[shape])
        return self.ways[shape, level]


def _integers(series: Series, form: SeriesLayout) -> dict[Key, int]:
    """Exponents of all variables → number of structures on labelled elements."""
    numbers = {}
    for key, poly in series.items():
        scale = prod(map(factorial, key[: form.kinds]))
        for i, value in enumerate(poly.coeffs()):
            if value:
                exponents = (*key[: form.main], i, *key[form.main + 1 :])
                numbers[exponents] = whole(value * (scale * factorial(i) if form.main < form.kinds else scale))
    return numbers
