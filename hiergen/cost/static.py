"""Params and MACs of a built network, counted on the meta device: no plan is asked, so that a plan can be checked.

Params are all weights and biases. MACs are of convolutions and linear layers for one image, one multiply-add = 1.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hiergen.nn.lowering import Lowering
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.select import Node
from hiergen.nn.siblings import Siblings
from hiergen.plan.measure import count_macs, count_params


@dataclass(frozen=True)
class Cost:
    """Params, and MACs for one image."""

    params: int
    macs: int


@dataclass(frozen=True)
class Part:
    """The trunk, one level, or the head: `branches` side by side (trunk: 1, head: one per class), and their sum."""

    name: str
    branches: int
    params: int
    macs: int


def network_parts(network: HierarchicalNetwork) -> tuple[Part, ...]:
    """Trunk, level1 … levelk and head of a network on any device, however its branches are executed."""
    trunk, head = module_cost(network.trunk, network.trunk.input_size), network.head
    parts = [Part("trunk", 1, trunk.params, trunk.macs)]
    for j, (level, one) in enumerate(zip(network.levels, _level_costs(network), strict=True), 1):
        parts.append(Part(f"level{j}", level.branches, level.branches * one.params, level.branches * one.macs))
    parts.append(Part("head", head.classes, count_params(head), head.classes * head.in_channels))
    return tuple(parts)


def branch_costs(network: HierarchicalNetwork) -> dict[Node, Cost]:
    """The cost of every branch by itself, without what is above or below it, level by level."""
    found: dict[Node, Cost] = {}
    for j, (level, one) in enumerate(zip(network.levels, _level_costs(network), strict=True), 1):
        names = network.nest.names(j)
        if len(names) != level.branches:  # one branch for all classes
            names = ("all classes",) * level.branches
        found.update({Node(j, i, name): one for i, name in enumerate(names)})
    return found


def module_cost(module: nn.Module, input_size: tuple[int, ...]) -> Cost:
    """Cost of a trunk or flat network on one image of `input_size` (C, H, W); weights are neither read nor copied."""
    counted = _on_meta(module).eval()
    return Cost(count_params(module), count_macs(counted, torch.empty(1, *input_size, device="meta")))


def _level_costs(network: HierarchicalNetwork) -> list[Cost]:
    """Of each level the cost of one branch: all of a level are alike."""
    size = network.trunk.map_size
    found = []
    for level in network.levels:
        with torch.device("meta"):
            one = Siblings(1, level.recipes).eval()
        one.lowering = Lowering("loop")
        # What a second image adds: work on weights alone, as folding norms into them, is not done per image.
        first, both = (_all_macs(one, (batch, level.in_channels, *size)) for batch in (1, 2))
        found.append(Cost(count_params(level) // level.branches, both - first))
        size = level.map_size(*size)
    return found


def _all_macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """MACs of all products: in branches batched matrix products are layers, too."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(shape, device="meta"))
    return int(counter.get_total_flops()) // 2


def _on_meta(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers have shapes only."""
    memo: dict[int, object] = {id(b): torch.empty_like(b, device="meta") for b in module.buffers()}
    for p in module.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False)
    return copy.deepcopy(module, memo)
