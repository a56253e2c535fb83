"""Scores by class and by group, and confusion matrices: what counting targets and predictions gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from hiergen.training.hierarchy import TreeLevel


@dataclass(frozen=True)
class ClassScore:
    """`accuracy`: share of the class's images that are recognised (None: it has none); `precision`: share of the images
    said to be this class that are (None: none is). `severity`: mean height, in levels, of the lowest common ancestor
    over its mistakes (None: no mistakes, or heights were not given). `confused_with`: id of the class most often said
    instead (the first of equals; None: no mistakes), `confused` times."""

    id: str
    name: str
    images: int
    accuracy: float | None
    precision: float | None
    severity: float | None
    confused_with: str | None
    confused: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class GroupScore:
    """As `ClassScore`, for whether image and predicted class are in the group. `path`: names from level 1 down."""

    name: str
    path: tuple[str, ...]
    classes: int
    images: int
    recall: float | None
    precision: float | None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": list(self.path)}


def confusion(true: Tensor, predicted: Tensor, count: int) -> Tensor:
    """`(count, count)` int64: how often index `true` (row) was predicted to be `predicted` (column), both `(N,)`."""
    return torch.bincount(true * count + predicted, minlength=count * count).view(count, count)


def class_scores(
    targets: Tensor, predictions: Tensor, ids: Sequence[str], names: Sequence[str], heights: Tensor | None = None
) -> tuple[ClassScore, ...]:
    """One for each class, from targets and predictions `(N,)`; there is no matrix of all pairs of classes.

    `heights` `(N,)`: the height of the lowest common ancestor of both, 0 where they are the same.
    """
    count = len(ids)
    images, right, predicted = _counts(targets, predictions, count)
    rival, times = _rivals(targets, predictions, count)
    total = None if heights is None else torch.bincount(targets, weights=heights.double(), minlength=count).tolist()
    return tuple(
        ClassScore(
            id=ids[c],
            name=names[c],
            images=images[c],
            accuracy=_share(right[c], images[c]),
            precision=_share(right[c], predicted[c]),
            severity=total[c] / (images[c] - right[c]) if total is not None and images[c] > right[c] else None,
            confused_with=ids[rival[c]] if times[c] else None,
            confused=times[c],
        )
        for c in range(count)
    )


def group_scores(true: Tensor, guesses: Tensor, level: TreeLevel) -> tuple[GroupScore, ...]:
    """One for each group of a level, from the true and the predicted group of every image `(N,)`."""
    count = len(level.names)
    images, right, predicted = _counts(true, guesses, count)
    sizes = torch.bincount(level.of_class, minlength=count).tolist()
    return tuple(
        GroupScore(
            name=level.names[g],
            path=level.paths[g],
            classes=sizes[g],
            images=images[g],
            recall=_share(right[g], images[g]),
            precision=_share(right[g], predicted[g]),
        )
        for g in range(count)
    )


def _counts(true: Tensor, predicted: Tensor, count: int) -> tuple[list[int], list[int], list[int]]:
    """By index: how often it is true, true and predicted, and predicted."""
    return (
        torch.bincount(true, minlength=count).tolist(),
        torch.bincount(true[true == predicted], minlength=count).tolist(),
        torch.bincount(predicted, minlength=count).tolist(),
    )


def _rivals(targets: Tensor, predictions: Tensor, count: int) -> tuple[list[int], list[int]]:
    """By class: the one most often said instead, and how often."""
    wrong = targets != predictions
    pairs, times = torch.unique(targets[wrong] * count + predictions[wrong], return_counts=True)
    rival, most = [0] * count, [0] * count
    for pair, often in zip(pairs.tolist(), times.tolist(), strict=True):  # ascending: the first of equals stays
        true, predicted = divmod(pair, count)
        if often > most[true]:
            rival[true], most[true] = predicted, often
    return rival, most


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
