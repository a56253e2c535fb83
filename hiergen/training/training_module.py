"""What is trained: a network, or its branches on maps that its frozen trunk gave before."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.data.batches import Feed
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.parallel import Parallel


class Learner(nn.Module):
    """A network's training forward: `(B, 3, H, W)` images, or `(B, C, H', W')` maps of its trunk, to logits.

    A frozen trunk stays in eval mode and gets no gradient. `dropout` acts on the classes' pooled features. Without it,
    and with images, this is `network(x)`.
    """

    def __init__(self, network: HierarchicalNetwork, *, frozen: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.network, self.frozen, self.dropout = network, frozen, dropout
        if frozen:
            network.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.network.trunk.eval()
        return self

    def forward(self, x: Tensor, *, maps: bool = False) -> Tensor:
        if not maps:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                x = self.network.trunk(x)
        *levels, last = self.network.levels
        for level in levels:
            x = level(x)
        pooled = last(x, pool=True)
        logits: Tensor = self.network.head(F.dropout(pooled, self.dropout, self.training))
        return logits


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators: what follows depends on nothing that came before."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def predict(
    learner: Learner,
    feed: Feed,
    batch_size: int,
    parallel: Parallel,
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits `(N, classes)` float32 and targets `(N,)` of all images, on the CPU, in order (of several processes: one
    process's after the other's).

    The learner is left in the mode that it was in.
    """
    before = learner.training
    # processes that hold parts of a network must run it equally often
    place = (0, 1) if parallel.sharded else (parallel.rank, parallel.world)
    # a process may get no image at all
    logits, targets = [torch.empty(0, learner.network.num_classes)], [torch.empty(0, dtype=torch.long)]
    learner.eval()
    try:
        with torch.inference_mode(), parallel.accelerator.autocast():
            for x, y in feed.once(batch_size, *place):
                logits.append(learner(x.to(parallel.device, non_blocking=True), maps=feed.maps).float().cpu())
                targets.append(y)
                if progress:
                    progress(len(y))
    finally:
        learner.train(before)
    whole = torch.cat(logits), torch.cat(targets)
    return whole if parallel.sharded else (parallel.gathered(whole[0]), parallel.gathered(whole[1]))
