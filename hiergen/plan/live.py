"""A built network → its `Plan`: then it is counted and written as source like a planned one. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hiergen.errors import PlanError, quoted
from hiergen.nn.bottleneck import Bottlenecks
from hiergen.nn.convnext import ConvNeXts
from hiergen.nn.mbconv import InvertedResiduals
from hiergen.nn.network import HierarchicalNetwork
from hiergen.plan.ir import Plan, StagePlan, TrunkPlan
from hiergen.plan.parts import level_plan, trunk_plan
from hiergen.plan.trunks import facts, find_stage


def plan_of(network: HierarchicalNetwork, *, taxonomy: str, model: str) -> Plan:
    """The plan of a network, of a cutout as well; `taxonomy` and `model` name it.

    Raises PlanError for a network that generated code cannot look like: blocks of its own, branches in another order
    than its taxonomy's, or an input size that is not square.
    """
    nest, heads = network.nest, network.head.parents or tuple(range(network.num_classes))
    single = network.levels[-1].branches < network.num_classes
    wanted = (0,) * network.num_classes if single else nest.heads
    if len(network.levels) != nest.depth or heads != wanted:
        raise _unlike(network, "its class heads")
    trunk = _trunk(network)
    height, width = trunk.height, trunk.width
    levels = []
    for j, level in enumerate(network.levels, 1):
        names = ("all classes",) if single and j == nest.depth else nest.names(j)
        if len(names) != level.branches or (j > 1 and level.parents != nest.parents(j)):
            raise _unlike(network, f"level {j}")
        stages = [_stage(recipe) for recipe in level.recipes]
        levels.append(level_plan(j, names, level.parents or (), stages, height, width))
        height, width = levels[-1].height, levels[-1].width
    in_order = heads == tuple(range(network.num_classes)) and not single
    return Plan(
        taxonomy=taxonomy,
        model=model,
        classes=tuple(network.classes),
        class_names=nest.labels,
        tree=_plain(network.taxonomy),
        trunk=trunk,
        levels=tuple(levels),
        head_parents=() if in_order else heads,
    )


def _trunk(network: HierarchicalNetwork) -> TrunkPlan:
    trunk = network.trunk
    channels, height, width = trunk.input_size
    if height != width or channels != 3:
        raise PlanError(
            f"{type(network).__name__}: its input size {trunk.input_size} cannot be planned", expected="(3, N, N)"
        )
    known = facts(trunk.backbone, height)
    assert known is not None
    cut = find_stage(known, trunk.until)
    return trunk_plan(trunk.backbone, known, cut, network.num_classes)


def _stage(recipe: object) -> StagePlan:
    more: dict[str, Any] = {}
    match recipe:
        case Bottlenecks():
            block = "bottleneck"
        case ConvNeXts():
            block = "convnextv2" if recipe.grn else "convnext"
        case InvertedResiduals():
            block, more = "mbconv", {"kernel": recipe.kernel, "act": recipe.act, "tf": recipe.tf}
        case _:
            raise PlanError(
                f"a stage of {quoted(type(recipe).__name__)} cannot be planned", expected="a block of hiergen"
            )
    return StagePlan(
        block=block,
        in_channels=recipe.in_channels,
        width=recipe.width,
        out=recipe.out,
        depth=recipe.depth,
        stride=recipe.stride,
        **more,
    )


def _plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(below) if isinstance(below, Mapping) else below for key, below in tree.items()}


def _unlike(network: HierarchicalNetwork, what: str) -> PlanError:
    return PlanError(
        f"{type(network).__name__}: {what} are not in the order of its taxonomy, so it cannot be written as source",
        hint="build it anew with 'hiergen build'",
    )
