"""All metrics of logits and targets in one call, with scores by class and by group.

docs/metrics.md has the formulas and their sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from hiergen.data.images import LabelSets
from hiergen.errors import HiergenError
from hiergen.training.decision import RULES, check_rule, check_scores, ranking
from hiergen.training.hierarchy import Hierarchy, TreeLevel, blocks, checked


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


@dataclass(frozen=True)
class LevelScore:
    """Level 1 … k. `accuracy`: share of images whose predicted class is in the true class's group.

    `groups` are those with a kept class, in the level's order; () on the last level, whose groups are the classes.
    """

    level: int
    accuracy: float
    groups: tuple[GroupScore, ...]


@dataclass(frozen=True)
class Metrics:
    """How good predictions are; a value is None where it is not defined. Heights are in levels of the tree.

    `top[k]`: the true class is among the best k. `class_accuracy`: mean of the classes' accuracies. `lca_height`: mean
    height of the lowest common ancestor of the predicted and the true class; `severity`: the same over the mistakes;
    `distance[k]`: over the best k classes. `hp`, `hr`, `hf`: hierarchical precision, recall and F1. `nll` in nats.
    Of `group_images` more only a group is known; `group_accuracy`: share of them whose predicted class is in it.
    `levels` is () where classes lie at unequal depths. k beyond the number of classes means all of them.
    """

    images: int
    decision: str
    top: dict[int, float]
    class_accuracy: float
    lca_height: float
    severity: float | None
    mistakes: int
    distance: dict[int, float]
    hp: float
    hr: float
    hf: float
    nll: float | None
    ece: float
    bins: int
    levels: tuple[LevelScore, ...]
    classes: tuple[ClassScore, ...]
    tree_height: int
    group_images: int
    group_accuracy: float | None
    targets: Tensor = field(repr=False, compare=False)
    predictions: Tensor = field(repr=False, compare=False)
    hierarchy: Hierarchy = field(repr=False, compare=False)

    @property
    def score(self) -> float:
        """What the best epoch is chosen by."""
        return self.top1

    @property
    def top1(self) -> float:
        """Share of images whose predicted class is the true one."""
        return (self.images - self.mistakes) / self.images

    def confusion(self, level: int) -> Tensor:
        """`(groups, groups)`: images by true group (row) and predicted group of a level, in the level's order; of the
        classes on the last one. Raises HiergenError for a level that is not there."""
        if not 1 <= level <= len(self.hierarchy.levels):
            raise HiergenError(f"there is no level {level}", expected=f"1..{len(self.hierarchy.levels)}")
        groups = self.hierarchy.levels[level - 1]
        return confusion(groups.of_class[self.targets], groups.of_class[self.predictions], len(groups.names))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: numbers, texts and None, always in the same order; see docs/metrics.md."""
        return {
            "images": self.images,
            "decision": self.decision,
            **{f"top{k}": share for k, share in self.top.items()},
            "class_accuracy": self.class_accuracy,
            "level_accuracy": [level.accuracy for level in self.levels],
            "lca_height": self.lca_height,
            "mistake_severity": self.severity,
            "mistakes": self.mistakes,
            "tree_height": self.tree_height,
            "hierarchical_distance": {str(k): mean for k, mean in self.distance.items()},
            "hierarchical_precision": self.hp,
            "hierarchical_recall": self.hr,
            "hierarchical_f1": self.hf,
            "nll": self.nll,
            "ece": self.ece,
            "ece_bins": self.bins,
            **({"group_images": self.group_images, "group_accuracy": self.group_accuracy} if self.group_images else {}),
            "groups": [{"level": level.level, **group.to_dict()} for level in self.levels for group in level.groups],
            "classes": [score.to_dict() for score in self.classes],
        }

    def summary(self) -> dict[str, Any]:
        """One epoch's columns: floats, or None where not defined; the same keys for the same network every time."""
        return {
            **{f"val_top{k}": share for k, share in self.top.items()},
            **{f"val_level{level.level}": level.accuracy for level in self.levels[:-1]},
            "val_lca_height": self.lca_height,
            "val_severity": self.severity,
            "val_hf": self.hf,
            "val_nll": self.nll,
            "val_ece": self.ece,
            **({"val_group": self.group_accuracy} if self.group_images else {}),
        }


def evaluate(
    logits: Tensor,
    targets: Tensor,
    hierarchy: Hierarchy,
    *,
    labels: Sequence[str] | None = None,
    sets: LabelSets | None = None,
    decision: str = "argmax",
    topk: Sequence[int] = (1, 5),
    distance_at: Sequence[int] = (1, 5, 20),
    bins: int = 15,
) -> Metrics:
    """Metrics of logits `(N, C)` for targets `(N,)`; `labels` are names of the classes (default: the hierarchy's).

    `decision` is the rule that ranks the classes (see `RULES`); NLL is that of the softmax, and ECE compares the
    softmax of the predicted class with its accuracy. Images whose target is one of `sets`, known to a group only, count
    in `group_accuracy` alone. A logit of -inf is a class that does not compete. Computed on the
    CPU in float64, in blocks of rows.
    Raises HiergenError for no images, shapes that do not fit, targets out of range, and logits that are NaN or +inf.

    >>> metrics = evaluate(logits, targets, Hierarchy.of(network))
    >>> metrics.top1, metrics.severity, metrics.to_dict()["level_accuracy"]
    (0.5, 2.0, [0.5, 0.5])
    """
    check_rule(decision)
    logits, targets = logits.detach().cpu(), targets.detach().cpu()
    group_images, group_accuracy = 0, None
    if sets is not None and (vague := targets >= sets.classes).any():
        inside = sets.table()[targets[vague]]
        best = ranking(RULES[decision].make(hierarchy)(logits[vague]), 1)
        group_images, group_accuracy = len(best), float(inside.gather(1, best).double().mean())
        logits, targets = logits[~vague], targets[~vague]
    _check(logits, targets, hierarchy)
    targets = targets.long()
    for name, values in (("topk", topk), ("distance_at", distance_at), ("bins", (bins,))):
        if not values or min(values) < 1:
            raise HiergenError(f"{name} needs whole numbers from 1", got=str(values))
    images, count = logits.shape
    names = tuple(hierarchy.labels if labels is None else labels)
    if len(names) != count:
        raise HiergenError("there must be one label for each class", expected=str(count), got=str(len(names)))
    ranked, confidence, missed = _rank(logits, targets, hierarchy, decision, min(max(*topk, *distance_at), count))
    predictions = ranked[:, 0]
    hits = ranked == targets[:, None]
    heights = torch.cat(
        [hierarchy.lca_height(ranked[rows], targets[rows, None]) for rows in blocks(images, ranked.shape[1])]
    ).double()
    wrong = ~hits[:, 0]
    mistakes = int(wrong.sum())
    hp, hr, hf = _hierarchical_f1(predictions, targets, hierarchy)
    scores = class_scores(targets, predictions, hierarchy.classes, names, heights[:, 0])
    accuracies = [score.accuracy for score in scores if score.accuracy is not None]
    nll = float(missed.mean())
    return Metrics(
        images=images,
        decision=decision,
        top={k: float(hits[:, :k].any(1).double().mean()) for k in topk},
        class_accuracy=sum(accuracies) / len(accuracies),
        lca_height=float(heights[:, 0].mean()),
        severity=float(heights[wrong, 0].mean()) if mistakes else None,
        mistakes=mistakes,
        distance={k: float(heights[:, :k].mean()) for k in distance_at},
        hp=hp,
        hr=hr,
        hf=hf,
        nll=nll if nll < torch.inf else None,
        ece=calibration_error(confidence, hits[:, 0], bins),
        bins=bins,
        levels=_levels(targets, predictions, hierarchy),
        classes=scores,
        tree_height=hierarchy.height,
        group_images=group_images,
        group_accuracy=group_accuracy,
        targets=targets,
        predictions=predictions,
        hierarchy=hierarchy,
    )


def restrict(
    logits: Tensor, targets: Tensor, hierarchy: Hierarchy, classes: Sequence[int]
) -> tuple[Tensor, Tensor, Hierarchy]:
    """Only some classes compete: their columns, the images that are theirs, and the tree above them.

    `classes` are indices, in the order of the new columns. Raises HiergenError for no class, one that is not there or
    twice, and if no image is left.
    """
    _check(logits, targets, hierarchy)
    targets = targets.long()
    chosen = checked(classes, len(hierarchy))
    place = torch.full((len(hierarchy),), -1, device=targets.device)
    place[chosen] = torch.arange(len(chosen), device=targets.device)
    rows = (place[targets] >= 0).nonzero()[:, 0]
    if not rows.numel():
        raise HiergenError("no image is of the chosen classes")
    return logits[rows.to(logits.device)][:, chosen], place[targets[rows]], hierarchy.restricted(chosen)


def _check(logits: Tensor, targets: Tensor, hierarchy: Hierarchy) -> None:
    check_scores(logits, hierarchy)
    if targets.shape != logits.shape[:1] or targets.is_floating_point() or targets.dtype == torch.bool:
        raise HiergenError(
            "targets are class indices, one for each image",
            expected=f"({logits.shape[0]},) of whole numbers",
            got=f"{tuple(targets.shape)} of {str(targets.dtype).removeprefix('torch.')}",
        )
    if not len(targets):
        raise HiergenError("there are no images to evaluate")
    if (wrong := (targets < 0) | (targets >= len(hierarchy))).any():
        image = int(wrong.nonzero()[0])
        raise HiergenError(
            f"the target of image {image} is no class",
            expected=f"0..{len(hierarchy) - 1}",
            got=str(int(targets[image])),
        )


def _rank(logits: Tensor, targets: Tensor, hierarchy: Hierarchy, rule: str, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Best k classes `(N, k)`, probability of the first one `(N,)`, and -ln probability of the true one `(N,)`."""
    score = RULES[rule].make(hierarchy)
    ranked, confidence, missed = [], [], []
    for rows in blocks(logits.shape[0], 64 * len(hierarchy.names)):  # a block fits into a cache
        logs = logits[rows].double().log_softmax(1)
        best = ranking(score(logits[rows]), k)
        ranked.append(best)
        confidence.append(logs.gather(1, best[:, :1])[:, 0].exp())
        missed.append(-logs.gather(1, targets[rows, None])[:, 0])
    return torch.cat(ranked), torch.cat(confidence), torch.cat(missed)


def _hierarchical_f1(predictions: Tensor, targets: Tensor, hierarchy: Hierarchy) -> tuple[float, float, float]:
    """Micro-averaged over the nodes on both paths, the classes included, the root not."""
    both = int(hierarchy.shared(predictions, targets).sum())
    precision = both / int(hierarchy.depths[predictions].sum())
    recall = both / int(hierarchy.depths[targets].sum())
    return precision, recall, 2 * precision * recall / (precision + recall) if both else 0.0


def calibration_error(confidence: Tensor, hits: Tensor, bins: int) -> float:
    """Expected calibration error, from the probability of the predicted class and whether it is right, `(N,)` each.

    Bins of equal width, open below and closed above; a confidence of 0 is in the first one."""
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype)[1:-1]
    place = torch.bucketize(confidence, edges)
    gaps = torch.zeros(bins, dtype=confidence.dtype).index_add(0, place, confidence - hits.to(confidence.dtype))
    return float(gaps.abs().sum() / len(confidence))


def _levels(targets: Tensor, predictions: Tensor, hierarchy: Hierarchy) -> tuple[LevelScore, ...]:
    scores = []
    last = len(hierarchy.levels)
    for j, level in enumerate(hierarchy.levels, 1):
        true, predicted = level.of_class[targets], level.of_class[predictions]
        groups = () if j == last else group_scores(true, predicted, level)
        scores.append(LevelScore(j, float((true == predicted).double().mean()), groups))
    return tuple(scores)
