"""Learning from a teacher, the fine-tuned flat network, and specialists that run on a part of the images only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.training.recipe import Distillation


class GroupLoss(nn.Module):
    """Cross-entropy over the classes that an image's groups have, and a teacher's word on each of these groups.

    `homes` is each class's group, `weights` what an image's cross-entropy is multiplied by, by target. `table` bool
    `(targets, C)`: the classes of each target, where some images are known to be of one of several. Of the groups that
    run on an image its own counts as much as the others together:

        CE + kl · T² · (KL_own + mean of KL_other) + l1 · mean |z - t|

    with KL between the teacher's and the network's softmax within a group at temperature T, and L1 between raw logits
    (Pool of Experts, Kim and Choi, SIGMOD 2021). One group of all classes gives Hinton's loss (arXiv 1503.02531).
    """

    home: Tensor
    member: Tensor
    class_weights: Tensor | None
    table: Tensor | None

    def __init__(
        self,
        homes: Sequence[int],
        distillation: Distillation,
        *,
        smoothing: float = 0.0,
        weights: Tensor | None = None,
        table: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("table", table, persistent=False)
        self.settings, self.smoothing = distillation, smoothing
        self.register_buffer("class_weights", weights, persistent=False)
        self.register_buffer("home", torch.tensor(homes), persistent=False)
        self.register_buffer("member", F.one_hot(self.home).float(), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, taught: Tensor | None = None) -> Tensor:
        """Logits `(B, C)`, -inf where a group did not run, targets `(B,)`, the teacher's logits `(B, C)` → `()`."""
        with torch.autocast(logits.device.type, enabled=False):
            z = logits.float()
            ran = z.isfinite()
            loss = self._cross_entropy(z, ran, targets)
            if taught is None:
                return loss
            t, z, s = taught.float(), z.masked_fill(~ran, 0.0), self.settings
            if s.kl:
                loss = loss + s.kl * self._divergence(z, t, ran, targets)
            if s.l1:
                loss = loss + s.l1 * ((z - t).abs() * ran).sum() / ran.sum()
            return loss

    def _cross_entropy(self, z: Tensor, ran: Tensor, targets: Tensor) -> Tensor:
        logs = F.log_softmax(z, 1)
        if self.table is None:
            loss = -logs.gather(1, targets[:, None])[:, 0]
        else:
            loss = -logs.masked_fill(~self.table[targets], -torch.inf).logsumexp(1)
        if self.smoothing:
            spread = -logs.masked_fill(~ran, 0.0).sum(1) / ran.sum(1)
            smooth = (1 - self.smoothing) * loss + self.smoothing * spread
            loss = torch.where(targets < z.shape[1], smooth, loss)  # what is known to a group only is vague already
        if self.class_weights is not None:
            loss = loss * self.class_weights[targets]
        return loss.mean()

    def _divergence(self, z: Tensor, t: Tensor, ran: Tensor, targets: Tensor) -> Tensor:
        temperature = self.settings.temperature
        ours, theirs = self._log_softmax(z / temperature), self._log_softmax(t / temperature)
        by_group = (theirs.exp() * (theirs - ours)) @ self.member
        runs = (ran.float() @ self.member > 0).float()
        if self.table is None:
            own = F.one_hot(self.home[targets], self.member.shape[1]).float()
        else:
            own = (self.table[targets].float() @ self.member > 0).float()
        others = runs - own
        weight = own + others / others.sum(1, keepdim=True).clamp(min=1)
        return temperature**2 * (weight * by_group).sum(1).mean()

    def _log_softmax(self, z: Tensor) -> Tensor:
        """Within each group."""
        top = z.new_full((len(z), self.member.shape[1]), float("-inf"))
        top = top.scatter_reduce(1, self.home.expand_as(z), z.detach(), "amax")
        centred = z - top[:, self.home]
        return centred - (centred.exp() @ self.member).log()[:, self.home]


def draw_groups(homes: Tensor, targets: Tensor, negatives: int) -> Tensor:
    """Which classes run on each image `(B, C)`: those of its own group and of so many others, drawn at random."""
    groups = int(homes.max()) + 1
    chance = torch.rand(len(targets), groups, device=targets.device)
    chance[torch.arange(len(targets), device=targets.device), homes[targets]] = 2.0
    chosen = torch.zeros_like(chance, dtype=torch.bool)
    chosen.scatter_(1, chance.topk(min(negatives + 1, groups), 1).indices, True)
    return chosen[:, homes]
