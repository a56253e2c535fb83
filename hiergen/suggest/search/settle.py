"""Among nestings that are equally good, the one that makes sense: what the objective leaves open, a second one decides.

Tasks say nothing of classes that are in none of them, and random tasks nothing but sizes; without this, such classes
would lie about as chance has thrown them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hiergen.suggest.search.anneal import first_temperature, run_block, temperature
from hiergen.suggest.search.moves import LEAST, Field
from hiergen.suggest.search.nest import Nest
from hiergen.suggest.search.objective import Labels, Objective, Tracker
from hiergen.suggest.search.space import Space

BLOCKS = 100
FIRST = 1e6  # so much more the first objective counts


class Both:
    """A tracker of two objectives: the first by far outweighs the second."""

    def __init__(self, first: Tracker, second: Tracker) -> None:
        self.first, self.second = first, second

    def value(self) -> float:
        return FIRST * self.first.value() + self.second.value()

    def move(self, c: int, a: int, b: int) -> float:
        return FIRST * self.first.move(c, a, b) + self.second.move(c, a, b)

    def swap(self, c: int, d: int, a: int, b: int) -> float:
        return FIRST * self.first.swap(c, d, a, b) + self.second.swap(c, d, a, b)

    def exchange(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> float:
        return FIRST * self.first.exchange(xs, ys, a, b) + self.second.exchange(xs, ys, a, b)

    def apply(self, xs: Sequence[int], ys: Sequence[int], a: int, b: int) -> None:
        self.first.apply(xs, ys, a, b)
        self.second.apply(xs, ys, a, b)


def settled(space: Space, objective: Objective, labels: Labels, seed: int) -> list[list[int]]:
    """A nesting as good as `labels` by the objective, and as good as annealing finds by its `tie`."""
    tie = objective.tie
    if tie is None:
        return [list(level) for level in labels]

    def field(labels: Labels) -> Field:
        nest = Nest(labels)
        pairs = zip(objective.trackers(nest.labels), tie.trackers(nest.labels), strict=True)
        return Field(space, nest, [Both(first, second) for first, second in pairs])

    probe = Nest(labels)
    heat = first_temperature(Field(space, probe, tie.trackers(probe.labels)), (seed, 4))
    now, value = field(labels), float("-inf")
    leader = now.nest.key()
    for block in range(BLOCKS):
        value, found = run_block(now, temperature(heat, block / BLOCKS), (seed, 5, block), value)
        leader = found if found is not None else leader
    last = field(leader)
    last.climb()
    before, after = (sum(t.value() for t in objective.trackers(found)) for found in (labels, last.nest.labels))
    return last.nest.key() if after >= before - LEAST else [list(level) for level in labels]
