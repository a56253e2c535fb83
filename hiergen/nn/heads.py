"""One logit per class from its own branch's features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hiergen.nn.arguments import parent_indices, positive
from hiergen.nn.siblings import Gather


class ClassHeads(nn.Module):
    """Class i's linear layer with ONE output: pooled features `(B, N, C)` to logits `(B, classes)`.

    Class i reads row `parents[i]`; without `parents` it reads row i, and N must equal `classes`. Init as `nn.Linear`.
    `ClassHeads(n, C, parents=[0] * n)` after one branch is the paper's control PHL1branch, an ordinary classifier.
    Raises ValueError for numbers that cannot be.
    """

    def __init__(self, classes: int, in_channels: int, parents: Sequence[int] | None = None) -> None:
        super().__init__()
        positive("ClassHeads", classes=classes, in_channels=in_channels)
        self.classes, self.in_channels = classes, in_channels
        self.parents = None if parents is None else parent_indices("ClassHeads", parents, classes)
        self.gather = None if self.parents is None else Gather(self.parents)
        self.weight = nn.Parameter(torch.empty(classes, in_channels))
        self.bias = nn.Parameter(torch.empty(classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Init of `nn.Linear(in_channels, 1)` for every class."""
        bound = 1 / math.sqrt(self.in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        count: object = "N" if self.gather else self.classes
        fits = x.ndim == 3 and x.shape[2] == self.in_channels
        if not fits or (self.gather is None and x.shape[1] != self.classes):
            raise ValueError(f"expected (B, {count}, {self.in_channels}), got {tuple(x.shape)}")
        if self.gather is not None:
            x = self.gather(x)
        # (classes, B, C) @ (classes, C, 1)
        return torch.baddbmm(self.bias[:, None, None], x.transpose(0, 1), self.weight[:, :, None])[..., 0].T

    def extra_repr(self) -> str:
        return f"{self.classes} classes, {self.in_channels} -> 1"
