"""Losses that know the class tree, all of them from the same logits `(B, C)`.

The targets are class indices `(B,)` or distributions over the classes `(B, C)` (mixup, cutmix). Every loss is linear
in the target: that of a distribution is the mean of the classes' losses, weighted by it. `smoothing` s mixes the target
with the uniform distribution first, t' = (1 - s)·t + s/C, as torch's cross_entropy does; whatever the loss makes of a
target, it makes of t'. Losses are means over the batch, computed in float32, or float64 if the logits are that.

p_v, the probability of a node, is the sum of the softmax over the classes below it; t_v likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.taxonomy.modelspec import NotNegative, Positive
from hiergen.training.hierarchy import Hierarchy, TreeFold


def make_loss(
    name: str, hierarchy: Hierarchy, *, smoothing: float = 0.0, weights: Tensor | None = None, **options: Any
) -> nn.Module:
    """The loss of that name, `(logits, targets) -> ()`, with options that `LOSSES` has for it.

    With `weights` `(C,)` an image's loss is multiplied by the weight of its class (of "bce", what a class says yes to).

    Raises HiergenError for an unknown name and values that cannot be, TypeError for an option of another loss.

    >>> loss = make_loss("hxe", Hierarchy.of(network), alpha=0.4, smoothing=0.1)
    >>> loss(network(images), targets).backward()
    """
    if name not in LOSSES:
        raise HiergenError(
            f"no loss is called {quoted(name)}", expected=f"one of {', '.join(LOSSES)}", nearest=nearest(name, LOSSES)
        )
    loss = LOSSES[name].make(hierarchy, smoothing=_number("smoothing", smoothing, below=1.0), **options)
    if weights is not None:
        loss.register_buffer("class_weights", weights.float(), persistent=False)
    return loss


class _Loss(nn.Module):
    """`class_weights` `(C,)`, where there are any, are what an image's loss is multiplied by."""

    class_weights: Tensor | None

    def __init__(self, *, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.register_buffer("class_weights", None, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits `(B, C)`, targets `(B,)` or `(B, C)` → `()`."""
        with torch.autocast(logits.device.type, enabled=False):
            return self._mean(_exact(logits), targets)

    def _mean(self, logits: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError

    def _aims(self, logits: Tensor, targets: Tensor, *, weighted: bool = True) -> Tensor:
        """Targets `(B, C)`, weighted and smoothed."""
        count = logits.shape[1]
        aims = (F.one_hot(targets, count) if targets.ndim == 1 else targets).to(logits.dtype)
        if weighted and self.class_weights is not None:
            aims = aims * self.class_weights.to(aims.dtype)
        if self.smoothing:
            aims = (1 - self.smoothing) * aims + self.smoothing / count * aims.sum(1, keepdim=True)
        return aims


class CrossEntropy(_Loss):
    """-Σ_c t_c ln p_c: torch's own."""

    def __init__(self, _: Hierarchy, *, smoothing: float = 0.0) -> None:
        super().__init__(smoothing=smoothing)

    def _mean(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.class_weights is not None:
            return -(self._aims(logits, targets) * F.log_softmax(logits, 1)).sum(1).mean()
        aims = targets if targets.ndim == 1 else targets.to(logits.dtype)
        return F.cross_entropy(logits, aims, label_smoothing=self.smoothing)


class BinaryCrossEntropy(_Loss):
    """-Σ_c (t_c ln σ(z_c) + (1 - t_c) ln(1 - σ(z_c))): a question of its own for each class, so that an image may have
    several or none. `class_weights` multiply the first part, as torch's `pos_weight`."""

    def __init__(self, _: Hierarchy, *, smoothing: float = 0.0) -> None:
        super().__init__(smoothing=smoothing)

    def _mean(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits.dtype)
        aims = self._aims(logits, targets, weighted=False)
        parts = F.binary_cross_entropy_with_logits(logits, aims, pos_weight=weights, reduction="none")
        return parts.sum(1).mean()


class _TreeLoss(_Loss):
    """A weighted sum over the tree's nodes: -mean_b Σ_v weight_v · …, the weights `(nodes,)`."""

    weight: Tensor

    def __init__(self, hierarchy: Hierarchy, weight: Tensor, *, smoothing: float) -> None:
        super().__init__(smoothing=smoothing)
        self.fold = TreeFold(hierarchy)
        self.register_buffer("weight", weight.float(), persistent=False)

    def _mean(self, exact: Tensor, targets: Tensor) -> Tensor:
        terms = self._terms(F.log_softmax(exact, 1), self._aims(exact, targets))
        return -(self.weight.to(exact.dtype) * terms).sum(1).mean()

    def _terms(self, logs: Tensor, aims: Tensor) -> Tensor:
        raise NotImplementedError


class LevelsLoss(_TreeLoss):
    """Cross-entropy on every level: -Σ_j w_j Σ_g t_g ln p_g over the groups g of level j, the w_j scaled to sum to 1.

    Level k is the classes' own cross-entropy. Raises HiergenError where classes lie at unequal depths, and for weights
    that cannot be.
    """

    def __init__(
        self, hierarchy: Hierarchy, *, level_weights: Sequence[float] | None = None, smoothing: float = 0.0
    ) -> None:
        depth = len(hierarchy.levels)
        if not depth:
            raise HiergenError("the loss 'levels' needs all classes at one depth", hint="use hxe or soft-labels")
        weights = [1.0] * depth
        if level_weights is not None:
            weights = [_number("a level's weight", weight) for weight in level_weights]
        if len(weights) != depth:
            raise HiergenError(
                "level_weights needs one weight for each level", expected=str(depth), got=str(len(weights))
            )
        if not sum(weights):
            raise HiergenError("the level weights are all 0", expected="at least one above 0")
        by_depth = torch.tensor([0.0, *weights], dtype=torch.float64) / sum(weights)
        super().__init__(hierarchy, by_depth[hierarchy.depths], smoothing=smoothing)

    def _terms(self, logs: Tensor, aims: Tensor) -> Tensor:
        return self.fold.sum(aims) * self.fold.logsumexp(logs)


class HierarchicalCrossEntropy(_TreeLoss):
    """HXE: -Σ_v λ_v t_v ln(p_v / p_parent(v)) over all nodes v but the root, λ_v = exp(-α·depth(v)); α = 0 is
    cross-entropy, a larger one cares less for what tells near classes apart.

    Source: Bertinetto et al., arXiv 1912.09393, section 3.1. The paper writes exp(-α·height); the authors' code
    (`get_exponential_weighting`) takes the distance from the root, as here. That code also divides all λ by their sum
    over the tree, a constant factor; here they are as written.
    """

    parents: Tensor

    def __init__(self, hierarchy: Hierarchy, *, alpha: float = 0.1, smoothing: float = 0.0) -> None:
        weight = torch.exp(-_number("alpha", alpha) * hierarchy.depths.double())
        super().__init__(hierarchy, weight, smoothing=smoothing)
        self.register_buffer("parents", hierarchy.parents, persistent=False)

    def _terms(self, logs: Tensor, aims: Tensor) -> Tensor:
        nodes = self.fold.logsumexp(logs)
        return self.fold.sum(aims) * (nodes - nodes.index_select(1, self.parents))  # 0 at the root, its own parent


class SoftLabels(_TreeLoss):
    """Cross-entropy against targets spread over near classes: -Σ_c t_c Σ_i q_ci ln p_i, q_ci = exp(-β·h_ci/H) / Σ_j
    exp(-β·h_cj/H), h_ci the LCA height of classes c and i and H the tree's; a large β is cross-entropy.

    Source: Bertinetto et al., arXiv 1912.09393, section 3.2. There is no C × C matrix: with f_v = exp(-β·height(v)/H)
    and u_c = t_c / Σ_j …, the loss is -Σ_v (f_v - f_parent(v)) · u_v · Σ_{i below v} ln p_i, with f_parent(root) = 0.
    """

    total: Tensor

    def __init__(self, hierarchy: Hierarchy, *, beta: float = 10.0, smoothing: float = 0.0) -> None:
        scale = _number("beta", beta) / max(1, hierarchy.height)
        near = torch.exp(-scale * hierarchy.heights.double())
        step = near - near[hierarchy.parents]
        step[hierarchy.root] = near[hierarchy.root]
        super().__init__(hierarchy, step, smoothing=smoothing)
        sizes = self.fold.sum(torch.ones(1, len(hierarchy), dtype=torch.float64))[0]
        padded = torch.cat([step * sizes, torch.zeros(1, dtype=torch.float64)])  # a path's -1 is the 0
        total = padded[hierarchy.root] + padded[hierarchy.paths].sum(1)
        self.register_buffer("total", total.float(), persistent=False)

    def _terms(self, logs: Tensor, aims: Tensor) -> Tensor:
        return self.fold.sum(aims / self.total.to(aims.dtype)) * self.fold.sum(logs)


class SetLoss(nn.Module):
    """A loss of images some of which are known to be of one of several classes, a group's: of these -ln Σ p_c over the
    group's classes, of the others `loss`. `sets` bool `(S, C)`: the classes of target C + i.

    With `weights` `(S,)` a group's loss is multiplied by its own.
    """

    sets: Tensor
    weights: Tensor

    def __init__(self, loss: nn.Module, sets: Tensor, *, weights: Tensor | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("sets", sets, persistent=False)
        self.register_buffer("weights", torch.ones(len(sets)) if weights is None else weights, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits `(B, C)`, targets `(B,)` of 0 … C + S - 1 → `()`."""
        vague = targets >= logits.shape[1]
        total = logits.new_zeros((), dtype=torch.promote_types(logits.dtype, torch.float32))
        if not vague.all():
            total = total + self.loss(logits[~vague], targets[~vague]) * (~vague).sum()
        if vague.any():
            group = targets[vague] - logits.shape[1]
            with torch.autocast(logits.device.type, enabled=False):
                inside = F.log_softmax(_exact(logits[vague]), 1).masked_fill(~self.sets[group], -torch.inf)
                total = total - (self.weights[group] * inside.logsumexp(1)).sum()
        return total / len(targets)


def _exact(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _number(name: str, value: float, *, below: float = math.inf) -> float:
    """A finite number from 0, less than `below`. Raises HiergenError for another."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < below:
        limit = "" if below == math.inf else f" and less than {below:g}"
        raise HiergenError(f"{name} cannot be {quoted(value)}", expected=f"a number from 0{limit}")
    return value


class LossKind(NamedTuple):
    """How a loss is made: `make(hierarchy, smoothing=…, **options)`. `options` are fields of a recipe's `loss`, as
    pydantic's `create_model` takes them; `help` says over what the loss is."""

    make: Callable[..., nn.Module]
    help: str
    options: Mapping[str, tuple[Any, Any]] = {}


# all that a recipe, its JSON schema, the checks and the docs know of losses
LOSSES: dict[str, LossKind] = {
    "cross-entropy": LossKind(CrossEntropy, "over all classes"),
    "bce": LossKind(BinaryCrossEntropy, "over each class by itself, yes or no, as images with several labels need it"),
    "hxe": LossKind(
        HierarchicalCrossEntropy,
        "over the steps from each group to its members",
        {"alpha": (NotNegative, Field(default=0.1, description="Of `hxe`; 0 is cross-entropy."))},
    ),
    "soft-labels": LossKind(
        SoftLabels,
        "against targets that near classes share",
        {"beta": (Positive, Field(default=10.0, description="Of `soft-labels`; a large one is cross-entropy."))},
    ),
    "levels": LossKind(
        LevelsLoss,
        "over the groups of every level",
        {
            "level_weights": (
                tuple[NotNegative, ...] | None,
                Field(
                    default=None,
                    description="Of `levels`: one for each level, scaled to sum to 1. Default: equal.",
                    examples=[[1, 1, 2]],
                ),
            )
        },
    ),
}
