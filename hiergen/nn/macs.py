"""MACs of a built network's parts, counted by torch on the meta device; one multiply-add = 1, for one image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.siblings import Siblings
from hiergen.nn.trunk import Trunk


@dataclass(frozen=True)
class Macs:
    """Of the trunk, of ONE branch of each level, and of one class's linear layer."""

    trunk: int
    branches: tuple[int, ...]
    head: int

    def total(self, network: HierarchicalNetwork) -> int:
        """Of the whole network; the same as what torch counts on it."""
        levels = sum(level.branches * macs for level, macs in zip(network.levels, self.branches, strict=True))
        return self.trunk + levels + network.num_classes * self.head


def count_macs(network: HierarchicalNetwork) -> Macs:
    """Convolutions and linear layers, at the network's input size; nothing is run for real."""
    with torch.device("meta"):
        trunk = Trunk(network.trunk.backbone, network.trunk.until, input_size=network.trunk.input_size).eval()  # type: ignore[arg-type]
        size = network.trunk.map_size
        branches = []
        for level in network.levels:
            one = Siblings(1, level.recipes).eval()
            branches.append(_per_image(one, (level.in_channels, *size)))
            size = level.map_size(*size)
        counted = _per_image(trunk, tuple(network.trunk.input_size))
    return Macs(counted, tuple(branches), network.head.in_channels)


def _per_image(module: nn.Module, shape: tuple[int, ...]) -> int:
    """What a second image adds, so that work on weights alone does not count."""
    counts = []
    for batch in (1, 2):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.empty(batch, *shape, device="meta"))
        counts.append(int(counter.get_total_flops()) // 2)
    return counts[1] - counts[0]
