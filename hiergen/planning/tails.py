"""`block: auto`: branches made of the blocks that the backbone has after the cut, so that they can start as those.

A *shallow* tail has the first block of each later stage, and the 1×1 convolution that mobile backbones end with. One
number, the share of their channels, is solved for the budget: inner channels are that share of the backbone's, outer
ones all of them down to a share of a quarter. Where all channels fit, further blocks are added, a block of each stage
in turn. The last level's branches, one a class, have the last block; they share what is theirs of its channels.

Where branches have no blocks of the backbone's kinds, they have copies of its own (`CopyTail`), whose channels are all
there. The last level has a 1×1 convolution, whose channels are solved, on the maps of the level before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Literal, Protocol, TypeAlias

from hiergen.errors import PlanError
from hiergen.planning.backbones import BackboneFacts, BlockFacts, CopyFacts
from hiergen.planning.blocks import copy_stage
from hiergen.planning.budget import GRID, SMALLEST, TOLERANCE, BudgetCost, too_small
from hiergen.planning.plan import StagePlan

FULL_OUT = 4  # outer channels are all there from one in so many of the inner ones on
_STEPS = 24  # of the bisection
Stages = list[list[StagePlan]]
Act: TypeAlias = Literal["relu", "relu6", "silu"] | None


@dataclass(frozen=True)
class Shape:
    """How wide and deep a tail is: the share of channels, the grid of which they are multiples, and how many blocks
    there are besides those of the shallow one."""

    share: float = 0.5
    grid: int = GRID
    further: int = 0


NARROWEST = Shape(0.0, SMALLEST)


class BranchTail(Protocol):
    """The blocks of branches behind a cut, `further` of them besides those of the shallow tail."""

    @property
    def further(self) -> int: ...
    def stages(self, shape: Shape) -> Stages:
        """The stages of each level."""
        ...


class Tail:
    """The backbone's blocks after a cut as branches of so many levels. `shared` is how many of the last level's
    branches read one map, in the mean (1: they need not share)."""

    def __init__(self, blocks: Sequence[BlockFacts], levels: int, shared: float = 1.0) -> None:
        self._stages = [list(blocks) for _, blocks in groupby(blocks, key=lambda block: block.stage)]
        self._levels, self._shared = levels, max(shared, 1.0)
        self._first = [1] * len(self._stages)
        for _ in range(levels - len(self._stages)):  # fewer stages than levels
            self._add(self._first)

    @property
    def further(self) -> int:
        """How many blocks there are besides those of the shallow tail."""
        return sum(map(len, self._stages)) - sum(self._first)

    def stages(self, shape: Shape) -> Stages:
        """The stages of each level."""
        depths = list(self._first)
        for _ in range(shape.further):
            self._add(depths)
        blocks = [block for stage, depth in zip(self._stages, depths, strict=True) for block in stage[:depth]]
        levels: Stages = []
        channels = blocks[0].in_channels
        for number, some in enumerate(self._dealt(blocks), 1):
            own = 1.0 if number < self._levels else self._shared
            levels.append([])
            for block in some:
                stage = _stage(block, channels, shape, own)
                channels = stage.out
                levels[-1].append(stage)
        return [list(_merged(stages)) for stages in levels]

    def _add(self, depths: list[int]) -> None:
        """One more block, of the stage that has the smallest part of its own."""
        open_ = [i for i, stage in enumerate(self._stages) if depths[i] < len(stage)]
        if not open_:
            raise too_few_blocks(self._levels, sum(map(len, self._stages)))
        depths[min(open_, key=lambda i: (depths[i], i))] += 1

    def _dealt(self, blocks: list[BlockFacts]) -> Iterator[list[BlockFacts]]:
        """The last level gets the last block, the others before it the rest, the first ones more."""
        if self._levels == 1:
            yield blocks
            return
        each, more = divmod(len(blocks) - 1, self._levels - 1)
        start = 0
        for level in range(self._levels - 1):
            end = start + each + (level < more)
            yield blocks[start:end]
            start = end
        yield blocks[start:]


class CopyTail:
    """Copies of these blocks of the backbone, those after a cut, as branches of so many levels. `conv` is the 1×1
    convolution at the backbone's end, if it has one. Raises PlanError for fewer blocks than levels.

    A shallow tail has the first block of each stage, or as many as it takes to the stage's channels; of transformers,
    all of whose blocks are alike, the last ones, one for each level.
    """

    def __init__(
        self,
        backbone_facts: BackboneFacts,
        backbone: str,
        copies: Sequence[CopyFacts],
        levels: int,
        shared: float = 1.0,
        conv: BlockFacts | None = None,
    ) -> None:
        self._facts, self._backbone, self._levels, self._shared = backbone_facts, backbone, levels, max(shared, 1.0)
        self._ends = backbone_facts.layout != "nchw"  # transformers, whose last norm belongs to their blocks
        self._conv = conv if levels > 1 else None
        self._copies = list(copies[:-1] if self._conv is not None else copies)
        self._groups = max(levels - 1, 1)  # levels that have copies
        stages = [len(stage) for stage in _by_stage(self._copies)]
        self._rows = set(stages) == {1} and self._ends
        if len(self._copies) < self._groups:
            raise too_few_blocks(levels, len(self._copies) + (levels > 1))
        self._steps = list(self._depths())

    @property
    def further(self) -> int:
        """How many times more blocks can be added to the shallow tail."""
        return len(self._steps) - 1

    def stages(self, shape: Shape) -> Stages:
        """The stages of each level."""
        blocks = self._steps[min(shape.further, self.further)]
        each, more = divmod(len(blocks), self._groups)
        levels: Stages = []
        start = 0
        for level in range(self._groups):
            end = start + each + (level < more)
            closes = self._ends and level == self._groups - 1
            levels.append([copy_stage(self._facts, self._backbone, blocks[start:end], end=closes)])
            start = end
        if self._levels > 1:
            levels.append([self._last(levels[-1][-1].out, shape)])
        return levels

    def _last(self, channels: int, shape: Shape) -> StagePlan:
        """The last level's 1×1 convolution."""
        most = channels if self._conv is None else self._conv.out
        out = _rounded(most * shape.share / self._shared, most, shape.grid)
        act: Act = "relu" if self._conv is None else self._conv.act
        tf = self._conv is not None and self._conv.tf
        return StagePlan(block="conv", in_channels=channels, width=out, out=out, depth=1, stride=1, act=act, tf=tf)

    def _depths(self) -> Iterator[list[CopyFacts]]:
        """The shallow tail, then one block more each time, until all are there."""
        if self._rows:
            for count in range(self._groups, len(self._copies) + 1):
                yield self._copies[-count:]
            return
        stages = _by_stage(self._copies)
        wanted = [_whole(stage) for stage in stages]  # depths at which a stage hands on what the next one reads
        depths = [some.pop(0) for some in wanted]
        while sum(depths) < self._groups:
            self._deeper(depths, wanted)
        yield _first(stages, depths)
        while any(wanted):
            self._deeper(depths, wanted)
            yield _first(stages, depths)

    @staticmethod
    def _deeper(depths: list[int], wanted: list[list[int]]) -> None:
        at = min((i for i, some in enumerate(wanted) if some), key=lambda i: (depths[i], i))
        depths[at] = wanted[at].pop(0)


def _by_stage(copies: Sequence[CopyFacts]) -> list[list[CopyFacts]]:
    stages: list[list[CopyFacts]] = [[]]
    for block in copies:
        stages[-1].append(block)
        if block.ends is not None:
            stages.append([])
    return [stage for stage in stages if stage]


def _whole(stage: list[CopyFacts]) -> list[int]:
    """How many blocks of a stage lead to a map as its last one gives."""
    last = (stage[-1].out, stage[-1].height, stage[-1].width)
    return [depth for depth, block in enumerate(stage, 1) if (block.out, block.height, block.width) == last]


def _first(stages: list[list[CopyFacts]], depths: list[int]) -> list[CopyFacts]:
    return [block for stage, depth in zip(stages, depths, strict=True) for block in stage[:depth]]


def too_few_blocks(levels: int, blocks: int) -> PlanError:
    """What says that there are more levels than blocks after the cut."""
    return PlanError(
        f"{levels} levels need as many blocks of the backbone after the cut",
        expected="an earlier 'trunk.until', or fewer levels",
        got=str(blocks),
        code="E502",
    )


def _stage(block: BlockFacts, channels: int, shape: Shape, own: float) -> StagePlan:
    share, grid = shape.share, shape.grid
    keeps = block.stride == 1 and block.in_channels == block.out
    out = block.out if own == 1 else block.out * share / own
    if own == 1 and (share < 1 / FULL_OUT or block.block == "conv"):
        out = block.out * (share if block.block == "conv" else share * FULL_OUT)
    width = _rounded(block.width * share / own, block.width, grid)
    out = channels if keeps else _rounded(out, block.out, grid)
    return StagePlan(
        block=block.block,
        in_channels=channels,
        width=out if block.block == "conv" else width,
        out=out,
        depth=1,
        stride=block.stride,
        kernel=block.kernel,
        act=block.act,
        tf=block.tf,
    )


def _rounded(channels: float, most: int, grid: int) -> int:
    """A multiple of the grid, or all there are."""
    return most if channels >= most else min(max(int(channels // grid) * grid, SMALLEST), most)


def _merged(stages: list[StagePlan]) -> Iterator[StagePlan]:
    """Equal blocks that follow each other as one stage."""
    before: StagePlan | None = None
    for stage in stages:
        alike = {"in_channels": stage.in_channels, "stride": 1, "depth": 1}
        if before is not None and stage.in_channels == stage.out and before.model_copy(update=alike) == stage:
            before = before.model_copy(update={"depth": before.depth + 1})
            continue
        if before is not None:
            yield before
        before = stage
    if before is not None:
        yield before


def solve_tail(
    tail: BranchTail,
    cost: Callable[[Shape], BudgetCost],
    max_params: int | None,
    max_macs: int | None,
    grid: int = GRID,
) -> Shape:
    """The widest tail that fits. Raises PlanError with the smallest reachable figures if none does."""

    def filled(shape: Shape) -> float:
        """How full the tighter bound is, 1 at the bound."""
        full = cost(shape)
        return max(full.params / (max_params or math.inf), full.macs / (max_macs or math.inf))

    if filled(NARROWEST) > 1:
        error = too_small(max_params, max_macs, cost(NARROWEST))
        if isinstance(tail, CopyTail):
            error.hint = "copies of the backbone's blocks keep all their channels: 'block: bottleneck' has fewer"
        raise error
    return widest(tail, filled, grid)


def widest(tail: BranchTail, filled: Callable[[Shape], float], grid: int = GRID) -> Shape:
    """The widest tail for which `filled` is at most 1; the narrowest if none is."""
    whole = Shape(1.0, grid)
    if filled(whole) <= 1:
        wider = (Shape(1.0, grid, further) for further in range(1, tail.further + 1))
        return [whole, *takewhile(lambda shape: filled(shape) <= 1, wider)][-1]
    best = NARROWEST
    for step in (step for step in (64, 32, 16, 8, 4, 2, 1) if step <= grid):
        low, high = 0.0, 1.0
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if filled(Shape(middle, step)) <= 1 else (low, middle)
        if filled(best) < filled(Shape(low, step)) <= 1:
            best = Shape(low, step)
        if filled(best) >= 1 - TOLERANCE:
            break
    return best
