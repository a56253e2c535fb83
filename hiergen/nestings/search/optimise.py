"""Rounds of annealing and climbing: the one optimiser, for searches and for polishing what agglomeration found."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from hiergen.nestings.search.groups import Labels, MutableNesting
from hiergen.nestings.search.moves import LEAST, Neighbourhood, Step
from hiergen.nestings.search.objectives import Objective, TieBreaker
from hiergen.nestings.search.space import Space

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
    nest = MutableNesting(labels)
    return Neighbourhood(space, nest, objective.trackers(nest.labels))


def climb(space: Space, objective: Objective, labels: Labels) -> Optimised:
    """The local optimum above a nesting, by all moves."""
    here = near(space, objective, labels)
    here.climb()
    return Optimised(here.nest.copy_labels(), here.value())


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


def anneal(near: Neighbourhood, steps: int, heat: float, rng: Random, best: Best, tick: Callable[[int], None]) -> None:
    """`steps` proposals while the temperature falls from `heat` to 0; what is better than `best` is noted there.

    `tick` gets the number of steps done since its last call, and may raise.
    """
    value = near.value()
    best.offer(value, near.nest.copy_labels())
    for i in range(steps):
        if i and i % _TICK == 0:
            tick(_TICK)
        if (step := _propose(near, rng.random)) is None:
            continue
        left = 1 - i / steps
        if step.gain >= 0 or rng.random() < math.exp(step.gain / max(heat * left * left, 1e-300)):
            near.take(step)
            value += step.gain
            if value > best.value + LEAST:
                best.offer(value, near.nest.copy_labels())
    tick(steps - (steps - 1) // _TICK * _TICK)


def first_temperature(near: Neighbourhood, rng: Random) -> float:
    """So hot that a round begins without much order: the mean change that a proposal makes."""
    steps = [step for _ in range(_PROBES) if (step := _propose(near, rng.random)) is not None]
    return sum(abs(step.gain) for step in steps) / max(len(steps), 1)


def _propose(near: Neighbourhood, random: Callable[[], float]) -> Step | None:
    """One step at random; None where it is not allowed."""
    nest = near.nest
    n, last = near.space.n, nest.last
    if last and random() < _WHOLE:
        level = 1 + int(random() * last)
        groups, above = len(nest.size[level]), len(nest.size[level - 1])
        g = int(random() * groups)
        if random() < _SWAPS:
            return near.trade(level, g, int(random() * groups))
        return near.hang(level, g, int(random() * above))
    c = int(random() * n)
    if near.space.fixed or random() < _SWAPS:
        return near.swap(c, int(random() * n))
    return near.move(c, int(random() * len(nest.size[last])))
