"""How many nestings there are, exactly; what would take too long is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from math import factorial, log10
from typing import Any

from hiergen.nestings.count.constraints import SHOWN, Constraints, UnsatisfiableError, short
from hiergen.nestings.count.route import BUDGET, Counting, TooLargeError, plan_count
from hiergen.taxonomy.nesting import Nesting

NONE = Constraints()


def count_nestings(n: int, k: int, constraints: Constraints = NONE) -> int:
    """The number of nestings of n labelled classes with k split-points: chains of k - 1 partitions, each refining the
    one above or equal to it. 0 if none satisfies the constraints.

    Raises HiergenError for what is no question (n < 1, …), TooLargeError for what would take too long.

    >>> count_nestings(10, 2), count_nestings(6, 3), count_nestings(10, 2, Constraints(groups=((3, 3),)))
    (115975, 2471, 9330)
    """
    try:
        counting = plan_count(n, k, constraints)
    except UnsatisfiableError:
        return 0
    if counting.route.seconds > BUDGET:
        raise too_large(counting)
    return counted(counting)


def counted(counting: Counting) -> int:
    """The count by the question's route, however long that takes."""
    route = counting.route
    if route.name in {"classes", "zero"}:
        return int(route.name == "classes")
    if route.name == "chain":
        return _chain(counting)
    from hiergen.nestings.count.tables import CountTables

    assert counting.problem is not None
    spans = [route.levels[j].groups for j in route.tracked]
    ways = CountTables(counting.problem, route.levels, route.tracked).total()
    return sum(
        value
        for groups, value in ways.items()
        if all(low <= g <= high for g, (low, high) in zip(groups, spans, strict=True))
    )


def _chain(counting: Counting) -> int:
    from hiergen.nestings.count import chain

    route, n = counting.route, counting.route.atoms
    spans = [level.groups for level in route.levels]
    if not route.sized and len(spans) == route.many and all(low <= 1 and high >= n for low, high in spans):
        return chain.iterated_bell(n, route.many)
    most = spans[-1][1]
    if len(spans) != route.many:
        above = chain.upward_same(most, route.many, spans[0])
    else:
        *_, above = chain.upward(most, spans)
    return int(sum(finest * ways for finest, ways in zip(finest_counts(counting), above, strict=True)))


def finest_counts(counting: Counting) -> list[int]:
    """Of a chain: the number of partitions of the finest level alone, by their number of groups."""
    from hiergen.nestings.count import chain

    route = counting.route
    most = route.levels[-1].groups[1]
    if not route.sized:
        return [int(value) for value in chain.stirling_row(route.atoms, most)]
    from hiergen.nestings.count.tables import CountTables

    assert counting.problem is not None
    ways = CountTables(counting.problem, route.levels[-1:], {0: most}).total()
    return [ways.get((g,), 0) for g in range(most + 1)]


def too_large(counting: Counting, what: str = "count exactly") -> TooLargeError:
    """The sentence for what would take too long."""
    parts = (f"{counting.n:,} classes", f"{short(counting.k)} levels", *counting.constraints.names(SHOWN))
    return TooLargeError(
        f"too large to {what}: {', '.join(parts)}",
        hint="fewer classes or levels, few groups (--groups), or sizes on the finest level only make it easier",
    )


def count_shape(parents: Sequence[Sequence[int]], n: int) -> int:
    """The number of nestings of n classes that differ only in which class is where: n! over the symmetries of the tree.

    `parents[j]` is, for each group of level j + 1 (last: each class), its group in the level above, as
    `Nesting.parents(j)` has it.

    >>> count_shape([(0, 0), (0, 0, 1, 1)], 4)  # two groups of two
    3
    """
    symmetries = 1
    shapes: list[object] = [()] * n
    numbers: dict[object, int] = {}
    for j in reversed(range(len(parents))):
        above = max(parents[j]) + 1
        below: list[Counter[object]] = [Counter() for _ in range(above)]
        for shape, parent in zip(shapes, parents[j], strict=True):
            below[parent][shape] += 1
        for children in below:
            for twins in children.values():
                symmetries *= factorial(twins)
        # a shape is a number, so that comparing does not go down the tree again and again
        shapes = [numbers.setdefault((j, frozenset(children.items())), len(numbers)) for children in below]
    assert len(shapes) == 1
    return factorial(n) // symmetries


@dataclass(frozen=True)
class Share:
    """log10 of how many have the same shape (the relabellings of this one), and of how many there are at all with as
    many classes and levels (None where that is too large to count exactly)."""

    same: float
    all: float | None

    @property
    def share(self) -> float | None:
        """log10 of the share."""
        return None if self.all is None else self.same - self.all

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "share": self.share}


def share_of(nesting: Nesting) -> Share:
    """Of a nesting among all with as many levels."""
    if not nesting.levels:
        return Share(0.0, 0.0)
    n = len(nesting.classes)
    same = count_shape([nesting.above(j) for j in range(1, nesting.depth + 1)], n)
    return Share(log10(same), _log10_of_all(n, nesting.depth))


def level_shares(nesting: Nesting) -> tuple[Share, ...]:
    """Of each level, by itself, among all partitions."""
    return tuple(share_of(Nesting.from_levels(nesting.classes, [level.of])) for level in nesting.levels)


@cache
def _log10_of_all(n: int, k: int) -> float | None:
    try:
        return log10(count_nestings(n, k))
    except TooLargeError:
        return None
