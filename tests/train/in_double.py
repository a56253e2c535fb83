"""One rank of a training in float64, where rounding hides nothing: python in_double.py FOLDER KEY=VALUE …"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from hiergen.train.augment import train_transform
from hiergen.train.data import open_data
from hiergen.train.feeds import ImageFeed
from hiergen.train.learner import seed_all
from hiergen.train.loop import Training
from hiergen.train.parallel import Parallel
from hiergen.train.recipefile import load_recipe
from hiergen.train.samples import EpochOrder, Samples

Batches = Iterator[tuple[Tensor, Tensor]]


class Doubled(ImageFeed):
    def epoch(self, order: EpochOrder) -> Batches:
        return ((x.double(), y) for x, y in super().epoch(order))

    def once(self, batch_size: int, rank: int, world: int) -> Batches:
        return ((x.double(), y) for x, y in super().once(batch_size, rank, world))


def main() -> None:
    folder, recipe = Path(sys.argv[1]), load_recipe("digits", sys.argv[2:])
    seed_all(1)
    network = importlib.import_module("generated.digits").N2HL().double()
    images = open_data("digits", network, split="train").subset(range(240))
    feed = Doubled(Samples(images, train_transform(network, recipe.augment), seed=recipe.seed), workers=0)
    parallel = Parallel("float32", "cpu")
    folder.mkdir(exist_ok=True)
    Training(network, recipe, feed, feed, folder, parallel=parallel).run()
    parallel.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
