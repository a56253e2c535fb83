"""What a user may type for a data set → its images, labelled with the network's classes."""

from __future__ import annotations

import os  # os.path answers False for a name too long, where Path raises
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from hiergen.console.terminal import one_line
from hiergen.data.folders import DIGITS, FORMS, has_parts, open_folder
from hiergen.data.imageclasses import PRESENT, ImageRequest, NoOthersError, Others, Wanted, label_rows
from hiergen.data.images import ImageSet, RowImages, Transform, digest
from hiergen.data.images import split as split_targets
from hiergen.data.labelfile import ENDINGS, open_labels
from hiergen.errors import HiergenError, listed, quoted, unquoted
from hiergen.lookup.choose import choose
from hiergen.nn.network import HierarchicalNetwork
from hiergen.taxonomy.roots import Split

_STREAMS = ("hfids", "tfds")


class _Opener(NamedTuple):
    """`open(request)` reads a data set, `has_validation(root)` says whether it has a validation part."""

    open: Callable[[ImageRequest], ImageSet]
    has_validation: Callable[[Path | None], bool]


def open_data(
    data: str | Path,
    network: HierarchicalNetwork,
    *,
    split: Split = "train",
    classes: Wanted = None,
    transform: Transform | None = None,
    root: str | Path | None = None,
    download: bool = False,
    groups: bool = False,
    several: bool = False,
) -> ImageSet:
    """The training or validation images of a data set, labelled with the network's classes; the default `transform` is
    the network's own for evaluation.

    `data` is "digits"; a folder or a .tar with a folder for each class, or with a folder of such for each part (train
    and val, validation, valid, eval, dev or test; others beside them are left out); or one of timm's names:
    "torch/cifar10" (torchvision's files, looked for in `root`, which is "data" by default, and fetched only if
    `download`), "torch/image_folder" and "torch/imagenet" (the folder `root`), "hfds/NAME" (the package datasets;
    `root` is its cache) and "wds/shard-{000..003}.tar" (local webdataset shards, in `root` if given). Data without
    parts is the same for both splits. A table, "labels.csv" or ".tsv", names images and their labels (`open_labels`).
    A folder's name is a class id, a class's display name (case, "_" and "-" do not matter) or a word of WordNet for it.
    `classes`: None, every folder is a class and every class has images; indices of logits, these classes have images
    and other folders are left out; "present", the classes that have images, and folders that are no class are left out;
    `Others`, the images of no class, whose target is -1. With `groups`, a folder of a group's name holds images of
    which no more is known; their targets are sets of classes (`ImageSet.labels`), and so are, with `several`, those of
    images with several labels.
    Of a validation part some classes may have none, which `note` says, as it counts files that are no images.
    Raises HiergenError for data that is not there or cannot be read, a folder that is no class, and a class without
    images or with two folders.
    """
    request = ImageRequest(network, split, classes, transform, None if root is None else Path(root), download, groups)
    images = _opener(data).open(request)
    if images.labels is not None and images.labels.several and not several:
        raise HiergenError(
            "its images have several labels, or none",
            place=unquoted(data),
            expected="one for each image",
            hint="hiergen train and eval take several",
        )
    return images


def has_validation(data: str | Path, *, root: str | Path | None = None) -> bool:
    """Whether the data has a validation part of its own, which `open_data(…, split="validation")` gives.

    Raises HiergenError for data whose parts cannot be looked up.
    """
    return _opener(data).has_validation(None if root is None else Path(root))


def _opener(data: str | Path) -> _Opener:
    text = str(data)
    prefix, _, rest = text.partition("/")
    match prefix.lower() if rest and not os.path.exists(text) else "":
        case "torch":
            from hiergen.data.timmdata import open_torch, torch_has_validation

            return _Opener(partial(open_torch, rest), partial(torch_has_validation, rest))
        case "hfds":
            from hiergen.data.timmdata import hf_has_validation, open_hf

            return _Opener(partial(open_hf, rest), partial(hf_has_validation, rest))
        case "wds":
            from hiergen.data.shards import open_shards, shards_have_validation

            return _Opener(partial(open_shards, rest), partial(shards_have_validation, rest))
        case stream if stream in _STREAMS:
            raise HiergenError(
                f"{quoted(text)} is a stream, which has no fixed order of images", expected=FORMS, hint="try hfds/NAME"
            )
    if (path := Path(text)).suffix.lower() in ENDINGS and os.path.isfile(text):
        return _Opener(partial(open_labels, path), lambda _: False)
    if text == DIGITS and not os.path.exists(text):
        return _Opener(open_digits, lambda _: True)
    return _Opener(partial(open_folder, Path(data)), lambda _: has_parts(Path(data)))


_HELD, _SEED = 0.2, 0
_LEVELS = 16  # a pixel counts the inked ones of 4 × 4


def open_digits(request: ImageRequest) -> RowImages:
    """1,438 training or 359 validation images, 8 × 8 pixels in RGB, light on dark.

    The parts are fixed: a fifth of each digit's images is held out, drawn with seed 0. Classes are called "0" … "9" (or
    by their names). Raises HiergenError for a network with other classes.
    """
    rows = _parts()[request.split == "validation"]
    names = [str(label) for label in _arrays()[1][rows]]
    return label_rows(Digits(), names, request, DIGITS, rows=rows)


class Digits:
    """All images, by their row in scikit-learn's arrays."""

    in_memory = True

    def picture(self, row: int) -> Image.Image:
        return Image.fromarray(_arrays()[0][row])

    def place(self, row: int) -> str:
        return f"{DIGITS}:{row}"

    def fingerprint(self) -> str:
        images, labels = _arrays()
        return digest([DIGITS, images.tobytes(), labels.tobytes()])


@cache
def _arrays() -> tuple[np.ndarray, np.ndarray]:
    """Images `(1797, 8, 8)` as bytes 0 … 255, and their digits `(1797,)`."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.rint(bunch.images * (255 / _LEVELS)).astype(np.uint8), bunch.target.astype(np.int64)


@cache
def _parts() -> tuple[list[int], list[int]]:
    return split_targets(_arrays()[1].tolist(), _HELD, seed=_SEED)


def labelled_images(
    network: HierarchicalNetwork,
    data: str,
    classes: Sequence[str] | str | None = None,
    *,
    split: Split = "validation",
    root: str | Path | None = None,
    groups: bool = False,
) -> ImageSet:
    """The images of the network's classes (with `groups`, those known to a group of it, and those with several labels
    too), of one part of the data (validation: if it has one).

    `classes` are terms as `--classes` takes them, or "present". What is left out is said on stderr. Raises HiergenError
    as `open_data` and `choose` do.
    """
    terms = [classes] if isinstance(classes, str) else list(classes or ())
    wanted = PRESENT if terms == [PRESENT] else choose(network.selector, terms)
    place = None if root is None else Path(root)
    images = open_data(data, network, split=split, classes=wanted, root=place, groups=groups, several=groups)
    if images.left_out:
        print(f"left out: {len(images.left_out)} folders ({listed(images.left_out)})", file=sys.stderr)
    if images.note:
        print(one_line(images.note), file=sys.stderr)
    return images


def other_images(
    network: HierarchicalNetwork,
    data: str,
    classes: Sequence[int] | None = None,
    *,
    split: Split = "validation",
    root: str | Path | None = None,
    needed: bool = True,
) -> ImageSet | None:
    """The images of none of these classes (indices; default: of none of the network's), of one part of the data; their
    targets are -1. Raises HiergenError as `open_data` does; where there are none, only if they are `needed`.
    """
    wanted = Others(None if classes is None else tuple(classes))
    try:
        return open_data(data, network, split=split, classes=wanted, root=None if root is None else Path(root))
    except NoOthersError:
        if needed:
            raise
        return None
