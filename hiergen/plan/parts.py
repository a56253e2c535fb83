"""Parts of a plan from their facts: what compiling a spec and reading a built network share."""

from __future__ import annotations

from collections.abc import Sequence

from hiergen.errors import PlanError
from hiergen.plan.cost import StageCost, stage_cost
from hiergen.plan.ir import LevelPlan, StagePlan, TrunkPlan
from hiergen.plan.trunks import BackboneFacts, StageFacts


def trunk_plan(backbone: str, known: BackboneFacts, cut: StageFacts, classes: int) -> TrunkPlan:
    """The backbone up to and with the stage `cut`, and the flat network of so many classes beside it."""
    flat_params, flat_macs = known.flat(classes)
    return TrunkPlan(
        backbone=backbone,
        until=cut.name,
        input_size=known.input_size,
        channels=cut.channels,
        reduction=cut.reduction,
        height=cut.height,
        width=cut.width,
        params=cut.params,
        macs=cut.macs,
        flat_params=flat_params,
        flat_macs=flat_macs,
    )


def level_cost(number: int, stages: Sequence[StagePlan], height: int, width: int) -> StageCost:
    """One branch of level `number` on maps of this size, px. Raises `PlanError` where a map would vanish."""
    params = macs = 0
    for stage in stages:
        cost = stage_cost(stage, height, width)
        params, macs, height, width = params + cost.params, macs + cost.macs, cost.height, cost.width
        if height < 1 or width < 1:
            raise PlanError(
                f"level {number} strides its maps down to nothing",
                expected="a smaller stride or a larger input_size",
                code="E504",
            )
    return StageCost(params, macs, height, width)


def level_plan(
    number: int,
    names: tuple[str, ...],
    parents: tuple[int, ...],
    stages: Sequence[StagePlan],
    height: int,
    width: int,
) -> LevelPlan:
    """Level `number` on maps of this size, px, with its costs. Raises `PlanError` where a map would vanish."""
    cost = level_cost(number, stages, height, width)
    return LevelPlan(
        names=names,
        parents=parents,
        stages=tuple(stages),
        channels=stages[-1].out,
        height=cost.height,
        width=cost.width,
        branch_params=cost.params,
        branch_macs=cost.macs,
    )
