"""Labelled images: a folder with one folder of images per class, or a tar of one; a folder is a class by its name."""

from __future__ import annotations

import io
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import timm
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from hiergen.errors import HiergenError, listed, nearest, quoted
from hiergen.imagefiles import ImagePlace, find_images
from hiergen.nn.network import HierarchicalNetwork

Transform: TypeAlias = Callable[[Image.Image], Tensor]
Batch: TypeAlias = tuple[Tensor, Tensor]
PRESENT = "present"
# PIL raises these for a file that is no image, is cut off, or is a bomb
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning)
_AHEAD = 2  # batches read ahead


@dataclass(frozen=True)
class LabelledImages(Dataset[tuple[Tensor, int]]):
    """Item i is image i, `(3, H, W)`, and its class, an index of the network's logits (`targets[i]`).

    `left_out` are folders that were not read. An image that cannot be read is a HiergenError with its path.
    """

    places: tuple[ImagePlace, ...]
    targets: tuple[int, ...]
    transform: Transform
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        place = self.places[index]
        try:
            with Image.open(io.BytesIO(place.read())) as image:
                return self.transform(image.convert("RGB")), self.targets[index]
        except _BROKEN as error:
            raise HiergenError(f"cannot be read as an image ({_why(error)})", place=str(place)) from None

    def subset(self, indices: Iterable[int]) -> LabelledImages:
        """The images with these indices, in this order."""
        chosen = list(indices)
        return replace(
            self,
            places=tuple(self.places[i] for i in chosen),
            targets=tuple(self.targets[i] for i in chosen),
        )

    def split(self, share: float, *, seed: int = 0) -> tuple[LabelledImages, LabelledImages]:
        """Two parts, the second with about `share` of each class's images; see `split`."""
        first, second = split(self.targets, share, seed=seed)
        return self.subset(first), self.subset(second)


def load_images(
    root: str | Path,
    network: HierarchicalNetwork,
    *,
    classes: Sequence[int] | str | None = None,
    transform: Transform | None = None,
) -> LabelledImages:
    """The images of a folder or a tar, labelled with the network's classes; the network's own eval transform.

    A folder's name is a class id or a class's display name (case, "_" and "-" do not matter). `classes`: None, every
    folder is a class and every class has images; indices of logits, these classes have images and other folders are
    left out; "present", the classes that have images, and folders that are no class are left out.
    Raises HiergenError for a root that cannot be read, a folder that is no class, a class without images or with two
    folders.
    """
    root = Path(root)
    place = quoted(root)[1:-1]
    found = find_images(root)
    names = sorted({folder for _, folder in found})
    homes = match(names, network.classes, network.nest.labels, place=place, strict=classes is None)
    if classes == PRESENT:
        wanted = set(homes.values())
        if not wanted:
            raise HiergenError("no folder is a class of the network", place=place, got=listed(names))
    else:
        wanted = set(range(network.num_classes)) if classes is None else {int(i) for i in classes}
        if missing := sorted(wanted - set(homes.values())):
            raise _without_images(network, missing, root, place)
    kept = [(where, homes[folder]) for where, folder in found if homes.get(folder) in wanted]
    return LabelledImages(
        places=tuple(where for where, _ in kept),
        targets=tuple(target for _, target in kept),
        transform=transform or eval_transform(network),
        left_out=tuple(name for name in names if homes.get(name) not in wanted),
    )


def eval_transform(network: HierarchicalNetwork) -> Transform:
    """timm's transform for the network's input size and image statistics, without augmentation."""
    config = timm.data.resolve_model_data_config(network)
    return timm.data.create_transform(**config, is_training=False)  # type: ignore[no-any-return]


def match(
    folders: Sequence[str], ids: Sequence[str], labels: Sequence[str], *, place: str, strict: bool = True
) -> dict[str, int]:
    """Folder → index of its class, by class id or else by display name.

    Raises HiergenError for a name of several classes, two folders of one class, and if `strict` for a folder that is
    no class.
    """
    by_id = {class_id: i for i, class_id in enumerate(ids)}
    by_key: dict[str, set[int]] = {}
    for i, names in enumerate(zip(ids, labels, strict=True)):
        for name in names:
            by_key.setdefault(_key(name), set()).add(i)
    homes: dict[str, int] = {}
    taken: dict[int, str] = {}
    for folder in folders:
        fitting = {by_id[folder]} if folder in by_id else by_key.get(_key(folder), set())
        if len(fitting) > 1:
            own = listed(ids[i] for i in sorted(fitting))
            raise HiergenError(f"folder {quoted(folder)} may be any of {own}", place=place, hint="name it by its id")
        if not fitting:
            if strict:
                close = () if re.fullmatch(r"n\d{8}", folder) else nearest(_key(folder), by_key)
                raise HiergenError(
                    f"folder {quoted(folder)} is no class of the network" if folder else "images lie in no folder",
                    place=place,
                    expected="one folder for each class, called by its id or its name",
                    nearest=dict.fromkeys(_shown(i, ids, labels) for key in close for i in sorted(by_key[key])),
                    hint=f"--classes {PRESENT} leaves out what is no class" if folder else None,
                )
            continue
        (index,) = fitting
        if index in taken:
            pair = f"{quoted(taken[index])} and {quoted(folder)}"
            raise HiergenError(f"folders {pair} are the same class, {_shown(index, ids, labels)}", place=place)
        homes[folder] = index
        taken[index] = folder
    return homes


def split(targets: Sequence[int], share: float, *, seed: int = 0) -> tuple[list[int], list[int]]:
    """Ascending indices of two parts of a data set; the second has `share` of each class's images, to rounding.

    The same targets, share and seed give the same parts. A class keeps one image or more on each side; HiergenError
    where it has one only, and for a share outside 0 … 1.
    """
    if not 0 < share < 1:
        raise HiergenError("the share to hold out cannot be", expected="a number between 0 and 1", got=f"{share:g}")
    counts = Counter(targets)
    if lonely := [label for label, count in sorted(counts.items()) if count < 2]:
        raise HiergenError(
            f"{len(lonely)} class{'es have' if len(lonely) > 1 else ' has'} a single image, which cannot be split",
            expected="2 images or more of each class",
            got=f"1 of class {lonely[0]}",
        )
    shuffled = list(range(len(targets)))
    random.Random(seed).shuffle(shuffled)
    left = {label: min(max(round(share * count), 1), count - 1) for label, count in counts.items()}
    second: list[int] = []
    for index in shuffled:
        if left[targets[index]]:
            left[targets[index]] -= 1
            second.append(index)
    held = set(second)
    return [i for i in range(len(targets)) if i not in held], sorted(second)


def batches(images: Dataset[tuple[Tensor, int]], size: int, *, workers: int = 1) -> Iterator[Batch]:
    """Images `(B, 3, H, W)` and targets `(B,)` in their order, read ahead by so many threads (PIL frees the GIL)."""
    count = len(images)  # type: ignore[arg-type]
    with ThreadPoolExecutor(max_workers=workers) as pool:
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


def _without_images(network: HierarchicalNetwork, missing: Sequence[int], root: Path, place: str) -> HiergenError:
    shown = [_shown(i, network.classes, network.nest.labels) for i in missing]
    first = missing[0]
    empty = root.is_dir() and any(
        (root / name).is_dir() for name in (network.classes[first], network.nest.labels[first])
    )
    rest = len(missing) - 1
    more = f", and of {rest} class{'es' * (rest > 1)} more" if rest else ""
    return HiergenError(
        f"holds no images of class {shown[0]}{more}",
        place=place,
        got="an empty folder" if empty else None,
        hint=f"--classes {PRESENT} takes the classes that have images",
    )


def _shown(index: int, ids: Sequence[str], labels: Sequence[str]) -> str:
    same = ids[index] == labels[index]
    return quoted(ids[index]) if same else f"{quoted(labels[index])} ({quoted(ids[index])[1:-1]})"


def _key(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _why(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):  # its own text names a buffer in memory
        return "no format that PIL knows"
    text = str(error) or type(error).__name__
    return quoted(text.splitlines()[0])[1:-1]
