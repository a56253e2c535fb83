"""Which constraints no nesting can satisfy together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from hiergen.partitions.constraints import HUGE, Constraints, Limits, UnsatisfiableError, cliques, limits
from hiergen.partitions.route import MOST_ATOMS, question

T = TypeVar("T")
SHOWN = 12  # classes of a link that are named
TRIED = 5.0  # seconds, by estimate, that looking for fewer constraints may take
EACH = 1e-5  # seconds for each class and pair of links, whatever is counted


def unsatisfiable(n: int, k: int, constraints: Constraints) -> UnsatisfiableError:
    """The error for constraints with a count of 0: the reason where arithmetic gives it, else the smallest set of
    constraints found that already contradict each other (dropping any one of them leaves nestings)."""
    left = _least(n, k, constraints)
    reason = None
    if not (left.must_link or left.cannot_link or left.tree):
        reason = _reason(n, limits(k, left))
    return UnsatisfiableError(
        f"no nesting of {n:,} classes satisfies {' and '.join(left.names(SHOWN))}" + (f": {reason}" if reason else "")
    )


def _least(n: int, k: int, constraints: Constraints) -> Constraints:
    """One constraint after the other left out, where there still is no nesting; of cannot-links whole classes, as their
    pairs are too many."""
    left, spent = constraints, 0.0

    def leave_out(**fewer: Any) -> None:
        nonlocal left, spent
        without = replace(left, **fewer)
        if without != left and spent < TRIED:
            none, seconds = _none(n, k, without)
            spent += seconds + EACH * (min(n, MOST_ATOMS) + len(without.must_link) + len(without.cannot_link))
            left = without if none else left

    for name in ("groups", "min_size", "max_size", "must_link", "cannot_link"):
        leave_out(**{name: ()})
    for some in _chunks(left.must_link):
        leave_out(must_link=tuple(pair for pair in left.must_link if pair not in some))
    for ends in _chunks(sorted({end for pair in left.cannot_link for end in pair})):
        leave_out(cannot_link=tuple(pair for pair in left.cannot_link if ends.isdisjoint(pair)))
    for apart in map(set, cliques(left.cannot_link)):
        leave_out(cannot_link=tuple(pair for pair in left.cannot_link if not apart.issuperset(pair)))
    leave_out(tree=None)
    return left


def _chunks(items: Sequence[T]) -> Iterator[set[T]]:
    """Many at once, then fewer, then each alone, from the end: of a thousand few are needed, and few tries."""
    for size in (256, 32, 4, 1):
        for start in reversed(range(0, len(items), size)):
            yield set(items[start : start + size])


def _none(n: int, k: int, constraints: Constraints) -> tuple[bool, float]:
    """Whether the count is 0 (what is too large to be counted passes for satisfiable), and the seconds that counting
    takes by estimate."""
    from hiergen.partitions.bounds import CHEAP
    from hiergen.partitions.count import counted

    try:
        asked = question(n, k, constraints)
    except UnsatisfiableError:
        return True, 0.0
    if asked.route.name == "zero" or asked.route.seconds > CHEAP:
        return asked.route.name == "zero", 0.0
    return counted(asked) == 0, asked.route.seconds


def _reason(n: int, given: list[Limits] | Limits) -> str | None:
    levels = [given] if isinstance(given, Limits) else given
    for j, level in enumerate(levels):
        (fewest, most), (low, high) = level.groups, level.sizes
        where = f" on level {j + 1}" if len(levels) > 1 else ""
        if low > high:
            return f"the smallest group has {low} classes, and the largest {high}"
        if low > n:
            return f"a group of at least {low:,} classes, and there are {n:,}"
        if fewest > n:
            return f"{fewest:,} groups of {n:,} classes{where}"
        if fewest * low > n:
            return f"{fewest:,} groups of at least {low:,} are {fewest * low:,} classes{where}, and there are {n:,}"
        if most < HUGE and most * high < n:
            return f"{most:,} groups of at most {high:,} are {most * high:,} classes{where}, and there are {n:,}"
        if -(-n // high) > n // low:
            return f"{n:,} classes do not split into groups of {low:,} to {high:,}"
    for j, level in enumerate(levels):
        for i, finer in enumerate(levels[j + 1 :], j + 1):
            if level.groups[0] > finer.groups[1]:
                return (
                    f"level {i + 1} has at most {finer.groups[1]} groups, and level {j + 1} above it at least "
                    + str(level.groups[0])
                )
            if finer.sizes[0] > level.sizes[1]:
                return f"groups of at least {finer.sizes[0]} on level {i + 1} do not fit into groups of at most " + str(
                    level.sizes[1]
                )
    return None
