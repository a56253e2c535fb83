"""What a level asks of a stage, so that any block with stacked weights fits in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from torch import Tensor, nn

from hiergen.nn.lowering import Run
from hiergen.nn.plain_kernels import Fan

Block: TypeAlias = Callable[[Tensor, Run], Tensor]


class BranchStage(nn.Module):
    """Blocks in sequence on rows `(m, B, H, W, C)`; every parameter and buffer has the branches first."""

    draws = False  # whether its blocks draw random numbers, as dropout does

    def steps(self) -> Sequence[Block]:
        """The blocks, each a function of rows and run; only the first may be given rows that siblings share."""
        raise TypeError(f"{type(self).__name__} does not say what its blocks are")

    def plain(self, fan: Fan) -> tuple[list[nn.Module], Fan]:
        """The plain form of each block (see `hiergen.nn.plain`), and where the next stage stands."""
        raise TypeError(f"{type(self).__name__} has no plain form")


class BlockStack(nn.Sequential, BranchStage):
    """A stage that is nothing but its blocks."""

    def steps(self) -> Sequence[Block]:
        return list(self)

    def plain(self, fan: Fan) -> tuple[list[nn.Module], Fan]:
        blocks: list[nn.Module] = []
        for block in self:
            plain, fan = block.plain(fan)  # type: ignore[operator]
            blocks.append(plain)
        return blocks, fan


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

    def build(self, branches: int) -> BranchStage: ...
    def shrink(self, size: int) -> int: ...


def positive(place: str, **numbers: int) -> None:
    """Raise ValueError unless every number is an int above 0 (a bool is none)."""
    for name, number in numbers.items():
        if type(number) is not int or number < 1:
            raise ValueError(f"{place}: {name} expected a positive int, got {number!r}")


def parent_indices(place: str, parents: Sequence[int], count: int) -> tuple[int, ...]:
    """The parents as a tuple; ValueError unless there are `count` of them, all ints from 0 up."""
    indices = tuple(parents)
    if len(indices) != count:
        raise ValueError(f"{place}: expected one parent for each of the {count}, got {len(indices)} parents")
    for child, parent in enumerate(indices):
        if type(parent) is not int or parent < 0:
            raise ValueError(f"{place}: parent of {child} expected an int from 0 up, got {parent!r}")
    return indices
