"""The neighbourhood: a class goes to another group, two classes trade places; the same with groups of finer levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hiergen.nestings.search.groups import Change, MutableNesting
from hiergen.nestings.search.pairs import Tracker
from hiergen.nestings.search.space import Space

LEAST = 1e-12  # gains below are rounding


@dataclass(frozen=True)
class Step:
    """A move, worked out: classes xs and ys trade places as `changes` say, and groups are hung elsewhere."""

    gain: float
    xs: Sequence[int]
    ys: Sequence[int]
    changes: Sequence[Change]
    hung: Sequence[tuple[int, int, int]] = ()  # level, group, its new parent


class Neighbourhood:
    """A nesting with its trackers: what steps would gain, and taking them."""

    def __init__(self, space: Space, nest: MutableNesting, trackers: Sequence[Tracker]) -> None:
        self.space, self.nest, self.trackers = space, nest, trackers
        self.limits = space.limits
        self.low, self.high = self.limits[-1]

    def value(self) -> float:
        """The score as a gain, worked out from the whole nesting."""
        return sum(tracker.value() for tracker in self.trackers)

    def move(self, c: int, b: int) -> Step | None:
        """Class c to group b of the finest level; None where sizes forbid it, or it is there."""
        nest = self.nest
        a, size = nest.labels[nest.last][c], nest.size[nest.last]
        if a == b or size[a] <= self.low or size[b] >= self.high or self.space.fixed:
            return None
        changes = nest.between(a, b)
        return Step(sum([self.trackers[j].move(c, x, y) for j, x, y in changes]), (c,), (), changes)

    def swap(self, c: int, d: int) -> Step | None:
        """Classes c and d trade places."""
        nest = self.nest
        labels = nest.labels[nest.last]
        a, b = labels[c], labels[d]
        if a == b:
            return None
        changes = nest.between(a, b)
        return Step(sum([self.trackers[j].swap(c, d, x, y) for j, x, y in changes]), (c,), (d,), changes)

    def hang(self, level: int, g: int, other: int) -> Step | None:
        """Group g of a level, with all below it, to another group of the level above."""
        nest = self.nest
        was = nest.parent[level][g]
        low, high = self.limits[level - 1]
        children = nest.children[level - 1]
        if was == other or self.space.fixed or children[was] <= low or children[other] >= high:
            return None
        changes, xs = nest.above(level, g, other), nest.members(level, g)
        gain = sum([self.trackers[j].exchange(xs, (), a, b) for j, a, b in changes])
        return Step(gain, xs, (), changes, ((level, g, other),))

    def trade(self, level: int, g: int, h: int) -> Step | None:
        """Groups g and h of one level trade places; of the same size, where sizes are fixed."""
        nest = self.nest
        mine, theirs = nest.parent[level][g], nest.parent[level][h]
        if mine == theirs or (self.space.fixed and nest.size[level][g] != nest.size[level][h]):
            return None
        changes, xs, ys = nest.above(level, g, theirs), nest.members(level, g), nest.members(level, h)
        gain = sum([self.trackers[j].exchange(xs, ys, a, b) for j, a, b in changes])
        return Step(gain, xs, ys, changes, ((level, g, theirs), (level, h, mine)))

    def take(self, step: Step) -> None:
        """Carry it out."""
        for j, a, b in step.changes:
            self.trackers[j].apply(step.xs, step.ys, a, b)
        self.nest.carry(step.xs, step.ys, step.changes)
        for hung in step.hung:
            self.nest.hang(*hung)

    def climb(self) -> int:
        """Take improving steps until there is none: a local optimum of all four kinds. Returns how many were taken."""
        taken, last = 0, -1
        while taken != last:
            last = taken
            for step in self._all():
                if step.gain > LEAST:
                    self.take(step)
                    taken += 1
        return taken

    def _all(self) -> Iterator[Step]:
        """All steps in a fixed order, each as of when it is asked for."""
        n, nest = self.space.n, self.nest
        for c in range(n):
            for b in range(len(nest.size[nest.last])):
                if step := self.move(c, b):
                    yield step
            for d in range(c + 1, n):
                if step := self.swap(c, d):
                    yield step
        for level in range(1, nest.last + 1):
            groups = range(len(nest.size[level]))
            for g in groups:
                for other in range(len(nest.size[level - 1])):
                    if step := self.hang(level, g, other):
                        yield step
                for h in groups[g + 1 :]:
                    if step := self.trade(level, g, h):
                        yield step
