"""scikit-learn's handwritten digits: 1,797 real images that need no download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (its
test part), as scikit-learn ships it.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from PIL import Image

from hiergen.imageclasses import Wanted, homes_of
from hiergen.images import SourceImages, Transform, digest, eval_transform
from hiergen.images import split as split_targets
from hiergen.nn.network import HierarchicalNetwork

NAME = "digits"
_HELD, _SEED = 0.2, 0
_LEVELS = 16  # a pixel counts the inked ones of 4 × 4


def open_digits(
    network: HierarchicalNetwork,
    *,
    split: Literal["train", "validation"],
    classes: Wanted = None,
    transform: Transform | None = None,
) -> SourceImages:
    """1,438 training or 359 validation images, 8 × 8 pixels in RGB, light on dark.

    The parts are fixed: a fifth of each digit's images is held out, drawn with seed 0. Classes are called "0" … "9" (or
    by their names). Raises HiergenError for a network with other classes.
    """
    _, labels = _arrays()
    homes, left_out = homes_of(map(str, range(10)), network, classes=classes, place=NAME, noun="class")
    rows = [row for row in _parts()[split == "validation"] if str(labels[row]) in homes]
    return SourceImages(
        source=Digits(),
        rows=tuple(rows),
        targets=tuple(homes[str(labels[row])] for row in rows),
        transform=transform or eval_transform(network),
        left_out=left_out,
    )


class Digits:
    """All images, by their row in scikit-learn's arrays."""

    in_memory = True

    def picture(self, row: int) -> Image.Image:
        return Image.fromarray(_arrays()[0][row])

    def place(self, row: int) -> str:
        return f"{NAME}:{row}"

    def fingerprint(self) -> str:
        images, labels = _arrays()
        return digest([NAME, images.tobytes(), labels.tobytes()])


@cache
def _arrays() -> tuple[np.ndarray, np.ndarray]:
    """Images `(1797, 8, 8)` as bytes 0 … 255, and their digits `(1797,)`."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.rint(bunch.images * (255 / _LEVELS)).astype(np.uint8), bunch.target.astype(np.int64)


@cache
def _parts() -> tuple[list[int], list[int]]:
    return split_targets(_arrays()[1].tolist(), _HELD, seed=_SEED)
