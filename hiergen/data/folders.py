"""Images with a folder for each class, and folders (or tars) with a training and a validation part of such."""

from __future__ import annotations

import os  # os.path answers False for a name too long, where Path raises
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TypeVar

from hiergen.data.imageclasses import ImageRequest, Split, label_images
from hiergen.data.images import LabelledImages
from hiergen.errors import HiergenError, nearest, quoted, unquoted
from hiergen.taxonomy.imagefolder import ImagePlace, find_images

_T = TypeVar("_T")
DIGITS = "digits"
FORMS = "digits, a folder, a .tar, torch/NAME, hfds/NAME or wds/SHARDS"
# strongest first; "test" is taken where there is nothing better, and that is said
PARTS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "eval", "test"),
}
_PART_NAMES = frozenset(name for names in PARTS.values() for name in names)


def open_folder(root: Path, request: ImageRequest) -> LabelledImages:
    """The images of a folder or a tar, of its part for the split if it has parts."""
    if not os.path.exists(root) and not root.is_absolute() and root.parent == Path():
        raise HiergenError(
            f"no data {quoted(root)}", expected=FORMS, nearest=nearest(str(root), [DIGITS, *_names_here()])
        )
    note = ""
    if os.path.isdir(root):
        if parts := folder_parts(root):
            top, root = root, _part(parts, root, request.split)
            note = _test_note(root.name, f"{unquoted(top)}")
        images = find_images(root)
    else:
        images = find_images(root)
        if names := _tar_parts(images):
            chosen = _part(names, root, request.split)
            images = [(place, folder) for place, folder in images if _top(place)[chosen[0]] == chosen[1]]
            note = _test_note(chosen[1], unquoted(root))
    return label_images(images, request, unquoted(root), noun="folder", note=note)


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
    by_lower = {name.lower(): name for name in names}
    return next((by_lower[name] for name in PARTS[split] if name in by_lower), None)


def _as_parts(folders: dict[str, _T]) -> dict[Split, _T]:
    chosen = {split: name for split in PARTS if (name := pick(folders, split)) is not None}
    alone = all(name.lower() in _PART_NAMES for name in folders)
    return {split: folders[name] for split, name in chosen.items()} if len(chosen) == len(PARTS) or alone else {}


def _tar_parts(images: list[tuple[ImagePlace, str]]) -> dict[Split, tuple[int, str]]:
    """Depth and name of the folders of a tar that are its parts: its top folders, or those in its only top folder."""
    tops = [_top(place) for place, _ in images]
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
            place=unquoted(root),
            expected=f"a folder {PARTS[split][0]} in it",
        )
    return parts[split]


def _test_note(name: str, place: str) -> str:
    return f"{place} has no validation part but a test part, which is taken for it" if name.lower() == "test" else ""


def _names_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if path.is_dir() or path.suffix == ".tar")


def has_parts(root: Path) -> bool:
    """Whether a folder or a tar has a training and a validation part."""
    parts = folder_parts(root) if os.path.isdir(root) else _tar_parts(find_images(root)) if os.path.isfile(root) else {}
    return len(parts) == len(PARTS)
