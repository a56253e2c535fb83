"""Rounds of annealing and climbing: the one optimiser, for searches and for polishing what agglomeration came to.

The neighbourhood: a class goes to another group, two classes trade places; the same with groups of finer levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from hiergen.nestings.search.objectives import Objective, TieBreaker
from hiergen.nestings.search.space import Change, Labels, MutableNesting, Space
from hiergen.nestings.search.trackers import Tracker

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

    def __init__(self, space: Space, nesting: MutableNesting, trackers: Sequence[Tracker]) -> None:
        self.space, self.nesting, self.trackers = space, nesting, trackers
        self.limits = space.limits
        self.low, self.high = self.limits[-1]

    def value(self) -> float:
        """The score as a gain, worked out from the whole nesting."""
        return sum(tracker.value() for tracker in self.trackers)

    def move(self, c: int, b: int) -> Step | None:
        """Class c to group b of the finest level; None where sizes forbid it, or it is there."""
        nesting = self.nesting
        a, size = nesting.labels[nesting.last][c], nesting.size[nesting.last]
        if a == b or size[a] <= self.low or size[b] >= self.high or self.space.fixed:
            return None
        changes = nesting.between(a, b)
        return Step(sum([self.trackers[j].move(c, x, y) for j, x, y in changes]), (c,), (), changes)

    def swap(self, c: int, d: int) -> Step | None:
        """Classes c and d trade places."""
        nesting = self.nesting
        labels = nesting.labels[nesting.last]
        a, b = labels[c], labels[d]
        if a == b:
            return None
        changes = nesting.between(a, b)
        return Step(sum([self.trackers[j].swap(c, d, x, y) for j, x, y in changes]), (c,), (d,), changes)

    def hang(self, level: int, g: int, other: int) -> Step | None:
        """Group g of a level, with all below it, to another group of the level above."""
        nesting = self.nesting
        was = nesting.parent[level][g]
        low, high = self.limits[level - 1]
        children = nesting.children[level - 1]
        if was == other or self.space.fixed or children[was] <= low or children[other] >= high:
            return None
        changes, xs = nesting.above(level, g, other), nesting.members(level, g)
        gain = sum([self.trackers[j].exchange(xs, (), a, b) for j, a, b in changes])
        return Step(gain, xs, (), changes, ((level, g, other),))

    def trade(self, level: int, g: int, h: int) -> Step | None:
        """Groups g and h of one level trade places; of the same size, where sizes are fixed."""
        nesting = self.nesting
        mine, theirs = nesting.parent[level][g], nesting.parent[level][h]
        if mine == theirs or (self.space.fixed and nesting.size[level][g] != nesting.size[level][h]):
            return None
        changes, xs, ys = nesting.above(level, g, theirs), nesting.members(level, g), nesting.members(level, h)
        gain = sum([self.trackers[j].exchange(xs, ys, a, b) for j, a, b in changes])
        return Step(gain, xs, ys, changes, ((level, g, theirs), (level, h, mine)))

    def take(self, step: Step) -> None:
        """Carry it out."""
        for j, a, b in step.changes:
            self.trackers[j].apply(step.xs, step.ys, a, b)
        self.nesting.carry(step.xs, step.ys, step.changes)
        for hung in step.hung:
            self.nesting.hang(*hung)

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
        n, nesting = self.space.n, self.nesting
        for c in range(n):
            for b in range(len(nesting.size[nesting.last])):
                if step := self.move(c, b):
                    yield step
            for d in range(c + 1, n):
                if step := self.swap(c, d):
                    yield step
        for level in range(1, nesting.last + 1):
            groups = range(len(nesting.size[level]))
            for g in groups:
                for other in range(len(nesting.size[level - 1])):
                    if step := self.hang(level, g, other):
                        yield step
                for h in groups[g + 1 :]:
                    if step := self.trade(level, g, h):
                        yield step


PER_CLASS, SHORTEST = 4000, 20_000  # steps of a round
ROUNDS = 8  # by default
_REHEATED = 0.4  # of the first temperature, where a round starts from the best so far
_TIE_STEPS = 100_000
_POLISHING = 100_000


@dataclass
class Optimised:
    """The best nesting, its value as a gain, and what each round came to; `stopped` by Ctrl-C after so many `steps`."""

    labels: list[list[int]]
    value: float
    rounds: list[float] = field(default_factory=list)
    steps: int = 0
    stopped: bool = False


def near(space: Space, objective: Objective, labels: Labels) -> Neighbourhood:
    """A nesting with its trackers, to be changed."""
    nesting = MutableNesting(labels)
    return Neighbourhood(space, nesting, objective.trackers(nesting.labels))


def climb(space: Space, objective: Objective, labels: Labels) -> Optimised:
    """The local optimum above a nesting, by all moves."""
    here = near(space, objective, labels)
    here.climb()
    return Optimised(here.nesting.copy_labels(), here.value())


def round_steps(n: int) -> int:
    """Steps of a round over n classes."""
    return max(SHORTEST, PER_CLASS * n)


def optimise(
    space: Space,
    objective: Objective,
    start: Labels | None,
    *,
    steps: int | None = None,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda *_: None,
) -> Optimised:
    """The best nesting of the space that rounds of annealing find in `steps` (default: `ROUNDS` rounds).

    Even rounds start from a random nesting, odd ones from the best so far, less hot; each ends with a climb. `start` is
    a nesting of the space to begin with: the result is at least as good. Ctrl-C ends it with the best so far. The same
    seed goes the same way on every machine. `tick` gets steps done, and all of them.
    """
    steps = ROUNDS * round_steps(space.n) if steps is None else steps
    rounds = max(1, round(steps / round_steps(space.n)))
    rng = Random(seed)
    best = climb(space, objective, start or space.draw(rng))
    heat = first_temperature(near(space, objective, space.draw(rng)), rng)
    values: list[float] = []
    done, leader = 0, Best()

    def count(more: int) -> None:
        nonlocal done
        done += more
        tick(done, steps)

    stopped = False
    try:
        for i in range(rounds):
            leader = Best()
            warm = i % 2 == 1
            here = near(space, objective, best.labels if warm else space.draw(rng))
            share = steps * (i + 1) // rounds - steps * i // rounds
            anneal(here, share, heat * (_REHEATED if warm else 1.0), rng, leader, count)
            assert leader.labels is not None
            other = climb(space, objective, leader.labels)
            values.append(other.value)
            best = max(best, other, key=lambda result: result.value)
    except KeyboardInterrupt:
        stopped = True
        if leader.labels is not None and leader.value > best.value:
            best = Optimised(leader.labels, leader.value)
    if objective.tie is not None and not stopped:
        best = _break_ties(space, objective, objective.tie, best, rng)
    return Optimised(best.labels, best.value, values, done, stopped)


def _break_ties(space: Space, objective: Objective, tie: Objective, best: Optimised, rng: Random) -> Optimised:
    """A nesting as good by the objective, and as good as annealing finds by what decides between equals.

    Tasks say nothing of classes that are in none of them, and random tasks nothing but sizes; without this, such
    classes would lie about as chance has thrown them.
    """
    both = TieBreaker(objective, tie)
    heat = first_temperature(near(space, tie, best.labels), rng)
    leader = Best()
    anneal(near(space, both, best.labels), _TIE_STEPS, heat, rng, leader, lambda _: None)
    assert leader.labels is not None
    labels = climb(space, both, leader.labels).labels
    value = near(space, objective, labels).value()
    return Optimised(labels, value) if value >= best.value - LEAST else best


def polish(space: Space, objective: Objective, labels: Labels) -> list[list[int]]:
    """A nesting at least as good as `labels`: one short round, not hot, from there."""
    rng, leader = Random(0), Best()
    heat = _REHEATED * first_temperature(near(space, objective, space.draw(rng)), rng)
    anneal(near(space, objective, labels), _POLISHING, heat, rng, leader, lambda _: None)
    assert leader.labels is not None
    return climb(space, objective, leader.labels).labels


_WHOLE = 0.1  # share of proposals that concern whole groups, where there are several levels
_SWAPS = 0.5
_PROBES = 1000
_TICK = 1000  # steps from one call of `tick` to the next


@dataclass
class Best:
    """The best nesting so far; None before there is one."""

    value: float = -math.inf
    labels: list[list[int]] | None = None

    def offer(self, value: float, labels: list[list[int]]) -> None:
        if value > self.value + LEAST:
            self.value, self.labels = value, labels


def anneal(here: Neighbourhood, steps: int, heat: float, rng: Random, best: Best, tick: Callable[[int], None]) -> None:
    """`steps` proposals while the temperature falls from `heat` to 0; what is better than `best` is noted there.

    `tick` gets the number of steps done since its last call, and may raise.
    """
    value = here.value()
    best.offer(value, here.nesting.copy_labels())
    for i in range(steps):
        if i and i % _TICK == 0:
            tick(_TICK)
        if (step := _propose(here, rng.random)) is None:
            continue
        left = 1 - i / steps
        if step.gain >= 0 or rng.random() < math.exp(step.gain / max(heat * left * left, 1e-300)):
            here.take(step)
            value += step.gain
            if value > best.value + LEAST:
                best.offer(value, here.nesting.copy_labels())
    tick(steps - (steps - 1) // _TICK * _TICK)


def first_temperature(here: Neighbourhood, rng: Random) -> float:
    """So hot that a round begins without much order: the mean change that a proposal makes."""
    steps = [step for _ in range(_PROBES) if (step := _propose(here, rng.random)) is not None]
    return sum(abs(step.gain) for step in steps) / max(len(steps), 1)


def _propose(here: Neighbourhood, random: Callable[[], float]) -> Step | None:
    """One step at random; None where it is not allowed."""
    nesting = here.nesting
    n, last = here.space.n, nesting.last
    if last and random() < _WHOLE:
        level = 1 + int(random() * last)
        groups, above = len(nesting.size[level]), len(nesting.size[level - 1])
        g = int(random() * groups)
        if random() < _SWAPS:
            return here.trade(level, g, int(random() * groups))
        return here.hang(level, g, int(random() * above))
    c = int(random() * n)
    if here.space.fixed or random() < _SWAPS:
        return here.swap(c, int(random() * n))
    return here.move(c, int(random() * len(nesting.size[last])))
