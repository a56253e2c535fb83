"""Labelled images as commands on trained networks take them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hiergen.console.terminal import one_line
from hiergen.data.imageclasses import PRESENT
from hiergen.data.images import ImageSet
from hiergen.data.labelling import Split
from hiergen.data.sources import open_data
from hiergen.errors import listed
from hiergen.lookup.choose import choose
from hiergen.nn.network import HierarchicalNetwork


def labelled_images(
    network: HierarchicalNetwork,
    data: str,
    classes: Sequence[str] | str | None = None,
    *,
    split: Split = "validation",
    root: str | Path | None = None,
) -> ImageSet:
    """The images of the network's classes, of one part of the data (validation: if it has one).

    `classes` are terms as `--classes` takes them, or "present". What is left out is said on stderr. Raises HiergenError
    as `open_data` and `choose` do.
    """
    terms = [classes] if isinstance(classes, str) else list(classes or ())
    wanted = PRESENT if terms == [PRESENT] else choose(network.selector, terms)
    images = open_data(data, network, split=split, classes=wanted, root=None if root is None else Path(root))
    if images.left_out:
        print(f"left out: {len(images.left_out)} folders ({listed(images.left_out)})", file=sys.stderr)
    if images.note:
        print(one_line(images.note), file=sys.stderr)
    return images
