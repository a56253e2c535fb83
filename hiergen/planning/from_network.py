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


def spelled_out(network: HierarchicalNetwork) -> tuple[str, ...]:
    """Lines of a taxonomy file's model that give branches the shapes of this network's; none where a file cannot spell
    them out: copies of the backbone's blocks, and blocks that are not hiergen's."""
    general: Any = network._modules.get("generalist")
    whole = general is None or any(isinstance(recipe, Replicas) for recipe in general.tail.recipes)
    try:
        levels = [[_spelled(recipe) for recipe in level.recipes] for level in network.levels]
        tail = [] if whole else [_spelled(recipe) for recipe in general.tail.recipes]
    except PlanError:
        return ()
    lists = ", ".join(f"[{', '.join(stages)}]" for stages in levels)
    return (f"branches: [{lists}]", *([f"tail: [{', '.join(tail)}]"] if tail else []))


def _spelled(recipe: Any) -> str:
    """One stage in YAML's short form. Raises PlanError for one that a file cannot spell out."""
    plan = _stage(recipe)
    if plan.copied is not None:
        raise PlanError("copies of a backbone's blocks have no widths")
    keys: dict[str, Any] = {"block": plan.block, "depth": plan.depth, "width": plan.width, "out": plan.out}
    keys |= {"stride": plan.stride, "kernel": plan.kernel, "act": plan.act}
    if plan.block == "conv":
        keys = {key: keys[key] for key in ("block", "out", "act")}
    left_out = {"block": "bottleneck", "depth": 1, "stride": 1}
    said = (f"{k}: {v}" for k, v in keys.items() if v is not None and left_out.get(k) != v)
    return "{" + ", ".join(said) + "}"


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
