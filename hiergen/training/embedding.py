"""`hiergen embed`: what a network makes of images, as vectors in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hiergen.console.progress import ProgressBar
from hiergen.data.augment import eval_transform
from hiergen.data.imageclasses import Others
from hiergen.data.samples import Samples, default_workers, in_order, loader
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError, unquoted
from hiergen.files import check_writable, replacing
from hiergen.models.load import load_trained

if TYPE_CHECKING:
    from rich.console import Console

    from hiergen.taxonomy.roots import Split


@dataclass(frozen=True)
class Embedded:
    """What `embed` wrote: so many images, each a vector of so many numbers; broken images were left out."""

    path: Path
    images: int
    length: int
    broken: tuple[str, ...] = ()


def embed(
    model: str | Path,
    data: str | Path,
    path: str | Path,
    *,
    weights: str | Path | None = None,
    level: int | None = None,
    split: Split = "validation",
    untrained: bool = False,
    batch_size: int = 64,
    workers: int | None = None,
    device: str | None = None,
    root: str | Path | None = None,
    skip_broken: bool = False,
    console: Console | None = None,
) -> Embedded:
    """Write `network.embed` of all images of `data`, whatever they show, to a .npz file: `embeddings` `(N, D)` float32
    and `images` `(N,)`, their places in the order of timm's readers.

    Raises HiergenError as `load_trained`, `open_data` and `HierarchicalNetwork.embed` do, and for another file.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise HiergenError("is no name for embeddings", place=unquoted(target), expected="a file that ends in .npz")
    check_writable(target)
    network = load_trained(model, weights, untrained=untrained, device=device)
    place = None if root is None else Path(root)
    images = open_data(data, network, split=split, classes=Others(()), root=place)
    count = default_workers(images) if workers is None else workers
    samples, parts, broken = Samples(images, eval_transform(network), seed=0), [], list[str]()
    weight = network.head.weight
    done = 0
    with torch.inference_mode(), ProgressBar(console, "images") as report:
        order = in_order(len(images), batch_size)
        for x, _, bad in loader(samples, order, workers=count, skip_broken=skip_broken):
            broken += bad
            if len(x):
                parts.append(network.embed(x.to(weight), level).float().cpu().numpy())
            report(done := done + len(x) + len(bad), len(images))
    if not parts:
        raise HiergenError("all images are broken", place=unquoted(data))
    left = set(broken)
    places = [name for name in map(images.place, range(len(images))) if name not in left]
    embeddings = np.concatenate(parts)
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.savez(file, embeddings=embeddings, images=np.array(places))
    return Embedded(target, len(embeddings), embeddings.shape[1], tuple(broken))
