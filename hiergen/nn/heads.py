"""One logit per class from its own branch's features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from hiergen.nn.stage import parent_indices, positive


class Gather(nn.Module):
    """Hands every class its branch's row: `(B, P, C)` to `(B, N, C)`.

    `parents` is the truth; the index tensor beside it only follows the module from device to device and is no part of
    the state dict.
    """

    index: Tensor

    def __init__(self, parents: tuple[int, ...]) -> None:
        super().__init__()
        self.parents = parents
        self.register_buffer("index", torch.tensor(parents), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] <= max(self.parents):
            raise ValueError(f"expected a map of {max(self.parents) + 1} parents or more, got {x.shape[1]}")
        if self.parents == tuple(range(x.shape[1])):
            return x
        if x.shape[1] == 1:
            return x.expand(-1, len(self.parents), -1)  # no copies: a third of the time of 100 classes' rows
        return x.index_select(1, self.index)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        was_meta = self.index.is_meta
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if was_meta and not self.index.is_meta:  # to_empty() leaves a buffer without values
            self.index.copy_(torch.tensor(self.parents, device="cpu"))
        return self

    def extra_repr(self) -> str:
        return f"{max(self.parents) + 1} -> {len(self.parents)}"


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

    def forward(self, x: Tensor, *, classes: Sequence[int] | None = None, rows: Sequence[int] | None = None) -> Tensor:
        """`(B, N, C)` to `(B, classes)`, or to the logits of the chosen `classes` only, which read `rows` of x."""
        if classes is not None and rows is not None:
            if x.ndim != 3 or x.shape[1:] != (max(rows) + 1, self.in_channels):
                raise ValueError(f"expected (B, {max(rows) + 1}, {self.in_channels}), got {tuple(x.shape)}")
            index = torch.tensor(classes, device=x.device)
            x = x if rows == tuple(range(x.shape[1])) else x.index_select(1, torch.tensor(rows, device=x.device))
            return _heads(x, self.weight.index_select(0, index), self.bias.index_select(0, index))
        count: object = "N" if self.gather else self.classes
        fits = x.ndim == 3 and x.shape[2] == self.in_channels
        if not fits or (self.gather is None and x.shape[1] != self.classes):
            raise ValueError(f"expected (B, {count}, {self.in_channels}), got {tuple(x.shape)}")
        if self.gather is not None:
            x = self.gather(x)
        return _heads(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.classes} classes, {self.in_channels} -> 1"


def _heads(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    # (classes, B, C) @ (classes, C, 1)
    return torch.baddbmm(bias[:, None, None], x.transpose(0, 1), weight[:, :, None])[..., 0].T
