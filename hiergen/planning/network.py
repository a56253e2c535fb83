"""A plan as a network with random weights, and the time that it takes. Imports torch and timm."""

from __future__ import annotations

import statistics
import time

import torch

from hiergen import nn as layers
from hiergen.nn import ClassHeads, HierarchicalNetwork, Siblings, Trunk
from hiergen.nn.runtimes import RUNTIMES, Run, quiet
from hiergen.nn.stage import StageRecipe
from hiergen.planning.blocks import BLOCKS
from hiergen.planning.plan import Plan, StagePlan

TURNS, RUNS = 5, 5
LEAST = 0.5  # seconds; there are more turns where runs are short


def network_of(plan: Plan) -> HierarchicalNetwork:
    """The network of a plan, in eval mode, with random weights."""
    network = HierarchicalNetwork()
    network.nesting, network.classes = plan.nesting, plan.classes  # type: ignore[misc]
    network.trunk = Trunk(plan.trunk.backbone, until=plan.trunk.until, input_size=plan.trunk.input_size)
    for j, level in enumerate(plan.levels, 1):
        recipes = [_recipe(stage) for stage in level.stages]
        network.add_module(f"level{j}", Siblings(level.branches, recipes, parents=level.parents or None))
    network.head = ClassHeads(len(plan.classes), plan.levels[-1].channels, parents=plan.head_parents or None)
    return network.eval()


def _recipe(stage: StagePlan) -> StageRecipe:
    kind = BLOCKS[stage.block]
    sizes = (stage.in_channels, stage.width, stage.out)
    recipe: StageRecipe = getattr(layers, kind.recipe)(
        *sizes, depth=stage.depth, stride=stage.stride, **kind.arguments(stage)
    )
    return recipe


def measure_ms(plan: Plan, runtime: str, threads: int) -> float:
    """Milliseconds of one image through the plan's network in plain form, on this CPU.

    It is the lowest of several turns' medians: what else the machine does lengthens the others.
    Raises HiergenError for a runtime that is not installed or cannot take the network.
    """
    row = RUNTIMES[runtime]
    row.package()
    with torch.random.fork_rng(devices=[]), torch.no_grad(), quiet():
        network = network_of(plan)
        for parameter in network.parameters():  # runtimes skip what new blocks multiply by 0
            if not parameter.any():
                parameter.normal_(1, 0.1)
        run = row.start(network.plain(), torch.rand(1, *plan.trunk.input_size), threads, False)
        _turn(run)
        end, medians = time.perf_counter() + LEAST, [_turn(run) for _ in range(TURNS)]
        while time.perf_counter() < end:
            medians.append(_turn(run))
    return min(medians)


def _turn(run: Run) -> float:
    """The median of a few runs, ms."""
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)
