"""Tree × backbone → `Plan`: cuts the trunk, lays out the levels, solves open widths, and counts everything."""

from __future__ import annotations

from typing import Any, Literal, cast

from hiergen.errors import PlanError, quoted
from hiergen.planning.backbones import BackboneFacts, StageFacts, default_stage, find_stage
from hiergen.planning.blocks import BLOCKS, RECIPES, level_cost, level_plan, trunk_plan
from hiergen.planning.budget import GRID, SMALLEST, BudgetCost, Widths, solve_widths
from hiergen.planning.plan import LevelPlan, Plan, StagePlan, TrunkPlan
from hiergen.taxonomy.naming import identifier
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.spec import ModelSpec, Stage

SMALLEST_MAP = 4  # px; `auto` does not stride below it
DEPTH = 3


def compile_plan(
    taxonomy: str,
    name: str,
    spec: ModelSpec,
    nesting: Nesting,
    backbone_facts: BackboneFacts,
    *,
    narrowest: bool = False,
) -> Plan:
    """The plan of one model; of its budget params and MACs count, or nothing: `narrowest`.

    Raises `PlanError` for a stage that the backbone lacks, maps that shrink to nothing, or a budget that cannot be
    met.
    """
    if identifier(name) in RECIPES:
        problem = f"a model cannot be called {quoted(name)}: generated code uses that name"
        raise PlanError(problem, hint="rename it", code="E505")
    cut = (
        find_stage(backbone_facts, spec.trunk.until)
        if spec.trunk.until
        else default_stage(backbone_facts, nesting.depth)
    )
    trunk = trunk_plan(spec.trunk.backbone, backbone_facts, cut, len(nesting.classes))
    layout = _Layout(spec, nesting, trunk, backbone_facts.stages[-1])
    stages = layout.given() if spec.branches != "auto" else layout.solved(narrowest)
    return Plan(
        taxonomy=taxonomy,
        model=name,
        nesting=nesting,
        trunk=trunk,
        levels=layout.levels(stages),
        head_parents=(0,) * len(nesting.classes) if spec.single_branch else _heads(nesting),
    )


def _given(stage: Stage) -> dict[str, Any]:
    """The options that the file spells out."""
    return {key: value for key in ("kernel", "act") if (value := getattr(stage, key)) is not None}


def _heads(nesting: Nesting) -> tuple[int, ...]:
    """The leaf branch of each class; empty where the orders agree."""
    return () if nesting.heads == tuple(range(len(nesting.classes))) else nesting.heads


class _Layout:
    """Branches per level, and stages for them."""

    def __init__(self, spec: ModelSpec, nesting: Nesting, trunk: TrunkPlan, last: StageFacts) -> None:
        self._spec = spec
        self._trunk = trunk
        self._last = last
        self._classes = len(nesting.classes)
        self._names = [level.names for level in nesting.levels]
        self._names.append(("all classes",) if spec.single_branch else nesting.names(nesting.depth))
        self._parents: list[tuple[int, ...]] = [()]
        self._parents += [nesting.parents(level) for level in range(2, nesting.depth + 1)]

    def levels(self, stages: list[list[StagePlan]]) -> tuple[LevelPlan, ...]:
        """Levels with shapes and costs. Raises `PlanError` where a map would vanish."""
        height, width = self._trunk.height, self._trunk.width
        done: list[LevelPlan] = []
        for names, parents, branch in zip(self._names, self._parents, stages, strict=True):
            done.append(level_plan(len(done) + 1, names, parents, branch, height, width))
            height, width = done[-1].height, done[-1].width
        return tuple(done)

    def given(self) -> list[list[StagePlan]]:
        """The stages that the file spells out."""
        assert self._spec.branches != "auto"
        if len(self._spec.branches) != len(self._names):
            raise PlanError(
                f"'branches' has {len(self._spec.branches)} lists of stages",
                expected=f"{len(self._names)}, one per level",
                code="E504",
            )
        return self._chain(self._spec.branches)

    def solved(self, narrowest: bool) -> list[list[StagePlan]]:
        """Auto: one stage per level (two on the only level of a PHL), strided to the backbone's last resolution."""
        shapes = self._strides()
        block = self._spec.block or ("convnextv2" if self._trunk.backbone.startswith("convnextv2") else "bottleneck")
        depth, kernel = self._spec.depth or DEPTH, self._spec.kernel
        budget = self._spec.budget
        max_params = budget.params if budget else self._trunk.flat_params
        max_macs = budget.macs if budget else self._trunk.flat_macs
        ratio = BLOCKS[block].ratio

        def chain(widths: Widths) -> list[list[StagePlan]]:
            wished = [
                [
                    Stage(block=block, depth=depth, width=w, out=o, stride=cast(Literal[1, 2, 4], s), kernel=kernel)
                    for s in strides
                ]
                for (w, o), strides in zip(widths, shapes, strict=True)
            ]
            return self._chain(wished)

        def cost(widths: Widths) -> BudgetCost:
            # thousands of these are asked for, so that no name of a class is touched
            height, width = self._trunk.height, self._trunk.width
            levels: list[tuple[int, int]] = []
            for number, (names, stages) in enumerate(zip(self._names, chain(widths), strict=True), 1):
                one = level_cost(number, stages, height, width)
                levels.append((len(names) * one.params, len(names) * one.macs))
                height, width = one.height, one.width
            head = self._classes * widths[-1][1]
            return BudgetCost(
                self._trunk.params + sum(params for params, _ in levels) + head + self._classes,
                self._trunk.macs + sum(macs for _, macs in levels) + head,
                tuple(levels),
            )

        if narrowest:
            return chain(((SMALLEST, SMALLEST),) * len(shapes))
        grid = (budget.grid if budget else None) or GRID
        return chain(solve_widths(cost, len(shapes), ratio, max_params, max_macs, grid))

    def _strides(self) -> list[list[int]]:
        """Strides of the stages of each level: halve until the backbone's last resolution, early levels first."""
        halvings, reduction = 0, self._trunk.reduction
        smallest = min(self._trunk.height, self._trunk.width)
        while reduction < self._last.reduction and smallest // 2 >= SMALLEST_MAP:
            halvings, reduction, smallest = halvings + 1, reduction * 2, smallest // 2
        count = len(self._names)
        strides = [[2] if level < halvings else [1] for level in range(count)]
        strides[0] += [2] * max(halvings - count, 0)
        if count == 1 and len(strides[0]) == 1:
            strides[0].append(1)
        return strides

    def _chain(self, levels: list[list[Stage]]) -> list[list[StagePlan]]:
        channels = self._trunk.channels
        done = []
        for stages in levels:
            branch = []
            for stage in stages:
                branch.append(
                    StagePlan(
                        block=stage.block,
                        in_channels=channels,
                        width=stage.width,
                        out=stage.out,
                        depth=stage.depth,
                        stride=stage.stride,
                        **BLOCKS[stage.block].defaults(self._trunk.backbone) | _given(stage),
                    )
                )
                channels = stage.out
            done.append(branch)
        return done
