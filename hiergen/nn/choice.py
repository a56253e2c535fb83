"""Which groups to run, from their probabilities; pure functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hiergen.errors import HiergenError


def within_threshold(probabilities: Tensor, threshold: float) -> Tensor:
    """`(B, G)` to a bool mask: the likeliest groups, until their sum reaches `threshold`; at 1 all, at 0 one.

    Raises HiergenError for a threshold outside 0 … 1.
    """
    if isinstance(threshold, bool) or not 0 <= threshold <= 1:
        raise HiergenError("the threshold is a probability", expected="0 to 1", got=f"{threshold:g}")
    if threshold == 1:  # by rounding a sum can reach 1 early
        return torch.ones_like(probabilities, dtype=torch.bool)
    ordered, order = probabilities.sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(1) - ordered
    run = before < threshold
    run[:, 0] = True
    return torch.zeros_like(run).scatter(1, order, run)


def within_budget(probabilities: Tensor, costs: Sequence[int], budget: float, *, base: int = 0) -> Tensor:
    """`(B, G)` to a bool mask: what `budget` buys by probability per cost, after `base`; one group at least.

    Greedy, or the likeliest group that fits where that alone has more probability, which together are never below half
    of the best choice. Raises HiergenError for a budget that no group fits in.
    """
    rest = budget - base
    if not rest >= min(costs):
        raise HiergenError(
            "the budget buys no group",
            expected=f"{base + min(costs):,} MACs or more ({base:,} of them for what always runs)",
            got=f"{budget:,.0f}",
        )
    price = torch.tensor(costs, dtype=torch.float64, device=probabilities.device)
    order = (probabilities / price).sort(dim=1, descending=True, stable=True).indices
    run = torch.zeros_like(probabilities, dtype=torch.bool)
    spent = torch.zeros_like(probabilities[:, :1])
    for chosen in order.unbind(1):
        column = chosen[:, None]
        cost = price[column]
        fits = spent + cost <= rest
        spent = spent + fits * cost
        run.scatter_(1, column, fits)
    single = probabilities.masked_fill(price > rest, -1).max(1, keepdim=True)
    alone = single.values > (probabilities * run).sum(1, keepdim=True)
    only = torch.zeros_like(run).scatter(1, single.indices, True)
    return torch.where(alone, only, run)
