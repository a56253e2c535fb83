"""Coarse first, measured: accuracy against MACs and ms by threshold; its group heads as a file."""

from __future__ import annotations

import hashlib
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hiergen.data.images import Batch, batches
from hiergen.data.sources import labelled_images
from hiergen.errors import HiergenError, unquoted
from hiergen.models.load import load_trained
from hiergen.models.weights import identity, taxonomy_hash
from hiergen.models.weightsfile import read_weights, write_tensors
from hiergen.nn.coarse import CoarseFirst
from hiergen.nn.network import HierarchicalNetwork

THRESHOLDS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1)
TIMED = 64  # images
_LEVEL, _FITTED_TO = "coarse_level", "coarse_fitted_to"


@dataclass(frozen=True)
class Point:
    """One threshold on all images: top-1 and agreement with the full network (0 … 1), mean MACs and groups per image,
    and median ms per image."""

    threshold: float
    top1: float
    agrees: float
    macs: float
    groups: float
    ms: float


@dataclass(frozen=True)
class Study:
    """`full` is the full network itself; `base_macs` is what runs for every image."""

    level: int
    groups: int
    images: int
    base_macs: int
    full: Point
    points: tuple[Point, ...]


def coarse_first(
    model: str | Path | HierarchicalNetwork,
    data: str,
    *,
    weights: str | Path | None = None,
    level: int = 1,
    thresholds: Sequence[float] = THRESHOLDS,
    oracle: bool = False,
    load: str | Path | None = None,
    save: bool = False,
    holdout: float = 0.5,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    batch_size: int = 64,
    timed_batch: int = 1,
    workers: int | None = None,
    device: str | None = "cpu",
    untrained: bool = False,
) -> Study:
    """Score groups first, run only the subtrees that matter: accuracy against MACs and ms, as `hiergen coarse-first`.

    Group heads are fitted on one part of the images (or taken from the file `load`; with `oracle` their classes' logits
    score the groups) and reported on the share `holdout`; `save` keeps them beside `weights`.
    Raises HiergenError as `load_trained`, `labelled_images` and `CoarseFirst` do.
    """
    network = load_trained(model, weights, untrained=untrained, device=device)
    coarse = CoarseFirst(network, level, score="classes" if oracle else "heads")
    if save and (weights is None or oracle or load is not None):
        raise HiergenError("--save keeps the heads that were fitted to --weights", expected="--weights, no --oracle")
    fitting, held = labelled_images(network, data, classes).split(holdout, seed=seed)
    if load is not None:
        load_heads(coarse, load)
    elif not oracle:
        coarse.fit(images.to(device) for images, _ in batches(fitting, batch_size, workers=workers))
    if save and weights is not None:
        save_heads(coarse, heads_beside(Path(weights)))
    some = random.Random(seed).sample(range(len(held)), min(TIMED, len(held)))
    timed = torch.stack([held[i][0] for i in some]).to(device)
    return study(coarse, batches(held, batch_size, workers=workers), thresholds, timed, batch=timed_batch)


def study(
    coarse: CoarseFirst, images: Iterable[Batch], thresholds: Sequence[float], timed: Tensor, *, batch: int = 1
) -> Study:
    """Accuracy and MACs on `images`; ms on the images `timed`, `(N, 3, H, W)`, so many at once.

    Scores and logits are computed once; what a threshold runs, its accuracy and MACs follow. Timed runs
    skip for real, in turns with the full network.
    """
    scores, logits, targets = _answers(coarse, images)
    right = logits.argmax(1)
    full_macs = coarse.costs.total(coarse.network)
    network = coarse.network
    jobs: list[Callable[[Tensor], object]] = [network]
    jobs += [lambda x, t=threshold: coarse(x, threshold=t) for threshold in thresholds]  # type: ignore[misc]
    times = _timed(jobs, timed, batch)
    points = []
    for threshold, ms in zip(thresholds, times[1:], strict=True):
        groups = coarse.choose(scores, threshold=threshold)
        kept = logits.masked_fill(~coarse.classes_of(groups), float("-inf")).argmax(1)
        points.append(
            Point(
                threshold=threshold,
                top1=_share(kept == targets),
                agrees=_share(kept == right),
                macs=float(coarse.spent(groups).double().mean()),
                groups=float(groups.sum(1).double().mean()),
                ms=ms,
            )
        )
    count = len(coarse.groups)
    whole = Point(1.0, _share(right == targets), 1.0, float(full_macs), float(count), times[0])
    return Study(coarse.level, count, len(targets), coarse.base_macs, whole, tuple(points))


def save_heads(coarse: CoarseFirst, path: str | Path) -> None:
    """Write the fitted group heads as safetensors, with what they belong to. Raises HiergenError before `fit`."""
    if not coarse.fitted:
        raise HiergenError("the group heads are not fitted", hint="call fit(loader) first")
    network = coarse.network
    metadata = {
        **identity(network),
        _LEVEL: str(coarse.level),
        _FITTED_TO: fingerprint(network),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in coarse.heads.state_dict().items()}
    write_tensors(tensors, Path(path), metadata)


def load_heads(coarse: CoarseFirst, path: str | Path) -> None:
    """Load group heads. Raises HiergenError for other files, and for heads of another network, weights or level."""
    file = read_weights(path)
    place, metadata = unquoted(path), file.metadata
    if _LEVEL not in metadata:
        raise HiergenError("holds no group heads", place=place, hint="'hiergen coarse-first … --save FILE' writes them")
    wanted = {
        "taxonomy_sha256": (taxonomy_hash(coarse.network), "another taxonomy"),
        _LEVEL: (str(coarse.level), "another level"),
        _FITTED_TO: (fingerprint(coarse.network), "other weights"),
    }
    for key, (digest, what) in wanted.items():
        if metadata.get(key) != digest:
            got = metadata.get(key, "nothing")
            raise HiergenError(f"are group heads of {what}", place=place, expected=digest[:12], got=unquoted(got[:12]))
    coarse.heads.load_state_dict(dict(file.tensors))
    coarse.fitted = True


def heads_beside(weights: Path) -> Path:
    """Where the group heads of a weights file lie by default: NAME.coarse.safetensors."""
    return weights.with_suffix(".coarse.safetensors")


def fingerprint(network: HierarchicalNetwork) -> str:
    """sha256 of all weights: what group heads were fitted to."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()


def _answers(coarse: CoarseFirst, images: Iterable[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    """Scores `(N, G)`, logits `(N, classes)` and targets `(N,)`."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for batch, targets in images:
        scores, logits = coarse.explain(batch.to(coarse.network.head.weight.device))
        parts.append((scores.cpu(), logits.cpu(), targets))
    if not parts:
        raise HiergenError("no images to measure on")
    scores, logits, targets = (torch.cat(column) for column in zip(*parts, strict=True))
    return scores, logits, targets


def _timed(jobs: Sequence[Callable[[Tensor], object]], images: Tensor, batch: int) -> list[float]:
    """Median ms per image of each job; they take turns, so that a noisy machine is noisy for all."""
    took: list[list[float]] = [[] for _ in jobs]
    with torch.inference_mode():
        for part in (images[:batch], *torch.split(images, batch)):  # the first time warms up
            for job, times in zip(jobs, took, strict=True):
                start = time.perf_counter()
                job(part)
                if part.is_cuda:
                    torch.cuda.synchronize()
                times.append(1e3 * (time.perf_counter() - start) / len(part))
    return [statistics.median(times[1:]) for times in took]


def _share(hits: Tensor) -> float:
    return float(hits.double().mean())
