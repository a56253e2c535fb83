"""What copying a block needs: the backbone's block, the branch's, the channels between them, and stacked tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hiergen.nn.bottleneck import Bottleneck
from hiergen.nn.convnext import ConvNeXtBlock, Downsample
from hiergen.nn.mbconv import InvertedResidual

_Any = Any  # timm's modules have no types


@dataclass(frozen=True)
class BackboneBlock:
    """A backbone's block: what leads into it (`entry`: norm and convolution, ConvNeXt only), its channels, stride."""

    name: str
    block: Any
    entry: Any | None
    reads: int
    width: int
    gives: int
    stride: int
    grn: bool = False

    @property
    def projects(self) -> bool:
        """Whether its answer's channels are others than those that it reads."""
        return _projects(self.block, self.entry)


@dataclass(frozen=True)
class Target:
    """A branch's block, with the same fields."""

    block: Bottleneck | ConvNeXtBlock | InvertedResidual
    entry: Downsample | None
    reads: int
    width: int
    gives: int
    stride: int

    @property
    def projects(self) -> bool:
        return _projects(self.block, self.entry)


@dataclass(frozen=True)
class Channels:
    """Indices into the backbone's channels that one branch takes: read, inner (bottlenecks have two sets), given."""

    reads: Tensor
    first: Tensor
    second: Tensor
    gives: Tensor


@dataclass(frozen=True)
class ChannelScore:
    """How much each of a block's channels matters to a branch, `(channels,)`: inner (bottlenecks have two sets) and
    given; None: no opinion."""

    first: Tensor | None = None
    second: Tensor | None = None
    gives: Tensor | None = None


def _projects(block: Any, entry: Any | None) -> bool:
    if hasattr(block, "has_skip"):
        return not block.has_skip
    return entry is not None or getattr(block, "downsample", None) is not None


def kernel(conv: _Any, weight: Tensor, branch: int, out: Tensor, into: Tensor) -> None:
    """`(out, in, k, k)` to the branch's `(out, k, k, in)`, some rows and columns of it."""
    conv.weight[branch].copy_(weight[out][:, into].permute(0, 2, 3, 1) * gain(weight.shape[1], into))


def gain(all_inputs: int, taken: Tensor) -> float:
    return math.sqrt(all_inputs / len(taken))


def batch_norm(ours: _Any, theirs: _Any, branch: int, which: Tensor) -> None:
    rows(ours, theirs, branch, which)
    ours.running_mean[branch].copy_(theirs.running_mean[which])
    # where another eps is added to it, the sum stays
    ours.running_var[branch].copy_((theirs.running_var[which] + (theirs.eps - ours.eps)).clamp_(min=0))
    ours.num_batches_tracked[branch].copy_(theirs.num_batches_tracked)


def rows(ours: _Any, theirs: _Any, branch: int, which: Tensor) -> None:
    ours.weight[branch].copy_(theirs.weight[which])
    ours.bias[branch].copy_(theirs.bias[which])


def same(gives: Tensor, reads: Tensor) -> Tensor:
    """1 where a channel given is a channel read, `(given, read)`."""
    return (gives[:, None] == reads[None]).float()
