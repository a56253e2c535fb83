"""Where the images of a folder, or of a tar of one, are: found by timm's readers, read without shared state."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from timm.data.readers.reader_image_folder import ReaderImageFolder
from timm.data.readers.reader_image_in_tar import ReaderImageInTar

from hiergen.errors import HiergenError, quoted
from hiergen.files import reason


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
        # opened anew for every image: no state that threads or forked workers could share
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def find_images(root: Path) -> list[tuple[ImagePlace, str]]:
    """Every image with the name of the folder it lies in ("" for the root), in timm's order.

    Raises HiergenError for a root that is neither a folder nor a tar, cannot be read, or holds no images.
    """
    place = quoted(root)[1:-1]
    try:
        if root.is_dir():
            names, found = _of_folder(root)
        elif root.is_file():
            names, found = _of_tar(root, place)
        else:
            raise HiergenError("no such folder or tar of images", place=place)
    except (OSError, tarfile.TarError) as error:
        raise HiergenError(f"cannot be read ({reason(error)})", place=place) from None
    if not found:
        raise HiergenError("holds no images", place=place, expected="a folder of images for each class")
    return list(zip(found, names, strict=True))


def _of_folder(root: Path) -> tuple[list[str], list[ImagePlace]]:
    try:
        samples = ReaderImageFolder(str(root)).samples
    except RuntimeError:  # timm found none
        return [], []
    files = [Path(file) for file, _ in samples]
    return [file.parent.name if file.parent != root else "" for file in files], [ImagePlace(file) for file in files]


def _of_tar(root: Path, place: str) -> tuple[list[str], list[ImagePlace]]:
    if root.suffix.lower() != ".tar":
        raise HiergenError("is no folder of images", place=place, expected="a folder, or a .tar (uncompressed) of one")
    with tarfile.open(root, "r:") as tar:  # timm's reader cannot say "none", and keeps its file open
        if not any(member.isfile() for member in tar):
            return [], []
    try:
        samples = ReaderImageInTar(str(root), cache_tarfiles=False, cache_tarinfo=False).samples
    except ValueError:  # none of the files is an image
        return [], []
    if any(inner is not None for _, _, inner in samples):
        raise HiergenError("holds tars, which are not read", place=place, expected="folders of images")
    members = [member for member, _, _ in samples]
    names = [PurePosixPath(member.path).parent.name for member in members]
    return names, [ImagePlace(root, member.path, member.offset_data, member.size) for member in members]
