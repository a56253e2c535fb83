"""The search: scores by their definitions, gains as differences of scores, the optimum of small spaces, refusals."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hiergen.errors import HiergenError
from hiergen.nestings.compare.coherence import coherence
from hiergen.nestings.compare.similarity import wordnet_similarity
from hiergen.nestings.read import Task, nesting_of
from hiergen.nestings.search import optimise as optimiser
from hiergen.nestings.search.kinds import OBJECTIVES, ObjectiveInputs, make_objective
from hiergen.nestings.search.objectives import (
    CoherenceObjective,
    Objective,
    RandomTaskObjective,
    SeparabilityObjective,
    TaskObjective,
)
from hiergen.nestings.search.optimise import Neighbourhood, Step, climb, near, optimise, polish
from hiergen.nestings.search.search import Chance, SearchResult, find_best
from hiergen.nestings.search.space import Space, space_of
from hiergen.nestings.suggest.evidence import Evidence
from hiergen.nestings.suggest.shape import Shape
from hiergen.planning.from_taxonomy import plan_nesting
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting

ROOT = Path(__file__).parents[2]
Labels = tuple[tuple[int, ...], ...]


def plan_with(counts: tuple[int, ...]) -> Any:
    """A plan as far as prices go: a group of level j costs 7, 70, … MACs, a class 3, the trunk 1000."""
    prices = [7 * 10**j for j in range(len(counts))]
    levels = [SimpleNamespace(branch_macs=p, channels=5) for p in (*prices, 3)]
    macs = 1000 + sum(p * c for p, c in zip(prices, counts, strict=True)) + 6 * 8
    return SimpleNamespace(levels=levels, trunk=SimpleNamespace(macs=1000), single_branch=False, macs=macs)


def similarity(n: int, seed: int) -> NDArray[np.float64]:
    """Two or three clusters, with noise; symmetric."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3)) + 2 * rng.normal(size=(3, 3))[rng.integers(0, 3, n)]
    values = -((points[:, None] - points[None]) ** 2).sum(-1)
    values[np.diag_indices(n)] = rng.normal(size=n)  # a diagonal says nothing
    return np.asarray((values + values.T) / 2)


def tasks(n: int, seed: int) -> tuple[tuple[int, ...], ...]:
    rng = np.random.default_rng(seed)
    return tuple(tuple(sorted(rng.choice(n, size, replace=False).tolist())) for size in rng.integers(2, n, 5))


def objectives(n: int, seed: int) -> list[Objective]:
    return [
        CoherenceObjective(similarity(n, seed)),
        SeparabilityObjective(similarity(n, seed), "test"),
        TaskObjective(plan_with, tasks(n, seed), (1.0, 2.0, 0.5, 0.0, 3.0)),
        RandomTaskObjective(plan_with, n, min(3, n - 1)),
    ]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy(ROOT / "taxonomies/imagewoof.yaml")


@pytest.fixture(scope="module")
def tiny() -> Taxonomy:
    return load_taxonomy(ROOT / "taxonomies/tiny-imagenet-100.yaml")


@pytest.fixture(scope="module")
def start(taxonomy: Taxonomy) -> Nesting:
    return nesting_of(taxonomy, "N2HL")


# moves and gains

N = 24
SPACES = [
    Space(N, Shape((4,), 2, 12)),
    Space(N, Shape((3, 7), 2, 8)),
    Space(N, Shape((2, 4, 9), 1, 6)),
    Space(N, Shape((2, 6)), (tuple(i % 6 % 2 for i in range(N)), tuple(i % 6 for i in range(N)))),
]


def proposals(here: Neighbourhood, rng: random.Random) -> Iterator[Step]:
    """One step of every kind that is allowed, at random, each from where the one before has led."""
    nest = here.nesting
    kinds = [
        lambda: here.move(rng.randrange(N), rng.randrange(len(nest.size[-1]))),
        lambda: here.swap(rng.randrange(N), rng.randrange(N)),
    ]
    for j in range(1, nest.last + 1):
        many, above = len(nest.size[j]), len(nest.size[j - 1])
        kinds.append(lambda j=j, m=many, a=above: here.hang(j, rng.randrange(m), rng.randrange(a)))
        kinds.append(lambda j=j, m=many: here.trade(j, rng.randrange(m), rng.randrange(m)))
    yield from (step for kind in kinds if (step := kind()) is not None)


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("which", range(4), ids=list(OBJECTIVES))
def test_gains_are_differences_of_the_plain_score(space: Space, which: int) -> None:
    objective = objectives(N, 3)[which]
    sign = 1 if objective.more else -1
    here, rng, kinds = near(space, objective, space.draw(random.Random(1))), random.Random(0), set()
    for _ in range(60):
        for step in proposals(here, rng):
            before = objective.score(here.nesting.labels)
            here.take(step)
            assert sign * (objective.score(here.nesting.labels) - before) == pytest.approx(step.gain, abs=1e-9)
            kinds.add((len(step.hung), len(step.xs) > 1))
        assert space.holds(here.nesting.labels)
    fresh = near(space, objective, here.nesting.labels)
    assert here.value() == fresh.value()  # to the bit: sums are of integers
    assert vars(here.nesting) == vars(fresh.nesting)
    assert len(kinds) >= (1 if space.fixed else len(space.counts))


@pytest.mark.parametrize(
    "shape", [Shape((3, 6), 2, 5), Shape((3,), 3, 7), Shape((2, 4, 9), 1, 4), Shape((5, 10), 2, 2)], ids=str
)
def test_draws_are_of_the_space_and_vary(shape: Shape) -> None:
    space, rng = Space(20, shape), random.Random(0)
    drawn = [space.draw(rng) for _ in range(30)]
    assert all(map(space.holds, drawn))
    assert all(shape.misfit(Nesting.from_levels(range(20), labels)) is None for labels in drawn)  # type: ignore[arg-type]
    assert len({str(labels) for labels in drawn}) > 20
    fixed = replace(space, pattern=tuple(map(tuple, drawn[0])))
    assert all(fixed.holds(fixed.draw(rng)) for _ in range(10))


# the optimum


def partitions(n: int, groups: int) -> Iterator[tuple[int, ...]]:
    """All partitions of n things in so many groups, as restricted growth strings."""
    open_: list[tuple[int, ...]] = [()]
    while open_:
        labels = open_.pop()
        used = max(labels, default=-1) + 1
        if len(labels) == n:
            if used == groups:
                yield labels
        elif used + n - len(labels) >= groups:
            open_ += [(*labels, g) for g in range(min(used + 1, groups))]


def nestings(space: Space) -> Iterator[Labels]:
    """All nestings of a space, by the rules as the docstring of `Shape` has them."""
    for fine in partitions(space.n, space.counts[-1]):
        for over in partitions(space.counts[1], space.counts[0]) if len(space.counts) > 1 else [()]:
            labels = (tuple(over[g] for g in fine), fine) if over else (fine,)
            if space.pattern is not None:
                pairs = zip(labels, space.pattern, strict=True)
                if all(sorted(Counter(a).values()) == sorted(Counter(b).values()) for a, b in pairs):
                    yield labels
            elif Nesting.from_levels([str(c) for c in range(space.n)], labels).counts == space.counts:
                nesting = Nesting.from_levels([str(c) for c in range(space.n)], labels)
                if space.shape.misfit(nesting) is None:
                    yield labels


@pytest.mark.parametrize(
    "space",
    [
        Space(6, Shape((3,), 1, 4)),
        Space(8, Shape((3,), 2, 4)),
        Space(7, Shape((2, 4), 1, 3)),
        Space(8, Shape((2,)), ((0, 0, 0, 1, 1, 1, 1, 1),)),
    ],
    ids=str,
)
def test_the_optimum_of_small_spaces_is_reached(space: Space) -> None:
    every = list(nestings(space))
    for objective in objectives(space.n, 5):
        result = optimise(space, objective, None, steps=8000)
        assert space.holds(result.labels)
        scores = [objective.score(labels) for labels in every]
        best = max(scores) if objective.more else min(scores)
        assert objective.score(result.labels) == pytest.approx(best, abs=1e-9)


def test_a_climb_leaves_no_better_step_and_polishing_loses_nothing() -> None:
    space, objective = Space(14, Shape((2, 4), 2, 6)), SeparabilityObjective(similarity(14, 2), "x")
    drawn = space.draw(random.Random(4))
    up = climb(space, objective, drawn)
    assert all(step.gain < 1e-9 for step in near(space, objective, up.labels)._all())
    assert objective.score(drawn) < objective.score(up.labels) <= objective.score(polish(space, objective, up.labels))


def test_ties_are_broken_without_a_loss() -> None:
    tie = CoherenceObjective(similarity(20, 3))
    lists = ((0, 1, 2, 3), (2, 4, 6))
    alone, both = (TaskObjective(plan_with, lists, (1.0, 2.0), second) for second in (None, tie))
    space = Space(20, Shape((2, 5), 2, 7))
    before, after = (optimise(space, objective, None, steps=20_000).labels for objective in (alone, both))
    assert space.holds(after)
    assert both.score(after) == both.score(before)
    assert tie.score(after) > tie.score(before) + 0.1


# scores


def test_coherence_is_that_of_the_comparison(tiny: Taxonomy) -> None:
    alike = wordnet_similarity(tiny)
    for model in ("N2HL", "N4HL"):
        nesting = nesting_of(tiny, model)
        slow = np.mean([level.coherence for level in coherence(nesting, alike).levels])
        labels = [level.of for level in nesting.levels]
        objective = make_objective("coherence", ObjectiveInputs(tiny))
        assert objective.score(labels) == pytest.approx(slow, abs=1e-12)
        value = sum(tracker.value() for tracker in objective.trackers(labels))
        assert value == pytest.approx(slow, abs=1e-9)  # integers of 40 bits


def test_levels_of_one_group_or_single_classes_do_not_count() -> None:
    objective, of = CoherenceObjective(similarity(6, 0)), (0, 0, 1, 1, 2, 2)
    assert objective.score([(0,) * 6, of, tuple(range(6))]) == objective.score([of])


def test_separability_is_the_share_of_scatter_between_centroids() -> None:
    points = np.random.default_rng(0).normal(size=(12, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cosines, of = points @ points.T, np.arange(12) % 3
    # a pair with cosine 1 makes the squared distances what they are: 2 - 2 cos, halved
    shift = 1 - cosines[np.triu_indices(12, 1)].max()
    within = sum(((points[of == g] - points[of == g].mean(0)) ** 2).sum() for g in range(3))
    total = ((points - points.mean(0)) ** 2).sum()
    expected = 1 - (within - shift * (12 - 3)) / (total - shift * (12 - 1))
    assert SeparabilityObjective(cosines, "x").score([of.tolist()]) == pytest.approx(expected, abs=1e-12)
    moved = SeparabilityObjective(3 * cosines + 5, "x")  # scale and offset do not matter
    assert moved.score([of.tolist()]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("model", ["N2HL", "N3HL"])
def test_tasks_cost_what_the_comparison_says(tiny: Taxonomy, model: str) -> None:
    nesting = nesting_of(tiny, model)
    lists, weights = tasks(100, 5), (1.0, 2.0, 3.0, 0.0, 0.5)
    plan = plan_nesting(tiny, nesting, model)
    assert plan is not None
    macs = [plan.cutout_cost(frozenset(task))[1] for task in lists]
    expected = np.average(macs, weights=weights) / plan.macs
    given = [Task(str(i), task, weight) for i, (task, weight) in enumerate(zip(lists, weights, strict=True))]
    objective = make_objective("tasks", ObjectiveInputs(tiny, tasks=given))
    assert objective.score([level.of for level in nesting.levels]) == pytest.approx(expected, rel=1e-12)


def test_random_tasks_cost_the_mean_over_all_of_them() -> None:
    labels = [(0, 0, 0, 0, 1, 1), (0, 0, 1, 1, 2, 2)]
    every = [
        1000 + 3 * 8 + 7 * len({labels[0][c] for c in kept}) + 70 * len({labels[1][c] for c in kept})
        for kept in itertools.combinations(range(6), 3)
    ]
    score = RandomTaskObjective(plan_with, 6, 3).score(labels)
    assert score == pytest.approx(np.mean(every) / plan_with((2, 3)).macs, rel=1e-9)


# the whole


def run(taxonomy: Taxonomy, start: Nesting, **options: Any) -> SearchResult:
    evidence = Evidence("test", np.round(similarity(len(taxonomy.classes), 1), 6))
    objective = make_objective("separability", ObjectiveInputs(taxonomy, evidence))
    return find_best(taxonomy, start, objective=objective, **options)


def test_the_result_is_above_the_file_s_own_and_depends_on_the_seed_only(taxonomy: Taxonomy, start: Nesting) -> None:
    for same in (False, True):
        ticks: list[tuple[int, int]] = []
        result = run(taxonomy, start, steps=9500, seed=7, same_sizes=same, tick=lambda *at, t=ticks: t.append(at))
        assert result.current is not None
        assert result.score >= max(result.current, result.random.best) > result.random.mean
        assert (result.nesting.counts, result.nesting.classes) == (start.counts, start.classes)
        assert not same or sorted(result.nesting.levels[0].sizes) == sorted(start.levels[0].sizes)
        assert result.z == pytest.approx((result.score - result.random.mean) / result.random.sd)
        assert ticks[-1] == (9500, 9500)
        assert result.steps == 9500
        data = result.as_data()
        assert json.loads(json.dumps(data)) == data
        assert all(len(row) == 3 for row in result.rows())
        assert run(taxonomy, start, steps=9500, seed=7, same_sizes=same).nesting == result.nesting


def test_every_machine_goes_the_same_way() -> None:
    """Another machine, another numpy, another hash seed must come to this too."""
    i = np.arange(12)
    alike = ((i[:, None] + i[None]) * 7 + i[:, None] * i[None]) % 11 / 8
    space, objective = Space(12, Shape((2, 4), 2, 5)), SeparabilityObjective(alike, "test")
    assert space.draw(random.Random(7)) == DRAWN
    assert optimise(space, objective, None, steps=2000, seed=7).labels == REACHED


DRAWN = [[1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0], [1, 0, 3, 2, 2, 3, 1, 0, 1, 3, 2, 0]]
REACHED = [[1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1], [2, 1, 3, 2, 2, 3, 2, 0, 3, 0, 1, 2]]


def stop_after(calls: int) -> Callable[[int, int], None]:
    left = [calls]

    def tick(done: int, total: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    return tick


@pytest.mark.parametrize("calls", [1, 3, 21])
def test_it_can_be_stopped_at_any_time(taxonomy: Taxonomy, start: Nesting, calls: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(optimiser, "round_steps", lambda n: 8000)
    result = run(taxonomy, start, shape=Shape((2, 4)), steps=24_000, tick=stop_after(calls))
    assert result.stopped
    assert result.steps == calls * 1000
    assert len(result.rounds) == (calls - 1) // 8
    assert result.nesting.counts == (2, 4)


def test_equals_are_distinguished_by_coherence(taxonomy: Taxonomy, start: Nesting) -> None:
    """By cost only sizes matter, so the groups must be those that coherence would make of these sizes."""
    cost, alike = (make_objective(name, ObjectiveInputs(taxonomy)) for name in ("cost", "coherence"))
    result = find_best(taxonomy, start, objective=cost, steps=4000)
    assert "Where that leaves a choice, by coherence" in result.notes()[1]
    best = find_best(taxonomy, result.nesting, objective=alike, steps=16_000, same_sizes=True)
    assert alike.score([level.of for level in result.nesting.levels]) == pytest.approx(best.score, abs=1e-9)


def test_levels_of_the_file_s_shape_and_others(taxonomy: Taxonomy, start: Nesting) -> None:
    result = run(taxonomy, start, shape=Shape((2, 4), max_size=4), steps=10_000)
    assert result.nesting.counts == (2, 4)
    assert max(result.nesting.levels[1].sizes) <= 4
    assert result.current is not None  # of one level, beside one of two
    flat = run(taxonomy, nesting_of(taxonomy, "PHLlateSP"), shape=Shape((3,)), steps=10_000)
    assert flat.current is None
    assert math.isnan(flat.current_z)
    assert flat.as_data()["search"]["own"] is None


def test_what_cannot_be_searched_for(taxonomy: Taxonomy, start: Nesting) -> None:
    n = len(taxonomy.classes)
    space = Space(n, Shape((3,), 2, 6))
    fixed = Space(n, Shape((2,)), ((0,) * 5 + (1,) * 5,))
    flat = Evidence("flat", np.ones((n, n)))

    def made(name: str, evidence: Evidence | None = None, *given: Task) -> Objective:
        return make_objective(name, ObjectiveInputs(taxonomy, evidence, given))

    refused: list[tuple[str, Callable[[], object]]] = [
        (r"no objective 'coherance'; expected one of .*; nearest: coherence", lambda: made("coherance")),
        ("separability of what", lambda: made("separability")),
        ("no tasks to search a nesting for; expected --tasks FILE", lambda: made("tasks")),
        ("tasks are given, and the objective is cost", lambda: made("cost", None, Task("a", (0, 1)))),
        ("weigh nothing", lambda: made("tasks", None, Task("a", (1, 2), 0.0))),
        ("cost the same in every nesting", lambda: RandomTaskObjective(plan_with, n, 1).check(space)),
        ("depends on sizes of groups only", lambda: made("cost").check(fixed)),
        (
            "each is of one class, or of all",
            lambda: made("tasks", None, Task("a", (4,)), Task("b", tuple(range(n)))).check(space),
        ),
        ("all classes are equally alike by flat", lambda: made("separability", flat).check(space)),
        ("there is one nesting with 10 groups", lambda: made("coherence").check(Space(n, Shape((n,), 1, 1)))),
        ("one level is the classes themselves", lambda: space_of(nesting_of(taxonomy, "PHLlateSP"))),
        ("takes all numbers and sizes of groups", lambda: space_of(start, Shape((2,)), same_sizes=True)),
        ("6 groups of at least 2 classes need 12", lambda: space_of(start, Shape((6,)))),
        ("steps above 0, and a seed from 0", lambda: run(taxonomy, start, steps=0)),
        ("steps above 0, and a seed from 0", lambda: run(taxonomy, start, seed=-1)),
    ]
    for message, call in refused:
        with pytest.raises(HiergenError, match=message):
            call()


def test_chance_that_does_not_vary_says_nothing() -> None:
    assert math.isnan(Chance(0.5, 0.0, 0.5).z(0.7, more=True))
    assert Chance(0.5, 0.1, 0.6).z(0.3, more=False) == pytest.approx(2.0)
