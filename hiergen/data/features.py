"""Features of a frozen trunk, computed once for each image and view and kept on disk (see `feature_cache`).

Processes that want the same features share the work: each takes batches that nobody has, and looks what others did.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import timm
import torch
from torch import Tensor, nn

from hiergen.data.augment import describe, eval_transform
from hiergen.data.feature_cache import BROKEN, DONE, FORMAT, LIMIT, MISSING, FeatureCache, open_cache
from hiergen.data.images import ImageSet
from hiergen.data.samples import Broken, Item, Key, Samples, read_batches
from hiergen.errors import HiergenError
from hiergen.files import cache_home, in_cache
from hiergen.nn.network import HierarchicalNetwork

_POLL = 0.2  # seconds between two looks at what others do
_PATIENCE = 60.0  # seconds without news after which their batches are computed here too: twice, never wrongly
Report = Callable[[int, int], None]
Note = Callable[[str], None]


class FeatureSet:
    """The maps of `len(self)` images in `views` views, `shape` (C, H, W) each, with the images' `targets`.

    `usable` are the indices of images that could be read, ascending; `broken` are the places of the others.
    """

    def __init__(self, cache: FeatureCache, images: ImageSet, views: int) -> None:
        self._cache = cache
        self.targets, self.labels, self.views = tuple(images.targets), images.labels, views
        self.shape = (cache.features.shape[1], cache.features.shape[2], cache.features.shape[3])
        self._unusable = (cache.state == BROKEN).reshape(views, -1).any(0)
        self.usable = torch.from_numpy(np.flatnonzero(~self._unusable))
        self.broken = [images.place(int(index)) for index in np.flatnonzero(self._unusable)]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def folder(self) -> Path:
        """Where the cache is."""
        return self._cache.home

    def maps(self, view: int, indices: Sequence[int] | Tensor) -> Tensor:
        """The maps of these images in one view, `(B, C, H, W)` float32, in the order of `indices`.

        Raises IndexError for a view or an image that is not there, or that could not be read.
        """
        chosen = np.asarray(indices, np.int64).reshape(-1)
        if not 0 <= view < self.views:
            raise IndexError(f"expected a view from 0 to {self.views - 1}, got {view}")
        if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(self) or self._unusable[chosen].any()):
            raise IndexError(f"expected indices of usable images (of {len(self)}), got {chosen.tolist()}")
        rows, places = np.unique(chosen + view * len(self), return_inverse=True)  # ascending: a disk reads forwards
        return torch.from_numpy(np.asarray(self._cache.features[rows]))[torch.from_numpy(places)].float()

    def close(self) -> None:
        """Let the cache go: it may be removed from now on."""
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def cached_features(
    network: HierarchicalNetwork,
    images: ImageSet,
    transform: Callable[..., Any],
    *,
    views: int = 1,
    seed: int = 0,
    folder: Path | None = None,
    limit: int = LIMIT,
    dtype: str = "float16",
    batch_size: int = 64,
    workers: int = 0,
    skip_broken: bool = False,
    progress: Report | None = None,
    note: Note | None = None,
    share: tuple[int, int] = (0, 1),
    description: str | None = None,
) -> FeatureSet:
    """The maps of the network's trunk for all images, from the cache, or computed now and kept there.

    View v of image i is its `transform` seeded with (seed, v, i). A cache serves every network with the same trunk
    (weights and statistics), images, transform (by its `description`), views, seed, dtype, batch size (another may give
    other last bits), torch and timm; evaluation's maps of images that other sets have as well are copied from theirs.
    It lies in `folder` (default: `hiergen/features` in the user's cache folder). An interrupted call goes on where it
    stopped. Processes that want the same cache share the work; `share` (rank, world) says where this one begins.
    `progress(done, total)` counts images times views, also those of other processes; `note` gets sentences (default:
    warnings). Close the answer when done.
    Raises HiergenError for a broken image (unless `skip_broken`), maps that are not finite or too large for `dtype`,
    and a cache that does not fit into `limit` bytes or on the disk; OutputError where it cannot be written.
    """
    if dtype not in ("float16", "float32") or views < 1 or batch_size < 1 or not len(images):
        raise ValueError(f"cached_features: {len(images)} images, {views=}, {batch_size=}, {dtype=} cannot be")
    trunk = network.trunk
    about = {
        "weights": fingerprint(trunk),
        "backbone": trunk.backbone,
        "until": trunk.until,
        "input_size": list(trunk.input_size),
        "transform": description if description is not None else describe(transform),
        "views": views,
        "seed": seed,
        "images": images.fingerprint(),
        "count": len(images),
        "dtype": dtype,
        "batch": batch_size,
        "format": FORMAT,
        "torch": _minor(torch.__version__),
        "timm": _minor(timm.__version__),
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    shape = (views * len(images), trunk.out_channels, *trunk.map_size)
    home = Path(folder or cache_home() / "features")
    still = views == 1 and about["transform"] == describe(eval_transform(network))  # draws nothing at random
    contents = images.contents() if still else None
    with in_cache() if folder is None else nullcontext():
        cache = open_cache(
            home, key, dtype, shape, batch=batch_size, about=about, contents=contents, limit=limit, note=note or _warn
        )
    try:
        cache.borrow()
        filling = _Filling(cache, trunk, Samples(images, transform, seed=seed), workers, skip_broken, progress, share)
        filling.run(note)
        return FeatureSet(cache, images, views)
    except BaseException:
        cache.close()
        raise


@dataclass
class _Filling:
    """Computes what a cache lacks, together with other processes."""

    cache: FeatureCache
    trunk: nn.Module
    samples: Samples
    workers: int
    skip_broken: bool
    progress: Report | None
    share: tuple[int, int]

    def run(self, note: Note | None) -> None:
        """Return when all rows are there, whoever computed them."""
        done, since = -1, 0.0
        while True:
            self._refuse_broken()
            if not self.cache.missing:
                return
            self._report()
            if self._done != done:
                done, since = self._done, time.monotonic()
            if not self._compute(always=time.monotonic() - since > _PATIENCE):
                if note is not None:
                    note("another process computes the rest of the trunk's maps; waiting for it")
                note = None
                time.sleep(_POLL)

    def _refuse_broken(self) -> None:
        """Raise for an image that was broken, unless it may be; one that can be read now is computed."""
        if not self.skip_broken:
            for row in np.flatnonzero(self.cache.state == BROKEN).tolist():
                item = self.samples[divmod(row, len(self.samples))]
                if isinstance(item, Broken):
                    raise item.error()
                self.cache.forget(row)

    @property
    def _done(self) -> int:
        return int((self.cache.state != MISSING).sum())

    def _report(self) -> None:
        if self.progress is not None:
            self.progress(self._done, len(self.cache.state))

    def _claimed(self, taken: deque[int], always: bool) -> Iterator[list[Key]]:
        """The images of the batches that this process gets hold of; the batch's number goes to `taken`."""
        missing = self.cache.missing
        rank, world = self.share
        start = rank * len(missing) // world
        for batch in missing[start:] + missing[:start]:
            if self.cache.claim(batch, always=always):
                taken.append(batch)
                yield [divmod(row, len(self.samples)) for row in self.cache.span(batch)]

    def _compute(self, always: bool) -> bool:
        """Compute and store all batches that nobody else has (`always`: or that somebody has); False if none."""
        taken: deque[int] = deque()
        claimed = self._claimed(taken, always)
        first = next(claimed, None)  # no workers are started for nothing
        if first is None:
            return False
        modes = [(module, module.training) for module in self.trunk.modules()]
        self.trunk.eval()
        try:
            # the loader reads ahead and claims batches by that; the oldest is the one that is due
            for items in read_batches(self.samples, chain([first], claimed), workers=self.workers):
                self._store(taken.popleft(), items)
                self._report()
            return True
        finally:
            self.cache.release()
            for module, mode in modes:
                module.training = mode

    def _store(self, batch: int, items: list[Item]) -> None:
        rows = np.zeros((len(items), *self.cache.features.shape[1:]), self.cache.features.dtype)
        state = np.full(len(items), DONE)
        for i, item in enumerate(items):
            if isinstance(item, Broken):
                if not self.skip_broken:
                    raise item.error()
                state[i] = BROKEN
        images = [item[0] for item in items if not isinstance(item, Broken)]
        if images:
            good = np.flatnonzero(state == DONE)
            rows[good] = self._maps(torch.stack(images), (good + self.cache.span(batch).start).tolist())
        self.cache.store(batch, rows, state)

    def _maps(self, x: Tensor, rows: list[int]) -> np.ndarray[Any, Any]:
        """The trunk's maps of a batch, in the cache's dtype."""
        like = next(self.trunk.parameters())
        with torch.inference_mode(), torch.autocast(like.device.type, enabled=False):
            # convolutions, depthwise ones above all, are faster so on CPUs and GPUs
            maps: Tensor = self.trunk(x.to(like.device, like.dtype, memory_format=torch.channels_last))
            kept = maps.to(getattr(torch, self.cache.features.dtype.name))
            if not kept.isfinite().all():
                raise self._unfit(maps, rows)
            return kept.cpu().numpy()

    def _unfit(self, maps: Tensor, rows: list[int]) -> HiergenError:
        finite = maps.flatten(1).isfinite().all(1)
        if finite.all():
            return HiergenError(
                f"the trunk's maps are too large for {self.cache.features.dtype.name}",
                expected=f"{torch.finfo(torch.float16).max:g} at most",
                got=f"{maps.abs().max():g}",
                hint="--set trunk.cache_dtype=float32",
            )
        place = self.samples.images.place(rows[int(finite.int().argmin())] % len(self.samples))
        return HiergenError(
            "the trunk's map of this image holds NaN or infinity", place=place, hint="are the trunk's weights whole?"
        )


def fingerprint(module: nn.Module) -> str:
    """sha256 of all weights and statistics, by name. Batch counters do not count: no map depends on them."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=3)
