"""All branches of one level as ONE module with stacked weights (Kelm et al., arXiv 2308.05128, Eqs. 1 and 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hiergen.errors import HiergenError
from hiergen.nn.lowering import (
    Lowering,
    Run,
    Stack,
    forced,
    forced_lowering,
    is_exported,
    is_traced,
    select_maps,
    spans,
)
from hiergen.nn.norm import recomputing
from hiergen.nn.plain_kernels import Fan
from hiergen.nn.plain_layers import Copies
from hiergen.nn.stage import Block, BranchStage, StageRecipe, parent_indices, positive
from hiergen.nn.tuning import Case, candidates, choose, default, fastest, remember

_LARGER = "larger images, or crops of maps, or smaller strides"


class Siblings(nn.Module):
    """The branches of one level: every branch has the same stages and its own weights.

    Without `parents` all branches read one map `(B, C, H, W)`; with them, branch i reads row `parents[i]` of
    `(B, P, C, H, W)`. The answer is `(B, N, C', H', W')`. Every parameter and buffer has N rows: row i is branch i.
    Siblings side by side in `parents` share work. `lowering` says how the branches are executed; "auto" looks it up by
    device, batch and shape (see `hiergen.nn.tuning`). All lowerings compute the same, to rounding.
    Raises ValueError for numbers that cannot be, or stages whose channels do not meet.

    >>> level1 = Siblings(2, [Bottlenecks(64, 16, 32)])
    >>> level2 = Siblings(3, [Bottlenecks(32, 8, 16)], parents=[0, 0, 1])
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
        self.stages = nn.Sequential(*(recipe.build(branches) for recipe in self.recipes))
        self.lowering: Lowering | Literal["auto"] = "auto"
        self.grad_checkpointing = False  # see `TimmContract.set_grad_checkpointing`

    @property
    def blocks(self) -> list[Block]:
        """All blocks of all stages, in order."""
        return [step for stage in self.stages if isinstance(stage, BranchStage) for step in stage.steps()]

    def forward(
        self,
        x: Tensor,
        *,
        branches: tuple[int, ...] | None = None,
        maps: tuple[int, ...] | None = None,
        gains: Tensor | None = None,
        after: int | None = None,
        pool: bool = False,
    ) -> Tensor:
        """`(B, C, H, W)` or `(B, P, C, H, W)` to `(B, N, C', H', W')`, or with `pool` to its means `(B, N, C')`.

        Only the chosen `branches` (ascending) are computed, from rows `maps` of `x` (default: their parents). `gains`
        `(1 or B, N of all branches)` multiply the maps after block `after` (1 …; default: see `default_block`).
        Raises ValueError for a map of another shape.
        """
        expected = "(B, C, H, W)" if self.parents is None else "(B, P, C, H, W)"
        if x.ndim not in (4, 5) or (x.ndim == 5 and self.parents is None and maps is None):
            raise ValueError(f"expected {expected} with C = {self.in_channels}, got {tuple(x.shape)}")
        if x.shape[-3] != self.in_channels or (x.ndim == 4 and self.parents is not None):
            raise ValueError(f"expected {expected} with C = {self.in_channels}, got {tuple(x.shape)}")
        branches = tuple(range(self.branches)) if branches is None else branches
        if maps is None:
            maps = tuple(self.parents[i] for i in branches) if self.parents else (0,) * len(branches)
        if not is_traced() and min(self.map_size(*x.shape[-2:])) < 1:
            raise HiergenError(
                "a map is smaller than a stride of the branches", got=f"{x.shape[-2]} x {x.shape[-1]} px", hint=_LARGER
            )
        rows = x.unsqueeze(1) if x.ndim == 4 else x
        if rows.shape[1] <= max(maps):
            raise ValueError(f"expected a map of {max(maps) + 1} parents or more, got {rows.shape[1]}")
        rows = rows.permute(1, 0, 3, 4, 2).contiguous()
        lowering = self.lowering_for(rows, len(branches))
        chunk = 1 if lowering.kind == "loop" else lowering.chunk or self.branches
        saving = self.grad_checkpointing and torch.is_grad_enabled() and not is_traced()
        # one run is recomputed at a time, so that its maps are a small part of the level's
        runs = spans(branches, maps, min(chunk, math.isqrt(len(branches))) if saving else chunk)
        stack, steps, work = Stack(runs), self.blocks, self._recomputed if saving else self._run
        done = [work(rows, Run(lowering.kind, span, stack), steps, gains, after, pool) for span in runs]
        y = done[0] if len(done) == 1 else torch.cat(done)
        return y.transpose(0, 1) if pool else y.permute(1, 0, 4, 2, 3)

    def _run(
        self, rows: Tensor, run: Run, steps: list[Block], gains: Tensor | None, after: int | None, pool: bool
    ) -> Tensor:
        """`(P, B, H, W, C)` to the maps of one run, `(n, B, H', W', C')` or pooled `(n, B, C')`."""
        y = select_maps(rows, run.span.maps, run.stack.maps)
        at = after or self.default_block
        for number, step in enumerate(steps, 1):
            y = step(y, run)
            if gains is not None and number == at:
                y = y * gains[:, run.span.lo : run.span.hi].t()[:, :, None, None, None].to(y.dtype)
        return y.mean((2, 3)) if pool else y

    def _recomputed(
        self, rows: Tensor, run: Run, steps: list[Block], gains: Tensor | None, after: int | None, pool: bool
    ) -> Tensor:
        """`_run` that keeps nothing but its answer: the backward pass computes the rest once more."""

        def work(rows: Tensor) -> Tensor:
            again = Run(run.kind, run.span, replace(run.stack, memos={}))  # what the first pass kept, it would save
            return self._run(rows, again, steps, gains, after, pool)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), recomputing()

        draws = any(stage.draws for stage in self.stages)
        y: Tensor = checkpoint(work, rows, use_reentrant=False, preserve_rng_state=draws, context_fn=contexts)
        return y

    def plain(self, fan: Fan) -> tuple[list[nn.Module], list[int], Fan]:
        """The plain form of every block, in order, the channels of a branch after it, and where the next level
        stands."""
        blocks: list[nn.Module] = []
        channels: list[int] = []
        for stage in self.stages:
            assert isinstance(stage, BranchStage)
            some, fan = stage.plain(fan)
            blocks += some
            channels += [block.out if isinstance(block, Copies) else fan.channels for block in some]
        return blocks, channels, fan

    @property
    def default_block(self) -> int:
        """The block after which a gain acts: the middle one, as in the paper (5b of three blocks 5a, 5b, 5c)."""
        return (len(self.blocks) + 1) // 2

    def lowering_for(self, rows: Tensor, count: int) -> Lowering:
        """What runs `count` branches on maps `(P, B, H, W, C)`: the fixed lowering, or the choice of "auto"."""
        if is_exported():
            return Lowering("grouped")
        if is_traced():
            return Lowering("matmul")
        if (lowering := forced_lowering() or self.lowering) != "auto":
            return lowering
        return choose(self._case(rows.shape[1:4], count, rows))

    def _case(self, shape: Sequence[int], count: int, like: Tensor) -> Case:
        batch, height, width = shape
        threads = torch.get_num_threads()
        return Case(self.recipes, count, (batch, height, width), like.device, like.dtype, self.training, threads)

    def tune(self, x: Tensor) -> dict[Lowering, float]:
        """Measure all lowerings on an input like `x`, forward, and in training mode backward too; save the fastest.

        Returns the median milliseconds of each. BatchNorm's running statistics are left as they were.
        """
        case = self._case((x.shape[0], x.shape[-2], x.shape[-1]), self.branches, x)
        state = {name: buffer.clone() for name, buffer in self.named_buffers()}
        usual = default(case)

        def run(lowering: Lowering) -> None:
            with forced(lowering), torch.set_grad_enabled(self.training):
                y = self(x)
                if self.training:
                    torch.autograd.grad(y.sum(), [p for p in self.parameters() if p.requires_grad])

        try:
            best, times = fastest({c: partial(run, c) for c in candidates(usual, self.branches)}, x.device)
        finally:
            for name, buffer in state.items():
                self.get_buffer(name).copy_(buffer)
        remember(case, best)
        return times

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the branches' maps for an input map of this size, px."""
        for recipe in self.recipes:
            height, width = recipe.shrink(height), recipe.shrink(width)
        return height, width

    def extra_repr(self) -> str:
        return f"{self.branches} branches, {self.in_channels} -> {self.out_channels}"
