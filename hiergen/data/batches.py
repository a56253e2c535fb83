"""Batches for the loop: images, or the maps that a frozen trunk gave of them."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from hiergen.data.features import FeatureSet
from hiergen.data.images import LabelSets
from hiergen.data.samples import EpochOrder, Samples, in_order, loader, seed_of

Batch: TypeAlias = tuple[Tensor, ...]  # what is read, its targets, and in training what a teacher says of it


class Feed(Protocol):
    """Batches `(x, targets)` of this process; `maps` says whether x are maps of the trunk or images.

    `broken` names the images that were left out so far.
    """

    maps: bool
    broken: set[str]

    @property
    def targets(self) -> Tensor:
        """The target of each image, `(N,)`."""
        ...

    @property
    def labels(self) -> LabelSets | None:
        """What targets mean that are no class."""
        ...

    def __len__(self) -> int: ...

    def epoch(self, order: EpochOrder) -> Iterator[Batch]:
        """The batches of one epoch of training."""
        ...

    def once(self, batch_size: int, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All of this process's share, in order."""
        ...


@dataclass
class ImageFeed:
    """Images read and augmented as they are needed."""

    samples: Samples
    workers: int
    skip_broken: bool = False
    maps: bool = False
    broken: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def targets(self) -> Tensor:
        return torch.tensor(self.samples.images.targets)

    @property
    def labels(self) -> LabelSets | None:
        return self.samples.images.labels

    def epoch(self, order: EpochOrder) -> Iterator[Batch]:
        return self._given(order)

    def once(self, batch_size: int, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self._given(in_order(len(self.samples), batch_size, rank=rank, world=world))

    def _given(self, order: EpochOrder) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y, broken in loader(self.samples, order, workers=self.workers, skip_broken=self.skip_broken):
            self.broken.update(broken)
            if len(y):  # a pass in order may meet broken images only
                yield x, y


@dataclass
class MapFeed:
    """Maps of a frozen trunk from its cache; in training mirrored with probability `flip`, and for each batch a window
    of them, of at least the share `crop` of their sides. `taught` `(views, N, classes)` are a teacher's logits of the
    images as they are."""

    features: FeatureSet
    seed: int = 0
    flip: float = 0.0
    crop: float = 1.0
    maps: bool = True
    taught: Tensor | None = None

    def __post_init__(self) -> None:
        self.broken = set(self.features.broken)
        self._targets = torch.tensor([self.features.targets[i] for i in self.features.usable])
        self._rows = torch.as_tensor(self.features.usable)

    def __len__(self) -> int:
        return len(self._rows)

    def epoch(self, order: EpochOrder) -> Iterator[Batch]:
        epoch = order.epoch
        mirrored = mirrors(len(self), self.flip, self.seed, epoch)
        for number, keys in enumerate(order, order.start):
            chosen = torch.tensor([index for _, index in keys])
            x = self.features.maps(epoch % self.features.views, self._rows[chosen])
            x = x if mirrored is None else mirror(x, mirrored[chosen])
            more = () if self.taught is None else (self.taught[epoch % self.features.views, chosen].float(),)
            yield window(x, self.crop, self.seed, epoch, number), self._targets[chosen], *more

    @property
    def targets(self) -> Tensor:
        """The class of each usable image."""
        return self._targets

    def maps_of(self, chosen: Tensor) -> Tensor:
        """The maps of these usable images as they are, `(B, C, H, W)`."""
        return self.features.maps(0, self._rows[chosen])

    @property
    def labels(self) -> LabelSets | None:
        return self.features.labels

    def mixed(self, batch_size: int, count: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """So many batches (default: all) of images in random order, as they are: a batch has images of many classes.
        Images known to a group only are left out."""
        order = self._mixed()
        for chosen in torch.split(order, batch_size)[:count]:
            if len(chosen) > 1 or len(order) == 1:
                yield self.features.maps(0, self._rows[chosen]), self._targets[chosen]

    def balanced(self, batch_size: int, images: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The first so many images of each class, in random order, as they are."""
        order = self._mixed()
        seen: Counter[int] = Counter()
        chosen = []
        for index in order.tolist():
            seen[target := int(self._targets[index])] += 1
            if seen[target] <= images:
                chosen.append(index)
        for some in torch.split(torch.tensor(chosen), batch_size):
            yield self.features.maps(0, self._rows[some]), self._targets[some]

    def _mixed(self) -> Tensor:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(self.seed))
        return order if self.labels is None else order[self._targets[order] < self.labels.classes]

    @torch.inference_mode()
    def answers(
        self, model: nn.Module, batch_size: int, progress: Callable[[int, int], None], device: torch.device
    ) -> Tensor:
        """A model's answers to the maps of all images in all views, `(views, N, …)` in half precision."""
        views, done, total = [], 0, self.features.views * len(self)
        for view in range(self.features.views):
            parts = []
            for keys in in_order(len(self), batch_size):
                chosen = torch.tensor([index for _, index in keys])
                parts.append(model(self.features.maps(view, self._rows[chosen]).to(device)).half().cpu())
                progress(done := done + len(chosen), total)
            views.append(torch.cat(parts))
        return torch.stack(views).clone()

    def once(self, batch_size: int, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        for keys in in_order(len(self), batch_size, rank=rank, world=world):
            chosen = torch.tensor([index for _, index in keys])
            yield self.features.maps(0, self._rows[chosen]), self._targets[chosen]


def mirrors(images: int, flip: float, seed: int, epoch: int) -> Tensor | None:
    """Which images are mirrored in an epoch, `(images,)`, each with probability `flip`; None without any."""
    if not flip:
        return None  # by image, not by batch: the same for any number of processes
    generator = torch.Generator().manual_seed(seed_of(seed, epoch, 1))
    return torch.rand(images, generator=generator) < flip


def mirror(x: Tensor, which: Tensor) -> Tensor:
    """Maps `(B, C, H, W)`, those of `which` `(B,)` from right to left."""
    return torch.where(which[:, None, None, None], x.flip(-1), x)


def window(x: Tensor, crop: float, seed: int, epoch: int, batch: int) -> Tensor:
    """A random window of maps, of at least the share `crop` of their sides, the same for all of the batch."""
    if crop == 1:
        return x
    draw = random.Random(seed_of(seed, epoch, batch, 3))
    spans = []
    for size in x.shape[-2:]:
        kept = draw.randint(min(math.ceil(crop * size), size), size)
        first = draw.randint(0, size - kept)
        spans.append(slice(first, first + kept))
    return x[..., spans[0], spans[1]]
