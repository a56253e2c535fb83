"""What a level asks of a stage, so that any block with stacked weights fits in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from torch import Tensor, nn

from hiergen.nn.lowering import Run

Block: TypeAlias = Callable[[Tensor, Run], Tensor]


class Stage(nn.Module):
    """Blocks in sequence on rows `(m, B, H, W, C)`; every parameter and buffer has the branches first."""

    def steps(self) -> Sequence[Block]:
        """The blocks, each a function of rows and run; only the first may be given rows that siblings share."""
        raise TypeError(f"{type(self).__name__} does not say what its blocks are")


class BlockStack(nn.Sequential, Stage):
    """A stage that is nothing but its blocks."""

    def steps(self) -> Sequence[Block]:
        return list(self)


class StageRecipe(Protocol):
    """What `Siblings` asks of a stage's recipe: see `Bottlenecks`, `ConvNeXts`, `InvertedResiduals`."""

    @property
    def in_channels(self) -> int: ...
    @property
    def out(self) -> int: ...
    @property
    def widest(self) -> int:
        """Channels of its widest map, per output pixel."""
        ...

    @property
    def patch(self) -> int:
        """Values of the largest patch that a convolution reads, per output pixel."""
        ...

    def build(self, branches: int) -> Stage: ...
    def shrink(self, size: int) -> int: ...
