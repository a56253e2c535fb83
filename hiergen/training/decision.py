"""From logits to a class: the likeliest, or the one with the least expected distance in the tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.training.hierarchy import Hierarchy, TreeFold, blocks


def likeliest(_: Hierarchy) -> Callable[[Tensor], Tensor]:
    """What argmax ranks by: the logits themselves. Their softmax would make ties."""
    return lambda logits: logits


class Risk:
    """What crm ranks by, `(B, C)` from logits `(B, C)`: H - Σ_j h_ij p_j, h_ij the height of the lowest common ancestor
    of classes i and j, H the root's; larger is better. -inf, a class that does not compete, stays -inf.

    No C × C matrix: it is Σ over the nodes v on the path of class i, without the root, of
    (height(parent(v)) - height(v)) · p_v.
    Source: Karthik et al., "No Cost Likelihood Manipulation at Test Time for Making Better Mistakes in Deep Networks",
    arXiv 2104.00795.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._fold = TreeFold(hierarchy)
        self._steps = (hierarchy.heights[hierarchy.parents] - hierarchy.heights).double()  # 0 at the root
        # where a path is over, it adds the root's 0
        self._paths = torch.where(hierarchy.paths < 0, hierarchy.root, hierarchy.paths).T.contiguous()

    def __call__(self, logits: Tensor) -> Tensor:
        probabilities = logits.double().softmax(1)
        gained = self._fold.sum(probabilities).T * self._steps[:, None]
        total = torch.zeros_like(probabilities.T)
        for nodes in self._paths:
            total += gained.index_select(0, nodes)
        return total.T.contiguous().masked_fill(logits == -torch.inf, -torch.inf)


class DecisionRule(NamedTuple):
    """`make(hierarchy)` gives what turns logits `(B, C)` into what classes are ranked by, largest first."""

    make: Callable[[Hierarchy], Callable[[Tensor], Tensor]]
    help: str


RULES: dict[str, DecisionRule] = {
    "argmax": DecisionRule(likeliest, "the likeliest"),
    "crm": DecisionRule(Risk, "the least expected distance in the tree"),
}


def ranking(scores: Tensor, k: int) -> Tensor:
    """Indices `(N, k)` of the k largest scores of each row, largest first; of equal ones the first."""
    if k == 1:
        return scores.argmax(1, keepdim=True)
    width = min(k + 1, scores.shape[1])
    values, order = scores.topk(width, dim=1)
    # topk may order equal scores in any way, also those just before and after its end
    if (tied := (values[:, 1:] == values[:, :-1]).any(1)).any():
        order[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :width]
    return order[:, :k]


def check_rule(rule: str) -> None:
    """Raise HiergenError for an unknown rule."""
    if rule not in RULES:
        raise HiergenError(
            f"no decision rule is called {quoted(rule)}",
            expected=f"one of {', '.join(RULES)}",
            nearest=nearest(rule, RULES),
        )


def check_scores(scores: Tensor, hierarchy: Hierarchy) -> None:
    """Raise HiergenError for scores of another shape than `(N, C)`, and for rows that say nothing."""
    if scores.ndim != 2 or scores.shape[1] != len(hierarchy):
        raise HiergenError(
            "logits and class tree do not fit", expected=f"(N, {len(hierarchy)})", got=f"{tuple(scores.shape)}"
        )
    for rows in blocks(*scores.shape):
        best = scores[rows].amax(1)  # NaN wins
        if not (fine := best.isfinite()).all():
            row = int((~fine).nonzero()[0]) + rows.start
            raise HiergenError(
                f"the logits of image {row} hold no decision",
                expected="finite numbers (-inf for classes that do not compete)",
                got=f"{float(scores[row].amax())} as the largest",
                hint="the weights, or a training at half precision, may have gone astray",
            )
