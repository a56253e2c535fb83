"""The shape of a nesting: how many groups each level has, and how large its groups may be."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

from hiergen.errors import SpecError, quoted
from hiergen.taxonomy.nesting import Nesting

MEANS = 3  # a group may by default be so many times as large as the mean one


@dataclass(frozen=True)
class Shape:
    """`counts`: groups of each level, coarse first, as (5, 15); () for a PHL.

    `min_size` and `max_size` bound the number of classes of the finest groups; a coarser group holds two or more
    groups of the next level (a taxonomy file knows no group with a single member: it is that member), at most three
    times as many as the mean one.

    >>> Shape((5, 15)).checked(100).largest(100)
    20
    """

    counts: tuple[int, ...]
    min_size: int = 2
    max_size: int | None = None

    def largest(self, classes: int) -> int:
        """The most classes of a finest group: `max_size`, by default three times the mean."""
        if self.max_size is not None:
            return self.max_size
        return max(self.min_size, -(-MEANS * classes // max(self.counts[-1], 1))) if self.counts else classes

    def bounds(self, classes: int) -> list[tuple[int, int, int, int]]:
        """(members to group, groups, fewest, most members of a group) of each level, coarse first.

        Members are the groups of the next level, at the finest level the classes.
        """
        below = (*self.counts[1:], classes)
        bounds = []
        for j, (count, members) in enumerate(zip(self.counts, below, strict=True)):
            finest = j == len(self.counts) - 1
            low = self.min_size if finest else 2
            high = self.largest(classes) if finest else max(low, -(-MEANS * members // max(count, 1)))
            bounds.append((members, count, low, min(high, members)))
        return bounds

    def checked(self, classes: int) -> Shape:
        """Itself, where `classes` classes can be grouped so. Raises SpecError that says which bound is in the way."""
        if self.min_size < 1:
            raise SpecError("the smallest group is too small", expected="at least 1 class", got=str(self.min_size))
        if self.max_size is not None and self.max_size < self.min_size:
            raise SpecError(f"the largest group, {self.max_size}, is below the smallest, {self.min_size}")
        if any(count < 1 for count in self.counts):
            raise SpecError(f"{self} groups cannot be", expected="at least 1 group on each level")
        if self.counts and self.counts[0] < 2:
            raise SpecError("one group of all classes is no level", expected="at least 2 groups on the first level")
        for j, (members, count, low, high) in enumerate(self.bounds(classes)):
            what = "classes" if j == len(self.counts) - 1 else f"groups of level {j + 2}"
            each = f"{count} groups of at least {low} {what} need {count * low:,}"
            if count * low > members:
                hint = "--groups or --min-size with smaller numbers" if what == "classes" else "other --groups"
                raise SpecError(each, place=self._place(j), got=f"{members:,}", hint=f"give {hint}")
            if count * high < members:
                text = f"{count} groups of at most {high} classes hold {count * high:,}"
                raise SpecError(text, place=self._place(j), got=f"{members:,}", hint="give more --groups or --max-size")
        return self

    def misfit(self, nesting: Nesting) -> str | None:
        """Why a nesting is not of this shape; None if it is."""
        if nesting.counts != self.counts:
            return f"it has {_shown(nesting.counts)} groups, not {self}"
        for j, (_, _, low, high) in enumerate(self.bounds(len(nesting.classes))):
            for number, size in sorted(Counter(nesting.above(j + 2)).items()):
                if not low <= size <= high:
                    return f"group {quoted(nesting.levels[j].names[number])} has {size} members, not {low} to {high}"
        return None

    def _place(self, j: int) -> str:
        return f"groups {self}, level {j + 1}"

    def __str__(self) -> str:
        return _shown(self.counts)


def _shown(counts: tuple[int, ...]) -> str:
    return ",".join(map(str, counts)) if counts else "no"


def read_counts(text: str) -> tuple[int, ...]:
    """ "5,15" → (5, 15). Raises SpecError for anything else, and for counts that do not grow."""
    pieces = [piece.strip() for piece in text.split(",")]
    if not all(piece.isascii() and piece.isdecimal() and len(piece) < 7 for piece in pieces):
        raise SpecError(f"groups cannot be {quoted(text)}", expected="groups of each level, coarse first, as 5,15")
    counts = tuple(map(int, pieces))
    if any(a >= b for a, b in itertools.pairwise(counts)):
        raise SpecError(f"groups {text} do not grow", expected="more groups on each level, coarse first, as 5,15")
    return counts
