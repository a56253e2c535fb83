"""What a nesting can be searched for: coherence, separability, the cutouts of given tasks, or those of random ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hiergen.errors import HiergenError
from hiergen.nestings.search.space import Labels, Space
from hiergen.nestings.search.trackers import (
    CoherenceLevel,
    ScatterLevel,
    SizeLevel,
    TaskLevel,
    Tracker,
    as_integers,
    group_counts,
    touch_table,
)
from hiergen.planning.plan import Plan

Matrix = NDArray[np.float64]
WEIGHT_BITS = 30


class Objective(ABC):
    """What to look for. `more` says whether more of it is better, `sizes_alone` whether sizes say it all."""

    more: ClassVar[bool] = True
    sizes_alone: ClassVar[bool] = False
    tie: Objective | None = None  # decides between nestings that are equally good

    @property
    @abstractmethod
    def what(self) -> str:
        """One line for people: what the score is, and of what."""

    @abstractmethod
    def score(self, labels: Labels) -> float:
        """The plain definition, from group numbers per level, coarse to fine."""

    @abstractmethod
    def trackers(self, labels: Labels) -> list[Tracker]:
        """One per level, so that their values sum to the score (its negative, where less is better)."""

    def check(self, space: Space) -> None:
        """Raises HiergenError where all nestings of the space are equal, so that there is nothing to search."""
        if all(g in (1, space.n) for g in space.counts):
            raise HiergenError(
                f"nothing to search for: there is one nesting with {', '.join(map(str, space.counts))} groups",
                expected=f"2 to {space.n - 1} groups",
            )


@dataclass(frozen=True)
class CoherenceObjective(Objective):
    """Mean over the levels of (mean similarity of pairs within a group) - (that of pairs in different groups).

    The same as `coherence.coherence`; levels of one group or of single classes have none, and do not count.
    """

    similarity: Matrix
    of: str = "WordNet (Wu–Palmer)"

    @property
    def what(self) -> str:
        return f"coherence: mean similarity within less between groups, by {self.of}"

    @cached_property
    def integers(self) -> tuple[NDArray[np.int64], float]:
        return as_integers(self.similarity)

    def score(self, labels: Labels) -> float:
        gaps = []
        above = np.triu_indices(len(self.similarity), 1)
        values = self.similarity[above]
        for level in labels:
            of = np.asarray(level)
            same = (of[:, None] == of[None, :])[above]
            if same.any() and not same.all():
                gaps.append(float(values[same].mean() - values[~same].mean()))
        return sum(gaps) / len(gaps) if gaps else 0.0

    def trackers(self, labels: Labels) -> list[Tracker]:
        counted = [1 < g < len(self.similarity) for g in group_counts(labels)]
        weights = [float(c) / max(sum(counted), 1) for c in counted]
        return [CoherenceLevel(*self.integers, level, weight) for level, weight in zip(labels, weights, strict=True)]


@dataclass(frozen=True)
class SeparabilityObjective(Objective):
    """Mean over the levels of the share of the classes' scatter that the groups explain (the trace criterion, R²).

    Scatter of a set = sum over its pairs of squared distances / its size. The squared distance of two classes is the
    largest similarity of any pair less their own: of unit vectors' cosines that is the usual one, up to a constant,
    which moves all nestings of one shape alike.
    """

    similarity: Matrix
    of: str

    @property
    def what(self) -> str:
        return f"separability: share of the classes' scatter between the groups, by {self.of}"

    @cached_property
    def distances(self) -> Matrix:
        """Squared distances `(n, n)`, 0 on the diagonal."""
        n = len(self.similarity)
        top = self.similarity[np.triu_indices(n, 1)].max(initial=0.0 if n < 2 else -np.inf)
        distances = top - self.similarity
        np.fill_diagonal(distances, 0.0)
        return np.asarray((distances + distances.T) / 2)

    @cached_property
    def integers(self) -> tuple[NDArray[np.int64], float]:
        return as_integers(self.distances)

    def score(self, labels: Labels) -> float:
        whole = float(self.distances.sum()) / len(self.distances)
        shares = []
        for level in labels:
            of = np.asarray(level)
            parts = (np.flatnonzero(of == g) for g in np.unique(of))
            inside = sum(float(self.distances[np.ix_(i, i)].sum()) / len(i) for i in parts)
            shares.append(1 - inside / whole)
        return sum(shares) / len(shares)

    def trackers(self, labels: Labels) -> list[Tracker]:
        return [ScatterLevel(*self.integers, level, 1 / len(labels)) for level in labels]

    def check(self, space: Space) -> None:
        super().check(space)
        if not self.distances.any():
            raise HiergenError(f"all classes are equally alike by {self.of}: nothing separates them")


@dataclass(frozen=True)
class _CutoutObjective(Objective):
    """MACs of the network's cutouts, as a share of the whole; `plan_for` gives a plan with so many groups per level."""

    more = False
    plan_for: Callable[[tuple[int, ...]], Plan]

    def prices(self, counts: tuple[int, ...]) -> tuple[list[int], int, int, int]:
        """MACs of one group per level; of a class of its own; of what every cutout has; and of the whole network."""
        plan = self.plan_for(counts)
        levels = [level.branch_macs for level in plan.levels]
        base, single = plan.trunk.macs, plan.levels[-1].channels
        if plan.single_branch:
            base += levels[-1]
        else:
            single += levels[-1]
        return levels[:-1], single, base, plan.macs


@dataclass(frozen=True)
class TaskObjective(_CutoutObjective):
    """Expected cutout of the tasks: what the union of their paths needs.

    `tasks` are class indices without repeats; `weights` say how often each is needed.
    """

    tasks: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    tie: Objective | None = None

    @property
    def what(self) -> str:
        return f"tasks: MACs of the expected cutout of {len(self.tasks)} tasks, whole network = 1"

    @cached_property
    def shares(self) -> list[int]:
        total = sum(self.weights)
        return [max(round(w / total * (1 << WEIGHT_BITS)), 0) for w in self.weights]

    def score(self, labels: Labels) -> float:
        group, single, base, full = self.prices(group_counts(labels))
        paid = 0.0
        for task, weight in zip(self.tasks, self.weights, strict=True):
            touched = sum(p * len({level[c] for c in task}) for p, level in zip(group, labels, strict=True))
            paid += weight * (base + single * len(task) + touched)
        return paid / sum(self.weights) / full

    def trackers(self, labels: Labels) -> list[Tracker]:
        group, _, _, full = self.prices(group_counts(labels))
        scale = sum(self.shares) * full
        pairs = zip(labels, group, strict=True)
        return [TaskLevel(self.tasks, self.shares, level, price, scale) for level, price in pairs]

    def check(self, space: Space) -> None:
        super().check(space)
        if all(len(task) in (1, space.n) for task in self.tasks):
            raise HiergenError(
                "all nestings cost these tasks the same: each is of one class, or of all", expected="tasks of several"
            )


@dataclass(frozen=True)
class RandomTaskObjective(_CutoutObjective):
    """Expected cutout of a task of `classes` of `n` classes drawn at random.

    For who knows how large the tasks will be, not which. A network of given numbers of groups costs the same however
    the classes are dealt out; what differs is this, and only by the sizes of the groups.
    """

    sizes_alone = True
    n: int
    classes: int
    tie: Objective | None = None

    @property
    def what(self) -> str:
        return f"cost: MACs of the cutout of {self.classes} classes at random, whole network = 1"

    @cached_property
    def touch(self) -> list[int]:
        return touch_table(self.n, self.classes)

    def score(self, labels: Labels) -> float:
        group, single, base, full = self.prices(group_counts(labels))
        touched = sum(
            p * sum(self.touch[s] for s in Counter(level).values()) for p, level in zip(group, labels, strict=True)
        )
        return (base + single * self.classes + touched / self.touch[self.n]) / full

    def trackers(self, labels: Labels) -> list[Tracker]:
        group, _, _, full = self.prices(group_counts(labels))
        return [SizeLevel(self.touch, level, price, full) for level, price in zip(labels, group, strict=True)]

    def check(self, space: Space) -> None:
        super().check(space)
        if space.fixed or space.limits[-1][0] == space.limits[-1][1]:
            raise HiergenError(
                "nothing to search for by cost: its score depends on sizes of groups only, and those are given",
                hint="leave the sizes open",
            )
        if self.classes in (1, self.n):
            raise HiergenError(
                f"cutouts of {self.classes} of {self.n} classes cost the same in every nesting",
                expected=f"tasks of 2 to {self.n - 1} classes",
            )


class TieBreaker(Objective):
    """An objective and what decides between equals, in one: the first by far outweighs the second."""

    def __init__(self, first: Objective, second: Objective) -> None:
        self.first, self.second = first, second

    @property
    def what(self) -> str:
        return self.first.what

    def score(self, labels: Labels) -> float:
        return self.first.score(labels)

    def trackers(self, labels: Labels) -> list[Tracker]:
        pairs = zip(self.first.trackers(labels), self.second.trackers(labels), strict=True)
        return [_BothLevels(first, second) for first, second in pairs]


class _BothLevels:
    """The trackers of two objectives."""

    def __init__(self, first: Tracker, second: Tracker) -> None:
        self.first, self.second = first, second

    def value(self) -> float:
        return _FIRST * self.first.value() + self.second.value()

    def move(self, c: int, a: int, b: int) -> float:
        return _FIRST * self.first.move(c, a, b) + self.second.move(c, a, b)

    def swap(self, c: int, d: int, a: int, b: int) -> float:
        return _FIRST * self.first.swap(c, d, a, b) + self.second.swap(c, d, a, b)

    def exchange(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> float:
        return _FIRST * self.first.exchange(xs, ys, a, b) + self.second.exchange(xs, ys, a, b)

    def apply(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> None:
        self.first.apply(xs, ys, a, b)
        self.second.apply(xs, ys, a, b)


_FIRST = 1e6  # so much more the first objective counts
