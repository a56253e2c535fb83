"""Runs a frozen trunk over the images that a cache lacks, together with other processes."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hiergen.errors import HiergenError
from hiergen.train.cachefile import CacheFile
from hiergen.train.samples import Broken, Key, Samples, _start_worker, _watched

_POLL = 0.2  # seconds between two looks at what others do
_PATIENCE = 600.0  # seconds without news after which a process is taken for dead, where there are no locks
Progress = Callable[[int, int], None]
Note = Callable[[str], None]
Read = tuple[Tensor, list[int], list[tuple[int, str, str]]]


class FeatureJob:
    """Computes what a cache lacks, together with other processes."""

    def __init__(
        self,
        trunk: nn.Module,
        samples: Samples,
        cache: CacheFile,
        workers: int,
        skip_broken: bool,
        progress: Progress | None,
        note: Note | None,
        share: tuple[int, int],
    ) -> None:
        self.trunk, self.samples, self.cache, self.workers = trunk, samples, cache, workers
        self.skip_broken, self.progress, self.note = skip_broken, progress, note or _warn
        self.rank, self.world = share
        self.waits = note is not None
        self.patient = not cache.locks and self.world > 1

    def run(self) -> None:
        if not self.cache.locks and self.cache.missing:
            self.note(f"{self.cache.home} is on a file system without locks: work may be done twice, never wrongly")
        last, since = -1, time.monotonic()
        while True:
            self._refuse()
            if not self.cache.missing:
                return
            self._tell()
            if self._compute():
                continue
            if self.waits:
                self.note("another process computes the rest of the trunk's maps; waiting for it")
                self.waits = False
            if self.cache.rows_done != last:
                last, since = self.cache.rows_done, time.monotonic()
            self.patient = self.patient and time.monotonic() - since < _PATIENCE
            time.sleep(_POLL)
            self.cache.refresh()

    def _refuse(self) -> None:
        """Raise for images that are known to be broken, unless they may be."""
        if not self.skip_broken:
            for chunk in sorted(self.cache.entries):
                for _, place, why in self.cache.entries[chunk].broken:
                    raise Broken(place, why).error()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(self.cache.rows_done, self.cache.layout.rows)

    def _claimed(self, taken: deque[int]) -> Iterator[list[Key]]:
        """Batches of the chunks that this process gets hold of; the chunk's number goes to `taken`."""
        chunks, layout, count = self.cache.layout.chunks, self.cache.layout, len(self.samples)
        start = self.rank * chunks // self.world
        for chunk in (*range(start, chunks), *range(start)):
            other = self.patient and not start <= chunk < (self.rank + 1) * chunks // self.world
            if chunk in self.cache.entries or other or not self.cache.claim(chunk):
                continue
            taken.append(chunk)
            rows = layout.span(chunk)
            for first in range(rows.start, rows.stop, layout.batch):
                yield [divmod(row, count) for row in range(first, min(first + layout.batch, rows.stop))]

    def _compute(self) -> bool:
        """Compute and store all chunks that nobody else has; False if there are none."""
        taken: deque[int] = deque()
        batches = self._claimed(taken)
        first = next(batches, None)  # no workers are started for nothing
        if first is None:
            return False
        modes = [(module, module.training) for module in self.trunk.modules()]
        self.trunk.eval()
        try:
            read: Iterator[Any] = _watched(
                DataLoader(
                    self.samples,
                    batch_sampler=_Chain(first, batches),  # a list of keys per batch
                    num_workers=self.workers,
                    collate_fn=_collated,
                    worker_init_fn=_start_worker,
                    generator=torch.Generator().manual_seed(0),  # it would draw from the global one
                )
            )
            while True:  # the loader reads ahead and takes chunks by that; the oldest is the one that is due
                found = next(read, None)
                if found is None:
                    return True
                self._finish(taken.popleft(), found, read)
        finally:
            self.cache.unclaim()
            for module, mode in modes:
                module.training = mode

    def _finish(self, chunk: int, found: Read, read: Iterator[Read]) -> None:
        """One chunk, from its first batch and the next ones."""
        layout = self.cache.layout
        span = layout.span(chunk)
        rows = np.zeros((len(span), *layout.shape), layout.dtype)
        broken: list[tuple[int, str, str]] = []
        for first in range(0, len(span), layout.batch):
            x, good, bad = found if first == 0 else next(read)
            for position, place, why in bad:
                if not self.skip_broken:
                    raise Broken(place, why).error()
                broken.append((span.start + first + position, place, why))
            if good:
                at = [first + position for position in good]
                rows[at] = self._maps(x, [span.start + row for row in at])
        self.cache.store(chunk, rows, broken)
        self._tell()

    def _maps(self, x: Tensor, rows: list[int]) -> np.ndarray[Any, Any]:
        """The trunk's maps of a batch, in the cache's dtype."""
        like = next(self.trunk.parameters())
        with torch.inference_mode(), torch.autocast(like.device.type, enabled=False):
            # convolutions, depthwise ones above all, are faster so on CPUs and GPUs
            maps: Tensor = self.trunk(x.to(like.device, like.dtype, memory_format=torch.channels_last))
            kept = maps.to(getattr(torch, self.cache.layout.dtype))
            if not kept.isfinite().all():
                raise self._unfit(maps, rows)
            return kept.cpu().numpy()

    def _unfit(self, maps: Tensor, rows: list[int]) -> HiergenError:
        finite = maps.flatten(1).isfinite().all(1)
        if finite.all():
            return HiergenError(
                f"the trunk's maps are too large for {self.cache.layout.dtype}",
                expected=f"{torch.finfo(torch.float16).max:g} at most",
                got=f"{maps.abs().max():g}",
                hint="--set trunk.cache_dtype=float32",
            )
        index = rows[int(finite.int().argmin())] % len(self.samples)
        place = self.samples.images.place(index)
        return HiergenError(
            "the trunk's map of this image holds NaN or infinity", place=place, hint="are the trunk's weights whole?"
        )


class _Chain:
    """Batches that a loader asks for one by one: those to come are claimed only then."""

    def __init__(self, first: list[Key], rest: Iterator[list[Key]]) -> None:
        self.first, self.rest = first, rest

    def __iter__(self) -> Iterator[list[Key]]:
        yield self.first
        yield from self.rest


def _collated(items: Sequence[Any]) -> Read:
    """Images `(b, 3, H, W)`, their positions in the batch, and (position, place, why) of the broken ones."""
    good = [i for i, item in enumerate(items) if not isinstance(item, Broken)]
    bad = [(i, str(item.place), str(item.why)) for i, item in enumerate(items) if isinstance(item, Broken)]
    return torch.stack([items[i][0] for i in good]) if good else torch.empty(0), good, bad


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=4)
