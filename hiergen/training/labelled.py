"""What the training images' labels are to a recipe: those it cannot take, and what each class weighs."""

from __future__ import annotations

import torch
from torch import Tensor

from hiergen.data.images import LabelSets
from hiergen.errors import HiergenError, quoted
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.recipe import Recipe


def check_labels(labels: LabelSets | None, recipe: Recipe, *, taught: bool, flat: bool = False) -> LabelSets | None:
    """What targets mean that are no class. Raises HiergenError where a recipe wants the class of every image."""
    if labels is None:
        return None
    what = "images with several labels" if labels.several else "images known to a group only"
    for there, key in (
        (recipe.augment.mixes, "mixup and cutmix"),
        (recipe.negatives is not None, "'negatives'"),
        (labels.several and taught, "a teacher"),
        (labels.several and flat, "--flat"),
        (labels.several and recipe.branches == "scored", "'branches: scored'"),
        (labels.several and recipe.balanced, "'balanced'"),
        (labels.several and recipe.reject is not None, "'reject'"),
    ):
        if there:
            hint = "--set flat_epochs=0 --set branches=backbone" if key in ("--flat", "'branches: scored'") else None
            raise HiergenError(f"{key} cannot be with {what}", expected="the class of every image", hint=hint)
    if labels.several != (recipe.loss.name == "bce"):
        wanted = "--set loss.name=bce" if labels.several else "--set loss.name=cross-entropy"
        raise HiergenError(f"the loss {quoted(recipe.loss.name)} cannot be with {what}", hint=wanted)
    return labels


def class_weights(
    network: HierarchicalNetwork, recipe: Recipe, targets: Tensor, labels: LabelSets | None = None
) -> Tensor | None:
    """What each class's loss is multiplied by, `(classes,)`, from the training images' targets `(N,)`. Raises
    HiergenError for a class that is not there."""
    wanted, count = recipe.loss.class_weights, network.num_classes
    if wanted is None:
        return None
    if wanted == "auto":
        if labels is not None and labels.several:
            images = labels.table()[targets].sum(0)
        else:
            targets = targets[targets < count]  # of the others the class is not known
            images = torch.bincount(targets, minlength=count)
        if recipe.loss.name == "bce":
            return (len(targets) - images) / images.clamp(min=1)
        return len(targets) / (count * images.clamp(min=1))
    weights = torch.ones(count)
    for term, weight in wanted.items():
        weights[list(network.selector.classes([term]))] = weight
    return weights
