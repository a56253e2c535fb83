"""Which constraints no nesting can satisfy together."""

from __future__ import annotations

from hiergen.partitions.constraints import HUGE, Constraints, Limits, UnsatisfiableError, limits
from hiergen.partitions.route import question


def unsatisfiable(n: int, k: int, constraints: Constraints) -> UnsatisfiableError:
    """The error for constraints with a count of 0: the reason where arithmetic gives it, else the smallest set of
    constraints found that already contradict each other (dropping any one of them leaves nestings)."""
    left = constraints
    for name, _ in constraints.names():
        without = dict(left.names()).get(name)
        if without is not None and _none(n, k, without):
            left = without
    names = [name for name, _ in left.names()]
    reason = None
    if not (left.must_link or left.cannot_link or left.tree):
        given = limits(k, left)
        reason = _reason(n, given)
    return UnsatisfiableError(
        f"no nesting of {n:,} classes satisfies {' and '.join(names)}" + (f": {reason}" if reason else "")
    )


def _none(n: int, k: int, constraints: Constraints) -> bool:
    """Whether the count is 0; what is too large to be counted passes for satisfiable."""
    from hiergen.partitions.bounds import CHEAP
    from hiergen.partitions.count import counted

    try:
        asked = question(n, k, constraints)
    except UnsatisfiableError:
        return True
    return asked.route.name == "zero" or (asked.route.seconds <= CHEAP and counted(asked) == 0)


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
