"""Where the images of a folder, or of a tar of one, are: found as timm's readers do, read without shared state."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from timm.data.readers.img_extensions import get_img_extensions

from hiergen.errors import HiergenError, quoted
from hiergen.files import reason

MOST_BYTES = 1 << 30  # of one image's file
_DIGITS = 4000  # Python reads no longer numbers


@dataclass(frozen=True)
class ImagePlace:
    """Where an image's bytes are: a file, or a stretch of a tar."""

    file: Path
    inside: str | None = None
    offset: int = 0
    size: int = -1

    def __str__(self) -> str:
        # whole, however long: its end is what names the image
        text = str(self.file) if self.inside is None else f"{self.file}:{self.inside}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

    def read(self) -> bytes:
        if not self.file.is_file() and self.file.exists():  # a pipe or a device may never end
            raise OSError("is not a regular file")
        # opened anew for every image: no state that threads or forked workers could share
        with self.file.open("rb") as file:
            file.seek(self.offset)
            raw = file.read(self.size if 0 <= self.size <= MOST_BYTES else MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise OSError(f"has more than {MOST_BYTES:,} bytes")
        return raw


def find_images(root: Path) -> list[tuple[ImagePlace, str]]:
    """Every image with the name of the folder it lies in ("" for the root), in timm's order.

    Raises HiergenError for a root that is neither a folder nor a tar, cannot be read, or holds no images.
    """
    place = quoted(root)[1:-1]
    try:
        if root.is_dir():
            names, places = _of_folder(root)
        elif root.is_file():
            names, places = _of_tar(root, place)
        else:
            raise HiergenError("no such folder or tar of images", place=place)
    except (OSError, tarfile.TarError) as error:
        raise HiergenError(f"cannot be read ({reason(error)})", place=place) from None
    if not places:
        raise HiergenError("holds no images", place=place, expected="a folder of images for each class")
    return list(zip(places, names, strict=True))


def _of_folder(root: Path) -> tuple[list[str], list[ImagePlace]]:
    endings = get_img_extensions(as_set=True)
    files = [file for folder in _folders(root) for file in _inside(folder) if file.suffix.lower() in endings]
    files.sort(key=lambda file: _natural(str(file)))
    return [file.parent.name if file.parent != root else "" for file in files], [ImagePlace(file) for file in files]


def _folders(root: Path) -> Iterator[Path]:
    """The root and every folder below it, through links too, but none twice: links may make a loop, or double what they
    lead to at every level."""
    seen: dict[tuple[int, int], Path] = {}
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        status = folder.stat()
        other = seen.setdefault((status.st_dev, status.st_ino), folder)
        if other is not folder:
            raise HiergenError(
                f"is the same folder as {ImagePlace(other)}",
                place=str(ImagePlace(folder)),
                hint="remove the link: its images would count twice",
            )
        yield folder
        waiting += [path for path in _inside(folder) if path.is_dir()]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # as timm does: lost+found, say
        return []


def _natural(text: str) -> list[tuple[int, str]]:
    """timm's order: numbers by their value. Its own `natural_key` fails for "²" and for numbers of 4,301 digits."""
    parts = re.split(r"([0-9]+)", text.lower())
    return [(int(part[:_DIGITS]) if i % 2 else 0, part) for i, part in enumerate(parts)]


def members(file: Path) -> Iterator[tarfile.TarInfo]:
    """The regular files of a tar; nothing is unpacked, and what a link in it leads to is not looked at.

    Raises OSError or TarError for a file that cannot be read, or is made so that reading it would not end.
    """
    end = file.stat().st_size
    at = -1
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                if member.offset <= at or member.size < 0:  # a negative size leads back
                    raise tarfile.ReadError("a member's size cannot be")
                at = member.offset
                if not member.isfile():
                    continue
                if member.issparse():
                    raise tarfile.ReadError(f"{quoted(member.name)} is sparse: its bytes do not lie in one place")
                if member.size > end - member.offset_data:
                    raise tarfile.ReadError(f"{quoted(member.name)} is cut off")
                yield member
                tar.members = []  # type: ignore[attr-defined]  # else it keeps them all
    except RecursionError:  # tarfile's, for headers that announce headers
        raise tarfile.ReadError("its headers are nested too deeply") from None


def _of_tar(root: Path, place: str) -> tuple[list[str], list[ImagePlace]]:
    if root.suffix.lower() != ".tar":
        raise HiergenError("is no folder of images", place=place, expected="a folder, or a .tar (uncompressed) of one")
    endings = get_img_extensions(as_set=True)
    places: dict[str, ImagePlace] = {}
    for member in members(root):
        ending = PurePosixPath(member.path).suffix.lower()
        if ending == ".tar":
            raise HiergenError("holds tars, which are not read", place=place, expected="folders of images")
        if ending in endings:
            # as unpacking does: of two with one name the later counts
            places[member.path] = ImagePlace(root, member.path, member.offset_data, member.size)
    paths = sorted(places, key=_natural)
    return [PurePosixPath(path).parent.name for path in paths], [places[path] for path in paths]
