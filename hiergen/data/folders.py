"""Images with a folder for each class, and folders (or tars) with a training and a validation part of such."""

from __future__ import annotations

import os  # os.path answers False for a name too long, where Path raises
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from hiergen.data.imageclasses import ImageRequest, label_images
from hiergen.data.images import LabelledImages
from hiergen.errors import HiergenError, nearest, quoted, unquoted
from hiergen.taxonomy.imagefolder import Found, ImagePlace, Unread, files_below, look_through
from hiergen.taxonomy.roots import PARTS, TESTS, Inside, Parts, find_parts, folder_parts, is_junk

DIGITS = "digits"
FORMS = "digits, a folder, a .tar, a .csv, torch/NAME, hfds/NAME or wds/SHARDS"


def open_folder(root: Path, request: ImageRequest) -> LabelledImages:
    """The images of a folder or a tar, of its part for the split if it has parts (`hiergen.taxonomy.roots`)."""
    if not os.path.exists(root) and not root.is_absolute() and root.parent == Path():
        raise HiergenError(
            f"no data {quoted(root)}", expected=FORMS, nearest=nearest(str(root), [DIGITS, *_names_here()])
        )
    place, note = root, ""
    if os.path.isdir(root):
        if parts := folder_parts(root):
            place = root.joinpath(*parts.top, _part(parts, root, request))
            note = _note(parts, root, request, lambda inside: sum(1 for _ in files_below(root.joinpath(*inside))))
        found = look_through(place)
        if parts and request.split == "train":
            _add_strays(root, parts.top, found.unread)
    else:
        found = look_through(root)
        if parts := _tar_parts(found):
            inside = (*parts.top, _part(parts, root, request))
            counts = Counter(_folders(where)[: len(inside)] for where, _ in found.images)
            note = _note(parts, root, request, lambda inside: counts[inside])
            for where, _ in found.images:
                if len(_folders(where)) < len(inside):
                    found.unread.add(PurePosixPath(where.inside or ""), "beside the parts")
            images = [(where, name) for where, name in found.images if _folders(where)[: len(inside)] == inside]
            found = Found(images, found.unread)
    note = "; ".join(filter(None, (note, found.unread.note())))
    return label_images(found.images, request, unquoted(place), noun="folder", note=note)


def has_parts(root: Path) -> bool:
    """Whether a folder or a tar has a training and a validation part."""
    is_folder = os.path.isdir(root)
    parts = folder_parts(root) if is_folder else _tar_parts(look_through(root)) if os.path.isfile(root) else None
    return parts is not None and parts.train is not None and parts.validation is not None


def _part(parts: Parts, root: Path, request: ImageRequest) -> str:
    name = parts.of(request.split)
    if name is None:
        raise HiergenError(
            f"has no {'training' if request.split == 'train' else request.split} part",
            place=unquoted(root),
            expected=f"a folder {PARTS[request.split][0]} in it",
        )
    return name


def _note(parts: Parts, root: Path, request: ImageRequest, count: Callable[[Inside], int]) -> str:
    """What a user should be told of what is taken, and of what is not."""
    if request.split == "train":
        return parts.note(root, count)
    test = f"{unquoted(root)} has no validation part but a test part, which is taken for it"
    return test if (parts.validation or "").lower() in TESTS else ""


def _add_strays(root: Path, top: Inside, unread: Unread) -> None:
    """Files and hidden folders around the parts."""
    for i in range(len(top) + 1):
        for path in sorted(root.joinpath(*top[:i]).iterdir()):
            if not is_junk(path.name):
                if path.is_file():
                    unread.add(path)
                elif path.name.startswith("."):
                    unread.add_hidden(path)


def _tar_parts(found: Found) -> Parts | None:
    below: dict[Inside, set[str]] = {}
    for where, _ in found.images:
        folders = _folders(where)
        for i, name in enumerate(folders):
            below.setdefault(folders[:i], set()).add(name)
    return find_parts(lambda inside: sorted(below.get(inside, ())))


def _folders(place: ImagePlace) -> Inside:
    """The folders that an image of a tar lies in, from the outermost."""
    assert place.inside is not None
    return PurePosixPath(place.inside).parts[:-1]


def _names_here() -> Sequence[str]:
    return sorted(path.name for path in Path().iterdir() if path.is_dir() or path.suffix == ".tar")
