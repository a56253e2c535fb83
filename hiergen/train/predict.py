"""A network's logits on all images of a feed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hiergen.train.feeds import Feed
from hiergen.train.learner import Learner
from hiergen.train.parallel import Parallel


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
    found = torch.cat(logits), torch.cat(targets)
    return found if parallel.sharded else (parallel.gathered(found[0]), parallel.gathered(found[1]))
