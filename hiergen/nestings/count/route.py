"""Which way a count takes, what it will cost, and what the limits come to once they are all seen together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import log2, prod

from hiergen.errors import HiergenError
from hiergen.nestings.count.constraints import HUGE, Constraints, Limits, check, limits
from hiergen.nestings.count.problem import Problem, reduced

BUDGET = 25.0  # seconds that a count may take, by the estimates here, which are for one core of a usual machine
MOST_LEVELS = 5_000  # levels that are gone through one by one
MOST_CELLS = 1_000_000  # Stirling numbers kept to draw by
MOST_ATOMS = 20_000  # classes whose atoms are looked at one by one
MOST_PLAIN = 5_000  # the same where only the number of classes matters


class TooLargeError(HiergenError):
    """What cannot be counted exactly in reasonable time."""


@dataclass(frozen=True)
class CountRoute:
    """How to count: `classes` (k = 1), `zero` (limits that cross), `chain` (module chain), `tables` (module tables).

    `levels`: the limits of each level, tightened; a single one if all levels, `many`, are gone through at once.
    `tracked`: of `tables`, levels whose groups are counted → most groups. `sized`: of `chain`, whether groups of the
    finest level have sizes. `seconds`: estimate.
    """

    name: str
    atoms: int
    levels: tuple[Limits, ...]
    many: int
    tracked: dict[int, int]
    sized: bool
    seconds: float


@dataclass(frozen=True)
class Counting:
    """n classes, k split-points, constraints; `problem` is there where a route needs the atoms one by one."""

    n: int
    k: int
    constraints: Constraints
    problem: Problem | None
    route: CountRoute


def plan_count(n: int, k: int, constraints: Constraints, *, drawing: bool = False) -> Counting:
    """Checks what is asked for, and finds the cheapest route to count, or to draw. Raises HiergenError, and
    UnsatisfiableError for links that contradict each other."""
    check(n, k, constraints)
    linked = bool(constraints.must_link or constraints.cannot_link or constraints.tree)
    sized = bool(constraints.min_size or constraints.max_size)
    wanted = k > 1 and n <= (MOST_ATOMS if linked or sized else MOST_PLAIN)
    problem = reduced(n, k, constraints) if wanted else None
    return Counting(n, k, constraints, problem, _route(n, k, constraints, problem, drawing))


def _route(n: int, k: int, constraints: Constraints, problem: Problem | None, drawing: bool) -> CountRoute:
    if k == 1:
        return CountRoute("classes", n, (), 0, {}, False, 0.0)
    atoms = problem.atoms if problem else n
    given, many = limits(k, constraints), k - 1
    levels = given if isinstance(given, list) else [given] * (many if many <= MOST_LEVELS else 1)
    tight = tightened(levels, n, atoms, *((problem.apart, problem.heaviest) if problem else ()))
    if tight is None:
        return CountRoute("zero", atoms, (), many, {}, False, 0.0)
    finest = levels[-1]
    linked = bool(constraints.must_link or constraints.cannot_link or constraints.tree)
    free = problem.free if problem else not linked
    chain_sizes = free and all(
        above.sizes[0] <= max(below.sizes[0] for below in levels[j + 1 :]) and above.sizes[1] >= n
        for j, above in enumerate(levels[:-1])
    )
    if many != len(levels) and finest.sizes[1] < n:  # one for all: the coarsest has it, too
        chain_sizes = False
    sized = finest.sizes[1] < n or finest.sizes[0] > 1
    routes = []
    tracked = _tracked(levels, tight, n, atoms)
    if chain_sizes and (not sized or problem is not None):
        cost = chain_cost(atoms, tight, many, drawing=drawing)
        if sized:
            assert problem is not None
            cost += tables_cost(problem, tight[-1:], {0: tight[-1].groups[1]})
        routes.append(CountRoute("chain", atoms, tuple(tight), many, {}, sized, cost))
    if problem is not None and many == len(levels):
        cost = tables_cost(problem, tight, tracked)
        routes.append(CountRoute("tables", atoms, tuple(tight), many, tracked, False, cost))
    if not routes:
        return CountRoute("none", atoms, tuple(tight), many, {}, sized, float("inf"))
    return min(routes, key=lambda route: route.seconds)


def tightened(levels: Sequence[Limits], n: int, atoms: int, apart: int = 1, heaviest: int = 1) -> list[Limits] | None:
    """The same limits with what follows from each other's, from n and from the atoms: their number, how many are all
    `apart` from each other, and the classes of the `heaviest`; None if they cross."""
    lows = [*accumulate((level.sizes[0] for level in reversed(levels)), max)][::-1]
    highs = [*accumulate((min(level.sizes[1], n) for level in levels), min)]
    least = [max(level.groups[0], -(-n // highs[j]), apart) if highs[j] else HUGE for j, level in enumerate(levels)]
    largest = [min(level.groups[1], atoms, n // lows[j]) for j, level in enumerate(levels)]
    fewest, most = [*accumulate(least, max)], [*accumulate(reversed(largest), min)][::-1]
    if heaviest > min(highs) or any(
        a > b for a, b in (*zip(lows, highs, strict=True), *zip(fewest, most, strict=True))
    ):
        return None
    return [
        Limits(groups, sizes)
        for groups, sizes in zip(zip(fewest, most, strict=True), zip(lows, highs, strict=True), strict=True)
    ]


def _tracked(levels: Sequence[Limits], tight: Sequence[Limits], n: int, atoms: int) -> dict[int, int]:
    """The levels whose number of groups is limited by more than sizes."""
    tracked = {}
    for j, level in enumerate(levels):
        least, most = -(-n // tight[j].sizes[1]), min(atoms, n // tight[j].sizes[0])
        if level.groups[0] > least or level.groups[1] < most:
            tracked[j] = tight[j].groups[1]
    return tracked


def chain_cost(rows: int, levels: Sequence[Limits], many: int, *, drawing: bool = False) -> float:
    """Seconds that counting upwards takes; to draw, short cuts do not help, and Stirling numbers have to be kept."""
    if drawing and (many != len(levels) or rows * levels[-1].groups[1] > MOST_CELLS):
        return float("inf")
    free = not drawing and all(level.groups[0] <= 1 and level.groups[1] >= rows for level in levels)
    if free and many == 1:
        return 3.5e-9 * rows**2
    if free and many == len(levels):
        return 1.4e-10 * rows**3 * many + 1e-5 * many
    if many != len(levels):
        most = levels[0].groups[1]
        return 2e-9 * most**4 * max(1.0, log2(many)) + 2e-10 * rows**2 * most
    cost = 1e-5 * many
    for above, level in pairwise(levels):
        cost += 1.5e-9 * level.groups[1] ** 2 * above.groups[1]
    most = levels[-1].groups[1]
    return cost + (most * 2e-8 * rows if most <= 64 or rows > 20 * most else 2.5e-10 * rows**2 * most)


def tables_cost(problem: Problem, levels: Sequence[Limits], tracked: dict[int, int]) -> float:
    """Seconds that the tables take: for each shape of node and level, products of series times the cost of each."""
    from hiergen.nestings.count.tables import layout

    seen: set[int] = set()
    cost = 0.0
    for item in problem.items.values():
        if not item.kinds or item.shape in seen:
            continue
        seen.add(item.shape)
        form = layout(item, tuple(tracked.values()))
        flat = all(not problem.items[kind.members[0]].kinds for kind in item.kinds)
        for j, level in enumerate(levels):
            lengths = []
            for i, cap in enumerate(form.caps):
                if i == form.main:
                    continue
                owner = tuple(tracked)[i - form.kinds] if i >= form.kinds else None
                if owner is not None and owner < j:
                    continue
                lengths.append(cap + 1 if owner == j and flat else (cap + 1) * (cap + 2) / 2)
            size = min(form.length, level.sizes[1] + 1) if form.main < form.kinds else form.length
            each = 1.2e-5 + 3e-8 * size * form.length * (1 + form.length / 400)
            cost += prod(lengths) * each + 1e-9 * form.length**3
    return cost
