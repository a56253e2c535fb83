"""Which classes moved between two partitions, once their groups are matched."""

from __future__ import annotations

from dataclasses import dataclass

from hiergen.nestings.compare.agreement import contingency
from hiergen.taxonomy.nesting import Level


@dataclass(frozen=True)
class Moved:
    """A class index, and the indices of its groups in the first and the second partition."""

    index: int
    before: int
    after: int


@dataclass(frozen=True)
class Moves:
    """`partners[i]`: the group of the second partition that is taken for group i of the first, None for none.

    `moved`: the classes that are not in their group's partner, by group before, then after. `kept`: the others.
    """

    partners: tuple[int | None, ...]
    moved: tuple[Moved, ...]
    kept: int


def moves(a: Level, b: Level) -> Moves:
    """The fewest classes that must move to turn `a` into `b`: groups are matched one to one so that as many classes as
    can be stay (an assignment problem, by scipy). Groups without a common class are no partners.
    """
    from scipy.optimize import linear_sum_assignment

    table = contingency(a, b)
    rows, columns = linear_sum_assignment(table, maximize=True)
    matches = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if table[i, j]}
    pairs = enumerate(zip(a.of, b.of, strict=True))
    moved = [Moved(c, before, after) for c, (before, after) in pairs if matches.get(before) != after]
    moved.sort(key=lambda m: (m.before, m.after, m.index))
    partners = tuple(matches.get(i) for i in range(len(a.names)))
    return Moves(partners, tuple(moved), len(a.of) - len(moved))
