"""What a search asks of an objective: a plain score, changes of it in O(1), and a bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hiergen.suggest.search.space import Space

Labels = Sequence[Sequence[int]]


class Tracker(Protocol):
    """One level's part of the score, kept up to date. Gains are changes of it, more = better for every objective.

    `a` and `b` are two groups of the level. Gains are worked out from exact integers, so that they depend on the
    nesting only, never on the way to it.
    """

    def value(self) -> float:
        """The level's part, as a gain."""

    def move(self, c: int, a: int, b: int) -> float:
        """The gain of class c going from a to b."""

    def swap(self, c: int, d: int, a: int, b: int) -> float:
        """The gain of c going from a to b and d from b to a."""

    def exchange(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> float:
        """The gain of all xs going from a to b and all ys from b to a."""

    def apply(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> None:
        """They went."""


class Objective(Protocol):
    """What to look for. `name` is the option's; `more` says whether more of it is better."""

    @property
    def name(self) -> str: ...

    @property
    def more(self) -> bool: ...

    @property
    def tie(self) -> Objective | None:
        """What decides between nestings that are equally good by this one."""

    @property
    def what(self) -> str:
        """One line for people: what the score is, and of what."""

    def fingerprint(self) -> str:
        """Equal for equal objectives: a saved search goes on only with its own."""

    def score(self, labels: Labels) -> float:
        """The plain definition, from group numbers per level, coarse to fine."""

    def trackers(self, labels: Labels) -> list[Tracker]:
        """One per level, so that their values sum to the score (its negative, where less is better)."""

    def bound(self, space: Space) -> float | None:
        """What no nesting of the space can exceed (or go below, where less is better); None if none is known."""

    def check(self, space: Space) -> None:
        """Raises HiergenError where all nestings of the space are equal, so that there is nothing to search."""
