"""Objectives by their names: the one table that option checks, help and the list in docs/search.md follow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hiergen.errors import HiergenError, nearest, quoted

if TYPE_CHECKING:
    from hiergen.nestings.read import Task
    from hiergen.nestings.search.objectives import Objective
    from hiergen.nestings.suggest.evidence import Evidence
    from hiergen.planning.plan import Plan
    from hiergen.taxonomy.load import Taxonomy

SHARE = 10  # a random task has one class in ten


@dataclass(frozen=True)
class ObjectiveInputs:
    """What an objective may be made of; `model` says trunk and budget."""

    taxonomy: Taxonomy
    evidence: Evidence | None = None
    tasks: Sequence[Task] = ()
    model: str | None = None


@dataclass(frozen=True)
class ObjectiveKind:
    """A row of `OBJECTIVES`. `evidence`: whether the score is of evidence; `needs`: what has to be given."""

    help: str
    make: Callable[[ObjectiveInputs], Objective]
    evidence: bool = False
    needs: str | None = None


def make_objective(name: str, inputs: ObjectiveInputs) -> Objective:
    """What to search for. Raises HiergenError for another name, and where something is missing or not looked at."""
    kind = objective_kind(name)
    if inputs.tasks and kind.needs != "tasks":
        raise HiergenError(f"tasks are given, and the objective is {name}", expected="the objective 'tasks'")
    n = len(inputs.taxonomy.classes)
    if inputs.evidence is not None and inputs.evidence.similarity.shape != (n, n):
        shape = inputs.evidence.similarity.shape
        raise ValueError(f"evidence {inputs.evidence.name} is {shape}, expected {(n, n)}")
    return kind.make(inputs)


def objective_kind(name: str) -> ObjectiveKind:
    """The row of the table. Raises HiergenError for what is no objective."""
    if name not in OBJECTIVES:
        close = nearest(name, OBJECTIVES) or [other for other in OBJECTIVES if name and other.startswith(name[:3])]
        raise HiergenError(f"no objective {quoted(name)}", expected=f"one of {', '.join(OBJECTIVES)}", nearest=close)
    return OBJECTIVES[name]


def _coherence(inputs: ObjectiveInputs) -> Objective:
    from hiergen.nestings.compare.similarity import outside_wordnet

    taxonomy = inputs.taxonomy
    if inputs.evidence is None and outside_wordnet(taxonomy) == len(taxonomy.classes):
        raise HiergenError(
            "coherence by WordNet, which has none of the classes",
            place=str(taxonomy.path),
            expected="another evidence, as --by weights --weights FILE",
        )
    return _by_evidence(inputs)


def _by_evidence(inputs: ObjectiveInputs) -> Objective:
    """Coherence; by WordNet where no evidence is given."""
    from hiergen.nestings.search.objectives import CoherenceObjective

    if inputs.evidence is not None:
        return CoherenceObjective(inputs.evidence.similarity, inputs.evidence.name)
    from hiergen.nestings.compare.similarity import wordnet_similarity

    return CoherenceObjective(wordnet_similarity(inputs.taxonomy))


def _separability(inputs: ObjectiveInputs) -> Objective:
    from hiergen.nestings.search.objectives import SeparabilityObjective

    if inputs.evidence is None:
        raise HiergenError("separability of what?", expected="evidence, as --by weights --weights FILE")
    return SeparabilityObjective(inputs.evidence.similarity, inputs.evidence.name)


def _tasks(inputs: ObjectiveInputs) -> Objective:
    from hiergen.nestings.search.objectives import TaskObjective

    if not inputs.tasks:
        raise HiergenError("no tasks to search a nesting for", expected="--tasks FILE")
    if not sum(task.weight for task in inputs.tasks) > 0:
        raise HiergenError("all tasks weigh nothing", expected="a weight above 0")
    lists = tuple(tuple(sorted(set(task.classes))) for task in inputs.tasks)
    weights = tuple(task.weight for task in inputs.tasks)
    return TaskObjective(_plans(inputs), lists, weights, _by_evidence(inputs))


def _cost(inputs: ObjectiveInputs) -> Objective:
    from hiergen.nestings.search.objectives import RandomTaskObjective

    n = len(inputs.taxonomy.classes)
    return RandomTaskObjective(_plans(inputs), n, max(2, round(n / SHARE)), _by_evidence(inputs))


OBJECTIVES = {
    "coherence": ObjectiveKind("similarity within groups less that between (the default)", _coherence, evidence=True),
    "separability": ObjectiveKind("share of the scatter between groups", _separability, evidence=True),
    "tasks": ObjectiveKind("MACs of your tasks' cutouts", _tasks, needs="tasks"),
    "cost": ObjectiveKind("MACs of the cutouts of classes at random", _cost),
}


def _plans(inputs: ObjectiveInputs) -> Callable[[tuple[int, ...]], Plan]:
    return functools.cache(functools.partial(_plan, inputs.taxonomy, inputs.model))


def _plan(taxonomy: Taxonomy, model: str | None, counts: tuple[int, ...]) -> Plan:
    """A network with so many groups: what its branches cost does not depend on who is in them."""
    from hiergen.errors import PlanError
    from hiergen.planning.from_taxonomy import plan_nesting
    from hiergen.taxonomy.nesting import Nesting

    ids = [c.id for c in taxonomy.classes]
    levels = [list(range(len(ids)))]
    for count in reversed(counts):
        levels.insert(0, [g % count for g in levels[0]])
    plan = plan_nesting(taxonomy, Nesting.from_levels(ids, levels[:-1], name="a network"), model, measure=True)
    if plan is None:  # measured above, so there is one
        raise PlanError("the backbone cannot be measured", place=str(taxonomy.path))
    return plan
