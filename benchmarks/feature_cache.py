"""Training branches on a frozen trunk: with cached features, without, and what each part of it could do alone.

python benchmarks/feature_cache.py IMAGES.tar [--models FILE:NAME,…] [--images 1200] [--threads 2] [--workers 1]

Every line is images/s of one run of the trainer's own loop (the second of two epochs), in one process; the bound is the
time of the same MACs (three times a forward pass of the branches) in one large matrix product. The last line has what
reading and transforming, the trunk's forward pass and gathering cached maps do alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from hiergen.data.batches import Feed, ImageFeed, MapFeed
from hiergen.data.features import cached_features
from hiergen.data.images import ImageSet, eval_transform
from hiergen.data.samples import EpochOrder, Samples, in_order, loader
from hiergen.data.sources import open_data
from hiergen.models.load import load_network
from hiergen.nn.macs import network_macs
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.loop import Training
from hiergen.training.parallel import Parallel
from hiergen.training.recipe import load_recipe

ROOT = Path(__file__).parent.parent
MODELS = ",".join(f"generated/tiny_imagenet_100.py:{name}" for name in ("PHL1branch", "PHL", "N2HL", "N3HL", "N4HL"))
SETTINGS = ["epochs=2", "batch_size=100", "trunk.pretrained=false", "schedule.warmup_epochs=0"]


def epoch_pace(network: HierarchicalNetwork, feed: Feed, held: Feed, precision: str) -> float:
    """Images/s of the second epoch."""
    recipe = load_recipe("frozen-trunk", [*SETTINGS, f"precision={precision}"])
    with tempfile.TemporaryDirectory() as folder:
        training = Training(network, recipe, feed, held, Path(folder), parallel=Parallel(precision, "cpu"))
        training.run()
        return float(training.progress.history[-1]["images_per_s"])


def reading_pace(images: ImageSet, network: HierarchicalNetwork, workers: int) -> float:
    samples = Samples(images, eval_transform(network), seed=0)
    start = time.perf_counter()
    for _ in loader(samples, in_order(len(images), 100), workers=workers):
        pass
    return len(images) / (time.perf_counter() - start)


@torch.inference_mode()
def trunk_pace(network: HierarchicalNetwork) -> float:
    trunk = network.trunk.eval().to(memory_format=torch.channels_last)
    x = torch.rand(100, *network.input_size).contiguous(memory_format=torch.channels_last)
    trunk(x)
    start = time.perf_counter()
    for _ in range(3):
        trunk(x)
    return 300 / (time.perf_counter() - start)


def bound_pace(macs: int) -> float:
    """Images/s if three forward passes' MACs were one product of 2048 × 2048 matrices."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    a @ b
    start = time.perf_counter()
    for _ in range(5):
        a @ b
    per_second = 5 * 2048**3 / (time.perf_counter() - start)
    return per_second / (3 * macs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(ROOT))
    print(f"{options.images} images, {options.threads} threads, {options.workers} workers")
    print("| model | without cache | cached | ratio | cached, bfloat16 | bound | cached / bound |")
    print("|---|---|---|---|---|---|---|")
    shared = ""
    for reference in options.models.split(","):
        torch.manual_seed(0)
        network = load_network(ROOT / reference)
        whole = open_data(options.data, network)
        step = len(whole) // options.images
        images = whole.subset(range(0, len(whole), step))
        plain = eval_transform(network)
        with tempfile.TemporaryDirectory() as cache:
            maps = cached_features(network, images, plain, folder=Path(cache), workers=options.workers)
            some = cached_features(network, images.subset(range(20)), plain, folder=Path(cache), workers=0)
            held = MapFeed(some)
            without = epoch_pace(network, ImageFeed(Samples(images, plain, seed=0), options.workers), held, "float32")
            cached = epoch_pace(network, MapFeed(maps), held, "float32")
            half = epoch_pace(network, MapFeed(maps), held, "bfloat16")
            gather = gather_pace(MapFeed(maps))
        macs = network_macs(network)
        bound = bound_pace(macs.total(network) - macs.trunk)
        name = reference.rpartition(":")[2]
        print(
            f"| {name} | {without:.0f} | {cached:.0f} | {cached / without:.1f} | {half:.0f} | {bound:.0f} | "
            f"{cached / bound:.2f} |",
            flush=True,
        )
        shared = (
            f"alone: reading {reading_pace(images, network, options.workers):.0f} images/s, "
            f"trunk {trunk_pace(network):.0f}, gathering cached maps {gather:.0f}"
        )
    print(shared)


def gather_pace(feed: MapFeed) -> float:
    start = time.perf_counter()
    for _ in feed.epoch(EpochOrder(len(feed), 100, seed=0, epoch=0)):
        pass
    return len(feed) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
