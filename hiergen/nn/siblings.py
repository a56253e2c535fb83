"""All branches of one level as ONE module with stacked weights (Kelm et al., arXiv 2308.05128, Eqs. 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from hiergen.nn.arguments import parent_indices, positive
from hiergen.nn.primitives import unfold


class StageRecipe(Protocol):
    """What `Siblings` asks of a stage: see `Bottlenecks` and `ConvNeXts`."""

    @property
    def in_channels(self) -> int: ...
    @property
    def out(self) -> int: ...
    def build(self, branches: int) -> nn.Module: ...
    def shrink(self, size: int) -> int: ...


class Gather(nn.Module):
    """Hands every branch its parent's row: `(B, P, ...)` to `(B, N, ...)`.

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
        return x.index_select(1, self.index)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        was_meta = self.index.is_meta
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if was_meta and not self.index.is_meta:  # to_empty() leaves a buffer without values
            self.index.copy_(torch.tensor(self.parents, device="cpu"))
        return self

    def extra_repr(self) -> str:
        return f"{max(self.parents) + 1} -> {len(self.parents)}"


class Siblings(nn.Module):
    """The branches of one level: every branch has the same stages and its own weights.

    Without `parents` all branches read one map `(B, C, H, W)`; with them, branch i reads row `parents[i]` of
    `(B, P, C, H, W)`. The answer is `(B, N, C', H', W')`. Every parameter and buffer has N rows: row i is branch i.
    Raises ValueError for numbers that cannot be, or stages whose channels do not meet.

    >>> level1 = Siblings(2, [Bottlenecks(64, 16, 32)])
    >>> level2 = Siblings(3, [Bottlenecks(32, 8, 16)], parents=[0, 1, 0])
    >>> level2(level1(torch.rand(4, 64, 7, 7))).shape
    torch.Size([4, 3, 16, 7, 7])
    """

    def __init__(self, branches: int, stages: Sequence[StageRecipe], parents: Sequence[int] | None = None) -> None:
        super().__init__()
        positive("Siblings", branches=branches)
        self.recipes = tuple(stages)
        if not self.recipes:
            raise ValueError("Siblings: expected one stage or more, got none")
        for before, after in zip(self.recipes, self.recipes[1:], strict=False):
            if before.out != after.in_channels:
                raise ValueError(f"Siblings: {after} follows {before}; expected {before.out} input channels")
        self.branches = branches
        self.parents = None if parents is None else parent_indices("Siblings", parents, branches)
        self.in_channels, self.out_channels = self.recipes[0].in_channels, self.recipes[-1].out
        self.gather = None if self.parents is None else Gather(self.parents)
        self.stages = nn.Sequential(*(recipe.build(branches) for recipe in self.recipes))

    def forward(self, x: Tensor) -> Tensor:
        expected = "(B, C, H, W)" if self.gather is None else "(B, P, C, H, W)"
        if x.ndim != (4 if self.gather is None else 5) or x.shape[-3] != self.in_channels:
            raise ValueError(f"expected {expected} with C = {self.in_channels}, got {tuple(x.shape)}")
        if self.gather is not None:
            x = self.gather(x).flatten(1, 2)
        return unfold(self.stages(x), self.branches)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the branches' maps for an input map of this size, px."""
        for recipe in self.recipes:
            height, width = recipe.shrink(height), recipe.shrink(width)
        return height, width

    def extra_repr(self) -> str:
        return f"{self.branches} branches, {self.in_channels} -> {self.out_channels}"
