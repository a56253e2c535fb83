"""Labelled images: what every source of them gives."""

from __future__ import annotations

import hashlib
import io
import os
import random
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol, Self, TypeAlias

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hiergen.errors import HiergenError
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.pictures import BROKEN, broken, converted, is_deep
from hiergen.taxonomy.imagefolder import ImagePlace
from hiergen.taxonomy.imageformats import formats

Transform: TypeAlias = Callable[[Image.Image], Tensor]
Batch: TypeAlias = tuple[Tensor, Tensor]
_AHEAD = 2  # batches read ahead
_LOOKED_AT = 16  # images of a data set, for what is to be said of their pixels


@dataclass(frozen=True)
class LabelSets:
    """What targets mean that are no class: `classes + i` is the set of classes `sets[i]`, all of which an image shows
    (`several`: images with several labels, or none), or one of which, nobody knows which (images known to a group)."""

    classes: int
    sets: tuple[tuple[int, ...], ...]
    several: bool = False

    def table(self) -> Tensor:
        """bool `(classes + sets, classes)`: the classes of each target."""
        table = torch.eye(self.classes + len(self.sets), self.classes, dtype=torch.bool)
        for row, members in enumerate(self.sets, self.classes):
            table[row, list(members)] = True
        return table


class ImageSet(Dataset[tuple[Tensor, int]], ABC):
    """Images with their classes. Item i is `transform(picture(i))`, `(channels, H, W)`, and `targets[i]`.

    `targets` are indices of the network's logits, or as `labels` say sets of them, `left_out` the folders or classes
    that are not read, and `note` is what a user should be told about how the images were labelled ("" mostly).
    `in_memory`: reading takes no file.
    """

    targets: tuple[int, ...]
    transform: Transform
    left_out: tuple[str, ...]
    note: str
    labels: LabelSets | None = None
    in_memory: bool = False

    @abstractmethod
    def picture(self, index: int) -> Image.Image:
        """Image i in PIL's mode for the network's channels, as timm reads it (an animation's first frame; EXIF rotation
        is not applied).

        Raises HiergenError with its place for one that cannot be read.
        """

    @abstractmethod
    def place(self, index: int) -> str:
        """What a message calls image i."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A sha256 that changes when the images, their order or their targets do (by names, sizes and times of files,
        not by all their bytes); moving the whole folder does not change it."""

    @abstractmethod
    def subset(self, indices: Iterable[int]) -> Self:
        """The images with these indices, in this order."""

    def identities(self) -> list[Hashable]:
        """What tells each image from all others, whatever links lead to it."""
        return [self.place(i) for i in range(len(self))]

    def contents(self) -> list[Hashable] | None:
        """What changes with an image's bytes, by its file's name, number, size and times; the same in other sets that
        have the image. None where that is not known."""
        return None

    def split(self, share: float, *, seed: int = 0, single: bool = False) -> tuple[Self, Self]:
        """Two parts, the second with about `share` of each class's images; see `split`. With `single` a class may have
        one image, which is of the first part."""
        classes = 0 if single else None if self.labels is None else self.labels.classes
        try:
            first, second = split(self.targets, share, seed=seed, classes=classes)
        except HiergenError as error:
            counts = Counter(self.targets)
            alone = (i for i, y in enumerate(self.targets) if counts[y] < 2 and (classes is None or y < classes))
            if "single image" in error.problem:
                error.place, error.got = self.place(next(alone)), None
            raise
        return self.subset(first), self.subset(second)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.picture(index)), self.targets[index]


@dataclass(frozen=True)
class LabelledImages(ImageSet):
    """Images whose bytes lie in files or in stretches of tars."""

    places: tuple[ImagePlace, ...]
    targets: tuple[int, ...]
    transform: Transform
    left_out: tuple[str, ...] = ()
    note: str = ""
    mode: str = "RGB"
    labels: LabelSets | None = None

    def picture(self, index: int) -> Image.Image:
        place = self.places[index]
        try:
            return converted(place.read(), self.mode)
        except BROKEN as error:
            raise broken(error, str(place)) from None

    def place(self, index: int) -> str:
        return str(self.places[index])

    def identities(self) -> list[Hashable]:
        files = {place.file: _identity(place.file) for place in self.places}
        return [(files[place.file], place.offset) for place in self.places]

    def contents(self) -> list[Hashable]:
        facts = {place.file: _facts(place.file) for place in self.places}
        return [(*facts[place.file], place.offset, place.size, self.mode) for place in self.places]

    def fingerprint(self) -> str:
        files = sorted({place.file.absolute() for place in self.places})
        top = os.path.commonpath([file.parent for file in files]) if files else ""
        facts = {file: (os.path.relpath(file, top), *_size_and_time(file)) for file in files}
        known = ((*facts[place.file.absolute()], place.inside, place.offset, place.size) for place in self.places)
        facts_of_all = ((*fact, target) for fact, target in zip(known, self.targets, strict=True))
        return digest([*facts_of_all, *([] if self.labels is None else [self.labels])])

    def subset(self, indices: Iterable[int]) -> Self:
        chosen = list(indices)
        return replace(
            self, places=tuple(self.places[i] for i in chosen), targets=tuple(self.targets[i] for i in chosen)
        )


class PictureRows(Protocol):
    """Pictures by row, of a data set that is no folder; it goes to worker processes, so it can be pickled."""

    @property
    def in_memory(self) -> bool:
        """Whether reading takes no file."""
        ...

    def picture(self, row: int) -> Image.Image | bytes:
        """A PIL image in any mode, or the bytes of a file of one."""
        ...

    def place(self, row: int) -> str:
        """What a message calls it."""
        ...

    def fingerprint(self) -> str:
        """Changes when the data set does."""
        ...


@dataclass(frozen=True)
class RowImages(ImageSet):
    """Images that a library's data set holds: image i is row `rows[i]` of it."""

    source: PictureRows
    rows: tuple[int, ...]
    targets: tuple[int, ...]
    transform: Transform
    left_out: tuple[str, ...] = ()
    note: str = ""
    mode: str = "RGB"
    labels: LabelSets | None = None

    @property
    def in_memory(self) -> bool:  # type: ignore[override]
        return self.source.in_memory

    def picture(self, index: int) -> Image.Image:
        try:
            return converted(self.source.picture(self.rows[index]), self.mode)
        except BROKEN as error:
            raise broken(error, self.place(index)) from None

    def place(self, index: int) -> str:
        return self.source.place(self.rows[index])

    def fingerprint(self) -> str:
        more = [] if self.labels is None else [self.labels]
        return digest([self.source.fingerprint(), *zip(self.rows, self.targets, strict=True), *more])

    def contents(self) -> list[Hashable]:
        source = self.source.fingerprint()
        return [(source, row, self.mode) for row in self.rows]

    def subset(self, indices: Iterable[int]) -> Self:
        chosen = list(indices)
        return replace(self, rows=tuple(self.rows[i] for i in chosen), targets=tuple(self.targets[i] for i in chosen))


def eval_transform(network: HierarchicalNetwork) -> Transform:
    """timm's transform for the network's input size and image statistics, without augmentation."""
    return network.preprocess


def split(
    targets: Sequence[int], share: float, *, seed: int = 0, classes: int | None = None
) -> tuple[list[int], list[int]]:
    """Ascending indices of two parts of a data set; the second has `share` of each class's images, to rounding.

    The same targets, share and seed give the same parts. A class keeps one image or more on each side; HiergenError
    where it has one only, and for a share outside 0 … 1. Targets from `classes` on are no class: a single image of one
    is of the first part.
    """
    if not 0 < share < 1:
        raise HiergenError("the share to hold out cannot be", expected="a number between 0 and 1", got=f"{share:g}")
    counts = Counter(targets)
    if lonely := [label for label, n in sorted(counts.items()) if n < 2 and (classes is None or label < classes)]:
        raise HiergenError(
            f"{len(lonely)} class{'es have' if len(lonely) > 1 else ' has'} a single image, which cannot be split",
            expected="2 images or more of each class",
            got=f"1 of class {lonely[0]}",
        )
    shuffled = list(range(len(targets)))
    random.Random(seed).shuffle(shuffled)
    left = {label: min(max(round(share * count), 1), count - 1) for label, count in counts.items()}  # of one image: 0
    second: list[int] = []
    for index in shuffled:
        if left[targets[index]]:
            left[targets[index]] -= 1
            second.append(index)
    held = set(second)
    return [i for i in range(len(targets)) if i not in held], sorted(second)


def check_apart(training: ImageSet, validation: ImageSet, *, hint: str | None = None) -> None:
    """Raises HiergenError for images that are both trained and validated on, by the same path or by links."""
    trained = set(training.identities())
    both = [i for i, identity in enumerate(validation.identities()) if identity in trained]
    if both:
        raise HiergenError(
            f"{len(both):,} of {len(validation):,} validation images are training images",
            place=validation.place(both[0]),
            hint=hint or "give others, or none: then a share of the training images is held out",
        )


def batches(images: Dataset[tuple[Tensor, int]], size: int, *, workers: int | None = None) -> Iterator[Batch]:
    """Images `(B, C, H, W)` and targets `(B,)` in their order, read ahead by so many threads, as PIL frees the GIL
    (default: the cores but one)."""
    count = len(images)  # type: ignore[arg-type]
    with ThreadPoolExecutor(max_workers=max(cores() - 1 if workers is None else workers, 1)) as pool:
        indices = iter(range(count))
        waiting = [pool.submit(images.__getitem__, i) for i in islice(indices, size * _AHEAD)]
        try:
            while waiting:
                done = [future.result() for future in waiting[:size]]
                waiting = waiting[size:]
                waiting += [pool.submit(images.__getitem__, i) for i in islice(indices, len(done))]
                yield torch.stack([image for image, _ in done]), torch.tensor([target for _, target in done])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """Those that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def depth_note(pictures: Iterable[Callable[[], Image.Image | bytes]]) -> str:
    """What a user should be told of deep pixels, by the first few pictures."""
    for picture in islice(pictures, _LOOKED_AT):
        with suppress(*BROKEN), warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = picture()
            if isinstance(image, bytes):
                with Image.open(io.BytesIO(image), formats=formats()) as opened:
                    deep = is_deep(opened)
            else:
                deep = is_deep(image)
            if deep:
                return "pixels of 16 bits (0 … 65535) or floating-point (0 … 1) are scaled to 8 bits"
    return ""


def digest(facts: Iterable[object]) -> str:
    """A sha256 of numbers and texts in their order."""
    sha = hashlib.sha256()
    for fact in facts:
        sha.update(repr(fact).encode("utf-8", "surrogatepass") + b"\n")
    return sha.hexdigest()


def _identity(file: Path) -> Hashable:
    try:
        facts = file.stat()
    except OSError:
        return str(file)
    return facts.st_dev, facts.st_ino


def _facts(file: Path) -> tuple[Hashable, ...]:
    """What no other file has had at any time: not even one that took over the name, number, size and time of a removed
    one, as nobody can set when a file was changed."""
    try:
        facts = file.stat()
    except OSError:
        return (str(file), os.urandom(8))
    return (str(file.absolute()), facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        facts = file.stat()
    except OSError:  # gone since it was found: reading it will say so
        return -1, -1
    return facts.st_size, facts.st_mtime_ns
