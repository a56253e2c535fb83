"""Nestings drawn at random: each that satisfies the constraints with exactly the same probability.

From the tables by the same recursion as counting, with a die thrown wherever it adds up: a set of children is nested by
choosing the block of its first element, with the probability that the counts give it, then the next one's, and then by
nesting each block one level further down (Nijenhuis & Wilf 1978; Flajolet, Zimmermann & Van Cutsem 1994). All weights
are integers, so every nesting has exactly the same probability.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import comb, factorial, prod
from typing import TypeVar

from hiergen.nestings.count.constraints import Constraints, UnsatisfiableError, short, unsatisfiable
from hiergen.nestings.count.count import NONE, finest_counts, too_large
from hiergen.nestings.count.problem import TreeItem
from hiergen.nestings.count.route import BUDGET, Counting, TooLargeError, plan_count
from hiergen.nestings.count.tables import CountTables, Key, Series, SeriesLayout, whole

T = TypeVar("T")
MOST_LABELS = 2_000_000  # classes times levels of one nesting


def sample_nesting(n: int, k: int, constraints: Constraints = NONE, seed: int = 0) -> list[list[int]]:
    """One nesting: the group of each class, level by level, coarse to fine (k - 1 lists of n numbers from 0).

    The same seed gives the same nesting everywhere. Raises as `samples` does.
    """
    return next(samples(n, k, constraints, seed))


def samples(n: int, k: int, constraints: Constraints = NONE, seed: int = 0) -> Iterator[list[list[int]]]:
    """Endlessly many, independent of each other; the first is `sample_nesting`'s.

    Raises TooLargeError for what cannot be counted, UnsatisfiableError for constraints that no nesting satisfies,
    HiergenError for what is no question.
    """
    try:
        counting = plan_count(n, k, constraints, drawing=True)
    except UnsatisfiableError:
        raise unsatisfiable(n, constraints) from None
    if counting.route.name != "zero":
        if n * k > MOST_LABELS:
            raise TooLargeError(f"a nesting of {n:,} classes on {short(k)} levels is too large to be drawn")
        if counting.route.seconds > BUDGET:
            raise too_large(counting, "draw from")
    rng = random.Random(seed)
    if counting.route.name == "classes":
        return _endless()
    if counting.route.name == "chain":
        drawn = _chains(counting, rng)
    elif counting.route.name == "tables":
        drawn = _tables(counting, rng)
    else:
        drawn = None
    if drawn is None:
        raise unsatisfiable(n, constraints)
    return (_in_order(levels) for levels in drawn)


def _endless() -> Iterator[list[list[int]]]:
    while True:
        yield []


def _tables(counting: Counting, rng: random.Random) -> Iterator[list[list[int]]] | None:
    from hiergen.nestings.count.sample import Drawer
    from hiergen.nestings.count.tables import CountTables

    route = counting.route
    assert counting.problem is not None
    tables = CountTables(counting.problem, route.levels, route.tracked)
    spans = [route.levels[j].groups for j in route.tracked]
    total = {
        groups: ways
        for groups, ways in sorted(tables.total().items())
        if all(low <= g <= high for g, (low, high) in zip(groups, spans, strict=True))
    }
    if not total:
        return None
    drawer = Drawer(tables, rng)

    def endless() -> Iterator[list[list[int]]]:
        while True:
            yield drawer.draw(_weighted(total, rng), counting.n)

    return endless()


def _chains(counting: Counting, rng: random.Random) -> Iterator[list[list[int]]] | None:
    """Number of finest groups first, then the finest partition, then level by level what its groups are merged to."""
    from hiergen.nestings.count.chain import upward

    route = counting.route
    spans = [level.groups for level in route.levels]
    rows = spans[-1][1]
    above = [[int(way) for way in ways] for ways in upward(rows, spans)]
    finest = {g: number * above[-1][g] for g, number in enumerate(finest_counts(counting)) if number * above[-1][g]}
    if not finest:
        return None
    return _merged(counting, rng, above, finest)


def _merged(
    counting: Counting, rng: random.Random, above: list[list[int]], finest: dict[int, int]
) -> Iterator[list[list[int]]]:
    from hiergen.nestings.count.sample import Drawer
    from hiergen.nestings.count.tables import CountTables

    route = counting.route
    problem = counting.problem
    table = Stirling(max(finest))
    drawer = None
    if route.sized:
        assert problem is not None
        drawer = Drawer(CountTables(problem, route.levels[-1:], {0: route.levels[-1].groups[1]}), rng)
    while True:
        count = _weighted(finest, rng)
        if drawer is not None:
            level = drawer.draw((count,), counting.n)[0]
        else:
            of_atom = table.draw(route.atoms, count, rng)
            level = of_atom if problem is None else [0] * counting.n
            for atom, item in enumerate(problem.items.values() if problem else ()):
                for c in item.classes:
                    level[c] = of_atom[atom - 1]  # items[0] is the root
        levels = [level]
        for ways in reversed(above[:-1]):
            row = table.row(count)
            fewer = _weighted({g: row[g] * ways[g] for g in range(1, count + 1) if ways[g]}, rng)
            merged = table.draw(count, fewer, rng)
            levels.insert(0, [merged[g] for g in levels[0]])
            count = fewer
        yield levels


class Stirling:
    """S(m, g) for g up to `most`, made row by row and kept, and partitions drawn by them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.rows: list[list[int]] = [[1]]

    def row(self, m: int) -> list[int]:
        while len(self.rows) <= m:
            last = [*self.rows[-1], 0][: self.most + 1]
            self.rows.append([g * last[g] + (last[g - 1] if g else 0) for g in range(len(last))])
        return self.rows[m]

    def draw(self, m: int, groups: int, rng: random.Random) -> list[int]:
        """A partition of m things into that many groups, all equally likely: the group of each."""
        self.row(m)
        alone = []
        left = groups
        for last in range(m, 0, -1):  # is the last one alone, when those after it are taken away?
            row = self.rows[last - 1]
            with_others = left * row[left] if left < len(row) else 0
            by_itself = row[left - 1] if left - 1 < len(row) else 0
            alone.append(rng.randrange(with_others + by_itself) < by_itself)
            left -= alone[-1]
        groups_of: list[int] = []
        for is_alone in reversed(alone):
            groups_of.append(left if is_alone else rng.randrange(left))
            left += is_alone
        return groups_of


def _weighted(weights: dict[T, int], rng: random.Random) -> T:
    left = rng.randrange(sum(weights.values()))
    for key, weight in weights.items():
        left -= weight
        if left < 0:
            return key
    raise AssertionError("the parts add up to the whole")


def _in_order(levels: Sequence[Sequence[int]]) -> list[list[int]]:
    """The same, the groups of each level numbered in the order of their first class."""
    ordered = []
    for level in levels:
        order: dict[int, int] = {}
        ordered.append([order.setdefault(g, len(order)) for g in level])
    return ordered


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
