"""Objectives by their names on the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from hiergen.errors import HiergenError, PlanError, nearest, quoted
from hiergen.partitions.grouping import make_grouping
from hiergen.partitions.tasks import Task
from hiergen.plan.ir import Plan
from hiergen.suggest.evidence import Evidence
from hiergen.suggest.search.objective import Objective
from hiergen.suggest.search.objectives import Coherence, RandomTaskCost, Separability, TaskCost
from hiergen.taxonomy.load import Taxonomy

NAMES = ("coherence", "separability", "cost", "tasks")
UNITS = ("macs", "params")
SHARE = 10  # a random task has one class in ten, where nothing else is said


def objective_of(
    name: str,
    taxonomy: Taxonomy,
    *,
    evidence: Evidence | None = None,
    tasks: Sequence[Task] = (),
    model: str | None = None,
    unit: str = "macs",
    classes: int | None = None,
) -> Objective:
    """What to search for.

    `coherence` is by WordNet (Wu–Palmer), or by `evidence` where there is one; `separability` needs `evidence`;
    `tasks` needs tasks; `cost` is of tasks of so many `classes` drawn at random. The last two are in MACs or params
    of networks on the trunk and within the budget of `model` of the file (default: one with as many levels); what
    they leave open, coherence decides.
    Raises HiergenError for another name, and where something is missing.
    """
    check_name(name)
    if unit not in UNITS:
        raise HiergenError(f"cannot count {quoted(unit)}", expected=" or ".join(UNITS), nearest=nearest(unit, UNITS))
    if tasks and name != "tasks":
        raise HiergenError(f"tasks are given, and the objective is {name}", expected="the objective 'tasks'")
    n = len(taxonomy.classes)
    if evidence is not None and evidence.similarity.shape != (n, n):
        raise ValueError(f"evidence {evidence.name} is {evidence.similarity.shape}, expected {(n, n)}")
    match name:
        case "coherence":
            from hiergen.partitions.similarity import outside_wordnet

            if evidence is None and outside_wordnet(taxonomy) == n:
                raise HiergenError(
                    "coherence by WordNet, which has none of the classes",
                    place=str(taxonomy.path),
                    expected="another evidence, as --by weights --weights FILE",
                )
            return _coherence(taxonomy, evidence)
        case "separability":
            if evidence is None:
                raise HiergenError(
                    "separability of what?", expected="evidence, as --by weights --weights FILE or --by features"
                )
            return Separability(evidence.similarity, evidence.name)
        case "tasks":
            if not tasks:
                raise HiergenError("no tasks to search a nesting for", expected="--tasks FILE")
            if not sum(task.weight for task in tasks) > 0:
                raise HiergenError("all tasks weigh nothing", expected="a weight above 0")
            lists = tuple(tuple(sorted(set(task.classes))) for task in tasks)
            weights = tuple(task.weight for task in tasks)
            return TaskCost(_plans(taxonomy, model), unit, lists, weights, _coherence(taxonomy, evidence))
    many = max(2, round(n / SHARE)) if classes is None else classes
    if not 1 <= many <= n:
        raise HiergenError(f"tasks of {many} of {n} classes cannot be", expected=f"1 to {n} classes")
    return RandomTaskCost(_plans(taxonomy, model), unit, n, many, _coherence(taxonomy, evidence))


def check_name(name: str) -> None:
    """Raises HiergenError for what is no objective."""
    if name not in NAMES:
        near = nearest(name, NAMES) or [known for known in NAMES if name and known.startswith(name[:3])]
        raise HiergenError(f"no objective {quoted(name)}", expected=f"one of {', '.join(NAMES)}", nearest=near)


def _coherence(taxonomy: Taxonomy, evidence: Evidence | None) -> Coherence:
    if evidence is not None:
        return Coherence(evidence.similarity, evidence.name)
    from hiergen.partitions.similarity import wordnet_similarity

    return Coherence(wordnet_similarity(taxonomy))


def _plans(taxonomy: Taxonomy, model: str | None) -> Callable[[tuple[int, ...]], Plan]:
    return functools.cache(functools.partial(_plan, taxonomy, model))


def _plan(taxonomy: Taxonomy, model: str | None, counts: tuple[int, ...]) -> Plan:
    """A network with so many groups: what its branches cost does not depend on who is in them."""
    from hiergen.partitions.costs import plan_grouping

    ids = [c.id for c in taxonomy.classes]
    levels = [list(range(len(ids)))]
    for count in reversed(counts):
        levels.insert(0, [g % count for g in levels[0]])
    name = model or next((m for m, k in taxonomy.levels.items() if k == len(counts) + 1), None)
    plan = plan_grouping(taxonomy, make_grouping("a network", ids, levels[:-1]), name, measure=True)
    if plan is None:  # measured above, so it is known
        raise PlanError("the backbone cannot be measured", place=str(taxonomy.path))
    return plan
