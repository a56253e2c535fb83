"""What a nesting costs as a network, before one is built: params, MACs, and the cutouts that a user's tasks need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hiergen.errors import PlanError
from hiergen.planning.backbones import facts
from hiergen.planning.compile import compile_plan
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting


@dataclass(frozen=True)
class CutoutCost:
    """Params, and MACs for one image: means over tasks, weighted."""

    params: float
    macs: float


def plan_nesting(
    taxonomy: Taxonomy, nesting: Nesting, model: str | None = None, *, measure: bool = False
) -> Plan | None:
    """The plan of a network of this nesting on the trunk and within the budget of one of the file's models.

    Default is the file's first model with as many levels, else its deepest; branches that the file spells out for
    another number of levels become `auto`. None where the backbone was never measured (`measure` does it, with
    torch). `nesting` has the classes of the file in its order (`read.align`).
    Raises SpecError for an unknown model, PlanError for a budget too small, ValueError for other classes.
    """
    if nesting.classes != tuple(c.id for c in taxonomy.classes):
        raise ValueError("the nesting is not over the file's classes in its order")
    name = taxonomy.check_model(model) if model else _model(taxonomy, nesting.depth)
    spec = taxonomy.spec.models[name]
    if spec.single_branch and nesting.depth > 1:
        spec = spec.model_copy(update={"single_branch": False})
    if spec.branches != "auto" and len(spec.branches) != nesting.depth:
        spec = spec.model_copy(update={"branches": "auto"})
    backbone = facts(spec.trunk.backbone, spec.input_size, measure=measure)
    if backbone is None:
        return None
    nesting = replace(nesting.in_tree_order(), labels=tuple(c.name for c in taxonomy.classes))
    try:
        return compile_plan(taxonomy.spec.name, name, spec, nesting, backbone)
    except PlanError as error:
        error.problem = f"{nesting.name} as {name}: {error.problem}"
        raise error.at(taxonomy.document.place(("models", name))) from None


def _model(taxonomy: Taxonomy, k: int) -> str:
    fitting = [name for name, levels in taxonomy.levels.items() if levels == k]
    return fitting[0] if fitting else taxonomy.deepest


def cutout_cost(plan: Plan, nesting: Nesting, task: Sequence[int]) -> tuple[int, int]:
    """(params, MACs) of the cutout of these class indices: the trunk, the branches on their paths, and their logits.

    Of `plan` only the costs per branch are used, so one plan does for all nestings with as many groups per level
    (those alone decide the widths). Raises ValueError where `plan` has other counts, or the task no class.
    """
    if plan_counts(plan) != nesting.counts or len(plan.classes) != len(nesting.classes):
        raise ValueError(f"a plan with {plan_counts(plan)} groups for a nesting with {nesting.counts}")
    kept = set(task)
    if not kept or min(kept) < 0 or max(kept) >= len(plan.classes):
        raise ValueError("a task needs classes of the nesting")
    branches = [len({level.of[c] for c in kept}) for level in nesting.levels]
    branches.append(1 if plan.single_branch else len(kept))
    channels = plan.levels[-1].channels
    params = plan.trunk.params + sum(b * level.branch_params for b, level in zip(branches, plan.levels, strict=True))
    macs = plan.trunk.macs + sum(b * level.branch_macs for b, level in zip(branches, plan.levels, strict=True))
    return params + len(kept) * (channels + 1), macs + len(kept) * channels


def expected_cutout_cost(
    plan: Plan, nesting: Nesting, tasks: Sequence[Sequence[int]], weights: Sequence[float] | None = None
) -> CutoutCost:
    """Mean params and MACs of the cutouts of `tasks` (class indices), weighted (default: all alike).

    Never imports torch; `plan` may be that of any nesting with as many groups per level (see `cutout_cost`).
    Raises ValueError for no task, a task without classes, other counts, and weights that do not fit or sum to 0.
    """
    shares = [1.0] * len(tasks) if weights is None else [float(w) for w in weights]
    if len(shares) != len(tasks) or min(shares, default=0) < 0 or not sum(shares) > 0:
        raise ValueError("expected one weight from 0 per task, and one above 0")
    costs = [cutout_cost(plan, nesting, task) for task in tasks]
    params, macs = (sum(w * cost[i] for w, cost in zip(shares, costs, strict=True)) / sum(shares) for i in (0, 1))
    return CutoutCost(params, macs)


def plan_counts(plan: Plan) -> tuple[int, ...]:
    """Groups per level above the classes, coarse first."""
    return tuple(level.branches for level in plan.levels[:-1])
