"""Params and MACs of a built network, counted on the meta device: no plan is asked, so that a plan can be checked.

Params are all weights and biases. MACs are of convolutions and linear layers for one image, one multiply-add = 1.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from hiergen.nn.macs import branch_macs, count_macs, count_params
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.select import Node


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
    pairs = zip(network.levels, branch_macs(network), strict=True)
    return [Cost(count_params(level) // level.branches, macs) for level, macs in pairs]


def _on_meta(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers have shapes only."""
    memo: dict[int, object] = {id(b): torch.empty_like(b, device="meta") for b in module.buffers()}
    for p in module.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False)
    return copy.deepcopy(module, memo)
