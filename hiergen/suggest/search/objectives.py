"""What a nesting can be searched for: coherence, separability, the cutouts of given tasks, or those of random ones."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hiergen.errors import HiergenError
from hiergen.plan.ir import Plan
from hiergen.suggest.search import bound as bounds
from hiergen.suggest.search.counted import SizeLevel, TaskLevel, group_counts, touch_table
from hiergen.suggest.search.objective import Labels, Tracker
from hiergen.suggest.search.pairs import CoherenceLevel, ScatterLevel, as_integers
from hiergen.suggest.search.space import Space

Matrix = NDArray[np.float64]
WEIGHT_BITS = 30
SIZES_TELL_ALL = "its score depends on the numbers and sizes of groups only, and those are given"


@dataclass(frozen=True)
class Coherence:
    """Mean over the levels of (mean similarity of pairs within a group) - (that of pairs in different groups).

    The same as `partitions.coherence`; levels of one group or of single classes have none, and do not count.
    """

    similarity: Matrix
    of: str = "WordNet (Wu–Palmer)"
    name: str = field(default="coherence", init=False)
    more: bool = field(default=True, init=False)
    tie: None = field(default=None, init=False)

    @property
    def what(self) -> str:
        return f"coherence: mean similarity within less between groups, by {self.of}"

    @functools.cached_property
    def integers(self) -> tuple[NDArray[np.int64], float]:
        return as_integers(self.similarity)

    def fingerprint(self) -> str:
        return _hash(self.integers[0].tobytes(), str(self.integers[1]).encode())

    def score(self, labels: Labels) -> float:
        found = []
        above = np.triu_indices(len(self.similarity), 1)
        values = self.similarity[above]
        for level in labels:
            of = np.asarray(level)
            same = (of[:, None] == of[None, :])[above]
            if same.any() and not same.all():
                found.append(float(values[same].mean() - values[~same].mean()))
        return sum(found) / len(found) if found else 0.0

    def trackers(self, labels: Labels) -> list[Tracker]:
        shares = self._shares(group_counts(labels))
        pairs = zip(labels, shares, strict=True)
        return [CoherenceLevel(*self.integers, level, share) for level, share in pairs]

    def _shares(self, counts: Sequence[int]) -> list[float]:
        open_ = [1 < g < len(self.similarity) for g in counts]
        return [float(o) / max(sum(open_), 1) for o in open_]

    def bound(self, space: Space) -> float | None:
        found = [
            share * bounds.coherence(self.similarity, space, j)
            for j, share in enumerate(self._shares(space.counts))
            if share
        ]
        return sum(found)

    def check(self, space: Space) -> None:
        _grouped(space, self.name)


@dataclass(frozen=True)
class Separability:
    """Mean over the levels of the share of the classes' scatter that the groups explain (the trace criterion, R²).

    Scatter of a set = sum over its pairs of squared distances / its size. The squared distance of two classes is the
    largest similarity of any pair less their own: of unit vectors' cosines that is the usual one, up to a constant,
    which moves all nestings of one shape alike.
    """

    similarity: Matrix
    of: str
    name: str = field(default="separability", init=False)
    more: bool = field(default=True, init=False)
    tie: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not self.distances.any():
            raise HiergenError(f"all classes are equally alike by {self.of}: nothing separates them")

    @property
    def what(self) -> str:
        return f"separability: share of the classes' scatter between the groups, by {self.of}"

    @functools.cached_property
    def distances(self) -> Matrix:
        """Squared distances `(n, n)`, 0 on the diagonal."""
        n = len(self.similarity)
        found = self.similarity[np.triu_indices(n, 1)].max(initial=0.0 if n < 2 else -np.inf) - self.similarity
        np.fill_diagonal(found, 0.0)
        return np.asarray((found + found.T) / 2)

    @functools.cached_property
    def integers(self) -> tuple[NDArray[np.int64], float]:
        return as_integers(self.distances)

    def fingerprint(self) -> str:
        return _hash(self.integers[0].tobytes(), str(self.integers[1]).encode())

    def score(self, labels: Labels) -> float:
        whole = float(self.distances.sum()) / len(self.distances)
        found = []
        for level in labels:
            of = np.asarray(level)
            parts = (np.flatnonzero(of == g) for g in np.unique(of))
            inside = sum(float(self.distances[np.ix_(i, i)].sum()) / len(i) for i in parts)
            found.append(1 - inside / whole)
        return sum(found) / len(found)

    def trackers(self, labels: Labels) -> list[Tracker]:
        return [ScatterLevel(*self.integers, level, 1 / len(labels)) for level in labels]

    def bound(self, space: Space) -> float | None:
        levels = range(len(space.counts))
        return sum(bounds.separability(self.distances, space, j) for j in levels) / len(space.counts)

    def check(self, space: Space) -> None:
        _grouped(space, self.name)


@dataclass(frozen=True)
class _Priced:
    """Costs of the network: `plan_for` gives a plan with so many groups per level; `unit` is "macs" or "params"."""

    plan_for: Callable[[tuple[int, ...]], Plan]
    unit: str

    def prices(self, counts: tuple[int, ...]) -> tuple[list[int], int, int, int]:
        """Of one group per level; of a class of its own; of what every cutout has; and of the whole network."""
        return _prices(self.plan_for(counts), self.unit)


@dataclass(frozen=True)
class TaskCost(_Priced):
    """Expected cutout of the tasks, as a share of the whole network: what the union of their paths needs.

    `tasks` are class indices without repeats; `weights` say how often each is asked for.
    """

    tasks: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    tie: Coherence | None = None
    name: str = field(default="tasks", init=False)
    more: bool = field(default=False, init=False)

    @property
    def what(self) -> str:
        return f"tasks: {_UNITS[self.unit]} of the expected cutout of {len(self.tasks)} tasks, whole network = 1"

    @functools.cached_property
    def shares(self) -> list[int]:
        total = sum(self.weights)
        return [max(round(w / total * (1 << WEIGHT_BITS)), 0) for w in self.weights]

    def fingerprint(self) -> str:
        return _hash(repr((self.tasks, self.shares, self.unit)).encode(), _tied(self.tie))

    def score(self, labels: Labels) -> float:
        group, own, base, full = self.prices(group_counts(labels))
        paid = 0.0
        for task, weight in zip(self.tasks, self.weights, strict=True):
            touched = sum(p * len({level[c] for c in task}) for p, level in zip(group, labels, strict=True))
            paid += weight * (base + own * len(task) + touched)
        return paid / sum(self.weights) / full

    def trackers(self, labels: Labels) -> list[Tracker]:
        group, _, _, full = self.prices(group_counts(labels))
        scale = sum(self.shares) * full
        pairs = zip(labels, group, strict=True)
        return [TaskLevel(self.tasks, self.shares, level, price, scale) for level, price in pairs]

    def bound(self, space: Space) -> float | None:
        group, own, base, full = self.prices(space.counts)
        paid = 0.0
        for task, weight in zip(self.tasks, self.weights, strict=True):
            least = (p * bounds.fewest_touched(space, j, len(task)) for j, p in enumerate(group))
            paid += weight * (base + own * len(task) + sum(least))
        return paid / sum(self.weights) / full

    def check(self, space: Space) -> None:
        _grouped(space, self.name)
        if all(len(task) in (1, space.n) for task in self.tasks):
            raise HiergenError(
                "all nestings cost these tasks the same: each is of one class, or of all", expected="tasks of several"
            )


@dataclass(frozen=True)
class RandomTaskCost(_Priced):
    """Expected cutout of a task of `classes` classes drawn at random, as a share of the whole network.

    For who knows how large the tasks will be, not which. A network of given numbers of groups costs the same however
    the classes are dealt out; what differs is this, and only by the sizes of the groups.
    """

    n: int
    classes: int
    tie: Coherence | None = None
    name: str = field(default="cost", init=False)
    more: bool = field(default=False, init=False)

    @property
    def what(self) -> str:
        return f"cost: {_UNITS[self.unit]} of the cutout of {self.classes} classes at random, whole network = 1"

    @functools.cached_property
    def touch(self) -> list[int]:
        return touch_table(self.n, self.classes)

    def fingerprint(self) -> str:
        return _hash(repr((self.n, self.classes, self.unit)).encode(), _tied(self.tie))

    def score(self, labels: Labels) -> float:
        group, own, base, full = self.prices(group_counts(labels))
        touched = sum(
            p * sum(self.touch[s] for s in Counter(level).values()) for p, level in zip(group, labels, strict=True)
        )
        return (base + own * self.classes + touched / self.touch[self.n]) / full

    def trackers(self, labels: Labels) -> list[Tracker]:
        group, _, _, full = self.prices(group_counts(labels))
        pairs = zip(labels, group, strict=True)
        return [SizeLevel(self.touch, level, price, full) for level, price in pairs]

    def bound(self, space: Space) -> float | None:
        group, own, base, full = self.prices(space.counts)
        least = (p * bounds.least_over_sizes(space, j, self.touch) for j, p in enumerate(group))
        return (base + own * self.classes + sum(least) / self.touch[self.n]) / full

    def check(self, space: Space) -> None:
        _grouped(space, self.name)
        if space.fixed or space.smallest == space.largest:
            raise HiergenError(f"nothing to search for by cost: {SIZES_TELL_ALL}", hint="leave the sizes open")
        if self.classes in (1, self.n):
            raise HiergenError(
                f"cutouts of {self.classes} of {self.n} classes cost the same in every nesting",
                expected=f"tasks of 2 to {self.n - 1} classes",
            )


_UNITS = {"macs": "MACs", "params": "params"}


def _prices(plan: Plan, unit: str) -> tuple[list[int], int, int, int]:
    params = unit == "params"
    levels = [level.branch_params if params else level.branch_macs for level in plan.levels]
    channels = plan.levels[-1].channels
    base = plan.trunk.params if params else plan.trunk.macs
    own = channels + params
    if plan.single_branch:
        base += levels[-1]
    else:
        own += levels[-1]
    return levels[:-1], own, base, plan.params if params else plan.macs


def _grouped(space: Space, name: str) -> None:
    if all(g in (1, space.n) for g in space.counts):
        raise HiergenError(
            f"nothing to search for by {name}: there is one nesting with {', '.join(map(str, space.counts))} groups",
            expected=f"2 to {space.n - 1} groups",
        )


def _tied(tie: Coherence | None) -> bytes:
    return b"" if tie is None else tie.fingerprint().encode()


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
