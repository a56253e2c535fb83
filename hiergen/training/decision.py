"""From logits to a class: the likeliest, or the one with the least expected distance in the tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hiergen.errors import HiergenError, nearest, quoted
from hiergen.training.fold import TreeFold
from hiergen.training.hierarchy import Hierarchy, blocks


class Decision(NamedTuple):
    """`predictions` `(N,)`; `ranking` `(N, k)`: the best k classes, best first; its first column is the prediction."""

    predictions: Tensor
    ranking: Tensor


def decide(
    scores: Tensor, hierarchy: Hierarchy, rule: str = "argmax", *, k: int = 1, probabilities: bool = False
) -> Decision:
    """The classes predicted for logits (or, if so said, probabilities) `(N, C)`, as indices on the same device.

    `argmax` takes the likeliest class. `crm` takes the class i with the least expected LCA height Σ_j h_ij p_j, and
    ranks by it. Of equal classes the first one wins. `k` beyond C means all. Raises HiergenError for an unknown rule,
    another number of classes, and scores that say nothing (NaN, +inf, or all -inf).
    Source of crm: Karthik et al., "No Cost Likelihood Manipulation at Test Time for Making Better Mistakes in Deep
    Networks", arXiv 2104.00795.

    >>> predictions, ranking = decide(network(images), Hierarchy.of(network), "crm", k=5)
    """
    check_rule(rule)
    check_scores(scores, hierarchy)
    count = len(hierarchy)
    ranked_by = RULES[rule].make(hierarchy).to(scores.device)
    ranked = []
    # on a CPU a block shall fit into its cache
    for rows in blocks(scores.shape[0], (64 if scores.device.type == "cpu" else 2) * len(hierarchy.names)):
        part = scores[rows]
        part = ranked_by(exact(part)) if probabilities else ranked_by.of_logits(part)
        ranked.append(ranking(part, min(k, count)))
    empty = torch.empty(0, min(k, count), dtype=torch.long, device=scores.device)
    whole = torch.cat([empty, *ranked])
    return Decision(whole[:, 0], whole)


class Likeliest(torch.nn.Module):
    """What argmax ranks by: the scores themselves. Their softmax would make ties."""

    def __init__(self, _: Hierarchy) -> None:
        super().__init__()

    def forward(self, probabilities: Tensor) -> Tensor:
        return probabilities

    def of_logits(self, logits: Tensor) -> Tensor:
        """From logits."""
        return logits


class Risk(torch.nn.Module):
    """What crm ranks by, `(B, C)` from probabilities `(B, C)`: H - Σ_j h_ij p_j, H the root's height; larger is better.

    No C × C matrix: it is Σ over the nodes v on the path of class i, without the root, of
    (height(parent(v)) - height(v)) · p_v.
    """

    steps: Tensor
    paths: Tensor

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        self.fold = TreeFold(hierarchy)
        steps = (hierarchy.heights[hierarchy.parents] - hierarchy.heights).float()  # 0 at the root
        self.register_buffer("steps", steps, persistent=False)
        # where a path is over, it adds the root's 0
        paths = torch.where(hierarchy.paths < 0, hierarchy.root, hierarchy.paths)
        self.register_buffer("paths", paths.T.contiguous(), persistent=False)

    def forward(self, probabilities: Tensor) -> Tensor:
        gained = self.fold.sum(probabilities).T * self.steps.to(probabilities.dtype)[:, None]
        total = torch.zeros_like(probabilities.T)
        for nodes in self.paths:
            total += gained.index_select(0, nodes)
        return total.T.contiguous()

    def of_logits(self, logits: Tensor) -> Tensor:
        """From logits; -inf, a class that does not compete, stays -inf."""
        return self(exact(logits).softmax(1)).masked_fill(logits == -torch.inf, -torch.inf)  # type: ignore[no-any-return]


class DecisionRule(NamedTuple):
    """`make(hierarchy)` gives what classes are ranked by, largest first."""

    make: Callable[[Hierarchy], Likeliest | Risk]
    help: str


RULES: dict[str, DecisionRule] = {
    "argmax": DecisionRule(Likeliest, "the likeliest"),
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


def exact(scores: Tensor) -> Tensor:
    """In float64, where the device has it."""
    return scores.float() if scores.device.type == "mps" else scores.double()


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
