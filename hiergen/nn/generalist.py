"""A branch for all classes beside those of groups and classes: the cheap answer, which specialists may better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from hiergen.nn.heads import ClassHeads
from hiergen.nn.siblings import Siblings
from hiergen.nn.stage import StageRecipe, parent_indices, positive

Form: TypeAlias = Literal["specialists", "generalist", "both", "flat"]
FORMS: tuple[Form, ...] = ("specialists", "generalist", "both", "flat")
ONE_BRANCH: tuple[Form, ...] = ("generalist", "flat")  # for all classes


class Generalist(nn.Module):
    """One branch and a classifier of all classes: the trunk's maps `(B, C, H, W)` to logits `(B, classes)`.

    `gains` `(groups,)` say how much of a group's specialist the form "both" adds; they are 0 at first. The network that
    holds it may be a cutout: then `columns` are the logits that it answers with, and `homes` each logit's group, a
    number below 0 for one without a specialist.
    Raises ValueError for numbers that cannot be.

    >>> generalist = Generalist([PointwiseConvs(320, 1280)], 100, groups=13)  # (B, 320, 7, 7) -> (B, 100)
    """

    def __init__(
        self,
        stages: Sequence[StageRecipe],
        classes: int,
        *,
        groups: int,
        columns: Sequence[int] | None = None,
        homes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        positive("Generalist", classes=classes, groups=groups)
        self.tail = Siblings(1, stages)
        self.head = ClassHeads(classes, self.tail.out_channels, parents=[0] * classes)
        self.gains = nn.Parameter(torch.zeros(groups))
        self.columns = None if columns is None else parent_indices("Generalist", columns, len(columns))
        if homes is not None and len(homes) != classes:
            raise ValueError(f"Generalist: expected a home for each of {classes} classes, got {len(homes)}")
        self.homes = None if homes is None else tuple(homes)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits of all its classes."""
        logits: Tensor = self.head(self.tail(maps, pool=True))
        return logits

    def answered(self, logits: Tensor) -> Tensor:
        """Of all logits those that the network answers with."""
        return logits if self.columns is None else logits[:, list(self.columns)]

    def likeliest(self, logits: Tensor, homes: Sequence[int]) -> Tensor:
        """The group `(B,)` with the largest share of the softmax of all logits."""
        group = torch.tensor(homes, device=logits.device)
        ids = sorted(set(homes))
        shares = torch.stack([logits.masked_fill(group != i, float("-inf")).logsumexp(1) for i in ids], 1)
        return torch.tensor(ids, device=logits.device)[shares.argmax(1)]

    def extra_repr(self) -> str:
        return f"{len(self.gains)} groups" + ("" if self.columns is None else f", answers {len(self.columns)} classes")
