"""What single branches make of images: their feature maps, and where in them a class's score comes from (Grad-CAM).

Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
Eqs. 1 and 2, with the maps of a branch for the last convolutional layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hiergen.errors import HiergenError, quoted
from hiergen.lookup.choose import find_terms, read_term
from hiergen.lookup.select import Node
from hiergen.nn.gains import node_gains
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import route

Gains = Mapping[int | str, float]


@dataclass(frozen=True)
class BranchMaps:
    """Of one branch: its maps `(B, C, H, W)`, the score `(B,)` (the summed logits of `classes`, indices), and the heat
    `(B, H, W)`, at least 0, that Grad-CAM gives for it."""

    node: Node
    classes: tuple[int, ...]
    maps: Tensor
    score: Tensor
    heat: Tensor


def branch_maps(
    network: HierarchicalNetwork,
    images: Tensor,
    nodes: Sequence[Node],
    *,
    gains: Gains | None = None,
    after: int | None = None,
) -> list[BranchMaps]:
    """Maps and heat of branches for images `(B, 3, H, W)`; only the paths to them run.

    A class's score is its logit before the softmax, a group's the sum of its classes' logits. `gains` and `after` are
    those of `HierarchicalNetwork.attend`. The trunk needs no gradient, and no parameter's is touched.
    Raises HiergenError for a network in training mode or with one branch for all classes, and as `attend` does.

    >>> maps = branch_maps(network, images, network.selector.nodes("dog"))
    """
    if network.training:
        raise HiergenError("maps in training mode are those of the whole batch", hint="model.eval()")
    if network.levels[-1].branches < network.num_classes:
        raise HiergenError(f"{type(network).__name__} has one branch for all classes, and so no branches to compare")
    of_node = [network.nesting.members(node.level, node.branch) for node in nodes]
    taken = route(network, tuple(sorted({c for classes in of_node for c in classes})))
    gained = node_gains(network, gains, after, network._gains) if gains else network._gains
    with torch.no_grad():
        x = network.trunk(images)
    with torch.enable_grad():
        x = x.detach().requires_grad_()  # a gradient also where all parameters are frozen
        levels: list[Tensor] = []
        for j, level in enumerate(network.levels):
            branches, rows = taken.levels[j]
            level_gains, at = gained.of_level(j) if gained else (None, None)
            x = level(x, branches=branches, maps=rows, gains=level_gains, after=at)
            levels.append(x)
        logits = network.head(x.mean((-2, -1)), classes=taken.classes, rows=taken.rows)
        return [
            _branch(node, classes, levels[node.level - 1], taken.levels[node.level - 1][0], logits, taken.classes)
            for node, classes in zip(nodes, of_node, strict=True)
        ]


def _branch(
    node: Node, classes: tuple[int, ...], level: Tensor, branches: tuple[int, ...], logits: Tensor, of: tuple[int, ...]
) -> BranchMaps:
    row = branches.index(node.branch)
    score = logits[:, [of.index(c) for c in classes]].sum(1)
    (gradient,) = torch.autograd.grad(score.sum(), level, retain_graph=True)  # images do not see each other
    maps = level.detach()[:, row]
    weights = gradient[:, row].mean((-2, -1), keepdim=True)  # Eq. 1: α, the mean of ∂y/∂A over the map
    heat = (weights * maps).sum(1).relu()  # Eq. 2
    return BranchMaps(node, classes, maps, score.detach(), heat)


def typed_nodes(network: HierarchicalNetwork, typed: Sequence[str]) -> list[Node]:
    """The branches that are typed, as "cat,dog" or one by one. Raises HiergenError for unknown names, and for a word
    that is several branches."""
    chosen = []
    for term in find_terms(network.selector, typed):
        nodes = network.selector.nodes(read_term(network.selector, term))
        if len(nodes) > 1:
            raise HiergenError(
                f"{quoted(term)} is {len(nodes)} branches",
                expected="one group or class",
                hint=f"such as {', '.join(quoted(node.name) for node in nodes[:3])}",
            )
        chosen += [nodes[0]] if nodes[0] not in chosen else []
    if not chosen:
        raise HiergenError("an empty branch name", expected="a class id, a class or group name")
    return chosen


def best_classes(network: HierarchicalNetwork, images: Tensor, count: int) -> list[tuple[int, float]]:
    """(class, probability) of the likeliest classes of the first image."""
    with torch.no_grad():
        shares = network(images[:1]).float().softmax(1)[0]
    values, classes = shares.topk(min(count, len(shares)))
    return list(zip(classes.tolist(), values.tolist(), strict=True))
