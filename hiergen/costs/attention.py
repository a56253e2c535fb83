"""Top-down attention with a cue: which gain is best, what it gains, and how often the cue may be wrong.

The cue is the true label's class, or its group on some level (the oracle of Kelm et al., arXiv 2308.05128); a wrong cue
is another class or group, drawn evenly. A gain changes nothing but the paths under its node, so each image runs the
network once and then, for every gain, the cued path alone: no trunk runs twice, and nothing has to be kept. Gains that
are given are compared with none, class by class and group by group.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hiergen.data.images import Batch, batches
from hiergen.data.sources import labelled_images
from hiergen.errors import HiergenError
from hiergen.models.load import load_trained
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import Routed, Samples, advance, descend, homes_of


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


TRIED = tuple(round(0.5 + i / 10, 10) for i in range(26))  # gains, 0.5 to 3
_BYTES = 64 << 20  # of input maps that are repeated at once, one for each gain


@dataclass(frozen=True)
class Curve:
    """Top-1 accuracy (0 … 1) on `images` images by gain, with the right cue and with a wrong one.

    `baseline` is without attention; `only_right` and `only_wrong` are what the cue is worth as a plain filter: the
    best of the cued classes, all others excluded.
    """

    gains: tuple[float, ...]
    right: tuple[float, ...]
    wrong: tuple[float, ...]
    baseline: float
    only_right: float
    only_wrong: float
    images: int

    def accuracy(self, gain: float, wrong_rate: float) -> float:
        """With a cue that is wrong for this share of the images: the mean over all choices of these images."""
        i = self.gains.index(gain)
        return (1 - wrong_rate) * self.right[i] + wrong_rate * self.wrong[i]

    def best(self, wrong_rate: float = 0.0) -> float:
        """The gain of the highest accuracy; among equals the nearest to 1."""

        def rank(gain: float) -> tuple[float, float]:
            return self.accuracy(gain, wrong_rate), -abs(math.log(gain)) if gain else -math.inf

        return max(self.gains, key=rank)

    def break_even(self, gain: float) -> float | None:
        """The rate of wrong cues at which attention stops helping; None if it never helps, 1 if it always does."""
        i = self.gains.index(gain)
        helps, hurts = self.right[i] - self.baseline, self.baseline - self.wrong[i]
        if helps <= 0:
            return None
        return 1.0 if hurts <= 0 else helps / (helps + hurts)


@dataclass(frozen=True)
class Scan:
    """A gain chosen on one part of the images (`tuned`) and reported on the other (`held`)."""

    level: int
    after: int
    tuned: Curve
    held: Curve

    @property
    def best(self) -> float:
        """The best gain of the tuning part, for a cue that is always right."""
        return self.tuned.best()

    def by_rate(self, rates: Sequence[float]) -> list[tuple[float, float, float, float]]:
        """Rate of wrong cues, accuracy with the best gain, the gain best for this rate, accuracy with that one.

        Gains are chosen on the tuning part, accuracies are the held-out part's.
        """
        rows = []
        for rate in rates:
            best_then = self.tuned.best(rate)
            rows.append((rate, self.held.accuracy(self.best, rate), best_then, self.held.accuracy(best_then, rate)))
        return rows


def attend(
    model: str | Path | HierarchicalNetwork,
    data: str,
    gains: Mapping[int | str, float] | None = None,
    *,
    weights: str | Path | None = None,
    level: int | None = None,
    tried: Sequence[float] = TRIED,
    after: int | None = None,
    holdout: float = 0.5,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    device: str | None = "cpu",
    untrained: bool = False,
) -> Scan | list[Effect]:
    """Measure top-down attention on labelled images, as `hiergen attend` does.

    With `gains` (term → gain): what they do to the accuracy of each class and group. Without: the gains `tried` with a
    cue of `level` (1 … k; None: classes) that knows the truth, the best chosen on one part of the images and reported
    on the share `holdout`. Raises HiergenError as `load_trained`, `labelled_images` and `scan` do.
    """
    network = load_trained(model, weights, untrained=untrained, device=device)
    images = labelled_images(network, data, classes)
    if gains is not None:
        return effects(network, batches(images, batch_size, workers=workers), gains, after=after)
    parts = (batches(part, batch_size, workers=workers) for part in images.split(holdout, seed=seed))
    return scan(network, *parts, level=level or len(network.levels), gains=tried, after=after, seed=seed)


def scan(
    network: HierarchicalNetwork,
    tuning: Iterable[Batch],
    report: Iterable[Batch],
    *,
    level: int,
    gains: Sequence[float],
    after: int | None = None,
    seed: int = 0,
) -> Scan:
    """Curves over the gains on two parts of the images, with cues of `level` (1 … k; k: classes).

    Gain 1 is added if it is not there. Raises HiergenError for a level or block that is not there, a gain that cannot
    be, and a level with a single node.
    """
    curves = [curve(network, part, level=level, gains=gains, after=after, seed=seed) for part in (tuning, report)]
    return Scan(level, _place(network, level, after), *curves)


@torch.no_grad()
def curve(
    network: HierarchicalNetwork,
    images: Iterable[Batch],
    *,
    level: int,
    gains: Sequence[float],
    after: int | None = None,
    seed: int = 0,
) -> Curve:
    """One part's curve; see `scan`. The network's gains and active classes are not used."""
    network.eval()
    place = _place(network, level, after)
    values = torch.tensor(_gains(gains), dtype=torch.float64)
    homes = torch.tensor(homes_of(network, level))
    draw, count = random.Random(seed), network.levels[level - 1].branches
    hits = torch.zeros(2, len(values), dtype=torch.int64)
    only = [0, 0]
    right = total = 0
    for batch, targets in images:
        above = network.trunk(batch.to(network.head.weight.device))
        above = descend(network, above, 0, level - 1)
        logits: Tensor = network.head(descend(network, above, level - 1)).cpu()
        true = homes[targets]
        other = (true + torch.tensor([draw.randrange(1, count) for _ in range(len(true))])) % count
        right += int((logits.argmax(1) == targets).sum())
        total += len(targets)
        for kind, cue in enumerate((true, other)):
            steered = cued_logits(network, above, logits, level, cue.tolist(), values, place)
            hits[kind] += (steered.argmax(2) == targets[:, None]).sum(0)
            allowed = logits.masked_fill(homes[None] != cue[:, None], float("-inf"))
            only[kind] += int((allowed.argmax(1) == targets).sum())
    if not total:
        raise HiergenError("no images to scan")
    shares = (hits.double() / total).tolist()
    return Curve(
        gains=tuple(values.tolist()),
        right=tuple(shares[0]),
        wrong=tuple(shares[1]),
        baseline=right / total,
        only_right=only[0] / total,
        only_wrong=only[1] / total,
        images=total,
    )


def cued_logits(
    network: HierarchicalNetwork,
    above: Tensor,
    logits: Tensor,
    level: int,
    cues: Sequence[int],
    gains: Tensor,
    after: int,
) -> Tensor:
    """Logits `(B, G, classes)` of image i with gain g on branch `cues[i]` of `level`.

    `above` are the maps that `level` reads, `logits` `(B, classes)` those without attention, on the CPU.
    """
    steered = logits[:, None].repeat(1, len(gains), 1)
    size = above[0].numel() // (above.shape[1] if above.ndim == 5 else 1)
    step = max(1, _BYTES // (4 * size * len(gains)))
    for lo in range(0, len(cues), step):
        part = slice(lo, lo + step)
        _steer(network, above[part], steered[part], level, cues[part], gains, after)
    steered[:, gains == 1] = logits[:, None]  # another lowering rounds otherwise
    return steered


def _steer(
    network: HierarchicalNetwork,
    above: Tensor,
    steered: Tensor,
    level: int,
    cues: Sequence[int],
    gains: Tensor,
    after: int,
) -> None:
    """Write the logits under each image's cued node; row i · G + g is image i with gain g."""
    siblings, count = network.levels[level - 1], len(gains)
    rows: dict[int, list[int]] = {}
    for i, branch in enumerate(cues):
        rows.setdefault(branch, []).extend(range(i * count, (i + 1) * count))
    device, dtype = network.head.weight.device, network.head.weight.dtype
    factors = torch.ones(len(cues) * count, siblings.branches, device=device, dtype=dtype)
    read: dict[int, list[int]] = {}
    for branch, local in rows.items():
        factors[local, branch] = gains.to(device, dtype).repeat(len(local) // count)
        read.setdefault(siblings.parents[branch] if siblings.parents else 0, []).extend(local)
    stacked = above[:, None] if above.ndim == 4 else above
    maps: Routed = {}
    for parent, some in read.items():
        some.sort()
        index = torch.tensor([row // count for row in some], device=device)
        maps[parent] = (tuple(some), stacked[:, parent].permute(0, 2, 3, 1)[index])
    needed: list[Samples] = [tuple(rows.get(branch, ())) for branch in range(siblings.branches)]
    levels = network.levels
    for j in range(level - 1, len(levels)):
        first = j == level - 1
        if not first:
            needed = [needed[parent] for parent in levels[j].parents or ()]
        own_gains, place = (factors, after) if first else (None, None)
        maps = advance(levels[j], maps, needed, gains=own_gains, after=place, pool=j == len(levels) - 1)
    weight, bias = network.head.weight, network.head.bias
    flat = steered.view(-1, steered.shape[2])
    for label, leaf in enumerate(network.head.parents or range(network.num_classes)):
        if leaf in maps:
            samples, features = maps[leaf]
            flat[list(samples), label] = (features @ weight[label] + bias[label]).cpu()


def _place(network: HierarchicalNetwork, level: int, after: int | None) -> int:
    """The block after which the gain acts."""
    levels = network.levels
    if type(level) is not int or not 1 <= level <= len(levels):
        raise HiergenError(f"no level {level}", expected=f"1..{len(levels)} ({len(levels)} are the classes)")
    siblings = levels[level - 1]
    if siblings.branches < 2 or levels[-1].branches < network.num_classes:
        raise HiergenError(
            f"level {level} has a single branch, so a cue on it says nothing", expected="two branches or more"
        )
    if after is not None and not (type(after) is int and 1 <= after <= len(siblings.blocks)):
        raise HiergenError(f"no block {after} in level {level}", expected=f"after = 1..{len(siblings.blocks)}")
    return after or siblings.default_block


def _gains(gains: Sequence[float]) -> list[float]:
    for gain in gains:
        if not (math.isfinite(gain) and gain >= 0):
            raise HiergenError("a gain cannot be", expected="a finite number from 0 up", got=f"{gain:g}")
    return sorted({*map(float, gains), 1.0})
