"""Coarse first, then only what matters: scores of the groups decide, by image, which subtrees run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from hiergen.errors import HiergenError, quoted
from hiergen.nn.heads import ClassHeads
from hiergen.nn.macs import Macs, network_macs
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import Routed, descend, descend_some, homes_of, needed_samples, routed_heads

Score: TypeAlias = Literal["heads", "classes"]
# of the heads' fit: weight of the L2 term on standardized features, and steps of L-BFGS, which is past convergence
_L2, _STEPS = 1e-3, 200


class Answer(NamedTuple):
    """`logits` `(B, classes)`, -inf where not run; `macs` `(B,)` spent; `groups` `(B, G)`, True where run."""

    logits: Tensor
    macs: Tensor
    groups: Tensor


class CoarseFirst:
    """Runs the trunk and the levels down to `level`, scores the groups there, then the subtrees that matter.

    The score of a group stands for the log-sum-exp of its classes' logits, so that a softmax over the scores is what
    the full network believes of the groups. `score="heads"`: one linear layer per group, on the pooled maps of its
    branch, which exist by then; `fit` it first. `score="classes"`: the log-sum-exp itself, an oracle for analysis:
    everything is computed, and `macs` are what a gate as good and free of cost would spend.
    The network is used as it is, in eval mode; gains of `attend` act. Raises HiergenError for a level without
    groups.

    >>> coarse = CoarseFirst(network).fit([images])
    >>> logits, macs, groups = coarse(images, threshold=0.95)
    """

    def __init__(self, network: HierarchicalNetwork, level: int = 1, *, score: Score = "heads") -> None:
        last = len(network.levels)
        name = type(network).__name__
        if last < 2:
            raise HiergenError(
                f"{name} has no groups: every class branches straight off the trunk",
                expected="a network of 2 levels or more, such as N2HL",
            )
        if network.form != "specialists":
            raise HiergenError(
                "coarse first goes through the branches of groups",
                expected="the form 'specialists'",
                got=quoted(network.form),
            )
        if type(level) is not int or not 1 <= level < last:
            raise HiergenError(f"{name} has no level of groups {level!r}", expected=f"1..{last - 1}")
        if score not in ("heads", "classes"):
            raise HiergenError(f"no score {quoted(score)}", expected="'heads' or 'classes'")
        self.network, self.level, self.score = network, level, score
        self.groups = network.nesting.names(level)
        self.costs = network_macs(network)
        weight = network.head.weight
        self.heads = ClassHeads(len(self.groups), network.levels[level - 1].out_channels).to(
            weight.device, weight.dtype
        )
        self.heads.requires_grad_(False)
        self.fitted = False
        self._home = homes_of(network, level)
        head_macs = self.heads.in_channels * len(self.groups) if score == "heads" else 0
        self.base_macs = _base(network, self.costs, level) + head_macs
        self.group_macs = _by_group(network, self.costs, level)

    @torch.no_grad()
    def __call__(self, x: Tensor, *, threshold: float | None = None, budget: float | None = None) -> Answer:
        """Run an image's best groups until their probability reaches `threshold` (0 … 1), or what a `budget` of MACs
        per image buys, the base included; one group at least. Threshold 1 gives the full network's logits exactly.

        Raises HiergenError unless exactly one of the two is given, for a budget below the cheapest group, and before
        `fit`.
        """
        self._check()
        maps = self._down(x)
        full = self._finish(maps) if self.score == "classes" else None
        groups = self.choose(self._scores(maps, full), threshold=threshold, budget=budget)
        macs = self.spent(groups)
        if full is not None:
            return Answer(full.masked_fill(~self.classes_of(groups), float("-inf")), macs, groups)
        if bool(groups.all()):
            return Answer(self._finish(maps), macs, groups)
        return Answer(self._some(maps, self.classes_of(groups)), macs, groups)

    def choose(self, scores: Tensor, *, threshold: float | None = None, budget: float | None = None) -> Tensor:
        """Scores `(B, G)` to a mask `(B, G)` of the groups to run. Raises HiergenError as a call does."""
        probabilities = scores.double().softmax(1)
        if threshold is not None and budget is None:
            return within_threshold(probabilities, threshold)
        if budget is not None and threshold is None:
            return within_budget(probabilities, self.group_macs, budget, base=self.base_macs)
        got = "neither" if threshold is None else "both"
        raise HiergenError("what to run is not said", expected="threshold or budget", got=got)

    def spent(self, groups: Tensor) -> Tensor:
        """MACs `(B,)` of images that run these groups, `(B, G)`."""
        costs = torch.tensor(self.group_macs, device=groups.device)
        return self.base_macs + (groups * costs).sum(1)

    def classes_of(self, groups: Tensor) -> Tensor:
        """Mask of groups `(B, G)` to mask of their classes `(B, classes)`."""
        return groups[:, list(self._home)]

    @torch.no_grad()
    def explain(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the groups `(B, G)` and the full network's logits `(B, classes)`, for studies; all is run."""
        self._check()
        maps = self._down(x)
        full = self._finish(maps)
        return self._scores(maps, full), full

    def fit(self, loader: Iterable[Tensor | Sequence[Tensor]]) -> CoarseFirst:
        """Fit the group heads to the full network on images `(B, 3, H, W)`; labels are not looked at.

        Minimizes the cross-entropy between the full network's probabilities of the groups and the heads', a convex
        problem: the same images give the same heads. Raises HiergenError without images, or where logits are not
        finite.
        """
        self.network.eval()
        pooled, wanted = [], []
        with torch.no_grad():
            for item in loader:
                maps = self._down(item if isinstance(item, Tensor) else item[0])
                pooled.append(maps.mean((-2, -1)).double())
                wanted.append(self.sums(self._finish(maps)).double().softmax(1))
        if not pooled:
            raise HiergenError("no images to fit the group heads on")
        features, targets = torch.cat(pooled), torch.cat(wanted)
        if not bool(targets.isfinite().all()):
            raise HiergenError("the network's logits are not finite, so no group heads can be fitted")
        weight, bias = _fitted(features, targets)
        self.heads.weight.copy_(weight)
        self.heads.bias.copy_(bias)
        self.fitted = True
        return self

    def sums(self, logits: Tensor) -> Tensor:
        """Log-sum-exp of each group's logits: `(B, classes)` to `(B, G)`."""
        members = [[c for c, home in enumerate(self._home) if home == g] for g in range(len(self.groups))]
        return torch.stack([logits[:, inside].logsumexp(1) for inside in members], 1)

    # inner

    def _check(self) -> None:
        if self.network.training:
            raise HiergenError("each image runs its own paths, which batch statistics cannot", hint="model.eval()")
        if self.network.active is not None:
            raise HiergenError("coarse-first chooses the classes by itself", expected="model.active = None")
        if self.score == "heads" and not self.fitted:
            raise HiergenError("the group heads are not fitted", hint="call fit(loader), or load what was saved")

    def _down(self, x: Tensor) -> Tensor:
        """Images to the maps of `level`, `(B, G, C, H, W)`."""
        return descend(self.network, self.network.trunk(x), 0, self.level)

    def _finish(self, maps: Tensor) -> Tensor:
        """All that lies below, as the full network runs it."""
        logits: Tensor = self.network.head(descend(self.network, maps, self.level))
        return logits

    def _scores(self, maps: Tensor, full: Tensor | None) -> Tensor:
        if self.score == "classes":
            assert full is not None
            return self.sums(full)
        scores: Tensor = self.heads(maps.mean((-2, -1)))
        return scores

    def _some(self, maps: Tensor, classes: Tensor) -> Tensor:
        """Below `level`, each image through its own subtrees only."""
        everyone = tuple(range(len(maps)))
        rows: Routed = {g: (everyone, maps[:, g].permute(0, 2, 3, 1)) for g in range(maps.shape[1])}
        needed = needed_samples(self.network, classes)
        return routed_heads(self.network, descend_some(self.network, rows, needed, self.level), classes)


def _fitted(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Weights `(G, C)` and bias `(G,)` from features `(N, G, C)` and probabilities `(N, G)`, all float64."""
    mean, spread = features.mean(0), features.std(0, correction=0)
    scale = torch.where(spread > 0, spread, 1.0)  # a channel that never changes weighs nothing
    x = (features - mean) / scale
    weight = torch.zeros_like(mean, requires_grad=True)
    bias = torch.zeros_like(mean[:, 0], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = (x * weight).sum(2) + bias
        value = F.cross_entropy(scores, targets) + _L2 * weight.square().sum() + _L2 * bias.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    folded = weight.detach() / scale
    return folded, bias.detach() - (folded * mean).sum(1)


def _base(network: HierarchicalNetwork, costs: Macs, level: int) -> int:
    """MACs of the trunk and the levels down to `level`."""
    above = zip(network.levels[:level], costs.branches, strict=False)
    return costs.trunk + sum(siblings.branches * macs for siblings, macs in above)


def _by_group(network: HierarchicalNetwork, costs: Macs, level: int) -> tuple[int, ...]:
    """MACs of what lies below each group of `level`."""
    columns, homes = [], homes_of(network, level)
    for g in range(network.levels[level - 1].branches):
        total, branches = 0, {g}
        for j in range(level, len(network.levels)):
            branches = {i for i, parent in enumerate(network.levels[j].parents or ()) if parent in branches}
            total += len(branches) * costs.branches[j]
        columns.append(total + homes.count(g) * costs.head)
    return tuple(columns)


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
