"""Scores by their definitions, and the changes that trackers say against the difference of two scores."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from suggest.search_cases import objectives, plan_with, similarity, tasks

from hiergen.errors import HiergenError
from hiergen.partitions.coherence import coherence
from hiergen.partitions.costs import expected_cutout_cost, plan_grouping
from hiergen.partitions.grouping import grouping_of
from hiergen.partitions.similarity import wordnet_similarity
from hiergen.partitions.tasks import Task
from hiergen.suggest.evidence import Evidence
from hiergen.suggest.search.asked import objective_of
from hiergen.suggest.search.moves import Field, Step
from hiergen.suggest.search.objectives import Coherence, RandomTaskCost, Separability
from hiergen.suggest.search.space import Space
from hiergen.taxonomy.load import load_taxonomy

ROOT = Path(__file__).parent.parent.parent
N = 24
SPACES = [
    Space(N, (4,), 2, 12),
    Space(N, (3, 7), 2, 8),
    Space(N, (2, 4, 9), 1, 6),
    Space(N, (2, 6), 3, 5, (tuple(i % 6 % 2 for i in range(N)), tuple(i % 6 for i in range(N)))),
]


def proposals(field: Field, rng: random.Random) -> Iterator[Step]:
    """One step of every kind that is allowed, at random, each from where the one before has led."""
    nest = field.nest
    kinds = [
        lambda: field.move(rng.randrange(N), rng.randrange(len(nest.size[-1]))),
        lambda: field.swap(rng.randrange(N), rng.randrange(N)),
    ]
    for j in range(1, nest.last + 1):
        many, above = len(nest.size[j]), len(nest.size[j - 1])
        kinds.append(lambda j=j, m=many, a=above: field.hang(j, rng.randrange(m), rng.randrange(a)))
        kinds.append(lambda j=j, m=many: field.trade(j, rng.randrange(m), rng.randrange(m)))
    for kind in kinds:
        if (step := kind()) is not None:
            yield step


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("which", range(4), ids=["coherence", "separability", "tasks", "cost"])
def test_gains_are_differences_of_the_plain_score(space: Space, which: int) -> None:
    objective = objectives(N, 3)[which]
    sign = 1 if objective.more else -1
    nest = space.draw((1, 2))
    field, rng, kinds = Field(space, nest, objective.trackers(nest.labels)), random.Random(0), set()
    for _ in range(60):
        for step in proposals(field, rng):
            before = objective.score(nest.labels)
            field.take(step)
            assert sign * (objective.score(nest.labels) - before) == pytest.approx(step.gain, abs=1e-9)
            kinds.add((len(step.hung), len(step.xs) > 1))
        assert space.holds(nest.labels)
    fresh = Field(space, type(nest)(nest.labels), objective.trackers(nest.labels))
    assert field.value() == fresh.value()  # to the bit: sums are of integers
    assert vars(field.nest) == vars(fresh.nest)
    assert len(kinds) >= (1 if space.fixed else len(space.counts))


def test_coherence_is_that_of_the_comparison() -> None:
    taxonomy = load_taxonomy(ROOT / "taxonomies/tiny-imagenet-100.yaml")
    alike = wordnet_similarity(taxonomy)
    for model in ("N2HL", "N4HL"):
        grouping = grouping_of(taxonomy, model)
        slow = np.mean([level.coherence for level in coherence(grouping, alike).levels])
        labels = [level.of for level in grouping.levels]
        objective = objective_of("coherence", taxonomy)
        assert objective.score(labels) == pytest.approx(slow, abs=1e-12)
        value = sum(tracker.value() for tracker in objective.trackers(labels))
        assert value == pytest.approx(slow, abs=1e-9)  # integers of 40 bits


def test_levels_of_one_group_or_single_classes_do_not_count() -> None:
    alike = similarity(6, 0)
    of = (0, 0, 1, 1, 2, 2)
    alone = Coherence(alike).score([of])
    assert Coherence(alike).score([(0,) * 6, of, tuple(range(6))]) == alone


def test_separability_is_the_share_of_scatter_between_centroids() -> None:
    points = np.random.default_rng(0).normal(size=(12, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cosines = points @ points.T
    of = np.arange(12) % 3
    # a pair with cosine 1 makes the squared distances what they are: 2 - 2 cos, halved
    top = cosines[np.triu_indices(12, 1)].max()
    within = sum(((points[of == g] - points[of == g].mean(0)) ** 2).sum() for g in range(3))
    total = ((points - points.mean(0)) ** 2).sum()
    shift = 1 - top
    expected = 1 - (within - shift * (12 - 3)) / (total - shift * (12 - 1))
    assert Separability(cosines, "points").score([of.tolist()]) == pytest.approx(expected, abs=1e-12)


def test_scale_and_offset_of_evidence_do_not_matter() -> None:
    alike, of = similarity(9, 1), [[0, 0, 0, 1, 1, 1, 2, 2, 2]]
    assert Separability(3 * alike + 5, "x").score(of) == pytest.approx(Separability(alike, "x").score(of), abs=1e-12)


@pytest.mark.parametrize("unit", ["macs", "params"])
@pytest.mark.parametrize("model", ["N2HL", "N3HL"])
def test_tasks_cost_what_the_comparison_says(unit: str, model: str) -> None:
    taxonomy = load_taxonomy(ROOT / "taxonomies/tiny-imagenet-100.yaml")
    grouping = grouping_of(taxonomy, model)
    lists, weights = tasks(100, 5), (1.0, 2.0, 3.0, 0.0, 0.5)
    plan = plan_grouping(taxonomy, grouping, model)
    assert plan is not None
    slow = expected_cutout_cost(plan, grouping, lists, weights)
    given = [Task(str(i), task, weight) for i, (task, weight) in enumerate(zip(lists, weights, strict=True))]
    objective = objective_of("tasks", taxonomy, tasks=given, unit=unit)
    expected = slow.macs / plan.macs if unit == "macs" else slow.params / plan.params
    assert objective.score([level.of for level in grouping.levels]) == pytest.approx(expected, rel=1e-12)


def test_random_tasks_cost_the_mean_over_all_of_them() -> None:
    labels = [(0, 0, 0, 0, 1, 1), (0, 0, 1, 1, 2, 2)]
    found = RandomTaskCost(plan_with, "macs", 6, 3).score(labels)
    every = [
        1000 + 3 * 8 + 7 * len({labels[0][c] for c in kept}) + 70 * len({labels[1][c] for c in kept})
        for kept in itertools.combinations(range(6), 3)
    ]
    assert found == pytest.approx(np.mean(every) / plan_with((2, 3)).macs, rel=1e-9)


def test_what_cannot_be_searched_for() -> None:
    taxonomy = load_taxonomy(ROOT / "taxonomies/imagenette.yaml")
    n = len(taxonomy.classes)
    space = Space(n, (3,), 2, 6)
    fixed = Space(n, (2,), 5, 5, ((0,) * 5 + (1,) * 5,))
    with pytest.raises(HiergenError, match=r"no objective 'coherance'; expected one of .*; nearest: coherence"):
        objective_of("coherance", taxonomy)
    with pytest.raises(HiergenError, match="separability of what"):
        objective_of("separability", taxonomy)
    with pytest.raises(HiergenError, match="no tasks to search a nesting for; expected --tasks FILE"):
        objective_of("tasks", taxonomy)
    with pytest.raises(HiergenError, match="tasks are given, and the objective is cost"):
        objective_of("cost", taxonomy, tasks=[Task("a", (0, 1))])
    with pytest.raises(HiergenError, match="cannot count 'flops'"):
        objective_of("cost", taxonomy, unit="flops")
    with pytest.raises(HiergenError, match="tasks of 11 of 10 classes cannot be"):
        objective_of("cost", taxonomy, classes=11)
    with pytest.raises(HiergenError, match="cutouts of 1 of 10 classes cost the same in every nesting"):
        objective_of("cost", taxonomy, classes=1).check(space)
    with pytest.raises(HiergenError, match="depends on the numbers and sizes of groups only"):
        objective_of("cost", taxonomy).check(fixed)
    with pytest.raises(HiergenError, match="each is of one class, or of all"):
        objective_of("tasks", taxonomy, tasks=[Task("a", (4,)), Task("b", tuple(range(n)))]).check(space)
    with pytest.raises(HiergenError, match="weigh nothing"):
        objective_of("tasks", taxonomy, tasks=[Task("a", (1, 2), 0.0)])
    with pytest.raises(HiergenError, match="all classes are equally alike by flat"):
        objective_of("separability", taxonomy, evidence=Evidence("flat", np.ones((n, n))))
    with pytest.raises(HiergenError, match="there is one nesting with 10 groups"):
        objective_of("coherence", taxonomy).check(Space(n, (n,), 1, 1))
