"""Where the images of a folder, or of a tar of one, are: in the order of timm's readers, read without shared state."""

from __future__ import annotations

import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from hiergen.errors import HiergenError, printable, quoted, unquoted
from hiergen.files import reason
from hiergen.taxonomy.roots import is_junk

# how files of `imageformats.FORMATS` end
ENDINGS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".avifs"),
    }
)
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
        return printable(str(self.file) if self.inside is None else f"{self.file}:{self.inside}")

    @property
    def folder(self) -> str:
        """What it lies in, of all folders on the disk or in the tar."""
        return str(self.file.parent if self.inside is None else PurePosixPath(self.inside).parent)

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


def files_below(folder: Path) -> Iterator[Path]:
    """Of whatever kind, but for junk; through no links."""
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_junk(name)]
        yield from (Path(top, name) for name in names if not is_junk(name))


@dataclass
class Unread:
    """Files that are no images, or lie in hidden folders: how many of each ending, and the first of them."""

    root: Path
    kinds: Counter[str] = field(default_factory=Counter)
    first: str = ""

    def add(self, file: PurePath, kind: str = "") -> None:
        self.kinds[kind or file.suffix.lower() or "without an ending"] += 1
        self.first = self.first or str(file.relative_to(self.root) if file.is_relative_to(self.root) else file)

    def add_hidden(self, folder: Path) -> None:
        for file in files_below(folder):
            self.add(file, "in a hidden folder")

    def note(self) -> str:
        """What a user should be told; "" where there are none."""
        if not self.kinds:
            return ""
        kinds = ", ".join(f"{count:,} {unquoted(kind)}" for kind, count in self.kinds.most_common(5))
        more = f" and {len(self.kinds) - 5} kinds more" if len(self.kinds) > 5 else ""
        total = self.kinds.total()
        files = "1 file, which is no image" if total == 1 else f"{total:,} files, which are no images"
        return f"left out: {files} ({kinds}{more}; {quoted(self.first)} first)"


@dataclass(frozen=True)
class Found:
    """Every image with the name of the folder it lies in ("" for the root), and what is no image."""

    images: list[tuple[ImagePlace, str]]
    unread: Unread


def find_images(root: Path) -> list[tuple[ImagePlace, str]]:
    """Every image with the name of the folder it lies in ("" for the root), in timm's order.

    Raises HiergenError for a root that is neither a folder nor a tar, cannot be read, or holds no images.
    """
    return look_through(root).images


def look_through(root: Path) -> Found:
    """As `find_images`, and every other file, but for what operating systems leave behind."""
    place = quoted(root)[1:-1]
    unread = Unread(root)
    try:
        if root.is_dir():
            names, places = _of_folder(root, unread)
        elif root.is_file():
            names, places = _of_tar(root, place, unread)
        else:
            raise HiergenError("no such folder or tar of images", place=place)
    except (OSError, tarfile.TarError) as error:
        raise HiergenError(f"cannot be read ({reason(error)})", place=place) from None
    if not places:
        raise HiergenError(
            "holds no images", place=place, expected="a folder of images for each class", got=unread.note() or None
        )
    return Found(list(zip(places, names, strict=True)), unread)


def _of_folder(root: Path, unread: Unread) -> tuple[list[str], list[ImagePlace]]:
    files = []
    for file in _files(root, unread):
        if file.suffix.lower() in ENDINGS:
            files.append(file)
        elif file.is_file():
            unread.add(file)
    files.sort(key=lambda file: _natural(str(file)))
    return [file.parent.name if file.parent != root else "" for file in files], [ImagePlace(file) for file in files]


def _files(root: Path, unread: Unread) -> Iterator[Path]:
    """All but folders in the root and below it, through links too, but in no folder twice: links may make a loop, or
    double what they lead to at every level."""
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
        try:
            inside = sorted(folder.iterdir())
        except OSError:
            unread.add(folder, "folder that cannot be read")
            continue
        for path in inside:
            if is_junk(path.name):
                continue
            if not path.is_dir():
                yield path
            elif path.name.startswith("."):
                unread.add_hidden(path)
            else:
                waiting.append(path)


def _natural(text: str) -> list[tuple[int, str]]:
    """timm's order: numbers by their value. Its own `natural_key` fails for "²" and for numbers of 4,301 digits."""
    parts = re.split(r"([0-9]+)", text.lower())
    return [(int(part[:_DIGITS]) if i % 2 else 0, part) for i, part in enumerate(parts)]


def members(file: Path) -> Iterator[tarfile.TarInfo]:
    """The regular files and the links of a tar; nothing is unpacked, and what a link leads to is not looked at.

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
                if member.isdir():
                    continue
                if member.issparse():
                    raise tarfile.ReadError(f"{quoted(member.name)} is sparse: its bytes do not lie in one place")
                if member.isfile() and member.size > end - member.offset_data:
                    raise tarfile.ReadError(f"{quoted(member.name)} is cut off")
                yield member
                tar.members = []  # type: ignore[attr-defined]  # else it keeps them all
    except RecursionError:  # tarfile's, for headers that announce headers
        raise tarfile.ReadError("its headers are nested too deeply") from None


def _of_tar(root: Path, place: str, unread: Unread) -> tuple[list[str], list[ImagePlace]]:
    if root.suffix.lower() != ".tar":
        raise HiergenError("is no folder of images", place=place, expected="a folder, or a .tar (uncompressed) of one")
    places: dict[str, ImagePlace] = {}
    for member in members(root):
        path = PurePosixPath(member.path)
        if any(map(is_junk, path.parts)):
            continue
        if path.suffix.lower() == ".tar":
            raise HiergenError("holds tars, which are not read", place=place, expected="folders of images")
        if not member.isfile():
            unread.add(path, "link or device")
        elif any(part.startswith(".") and part != ".." for part in path.parts[:-1]):
            unread.add(path, "in a hidden folder")
        elif path.suffix.lower() in ENDINGS:
            # as unpacking does: of two with one name the later counts
            places[member.path] = ImagePlace(root, member.path, member.offset_data, member.size)
        else:
            unread.add(path)
    paths = sorted(places, key=_natural)
    return [PurePosixPath(path).parent.name for path in paths], [places[path] for path in paths]
