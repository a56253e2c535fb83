"""What a nesting costs as a network, before one is built: params, MACs, and the cutouts that a user's tasks need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hiergen.errors import PlanError
from hiergen.partitions.grouping import Grouping
from hiergen.plan.compile import compile_plan
from hiergen.plan.ir import Plan
from hiergen.plan.trunks import facts
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Group, Nesting


@dataclass(frozen=True)
class CutoutCost:
    """Params, and MACs for one image: means over tasks, weighted."""

    params: float
    macs: float


def nesting_of(grouping: Grouping) -> Nesting:
    """The same groups as a `Nesting` of the compiler: in tree order, siblings by their first class."""
    levels: list[tuple[Group, ...]] = []
    home = [0] * len(grouping.classes)
    for level in grouping.levels:
        members = level.members()
        order = sorted(range(len(members)), key=lambda g: (home[members[g][0]], members[g]))
        levels.append(
            tuple(Group(level.names[g], home[members[g][0]], tuple(members[g]), "node", grouping.name) for g in order)
        )
        for i, g in enumerate(order):
            for c in members[g]:
                home[c] = i
    return Nesting(tuple(levels), len(grouping.classes))


def plan_grouping(
    taxonomy: Taxonomy, grouping: Grouping, model: str | None = None, *, measure: bool = False
) -> Plan | None:
    """The plan of a network of this nesting on the trunk and within the budget of one of the file's models.

    Default is the file's first model with as many levels, else its deepest; branches that the file spells out for
    another number of levels become `auto`. None where the backbone was never measured (`measure` does it, with
    torch). `grouping` has the classes of the file in its order (`grouping.aligned`).
    Raises SpecError for an unknown model, PlanError for a budget too small, ValueError for other classes.
    """
    if grouping.classes != tuple(c.id for c in taxonomy.classes):
        raise ValueError("the nesting is not over the file's classes in its order")
    name = taxonomy.known(model) if model else _model(taxonomy, grouping.k)
    spec = taxonomy.spec.models[name]
    if spec.single_branch and grouping.k > 1:
        spec = spec.model_copy(update={"single_branch": False})
    if spec.branches != "auto" and len(spec.branches) != grouping.k:
        spec = spec.model_copy(update={"branches": "auto"})
    known = facts(spec.trunk.backbone, spec.input_size, measure=measure)
    if known is None:
        return None
    try:
        return compile_plan(taxonomy.spec.name, name, spec, taxonomy.classes, nesting_of(grouping), known)
    except PlanError as error:
        error.problem = f"{grouping.name} as {name}: {error.problem}"
        raise error.at(taxonomy.document.place(("models", name))) from None


def _model(taxonomy: Taxonomy, k: int) -> str:
    fitting = [name for name, levels in taxonomy.levels.items() if levels == k]
    return fitting[0] if fitting else max(taxonomy.levels, key=lambda name: taxonomy.levels[name])


def cutout_cost(plan: Plan, grouping: Grouping, task: Sequence[int]) -> tuple[int, int]:
    """(params, MACs) of the cutout of these class indices: the trunk, the branches on their paths, and their logits.

    Of `plan` only the costs per branch are used, so one plan does for all nestings with as many groups per level
    (those alone decide the widths). Raises ValueError where `plan` has other counts, or the task no class.
    """
    if plan_counts(plan) != grouping.counts or len(plan.classes) != len(grouping.classes):
        raise ValueError(f"a plan with {plan_counts(plan)} groups for a nesting with {grouping.counts}")
    kept = set(task)
    if not kept or min(kept) < 0 or max(kept) >= len(plan.classes):
        raise ValueError("a task needs classes of the nesting")
    branches = [len({level.of[c] for c in kept}) for level in grouping.levels]
    branches.append(1 if plan.single_branch else len(kept))
    channels = plan.levels[-1].channels
    params = plan.trunk.params + sum(b * level.branch_params for b, level in zip(branches, plan.levels, strict=True))
    macs = plan.trunk.macs + sum(b * level.branch_macs for b, level in zip(branches, plan.levels, strict=True))
    return params + len(kept) * (channels + 1), macs + len(kept) * channels


def expected_cutout_cost(
    plan: Plan, grouping: Grouping, tasks: Sequence[Sequence[int]], weights: Sequence[float] | None = None
) -> CutoutCost:
    """Mean params and MACs of the cutouts of `tasks` (class indices), weighted (default: all alike).

    Never imports torch; `plan` may be that of any nesting with as many groups per level (see `cutout_cost`).
    Raises ValueError for no task, a task without classes, other counts, and weights that do not fit or sum to 0.
    """
    shares = [1.0] * len(tasks) if weights is None else [float(w) for w in weights]
    if len(shares) != len(tasks) or min(shares, default=0) < 0 or not sum(shares) > 0:
        raise ValueError("expected one weight from 0 per task, and one above 0")
    costs = [cutout_cost(plan, grouping, task) for task in tasks]
    params, macs = (sum(w * cost[i] for w, cost in zip(shares, costs, strict=True)) / sum(shares) for i in (0, 1))
    return CutoutCost(params, macs)


def plan_counts(plan: Plan) -> tuple[int, ...]:
    """Groups per level above the classes, coarse first."""
    return tuple(level.branches for level in plan.levels[:-1])
