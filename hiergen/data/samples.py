"""Batches of images that depend on (seed, epoch, image) alone: not on workers, processes or what ran before."""

from __future__ import annotations

import hashlib
import random
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hiergen.data.images import ImageSet, cores
from hiergen.errors import HiergenError, unquoted

Key: TypeAlias = tuple[int, int]  # round (epoch or view), index
Loaded: TypeAlias = tuple[Tensor, Tensor, list[str]]
_MOST_WORKERS = 8
ROUNDS = 1 << 24  # epochs are fewer: rounds from there on are those of an image that comes again within an epoch
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@dataclass(frozen=True)
class Broken:
    """An image that could not be read; an exception would not survive the way out of a worker process."""

    place: str
    why: str

    def error(self) -> HiergenError:
        """What it would have raised."""
        return HiergenError(self.why, place=self.place, hint="--skip-broken leaves such images out")


Item: TypeAlias = tuple[Tensor, int] | Broken


class Samples(Dataset[Item]):
    """Item (round, i) is image i through `transform`, all of whose random draws come from (seed, round, i).

    Python's, numpy's and torch's (CPU) generators are seeded for it, and left as they were.
    """

    def __init__(self, images: ImageSet, transform: Callable[[Image.Image], Tensor], *, seed: int) -> None:
        self.images, self.transform, self.seed = images, transform, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        try:
            picture = self.images.picture(index)
        except HiergenError as error:
            return Broken(error.place or self.images.place(index), error.problem)
        with seeded(self.seed, epoch, index):
            return self.transform(picture), self.images.targets[index]


class EpochOrder:
    """Batches of one epoch as lists of (epoch, index): a permutation of `count` images by (seed, epoch), cut into
    batches of `batch_size` images over all processes, of each of which process `rank` of `world` gets its part.

    An incomplete last batch is dropped, unless it is the only one. `start` batches are left out (a resumed epoch).
    Parts of a batch differ by one image at most where `world` does not divide it. With `shuffled=False`: all images in
    their order, an incomplete last batch too, but no empty parts of one.

    With `labels`, one for each image, as many images are drawn, of each label equally often but for one: all of a
    label's images before one of them comes again, which is then of another round, and so augmented otherwise.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int,
        epoch: int,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
        shuffled: bool = True,
        labels: np.ndarray | None = None,
    ) -> None:
        assert batch_size > 0
        assert 0 <= rank < world
        self.count, self.batch_size, self.seed, self.epoch = count, batch_size, seed, epoch
        self.rank, self.world, self.start, self.shuffled, self.labels = rank, world, start, shuffled, labels

    @property
    def batches(self) -> int:
        """Batches of a whole epoch, those before `start` among them."""
        whole, rest = divmod(self.count, self.batch_size)
        return whole + (rest > 0 and (not self.shuffled or whole == 0))

    def __len__(self) -> int:
        return sum(len(part) > 0 for part in self._parts())

    def __iter__(self) -> Iterator[list[Key]]:
        order = self._permutation(self.count) if self.shuffled else range(self.count)
        drawn = None if self.labels is None else self._balanced(self.labels)
        for part in self._parts():
            if part or self.shuffled:
                yield [(self.epoch, order[i]) if drawn is None else drawn[order[i]] for i in part]

    def _permutation(self, count: int, *parts: int) -> list[int]:
        # numpy promises the same stream from a PCG64 for ever; its own `permutation` may change
        keys = np.random.PCG64(seed_of(self.seed, self.epoch, *parts)).random_raw(count)
        return np.argsort(keys, kind="stable").tolist()  # type: ignore[no-any-return]

    def _balanced(self, labels: np.ndarray) -> list[Key]:
        order: list[Key] = []
        present = np.unique(labels)
        each, more = divmod(self.count, len(present))
        for place, number in enumerate(self._permutation(len(present), 4)):  # who gets one more differs by epoch
            images = np.flatnonzero(labels == present[number])
            for draw in range(each + (place < more)):
                again, i = divmod(draw, len(images))
                if not i:
                    mixed = self._permutation(len(images), 5, int(number), again)
                order.append((self.epoch + again * ROUNDS, int(images[mixed[i]])))
        return order

    def _parts(self) -> Iterator[range]:
        for batch in range(self.start, self.batches):
            first = batch * self.batch_size
            size = min(self.batch_size, self.count - first)
            yield range(first + size * self.rank // self.world, first + size * (self.rank + 1) // self.world)


def in_order(count: int, batch_size: int, *, rank: int = 0, world: int = 1) -> EpochOrder:
    """All images once, in their order, as round 0; the batches of all ranks, side by side, are those of one process."""
    return EpochOrder(count, batch_size, seed=0, epoch=0, rank=rank, world=world, shuffled=False)


def loader(samples: Samples, order: EpochOrder, *, workers: int, skip_broken: bool = False) -> Iterator[Loaded]:
    """Images `(B, C, H, W)`, targets `(B,)` and the names of broken images, batch by batch; read ahead by `workers`
    processes, or here and now for 0.

    A broken image is a HiergenError with its place; with `skip_broken` the batch goes without it. A batch of which
    nothing is left is an error too in a shuffled order, else it comes as `(0, 3, 0, 0)`. Also a HiergenError: a worker
    that was killed.
    """
    for items in read_batches(samples, order, workers=min(workers, max(len(order), 1))):
        bad = [item for item in items if isinstance(item, Broken)]
        good = [item for item in items if not isinstance(item, Broken)]
        if bad and not skip_broken:
            raise bad[0].error()
        if not good and order.shuffled:
            raise HiergenError(f"all {len(bad)} images of a batch are broken", place=bad[0].place, got=bad[0].why)
        x = torch.stack([image for image, _ in good]) if good else torch.empty(0, 3, 0, 0)
        yield x, torch.tensor([target for _, target in good], dtype=torch.int64), [item.place for item in bad]


def read_batches(samples: Samples, batches: Iterable[list[Key]], *, workers: int) -> Iterator[list[Item]]:
    """The items of each batch of keys, as they are, read ahead by processes.

    Raises HiergenError for a process that was killed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        iterator = iter(
            DataLoader(
                samples,
                batch_sampler=batches,
                num_workers=workers,
                collate_fn=_packed if workers else _as_it_is,
                worker_init_fn=_start_worker,
                generator=torch.Generator().manual_seed(0),  # it would draw from the global one
            )
        )
    while True:
        try:
            items = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:
            text = str(error).splitlines()[0] if str(error) else ""
            if not text.startswith("DataLoader worker"):
                raise
            raise HiergenError(
                f"a process that reads images is gone ({unquoted(text)})",
                hint="often memory ran out: fewer --workers, or 0",
            ) from None
        yield _unpacked(*items)


def _as_it_is(items: list[Item]) -> tuple[None, list[Item]]:
    return None, items


def _packed(items: list[Item]) -> tuple[Tensor | np.ndarray | None, list[Any]]:
    """Images as one tensor in shared memory: each that comes from a worker is an open file, of which a process has 1024
    or fewer. Where there is no room (a container has 64 MB), they go through the pipe, as an array.

    What fails later, as it is sent, is told to nobody, and the main process would wait for ever.
    """
    images = [item[0] for item in items if not isinstance(item, Broken)]
    if not images:
        return _as_it_is(items)
    rest = [item if isinstance(item, Broken) else item[1] for item in items]
    together = torch.stack(images)
    try:
        return together.share_memory_(), rest  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError):
        return together.numpy(), rest


def _unpacked(images: Tensor | np.ndarray | None, items: list[Any]) -> list[Item]:
    if images is None:
        return items
    each = iter(torch.as_tensor(images))
    return [item if isinstance(item, Broken) else (next(each), item) for item in items]


def default_workers(images: ImageSet) -> int:
    """Processes to read images with: the cores but one, 8 at most; none for images in memory."""
    return 0 if images.in_memory else min(max(cores() - 1, 0), _MOST_WORKERS)


def seed_of(*parts: int) -> int:
    """A seed of 63 bits that depends on all parts."""
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """Random draws on the CPU depend on these numbers in the block, and on nothing of it after."""
    seed = seed_of(*parts)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerator too, for every image
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _start_worker(_: int) -> None:
    """One thread each, and signals are the main process's business: workers end with it, without tracebacks."""
    torch.set_num_threads(1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
