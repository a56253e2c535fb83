"""A plan as a network with random weights, and the time that it takes. Imports torch and timm."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import nn

from hiergen import nn as layers
from hiergen.nn import ClassHeads, Generalist, HierarchicalNetwork, Siblings, Trunk
from hiergen.nn.plain_form import plain_form
from hiergen.nn.runtimes import RUNTIMES, Run, quiet, without_denormals
from hiergen.nn.stage import StageRecipe
from hiergen.planning.blocks import BLOCKS
from hiergen.planning.plan import Plan, StagePlan

TURNS, RUNS = 5, 5
LEAST = 0.5  # seconds; there are more turns where runs are short


def network_of(plan: Plan) -> HierarchicalNetwork:
    """The network of a plan, in eval mode, with random weights."""
    network = HierarchicalNetwork()
    network.nesting, network.classes = plan.nesting, plan.classes  # type: ignore[misc]
    trunk = plan.trunk
    network.input_size = trunk.input_size  # type: ignore[misc]
    network.trunk = Trunk(trunk.backbone, until=trunk.until, input_size=trunk.input_size, tokens=trunk.tokens)
    for j, level in enumerate(plan.levels, 1):
        recipes = [recipe_of(stage) for stage in level.stages]
        network.add_module(f"level{j}", Siblings(level.branches, recipes, parents=level.parents or None))
    network.head = ClassHeads(len(plan.classes), plan.levels[-1].channels, parents=plan.head_parents or None)
    for name, branch in (("generalist", plan.generalist), ("flat", plan.flat)):
        if branch is not None:
            recipes = [recipe_of(stage) for stage in branch.stages]
            answers = {"columns": branch.columns, "homes": branch.homes}  # of a cutout
            network.add_module(name, Generalist(recipes, branch.classes, groups=branch.groups, **answers))
    return network.eval()


def recipe_of(stage: StagePlan) -> StageRecipe:
    """The recipe of a planned stage."""
    kind = BLOCKS[stage.block]
    recipe: StageRecipe = getattr(layers, kind.recipe)(**kind.recipe_of(stage))
    return recipe


def measure_ms(plan: Plan, runtime: str, threads: int) -> float:
    """Milliseconds of one image through the plan's network in plain form, on this CPU.

    It is the shortest of many runs: what else the machine does lengthens the others.
    Raises HiergenError for a runtime that is not installed or cannot take the network.
    """
    timer = Timer(plan.trunk.input_size, runtime, threads)
    with torch.random.fork_rng(devices=[]):
        (ms,) = timer.measure([timer.add(network_of(plan))])
    return ms


class Timer:
    """Modules beside each other in a runtime, of one image of this size, on the CPU.

    Raises HiergenError for a runtime that is not installed or cannot take a module.
    """

    def __init__(self, input_size: Sequence[int], runtime: str, threads: int) -> None:
        self.row, self.threads, self.input_size = RUNTIMES[runtime], threads, tuple(input_size)
        self.row.package()

    def add(self, module: nn.Module) -> Run:
        """What runs the module in plain form. None of its weights is only zeros, as runtimes skip what these multiply:
        they are given others."""
        with torch.random.fork_rng(devices=[]), torch.no_grad(), quiet():
            for parameter in module.parameters():
                if not parameter.any():
                    parameter.normal_(1, 0.1)
            plain = plain_form(module, self.input_size)
            run = self.row.start(plain, torch.rand(1, *self.input_size), self.threads, False)
            _turn(run)
            return run

    def measure(self, runs: Sequence[Run]) -> list[float]:
        """ms of each, its shortest run; they take turns."""
        with torch.no_grad(), without_denormals():
            end, turns = time.perf_counter() + LEAST * len(runs), 0
            lowest = [math.inf] * len(runs)
            while turns < TURNS or time.perf_counter() < end:
                lowest = [min(before, _turn(run)) for before, run in zip(lowest, runs, strict=True)]
                turns += 1
        return lowest


def _turn(run: Run) -> float:
    """The shortest of a few runs, ms."""
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return min(times)
