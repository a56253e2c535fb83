"""Tree × backbone → `Plan`: cuts the trunk, lays out the levels, solves open widths, and counts everything."""

from __future__ import annotations

from typing import Any, Literal, cast

from hiergen.errors import PlanError, quoted
from hiergen.planning.backbones import BackboneFacts, blocks_after, copies_after, default_stage, find_stage
from hiergen.planning.blocks import BLOCKS, RECIPES, copy_stage, generalist_plan, level_cost, level_plan, trunk_plan
from hiergen.planning.budget import GRID, SMALLEST, BudgetCost, Widths, solve_widths
from hiergen.planning.plan import GeneralistPlan, LevelPlan, Plan, StagePlan, TrunkPlan
from hiergen.planning.tails import NARROWEST, BranchTail, CopyTail, Shape, Tail, solve_tail
from hiergen.taxonomy.modelspec import OWN, Block, ModelSpec, Stage
from hiergen.taxonomy.naming import identifier
from hiergen.taxonomy.nesting import Nesting

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
    shape: Shape | None = None,
) -> Plan:
    """The plan of one model; of its budget params and MACs count, or nothing: `narrowest`, or a `shape` of its tails.

    Raises `PlanError` for a stage that the backbone lacks, maps that shrink to nothing, or a budget that cannot be
    met.
    """
    if identifier(name) in RECIPES:
        problem = f"a model cannot be called {quoted(name)}: generated code uses that name"
        raise PlanError(problem, hint="rename it", code="E505")
    layout = _Layout(spec, nesting, backbone_facts, open_=shape is None)
    if shape is None and layout.tail is not None:
        shape = NARROWEST if narrowest else layout.shape(layout.tail)
    if shape is not None:
        assert layout.tail is not None
        stages = layout.tail.stages(shape)
    else:
        stages = layout.given() if spec.branches != "auto" else layout.solved(narrowest)
    return Plan(
        taxonomy=taxonomy,
        model=name,
        nesting=nesting,
        trunk=layout.trunk,
        levels=layout.levels(stages),
        head_parents=(0,) * len(nesting.classes) if spec.single_branch else _heads(nesting),
        generalist=layout.generalist(shape or Shape()) if spec.generalist != "none" else None,
        flat=layout.generalist(Shape(), whole=True) if spec.generalist == "both" else None,
    )


def falls_back(spec: ModelSpec, nesting: Nesting, backbone_facts: BackboneFacts) -> bool:
    """Whether branches are bottlenecks only because copies of the backbone's blocks do not fit."""
    if spec.branches != "auto" or spec.block not in (None, "auto") or spec.find_aim() is not None:
        return False
    layout = _Layout(spec, nesting, backbone_facts, open_=True)
    return layout.tail is None and bool(copies_after(backbone_facts, layout.trunk.until))


def _given(stage: Stage) -> dict[str, Any]:
    """The options that the file spells out."""
    return {key: value for key in ("kernel", "act") if (value := getattr(stage, key)) is not None}


def _heads(nesting: Nesting) -> tuple[int, ...]:
    """The leaf branch of each class; empty where the orders agree."""
    return () if nesting.heads == tuple(range(len(nesting.classes))) else nesting.heads


def find_tail(
    facts: BackboneFacts, trunk: TrunkPlan, block: str | None, levels: int, shared: float
) -> BranchTail | None:
    """The backbone's own blocks after the trunk as branches: of the kinds that branches have, else as copies; None
    where neither can be. Raises PlanError for fewer blocks than levels, and copies asked for that cannot be had."""
    blocks, copies = blocks_after(facts, trunk.until), copies_after(facts, trunk.until)
    if block in (None, "auto") and blocks:
        return Tail(blocks, levels, shared)
    if block == "attention" and facts.tokens is None:
        raise PlanError(
            f"backbone {trunk.backbone} has no tokens, so 'block: attention' has nothing to copy",
            expected="a vision transformer of one resolution",
            hint="'block: copy' copies other blocks",
            code="E504",
        )
    if copies:
        last = facts.blocks[-1] if facts.blocks else None
        conv = last if last is not None and (last.block, last.name) == ("conv", copies[-1].modules[0]) else None
        return CopyTail(facts, trunk.backbone, copies, levels, shared, conv)
    if block in (None, "auto"):
        return None
    raise PlanError(
        f"the blocks of {trunk.backbone} after {quoted(trunk.until)} cannot be copied",
        expected="an earlier 'trunk.until', another backbone, or 'block: bottleneck'",
        code="E504",
    )


class _Layout:
    """Branches per level, and stages for them."""

    def __init__(self, spec: ModelSpec, nesting: Nesting, facts: BackboneFacts, *, open_: bool) -> None:
        self._spec, self._facts = spec, facts
        until = spec.trunk.until
        cut = find_stage(facts, until) if until else default_stage(facts, nesting.depth)
        self.trunk = trunk = trunk_plan(spec.trunk.backbone, facts, cut, len(nesting.classes))
        self._last = facts.stages[-1]
        self._blocks = blocks_after(facts, trunk.until)
        self._copies = copies_after(facts, trunk.until)
        self._classes = len(nesting.classes)
        self._names = [level.names for level in nesting.levels]
        self._names.append(("all classes",) if spec.single_branch else nesting.names(nesting.depth))
        self._parents: list[tuple[int, ...]] = [()]
        self._parents += [nesting.parents(level) for level in range(2, nesting.depth + 1)]
        self.tail = self._tail()
        if isinstance(self.tail, CopyTail):
            maps, self.trunk = self.trunk, self._on_copies()
            if open_ and self._may_fall_back and not self._fits(self.tail):
                self.tail, self.trunk = None, maps

    def levels(self, stages: list[list[StagePlan]]) -> tuple[LevelPlan, ...]:
        """Levels with shapes and costs. Raises `PlanError` where a map would vanish."""
        height, width = self.trunk.height, self.trunk.width
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

    def _tail(self) -> BranchTail | None:
        """The backbone's own blocks, for these levels; None where the file wants others, or there are none.

        Raises PlanError where copies are asked for that cannot be had.
        """
        block = self._spec.block
        if self._spec.branches != "auto" or block not in OWN:
            return None
        branches, above = len(self._names[-1]), len(self._names[-2]) if len(self._names) > 1 else 0
        shared = branches / above if above else 1
        try:
            return find_tail(self._facts, self.trunk, block, len(self._names), shared)
        except PlanError:
            if self._blocks or not self._may_fall_back:
                raise
            return None

    def _on_copies(self) -> TrunkPlan:
        """The trunk as copies of the blocks after it want it."""
        facts, cut = self._facts, find_stage(self._facts, self.trunk.until)
        return trunk_plan(self.trunk.backbone, facts, cut, self._classes, tokens=facts.tokens is not None)

    @property
    def _may_fall_back(self) -> bool:
        """Whether bottlenecks do where copies cannot be: the file does not ask for a block, or it asks for the
        backbone's own in a network of one level, where each class would have a whole tail."""
        return self._spec.block is None or (self._spec.block == "auto" and len(self._names) == 1)

    def _fits(self, tail: BranchTail) -> bool:
        max_params, max_macs, _ = self._bounds()
        cost = self._cost(tail.stages(NARROWEST), self._beside(NARROWEST))
        return cost.params <= (max_params or cost.params) and cost.macs <= (max_macs or cost.macs)

    def shape(self, tail: BranchTail) -> Shape:
        """Of the widest tail within the budget."""
        return solve_tail(tail, lambda s: self._cost(tail.stages(s), self._beside(s)), *self._bounds())

    def generalist(self, shape: Shape, *, whole: bool | None = None) -> GeneralistPlan:
        """The branch for all classes, `whole` or not (default: as the file says). Raises PlanError where the backbone
        has no blocks that it can be made of."""
        groups = len(self._names[max(len(self._names) - 2, 0)])
        backbone, copies = self.trunk.backbone, self._copies
        whole = self._spec.generalist == "whole" if whole is None else whole
        if self._spec.tail is not None and not whole:
            (stages,) = self._chain([self._spec.tail])
            return generalist_plan(stages, self._classes, groups, self.trunk)
        if copies and (self._facts.tokens is not None) == self.trunk.tokens and (whole or not self._blocks):
            if whole:
                stages = [copy_stage(self._facts, backbone, copies, end=True)]
            else:
                (stages,) = CopyTail(self._facts, backbone, copies, 1).stages(shape)
        elif self._blocks and not whole:
            (stages,) = Tail(self._blocks, 1).stages(shape)
        else:
            raise PlanError(
                f"a generalist is made of the blocks after {quoted(self.trunk.until)}, and branches have none of "
                f"{backbone}'s kinds",
                expected="'generalist: none', or another backbone",
                hint="levels that are copies of its blocks have its tokens" if copies else None,
                code="E504",
            )
        return generalist_plan(stages, self._classes, groups, self.trunk)

    def _beside(self, shape: Shape) -> int:
        """Params of a shallow generalist, if there is one. A whole one is what the flat network has anyway."""
        return self.generalist(shape).params if self._spec.generalist in ("shallow", "both") else 0

    def _bounds(self) -> tuple[int | None, int | None, int]:
        """The most params, the most MACs, and the grid of channels."""
        budget = self._spec.budget
        max_params = budget.params if budget else self.trunk.flat_params
        max_macs = budget.macs if budget else self.trunk.flat_macs
        return max_params, max_macs, (budget.grid if budget else None) or GRID

    def _cost(self, levels: list[list[StagePlan]], beside: int) -> BudgetCost:
        # thousands of these are asked for, so that no name of a class is touched
        height, width = self.trunk.height, self.trunk.width
        costs: list[tuple[int, int]] = []
        for number, (names, stages) in enumerate(zip(self._names, levels, strict=True), 1):
            one = level_cost(number, stages, height, width)
            costs.append((len(names) * one.params, len(names) * one.macs))
            height, width = one.height, one.width
        head = self._classes * levels[-1][-1].out
        return BudgetCost(
            self.trunk.params + sum(params for params, _ in costs) + head + self._classes + beside,
            self.trunk.macs + sum(macs for _, macs in costs) + head,
            tuple(costs),
        )

    def solved(self, narrowest: bool) -> list[list[StagePlan]]:
        """Blocks of one kind: a stage per level (two on the only level of a PHL), strided to the backbone's last
        resolution."""
        shapes, (max_params, max_macs, grid) = self._strides(), self._bounds()
        kind: Block = "convnextv2" if self.trunk.backbone.startswith("convnextv2") else "bottleneck"
        if self._spec.block not in (None, "auto"):
            kind = cast(Block, self._spec.block)
        depth, kernel = self._spec.depth or DEPTH, self._spec.kernel

        def chain(widths: Widths) -> list[list[StagePlan]]:
            wished = [
                [
                    Stage(block=kind, depth=depth, width=w, out=o, stride=cast(Literal[1, 2, 4], s), kernel=kernel)
                    for s in strides
                ]
                for (w, o), strides in zip(widths, shapes, strict=True)
            ]
            return self._chain(wished)

        if narrowest:
            return chain(((SMALLEST, SMALLEST),) * len(shapes))
        ratio, beside = BLOCKS[kind].ratio, self._beside(Shape())
        return chain(
            solve_widths(lambda w: self._cost(chain(w), beside), len(shapes), ratio, max_params, max_macs, grid)
        )

    def _strides(self) -> list[list[int]]:
        """Strides of the stages of each level: halve until the backbone's last resolution, early levels first."""
        halvings, reduction = 0, self.trunk.reduction
        smallest = min(self.trunk.height, self.trunk.width)
        while reduction < self._last.reduction and smallest // 2 >= SMALLEST_MAP:
            halvings, reduction, smallest = halvings + 1, reduction * 2, smallest // 2
        count = len(self._names)
        strides = [[2] if level < halvings else [1] for level in range(count)]
        strides[0] += [2] * max(halvings - count, 0)
        if count == 1 and len(strides[0]) == 1:
            strides[0].append(1)
        return strides

    def _chain(self, levels: list[list[Stage]]) -> list[list[StagePlan]]:
        channels = self.trunk.channels
        done = []
        for stages in levels:
            branch = []
            for stage in stages:
                branch.append(
                    StagePlan(
                        block=stage.block,
                        in_channels=channels,
                        width=stage.width or stage.out,
                        out=stage.out,
                        depth=stage.depth,
                        stride=stage.stride,
                        **BLOCKS[stage.block].defaults(self.trunk.backbone) | _given(stage),
                    )
                )
                channels = stage.out
            done.append(branch)
        return done
