"""From the maps of one level down: all branches, or each sample through its own; gains of `attend` act."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import Routed, Samples, advance


def homes_of(network: HierarchicalNetwork, level: int) -> tuple[int, ...]:
    """Of each class the branch of `level` (1 … k) that its path runs through."""
    homes: Sequence[int] = network.head.parents or range(network.num_classes)
    for below in reversed(network.levels[level:]):
        homes = [below.parents[branch] if below.parents else 0 for branch in homes]
    return tuple(homes)


def descend(network: HierarchicalNetwork, maps: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
    """Run levels `start` + 1 … `stop` (default: the last) on the maps above them, as the network itself does.

    The trunk's maps are those above level 1. The answer is `(B, N, C, H, W)`, or after the last level pooled,
    `(B, N, C)`.
    """
    levels = network.levels
    for j in range(start, len(levels) if stop is None else stop):
        gains, after = network._gains.of_level(j) if network._gains else (None, None)
        maps = levels[j](maps, gains=gains, after=after, pool=j == len(levels) - 1)
    return maps


def descend_some(network: HierarchicalNetwork, maps: Routed, needed: Sequence[Sequence[Samples]], start: int) -> Routed:
    """Run levels `start` + 1 … k; `needed[j][b]` are the samples that branch b of level j + 1 runs.

    `maps`: branch of the level above → its samples and their maps `(b, H, W, C)`. The answer is pooled, `(b, C)`.
    """
    levels = network.levels
    for j in range(start, len(levels)):
        gains, after = network._gains.of_level(j) if network._gains else (None, None)
        maps = advance(levels[j], maps, needed[j], gains=gains, after=after, pool=j == len(levels) - 1)
    return maps
