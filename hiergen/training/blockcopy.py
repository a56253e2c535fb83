"""Blocks of timm's ResNets, ConvNeXts and mobile networks, and a branch's blocks that start as channels of them.

A convolution that reads n of N channels sums n/N of the terms. With terms that vary independently its variance shrinks
by n/N, so that its kernel is multiplied by √(N/n): the pre-activation keeps the variance that the statistics and the
next layers, taken along, expect. Its mean depends on which channels are read, so that in eval mode the norms' running
means fit narrow branches only roughly until training has updated them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import timm.models.convnext
import timm.models.resnet
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.models._efficientnet_blocks import InvertedResidual as TimmInvertedResidual
from torch import Tensor, nn

from hiergen.nn.bottleneck import Bottleneck
from hiergen.nn.convnext import ConvNeXtBlock, ConvNeXtStage
from hiergen.nn.mbconv import InvertedResidual
from hiergen.nn.pointwise import PointwiseConv
from hiergen.nn.siblings import Siblings
from hiergen.nn.tail import ACTS, BackboneBlock, projects


@dataclass(frozen=True)
class Target:
    """A branch's block, with the same fields."""

    block: Any  # of ours
    entry: Any | None  # a Downsample, ConvNeXt only
    reads: int
    width: int
    gives: int
    stride: int

    @property
    def projects(self) -> bool:
        return projects(self.block, self.entry)


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


def kernel(conv: Any, weight: Tensor, branch: int, out: Tensor, into: Tensor) -> None:
    """`(out, in, k, k)` to the branch's `(out, k, k, in)`, some rows and columns of it."""
    conv.weight[branch].copy_(weight[out][:, into].permute(0, 2, 3, 1) * gain(weight.shape[1], into))


def gain(all_inputs: int, taken: Tensor) -> float:
    return math.sqrt(all_inputs / len(taken))


def batch_norm(ours: Any, theirs: Any, branch: int, which: Tensor) -> None:
    rows(ours, theirs, branch, which)
    ours.running_mean[branch].copy_(theirs.running_mean[which])
    # where another eps is added to it, the sum stays
    ours.running_var[branch].copy_((theirs.running_var[which] + (theirs.eps - ours.eps)).clamp_(min=0))
    ours.num_batches_tracked[branch].copy_(theirs.num_batches_tracked)


def rows(ours: Any, theirs: Any, branch: int, which: Tensor) -> None:
    ours.weight[branch].copy_(theirs.weight[which])
    ours.bias[branch].copy_(theirs.bias[which])


def same(gives: Tensor, reads: Tensor) -> Tensor:
    """1 where a channel given is a channel read, `(given, read)`."""
    return (gives[:, None] == reads[None]).float()


_OURS = {
    timm.models.resnet.Bottleneck: Bottleneck,
    timm.models.convnext.ConvNeXtBlock: ConvNeXtBlock,
    TimmInvertedResidual: InvertedResidual,
    nn.Sequential: PointwiseConv,
}


def targets(level: Siblings) -> Iterator[Target]:
    """The blocks of a level, in order."""
    for recipe, stage in zip(level.recipes, level.stages, strict=True):
        yield from stage_targets(recipe, stage)


def stage_targets(recipe: Any, stage: Any) -> Iterator[Target]:
    """The blocks of a stage, in order."""
    first = True
    for block in stage.blocks if isinstance(stage, ConvNeXtStage) else stage.children():
        entry = stage.downsample if isinstance(stage, ConvNeXtStage) and first else None
        reads, stride = (recipe.in_channels, recipe.stride) if first else (recipe.out, 1)
        yield Target(block, entry, reads, recipe.width, recipe.out, stride)
        first = False


def mismatch(source: BackboneBlock, target: Target) -> str | None:
    """Why a branch's block cannot start as channels of this one."""
    if type(target.block) is not _OURS.get(type(source.block)):
        return f"its block is a {type(target.block).__name__}, {source.name} is a {type(source.block).__name__}"
    if isinstance(target.block, ConvNeXtBlock):
        scaled = target.block.gamma is not None
        if (target.block.mlp.grn is not None) != source.grn or scaled != (source.block.gamma is not None):
            return f"it and {source.name} are of two versions of ConvNeXt"
        if target.entry is not None and source.entry is not None and target.stride != source.entry[1].kernel_size[0]:
            return f"it has stride {target.stride}, {source.name} has {source.stride}"
    if isinstance(target.block, InvertedResidual) and (why := mbconv_mismatch(source, target)):
        return why
    if isinstance(target.block, PointwiseConv) and target.block.act != (act := ACTS[type(source.block[1].act)]):
        return f"its activation is {target.block.act}, {source.name}'s is {act}"
    for what, wanted, theirs in (("inner", target.width, source.width), ("outer", target.gives, source.gives)):
        if wanted > theirs:
            return f"it has {wanted} {what} channels, {source.name} has {theirs}"
    if source.projects and not target.projects:
        return f"{source.name} leads to new channels, and the branch's block keeps those that it reads"
    return None


@torch.no_grad()
def copy(source: BackboneBlock, target: Target, branch: int, channels: Channels) -> None:
    """Let one branch's block start as these channels of a backbone's block."""
    _COPIES[type(target.block)](source, target, branch, channels)


def _copy_bottleneck(source: BackboneBlock, target: Target, branch: int, channels: Channels) -> None:
    theirs, mine = source.block, target.block
    kernel(mine.conv1, theirs.conv1.weight, branch, channels.first, channels.reads)
    batch_norm(mine.bn1, theirs.bn1, branch, channels.first)
    kernel(mine.conv2, theirs.conv2.weight, branch, channels.second, channels.first)
    batch_norm(mine.bn2, theirs.bn2, branch, channels.second)
    kernel(mine.conv3, theirs.conv3.weight, branch, channels.gives, channels.second)
    batch_norm(mine.bn3, theirs.bn3, branch, channels.gives)
    if mine.downsample is None:
        return
    conv, norm = mine.downsample
    if theirs.downsample is not None:
        kernel(conv, theirs.downsample[0].weight, branch, channels.gives, channels.reads)
        batch_norm(norm, theirs.downsample[1], branch, channels.gives)
        return
    # the backbone's skip is the identity: hand on the channels that go on
    conv.weight[branch, :, 0, 0].copy_(same(channels.gives, channels.reads))
    for tensor, value in ((norm.weight, 1), (norm.bias, 0), (norm.running_mean, 0), (norm.running_var, 1 - norm.eps)):
        tensor[branch].fill_(value)


def _copy_convnext(source: BackboneBlock, target: Target, branch: int, channels: Channels) -> None:
    theirs, mine, gives = source.block, target.block, channels.gives
    if target.entry is not None:
        norm, conv = target.entry
        if source.entry is not None:
            rows(norm, source.entry[0], branch, channels.reads)
            kernel(conv, source.entry[1].weight, branch, gives, channels.reads)
            conv.bias[branch].copy_(source.entry[1].bias[gives])
        else:  # hand on the channels that go on; the norm before stays
            norm.weight[branch].fill_(1)
            norm.bias[branch].fill_(0)
            conv.weight[branch, :, 0, 0].copy_(same(gives, channels.reads))
            conv.bias[branch].fill_(0)
    mine.conv_dw.weight[branch].copy_(theirs.conv_dw.weight[gives].permute(0, 2, 3, 1))
    mine.conv_dw.bias[branch].copy_(theirs.conv_dw.bias[gives])
    rows(mine.norm, theirs.norm, branch, gives)
    for ours, layer, out, into in (
        (mine.mlp.fc1, theirs.mlp.fc1, channels.first, gives),
        (mine.mlp.fc2, theirs.mlp.fc2, gives, channels.first),
    ):
        weight = layer.weight.flatten(1)  # a linear layer's, or a 1×1 convolution's
        ours.weight[branch].copy_(weight[out][:, into] * gain(weight.shape[1], into))
        ours.bias[branch].copy_(layer.bias[out])
    if mine.mlp.grn is not None:
        rows(mine.mlp.grn, theirs.mlp.grn, branch, channels.first)
    if mine.gamma is not None:
        mine.gamma[branch].copy_(theirs.gamma[gives])


def mbconv_mismatch(source: BackboneBlock, target: Target) -> str | None:
    """Why a branch's inverted residual cannot start as channels of this one; widths are checked elsewhere."""
    ours, theirs = target.block, source.block
    size, other = ours.conv_dw.weight.shape[2], theirs.conv_dw.kernel_size[0]
    if size != other:
        return f"its kernel is {size} px, {source.name}'s is {other}"
    act = ACTS[type(theirs.bn1.act)]
    if ours.act != act:
        return f"its activation is {ours.act}, {source.name}'s is {act}"
    as_tf = isinstance(theirs.conv_dw, Conv2dSame)
    if target.stride == source.stride > 1 and ours.tf != as_tf:
        return f"{source.name} pads {'as TensorFlow does (tf=True)' if as_tf else 'alike on both sides (tf=False)'}"
    if target.projects and not source.projects:
        return f"{source.name} adds what it reads to its answer, and the branch's block has new channels"
    return None


def _copy_mbconv(source: BackboneBlock, target: Target, branch: int, channels: Channels) -> None:
    """Kernels, norms and statistics of these channels; `channels.first` are those between the 1×1 convolutions."""
    theirs, ours, inner = source.block, target.block, channels.first
    kernel(ours.conv_pw, theirs.conv_pw.weight, branch, inner, channels.reads)
    batch_norm(ours.bn1, theirs.bn1, branch, inner)
    ours.conv_dw.weight[branch].copy_(theirs.conv_dw.weight[inner].permute(0, 2, 3, 1))
    batch_norm(ours.bn2, theirs.bn2, branch, inner)
    kernel(ours.conv_pwl, theirs.conv_pwl.weight, branch, channels.gives, inner)
    batch_norm(ours.bn3, theirs.bn3, branch, channels.gives)


def _copy_pointwise(source: BackboneBlock, target: Target, branch: int, channels: Channels) -> None:
    conv, norm = source.block
    kernel(target.block.conv, conv.weight, branch, channels.gives, channels.reads)
    batch_norm(target.block.bn, norm, branch, channels.gives)


_COPIES = {
    Bottleneck: _copy_bottleneck,
    ConvNeXtBlock: _copy_convnext,
    InvertedResidual: _copy_mbconv,
    PointwiseConv: _copy_pointwise,
}
