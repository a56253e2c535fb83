"""One rank of a training in float64, where rounding hides nothing: python in_double.py FOLDER KEY=VALUE …"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from hiergen.data.augment import train_transform
from hiergen.data.batches import ImageFeed
from hiergen.data.samples import EpochOrder, Samples
from hiergen.data.sources import open_data
from hiergen.training.loop import Training
from hiergen.training.parallel import Parallel
from hiergen.training.recipe import load_recipe
from hiergen.training.training_module import seed_all

Batches = Iterator[tuple[Tensor, Tensor]]


class Doubled(ImageFeed):
    def epoch(self, order: EpochOrder) -> Batches:
        return ((x.double(), y) for x, y in super().epoch(order))

    def once(self, batch_size: int, rank: int, world: int) -> Batches:
        return ((x.double(), y) for x, y in super().once(batch_size, rank, world))


class Sharded(Parallel):
    """FSDP as accelerate makes it on GPUs; it refuses CPUs, torch does not."""

    sharded = True  # type: ignore[assignment]

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        ids = {id(p): name for name, p in model.named_parameters()}
        names = [[ids[id(p)] for p in group["params"]] for group in optimizer.param_groups]
        fully_shard(model.network.level1)
        fully_shard(model)
        named = dict(model.named_parameters())
        for group, members in zip(optimizer.param_groups, names, strict=True):
            group["params"] = [named[name] for name in members]
        return model, optimizer


def main() -> None:
    folder, recipe = (
        Path(sys.argv[1]),
        load_recipe("digits", [argument for argument in sys.argv[2:] if "=" in argument]),
    )
    seed_all(1)
    network = importlib.import_module("generated.digits").N2HL().double()
    images = open_data("digits", network, split="train").subset(range(240))
    feed = Doubled(Samples(images, train_transform(network, recipe.augment), seed=recipe.seed), workers=0)
    parallel = (Sharded if "--sharded" in sys.argv else Parallel)("float32", "cpu")
    folder.mkdir(exist_ok=True)
    Training(network, recipe, feed, feed, folder, parallel=parallel).run(resume="--resume" in sys.argv)
    parallel.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
