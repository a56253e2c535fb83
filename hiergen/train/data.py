"""What a user may type for a data set → its images, labelled with the network's classes."""

from __future__ import annotations

import os  # os.path answers False for a name too long, where Path raises
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias, TypeVar

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.imageclasses import Wanted
from hiergen.imagefiles import ImagePlace, find_images
from hiergen.images import ImageSet, LabelledImages, Transform, label_images
from hiergen.nn.network import HierarchicalNetwork

Split: TypeAlias = Literal["train", "validation"]
_T = TypeVar("_T")
DIGITS = "digits"
FORMS = "digits, a folder, a .tar, torch/NAME, hfds/NAME or wds/SHARDS"
_STREAMS = ("hfids", "tfds")
# strongest first; "test" is taken where there is nothing better, and that is said
PARTS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "eval", "test"),
}
_PART_NAMES = frozenset(name for names in PARTS.values() for name in names)


@dataclass(frozen=True)
class Asked:
    """How images are wanted, whatever they are read from."""

    network: HierarchicalNetwork
    split: Split
    classes: Wanted = None
    transform: Transform | None = None
    root: Path | None = None
    download: bool = False


def open_data(
    data: str | Path,
    network: HierarchicalNetwork,
    *,
    split: Split = "train",
    classes: Wanted = None,
    transform: Transform | None = None,
    root: str | Path | None = None,
    download: bool = False,
) -> ImageSet:
    """The training or validation images of a data set; `classes` and `transform` as in `load_images`.

    `data` is "digits"; a folder or a .tar with a folder for each class, or with such a folder or tar for each part
    (train and val, validation, valid or test); or one of timm's names: "torch/cifar10" (torchvision's files, looked for
    in `root`, which is "data" by default, and fetched only if `download`), "torch/image_folder" and "torch/imagenet"
    (the folder `root`), "hfds/NAME" (the package datasets; `root` is its cache) and "wds/shard-{000..003}.tar"
    (local webdataset shards, in `root` if given). Data without parts is the same for both splits.
    Raises HiergenError for data that is not there or cannot be read, and as `load_images` does for its classes.
    """
    asked = Asked(network, split, classes, transform, None if root is None else Path(root), download)
    text = str(data)
    prefix, _, rest = text.partition("/")
    match prefix.lower() if rest and not os.path.exists(text) else "":
        case "torch":
            from hiergen.train.timmdata import open_torch

            return open_torch(rest, asked)
        case "hfds":
            from hiergen.train.timmdata import open_hf

            return open_hf(rest, asked)
        case "wds":
            from hiergen.train.shards import open_shards

            return open_shards(rest, asked)
        case stream if stream in _STREAMS:
            raise HiergenError(
                f"{quoted(text)} is a stream, which has no fixed order of images", expected=FORMS, hint="try hfds/NAME"
            )
    if text == DIGITS and not os.path.exists(text):
        from hiergen.train.digits import open_digits

        return open_digits(network, split=split, classes=classes, transform=transform)
    return open_folder(Path(data), asked)


def has_validation(data: str | Path, *, root: str | Path | None = None) -> bool:
    """Whether the data has a validation part of its own, which `open_data(…, split="validation")` gives.

    Raises HiergenError for data whose parts cannot be looked up.
    """
    text = str(data)
    prefix, _, rest = text.partition("/")
    where = None if root is None else Path(root)
    match prefix.lower() if rest and not os.path.exists(text) else "":
        case "torch":
            from hiergen.train.timmdata import torch_has_validation

            return torch_has_validation(rest, where)
        case "hfds":
            from hiergen.train.timmdata import hf_has_validation

            return hf_has_validation(rest, where)
        case "wds":
            from hiergen.train.shards import shards_have_validation

            return shards_have_validation(rest, where)
    if text == DIGITS and not os.path.exists(text):
        return True
    path = Path(data)
    if os.path.isdir(path):
        return len(folder_parts(path)) == len(PARTS)
    return os.path.isfile(path) and len(_tar_parts(find_images(path))) == len(PARTS)


def open_folder(root: Path, asked: Asked) -> LabelledImages:
    """The images of a folder or a tar, of its part for the split if it has parts."""
    if not os.path.exists(root) and not root.is_absolute() and root.parent == Path():
        raise HiergenError(
            f"no data {quoted(root)}", expected=FORMS, nearest=nearest(str(root), [DIGITS, *_names_here()])
        )
    note, found = "", None
    if os.path.isdir(root):
        if parts := folder_parts(root):
            top, root = root, _part(parts, root, asked.split)
            note = _said(root.name, f"{quoted(top)[1:-1]}")
        found = find_images(root)
    else:
        found = find_images(root)
        if names := _tar_parts(found):
            chosen = _part(names, root, asked.split)
            found = [(place, folder) for place, folder in found if _top(place)[chosen[0]] == chosen[1]]
            note = _said(chosen[1], quoted(root)[1:-1])
    return label_images(
        found, asked.network, place=quoted(root)[1:-1], classes=asked.classes, transform=asked.transform, note=note
    )


def folder_parts(root: Path) -> dict[Split, Path]:
    """The folders of a folder that are its training and validation part; {} if it has no parts.

    It has if both are there, or if it holds no other folders (a class may be called "train").
    """
    try:
        folders = {path.name: path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    except OSError:
        return {}
    return _as_parts(folders)


def pick(names: Iterable[str], split: Split) -> str | None:
    """Which of these names means the split."""
    known = {name.lower(): name for name in names}
    return next((known[name] for name in PARTS[split] if name in known), None)


def _as_parts(folders: dict[str, _T]) -> dict[Split, _T]:
    chosen = {split: name for split in PARTS if (name := pick(folders, split)) is not None}
    alone = all(name.lower() in _PART_NAMES for name in folders)
    return {split: folders[name] for split, name in chosen.items()} if len(chosen) == len(PARTS) or alone else {}


def _tar_parts(found: list[tuple[ImagePlace, str]]) -> dict[Split, tuple[int, str]]:
    """Depth and name of the folders of a tar that are its parts: its top folders, or those in its only top folder."""
    tops = [_top(place) for place, _ in found]
    for depth in (0, 1):
        if any(len(top) <= depth + 1 for top in tops):  # the class's own folder is no part
            return {}
        names = {top[depth]: (depth, top[depth]) for top in tops}
        if parts := _as_parts(names):
            return parts
        if len(names) > 1:
            return {}
    return {}


def _top(place: ImagePlace) -> tuple[str, ...]:
    """The folders that an image of a tar lies in, from the outermost."""
    assert place.inside is not None
    return tuple(part for part in PurePosixPath(place.inside).parts[:-1] if part != ".")


def _part(parts: dict[Split, _T], root: Path, split: Split) -> _T:
    if split not in parts:
        raise HiergenError(
            f"has no {'training' if split == 'train' else split} part",
            place=quoted(root)[1:-1],
            expected=f"a folder {PARTS[split][0]} in it",
        )
    return parts[split]


def _said(name: str, place: str) -> str:
    return f"{place} has no validation part but a test part, which is taken for it" if name.lower() == "test" else ""


def _names_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if path.is_dir() or path.suffix == ".tar")
