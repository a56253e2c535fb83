"""What given gains do to the accuracy of each class and group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hiergen.data.images import Batch
from hiergen.errors import HiergenError
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import descend


@dataclass(frozen=True)
class Effect:
    """Of the images under one node (level 0: all of them): how many are right, and how often the network names one of
    the node's classes, without and with attention."""

    level: int
    name: str
    images: int
    right: tuple[int, int]
    named: tuple[int, int]


@torch.no_grad()
def effects(
    network: HierarchicalNetwork,
    images: Iterable[Batch],
    gains: Mapping[int | str, float | Tensor],
    *,
    after: int | None = None,
) -> list[Effect]:
    """One row for all images, then one for each node, level by level; classes are called by their display names.

    The trunk runs once per image. Raises HiergenError as `HierarchicalNetwork.attend` does.
    """
    network.eval()
    pairs: list[Tensor] = []
    for batch, targets in images:
        maps = network.trunk(batch.to(network.head.weight.device))
        without: Tensor = network.head(descend(network, maps)).argmax(1)
        with network.attend(gains, after=after):
            steered: Tensor = network.head(descend(network, maps)).argmax(1)
        pairs.append(torch.stack([targets, without.cpu(), steered.cpu()]))
    if not pairs:
        raise HiergenError("no images to look at")
    targets, *answers = torch.cat(pairs, 1)
    nesting = network.nesting
    rows = [_row(0, "all", range(network.num_classes), targets, answers)]
    for level in range(1, nesting.depth + 1):
        for branch, name in enumerate(nesting.names(level)):
            members = nesting.members(level, branch)
            shown = nesting.labels[members[0]] if level == nesting.depth else name
            rows.append(_row(level, shown, members, targets, answers))
    return rows


def _row(level: int, name: str, members: Iterable[int], targets: Tensor, answers: list[Tensor]) -> Effect:
    inside = torch.tensor(list(members))
    here = torch.isin(targets, inside)
    right = [int(((answer == targets) & here).sum()) for answer in answers]
    named = [int(torch.isin(answer, inside).sum()) for answer in answers]
    return Effect(level, name, int(here.sum()), (right[0], right[1]), (named[0], named[1]))
