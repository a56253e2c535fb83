"""Maps of a frozen trunk, computed once for each image and view and kept on disk (see `cachefile` for the files)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import timm
import torch
from torch import Tensor, nn

from hiergen.images import ImageSet
from hiergen.nn.network import HierarchicalNetwork
from hiergen.train.augment import describe
from hiergen.train.cachefile import FORMAT, CacheFile, Layout
from hiergen.train.cachefolder import LIMIT, default_folder, open_cache
from hiergen.train.featurejob import FeatureJob, Note, Progress
from hiergen.train.samples import Samples


class FeatureSet:
    """The maps of `len(self)` images in `views` views, `shape` (C, H, W) each, with the images' `targets`.

    `usable` are the indices of images that could be read, ascending; `broken` says of the others what is wrong.
    """

    def __init__(self, cache: CacheFile, targets: Sequence[int], views: int) -> None:
        self._cache = cache
        self.targets, self.views = tuple(targets), views
        self.shape = (cache.layout.shape[0], cache.layout.shape[1], cache.layout.shape[2])
        found = sorted(row for entry in cache.entries.values() for row in entry.broken)
        self._unusable = np.zeros(len(self), bool)
        self._unusable[[row % len(self) for row, _, _ in found]] = True
        self.usable = torch.from_numpy(np.flatnonzero(~self._unusable))
        self.broken = list(dict.fromkeys(f"{place}: {why}" for _, place, why in found))

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def folder(self) -> Path:
        """Where the cache is."""
        return self._cache.home

    def maps(self, view: int, indices: Sequence[int] | Tensor) -> Tensor:
        """The maps of these images in one view, `(B, C, H, W)` float32, in the order of `indices`.

        Raises HiergenError where the data on disk is damaged; IndexError for a view or an image that is not there,
        or that could not be read.
        """
        chosen = np.asarray(indices, np.int64).reshape(-1)
        if not 0 <= view < self.views:
            raise IndexError(f"expected a view from 0 to {self.views - 1}, got {view}")
        if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(self) or self._unusable[chosen].any()):
            raise IndexError(f"expected indices of usable images (of {len(self)}), got {chosen.tolist()}")
        rows = chosen + view * len(self)
        self._cache.verify(rows)
        order = np.argsort(rows, kind="stable")  # a disk reads forwards
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        found = torch.from_numpy(np.asarray(self._cache.maps[rows[order]]))
        return found[torch.from_numpy(places)].float()

    def close(self) -> None:
        """Let the cache go: it may be evicted from now on."""
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
    progress: Progress | None = None,
    note: Note | None = None,
    share: tuple[int, int] = (0, 1),
    description: str | None = None,
) -> FeatureSet:
    """The maps of the network's trunk for all images, from the cache, or computed now and kept there.

    View v of image i is its `transform` seeded with (seed, v, i). A cache serves every network with the same trunk
    (weights and statistics), images, transform (by its `description`), views, seed, dtype, torch and timm. An
    interrupted call goes on where it stopped. Processes that want the same cache share the work; `share` (rank, world)
    says where this one begins. `progress(done, total)` counts images times views, also those of other processes;
    `note` gets sentences (default: warnings). Close the answer when done.
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
        "format": FORMAT,
        "torch": _minor(torch.__version__),
        "timm": _minor(timm.__version__),
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    layout = Layout.of(views * len(images), (trunk.out_channels, *trunk.map_size), dtype, batch_size)
    cache = open_cache(Path(folder or default_folder()), key, layout, about, limit=limit)
    try:
        job = FeatureJob(
            trunk, Samples(images, transform, seed=seed), cache, workers, skip_broken, progress, note, share
        )
        job.run()
        return FeatureSet(cache, images.targets, views)
    except BaseException:
        cache.close()
        raise


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
