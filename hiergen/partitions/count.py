"""How many nestings there are: exactly, or, where that is too much, between bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import factorial, log10
from typing import TYPE_CHECKING

from hiergen.partitions.constraints import Constraints, UnsatisfiableError, short
from hiergen.partitions.route import BUDGET, Question, TooLargeError, question

if TYPE_CHECKING:
    from hiergen.partitions.grouping import Grouping

NONE = Constraints()
SHOWN = 6  # constraints, and classes of a link, that a refusal repeats


def count_nestings(n: int, k: int, constraints: Constraints = NONE) -> int:
    """The number of nestings of n labelled classes with k split-points: chains of k - 1 partitions, each refining the
    one above or equal to it. 0 if none satisfies the constraints.

    Raises HiergenError for what is no question (n < 1, …), TooLargeError, with bounds, for what would take too long.

    >>> count(10, 2), count(6, 3), count(10, 2, Constraints(groups=((3, 3),)))
    (115975, 2471, 9330)
    """
    try:
        asked = question(n, k, constraints)
    except UnsatisfiableError:
        return 0
    if asked.route.seconds > BUDGET:
        raise too_large(asked)
    return counted(asked)


def counted(asked: Question) -> int:
    """The count by the question's route, however long that takes."""
    route = asked.route
    if route.name in {"classes", "zero"}:
        return int(route.name == "classes")
    if route.name == "chain":
        return _chain(asked)
    from hiergen.partitions.tables import Tables

    assert asked.problem is not None
    spans = [route.levels[j].groups for j in route.tracked]
    ways = Tables(asked.problem, route.levels, route.tracked).total()
    return sum(
        value
        for groups, value in ways.items()
        if all(low <= g <= high for g, (low, high) in zip(groups, spans, strict=True))
    )


def _chain(asked: Question) -> int:
    from hiergen.partitions import chain

    route, n = asked.route, asked.route.atoms
    spans = [level.groups for level in route.levels]
    if not route.sized and len(spans) == route.many and all(low <= 1 and high >= n for low, high in spans):
        return chain.iterated_bell(n, route.many)
    most = spans[-1][1]
    if len(spans) != route.many:
        above = chain.upward_same(most, route.many, spans[0])
    else:
        *_, above = chain.upward(most, spans)
    return int(sum(finest * ways for finest, ways in zip(finest_counts(asked), above, strict=True)))


def finest_counts(asked: Question) -> list[int]:
    """Of a chain: the number of partitions of the finest level alone, by their number of groups."""
    from hiergen.partitions import chain

    route = asked.route
    most = route.levels[-1].groups[1]
    if not route.sized:
        return [int(value) for value in chain.stirling_row(route.atoms, most)]
    from hiergen.partitions.tables import Tables

    assert asked.problem is not None
    ways = Tables(asked.problem, route.levels[-1:], {0: most}).total()
    return [ways.get((g,), 0) for g in range(most + 1)]


def too_large(asked: Question, what: str = "count exactly") -> TooLargeError:
    """The refusal, with the bounds that are known."""
    from hiergen.partitions.bounds import bracket

    low, high = bracket(asked)
    known = []
    if low is not None:
        known.append(f"at least 10^{low:,.2f}")
    if high is not None:
        known.append(f"at most 10^{high:,.2f}")
    names = asked.constraints.names(SHOWN)
    error = TooLargeError(
        f"too large to {what}: {asked.n:,} classes, {short(asked.k)} levels"
        + "".join(f", {name}" for name in names[:SHOWN])
        + (f" and {len(names) - SHOWN:,} more constraints" if len(names) > SHOWN else ""),
        hint=f"the number is {' and '.join(known)}" if known else "no bound is known",
    )
    error.low, error.high = low, high
    return error


def count_shape(parents: Sequence[Sequence[int]], n: int) -> int:
    """The number of nestings of n classes that differ only in which class is where: n! over the symmetries of the tree.

    `parents[j]` is, for each group of level j + 1 (last: each class), its group in the level above, as
    `Grouping.parents(j)` has it.

    >>> count_shape([(0, 0), (0, 0, 1, 1)], 4)  # two groups of two
    3
    """
    symmetries = 1
    shapes: list[object] = [()] * n
    known: dict[object, int] = {}
    for j in reversed(range(len(parents))):
        above = max(parents[j]) + 1
        below: list[Counter[object]] = [Counter() for _ in range(above)]
        for shape, parent in zip(shapes, parents[j], strict=True):
            below[parent][shape] += 1
        for children in below:
            for twins in children.values():
                symmetries *= factorial(twins)
        # a shape is a number, so that comparing does not go down the tree again and again
        shapes = [known.setdefault((j, frozenset(children.items())), len(known)) for children in below]
    assert len(shapes) == 1
    return factorial(n) // symmetries


def shape_share(grouping: Grouping) -> tuple[int, int]:
    """How many nestings have the same shape as this one, and how many there are at all (of its n and k)."""
    n = len(grouping.classes)
    if not grouping.levels:
        return 1, 1
    return count_shape([grouping.parents(j) for j in range(grouping.k)], n), count_nestings(n, grouping.k)


def log10_of(number: int) -> float:
    """log10 of a positive integer of any length."""
    return log10(number)
