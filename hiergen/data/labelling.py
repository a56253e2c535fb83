"""Images with the names of their classes → images with the indices of a network's logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from hiergen.data.imageclasses import Wanted, homes_of
from hiergen.data.images import LabelledImages, PictureRows, RowImages, Transform, eval_transform
from hiergen.nn.network import HierarchicalNetwork
from hiergen.taxonomy.imagefolder import ImagePlace

Split: TypeAlias = Literal["train", "validation"]


@dataclass(frozen=True)
class ImageRequest:
    """How images are wanted, whatever they are read from."""

    network: HierarchicalNetwork
    split: Split = "train"
    classes: Wanted = None
    transform: Transform | None = None
    root: Path | None = None
    download: bool = False


def label_images(
    images: Sequence[tuple[ImagePlace, str]], request: ImageRequest, place: str, *, noun: str = "class", note: str = ""
) -> LabelledImages:
    """Images with the name of the class of each, which is that of its folder where `noun` is "folder".

    Raises HiergenError as `load_images` does.
    """
    names = (name for _, name in images)
    homes, left_out = homes_of(names, request.network, classes=request.classes, place=place, noun=noun)
    kept = [(where, homes[name]) for where, name in images if name in homes]
    return LabelledImages(
        places=tuple(where for where, _ in kept),
        targets=tuple(target for _, target in kept),
        transform=request.transform or eval_transform(request.network),
        left_out=left_out,
        note=note,
    )


def label_rows(
    source: PictureRows,
    names: Sequence[str],
    request: ImageRequest,
    place: str,
    *,
    rows: Sequence[int] | None = None,
    note: str = "",
) -> RowImages:
    """Rows of a source (default: all of them) with the name of the class of each. Raises HiergenError likewise."""
    homes, left_out = homes_of(names, request.network, classes=request.classes, place=place, noun="class")
    numbers = range(len(names)) if rows is None else rows
    kept = [(row, homes[name]) for row, name in zip(numbers, names, strict=True) if name in homes]
    return RowImages(
        source=source,
        rows=tuple(row for row, _ in kept),
        targets=tuple(target for _, target in kept),
        transform=request.transform or eval_transform(request.network),
        left_out=left_out,
        note=note,
    )
