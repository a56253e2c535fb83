"""Bounds against the best of all nestings of a few classes, and annealing against the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from suggest.search_cases import nestings, objectives, plan_with, similarity

from hiergen.suggest.search import bound as bounds
from hiergen.suggest.search.engine import Engine
from hiergen.suggest.search.objectives import Coherence, TaskCost
from hiergen.suggest.search.relaxed import capped, scatter_floor, within_curve
from hiergen.suggest.search.space import Space
from hiergen.suggest.search.statefile import State

SPACES = [
    *(Space(n, (g,), 2, n) for n in range(4, 9) for g in range(2, n // 2 + 1)),
    *(Space(n, (g,), 1, 3) for n in (3, 5, 7) for g in range(math.ceil(n / 3), n)),
    Space(6, (2,), 2, 4, ((0, 0, 0, 0, 1, 1),)),
    Space(8, (3,), 1, 4, ((0, 0, 0, 0, 1, 1, 1, 2),)),
    Space(8, (2, 4), 1, 4),
    Space(8, (2, 4), 2, 2),
    Space(7, (2, 3), 1, 3, ((0, 0, 0, 0, 0, 1, 1), (0, 0, 0, 2, 2, 1, 1))),
    Space(6, (1, 3), 2, 2),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda s: f"{s.n}-{s.counts}-{s.smallest}-{s.largest}-{s.fixed}")
def test_bounds_hold_and_annealing_reaches_the_optimum(space: Space) -> None:
    every = list(nestings(space))
    assert every
    assert all(map(space.holds, every))
    for objective in objectives(space.n, seed=space.counts[-1]):
        pick = max if objective.more else min
        sign = 1 if objective.more else -1
        best = pick(objective.score(labels) for labels in every)
        limit = objective.bound(space)
        assert limit is not None
        assert sign * (limit - best) >= 0
        engine = Engine(space, objective, 0, State(round_blocks=3), None)
        assert engine.run(6, None, lambda _: None, lambda _: None)
        found = objective.score(engine.best()[1])
        assert found == pytest.approx(best, abs=1e-9), objective.name
        if objective.name == "cost" and len(space.counts) == 1:
            assert limit == pytest.approx(best, abs=1e-9)  # the most uneven sizes are reached


@pytest.mark.parametrize("steps", [0, 1, 50, 400])
def test_bounds_hold_however_long_they_are_solved(steps: int) -> None:
    """Also of unfinished duals: for every number of pairs, and for the scatter."""
    space = Space(7, (3,), 1, 4)
    plain = similarity(7, 2)
    np.fill_diagonal(plain, 0.0)
    curve = within_curve(plain, 3, 4, 5, steps=steps)
    distances = plain.max() - plain
    np.fill_diagonal(distances, 0.0)
    floor = scatter_floor(distances, 3, 1, 4, steps=steps)
    near = bounds.neighbours(plain, space, 0)
    for (labels,) in nestings(space):
        same = np.equal.outer(labels, labels)
        np.fill_diagonal(same, False)
        pairs, within = int(same.sum()) // 2, float(plain[same].sum()) / 2
        assert curve[pairs] >= within - 1e-9
        assert near[pairs] >= within - 1e-9
        of = np.array(labels)
        scatter = sum(distances[np.ix_(of == g, of == g)].sum() / 2 / (of == g).sum() for g in range(3))
        assert floor <= scatter + 1e-9


def test_bounds_are_tight_where_groups_are_plain() -> None:
    """Three clusters far apart: the relaxations have to see them."""
    of = np.arange(30) % 3
    alike = np.where(np.equal.outer(of, of), 1.0, 0.0) + 0.01 * similarity(30, 0) / 30
    for objective in objectives(30, 0)[:2]:
        made = type(objective)(alike, "plain")  # type: ignore[call-arg]
        for space in (Space(30, (3,), 2, 28), Space(30, (3,), 10, 10, (tuple(of.tolist()),))):
            limit = made.bound(space)
            assert limit is not None
            assert 0 <= limit - made.score([of.tolist()]) < 0.01


@pytest.mark.parametrize(
    ("space", "sizes"),
    [(Space(20, (4,), 2, 9), [9, 7, 2, 2]), (Space(12, (4,), 3, 3), [3] * 4), (Space(9, (1,), 2, 9), [9])],
)
def test_most_uneven_sizes(space: Space, sizes: list[int]) -> None:
    assert bounds.uneven(space, 0) == sizes
    assert sum(sizes) == space.n


def test_fewest_groups_that_hold_a_task() -> None:
    space = Space(20, (4,), 2, 9)
    assert [bounds.fewest_touched(space, 0, m) for m in (1, 9, 10, 16, 17, 18, 19, 20)] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_numbers_are_capped_and_sum_up() -> None:
    found = capped(np.array([3.0, 1.0, 0.5, -2.0]), 2.0, 1.0)
    np.testing.assert_allclose(found, [1.0, 0.75, 0.25, 0.0], atol=1e-9)


def test_settling_keeps_the_score_and_gains_on_the_tie() -> None:
    tie = Coherence(similarity(20, 3))
    made = TaskCost(plan_with, "macs", ((0, 1, 2, 3), (2, 4, 6)), (1.0, 2.0), tie)
    space = Space(20, (2, 5), 2, 7)
    engine = Engine(space, made, 0, State(round_blocks=3), None)
    assert engine.run(6, None, lambda _: None, lambda _: None)
    before = engine.state.best
    assert before is not None
    after = engine.best()[1]
    assert space.holds(after)
    assert made.score(after) == made.score(before)
    assert tie.score(after) > tie.score(before) + 0.1
