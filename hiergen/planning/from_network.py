"""A built network → its `Plan`: then it is counted and written as source like a planned one. Imports torch."""

from __future__ import annotations

from typing import Any

from hiergen import nn
from hiergen.errors import PlanError, quoted
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.replicas import Replicas
from hiergen.planning.backbones import facts, find_stage
from hiergen.planning.blocks import BLOCKS, generalist_plan, level_plan, trunk_plan
from hiergen.planning.copies import copied_stage
from hiergen.planning.plan import GeneralistPlan, Plan, StagePlan, TrunkPlan


def plan_of(network: HierarchicalNetwork, *, taxonomy: str, model: str) -> Plan:
    """The plan of a network, of a cutout as well; `taxonomy` and `model` name it.

    Raises PlanError for a network that generated code cannot look like: blocks of its own, or branches in another order
    than its taxonomy's.
    """
    nesting, heads = network.nesting, network.head.parents or tuple(range(network.num_classes))
    single = network.levels[-1].branches < network.num_classes
    wanted = (0,) * network.num_classes if single else nesting.heads
    if len(network.levels) != nesting.depth or heads != wanted:
        raise _unlike(network, "its class heads")
    trunk = _trunk(network)
    height, width = trunk.height, trunk.width
    levels = []
    for j, level in enumerate(network.levels, 1):
        names = ("all classes",) if single and j == nesting.depth else nesting.names(j)
        if len(names) != level.branches or (j > 1 and level.parents != nesting.parents(j)):
            raise _unlike(network, f"level {j}")
        stages = [_stage(recipe) for recipe in level.recipes]
        levels.append(level_plan(j, names, level.parents or (), stages, height, width))
        height, width = levels[-1].height, levels[-1].width
    in_order = heads == tuple(range(network.num_classes)) and not single
    return Plan(
        taxonomy=taxonomy,
        model=model,
        nesting=nesting,
        trunk=trunk,
        levels=tuple(levels),
        head_parents=() if in_order else heads,
        generalist=_for_all(network, "generalist", trunk),
        flat=_for_all(network, "flat", trunk),
    )


def _for_all(network: HierarchicalNetwork, name: str, trunk: TrunkPlan) -> GeneralistPlan | None:
    branch: Any = network._modules.get(name)
    if branch is None:
        return None
    stages = [_stage(recipe) for recipe in branch.tail.recipes]
    return generalist_plan(stages, branch.head.classes, len(branch.gains), trunk, branch.columns, branch.homes)


def _trunk(network: HierarchicalNetwork) -> TrunkPlan:
    trunk = network.trunk
    channels, height, width = trunk.input_size
    backbone_facts = facts(trunk.backbone, (height, width), channels)
    assert backbone_facts is not None
    cut = find_stage(backbone_facts, trunk.until)
    return trunk_plan(trunk.backbone, backbone_facts, cut, network.num_classes, tokens=trunk.tokens)


def _stage(recipe: Any) -> StagePlan:
    if isinstance(recipe, Replicas) and recipe.given is None:
        return copied_stage(recipe)
    for block, kind in BLOCKS.items():
        if kind.recipe == "Replicas":
            continue
        if isinstance(recipe, getattr(nn, kind.recipe)) and kind.settings.items() <= vars(recipe).items():
            sizes = {name: getattr(recipe, name) for name in ("in_channels", "width", "out", "depth", "stride")}
            matching = StagePlan(block=block, **sizes, **{name: getattr(recipe, name) for name in kind.options})
            if getattr(nn, kind.recipe)(**kind.recipe_of(matching)) == recipe:
                return matching
    raise PlanError(f"a stage of {quoted(type(recipe).__name__)} cannot be planned", expected="a block of hiergen")


def _unlike(network: HierarchicalNetwork, what: str) -> PlanError:
    return PlanError(
        f"{type(network).__name__}: {what} are not in the order of its taxonomy, so it cannot be written as source",
        hint="build it anew with 'hiergen build'",
    )
