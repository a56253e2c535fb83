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
from hiergen.nn.siblings import Siblings


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

    block: Any  # a Bottleneck, ConvNeXtBlock or InvertedResidual
    entry: Any | None  # a Downsample, ConvNeXt only
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
}


def sources(name: str, stage: nn.Module) -> Iterator[BackboneBlock]:
    """The blocks of a backbone's stage. Raises TypeError, with a sentence, where it has others than we know."""
    if isinstance(stage, timm.models.convnext.ConvNeXtStage):
        yield from _convnext_sources(name, stage)
        return
    if any(type(block) is TimmInvertedResidual for block in stage.children()):
        yield from mbconv_sources(name, stage)
        return
    for number, block in enumerate(stage.children() if isinstance(stage, nn.Sequential) else [stage]):
        if type(block) is not timm.models.resnet.Bottleneck:
            raise TypeError(f"{name} of the backbone is made of {type(block).__name__}, of which branches have none")
        parts: Any = block
        if parts.se is not None or parts.conv2.groups > 1 or not isinstance(parts.aa, nn.Identity | None):
            raise TypeError(f"{name} of the backbone has other bottlenecks (grouped, with attention or blurred)")
        down = parts.downsample
        if not isinstance(parts.bn1, nn.BatchNorm2d) or not isinstance(parts.act1, nn.ReLU):
            raise TypeError(f"{name} of the backbone has other norms or activations than batch norm and ReLU")
        if down is not None and not (len(down) == 2 and down[0].kernel_size == (1, 1)):
            raise TypeError(f"{name} of the backbone has other projections than a 1×1 convolution and a norm")
        inner, out = parts.conv2.out_channels, parts.conv3.out_channels
        if parts.conv1.out_channels != inner:
            raise TypeError(f"{name} of the backbone has bottlenecks of two widths")
        yield BackboneBlock(f"{name}.{number}", parts, None, parts.conv1.in_channels, inner, out, parts.stride)


def _convnext_sources(name: str, stage: Any) -> Iterator[BackboneBlock]:
    entry = None if isinstance(stage.downsample, nn.Identity) else stage.downsample
    for number, block in enumerate(stage.blocks):
        channels, width = block.conv_dw.in_channels, block.mlp.fc1.weight.shape[0]
        plain = block.conv_dw.kernel_size == (7, 7) and block.conv_dw.bias is not None
        if not plain or not isinstance(block.norm, nn.LayerNorm) or type(block.mlp.act).__name__ != "GELU":
            raise TypeError(f"{name} of the backbone has other ConvNeXt blocks (kernel, norm, activation)")
        if entry is not None and entry[1].kernel_size[0] not in (1, entry[1].stride[0]):
            raise TypeError(f"{name} of the backbone shrinks the map by overlapping patches")
        reads = channels if entry is None else entry[1].in_channels
        stride = 1 if entry is None else entry[1].stride[0]
        grn = getattr(block.mlp, "grn", None) is not None
        yield BackboneBlock(f"{name}.{number}", block, entry, reads, width, channels, stride, grn)
        entry = None


def targets(level: Siblings) -> Iterator[Target]:
    """The blocks of a level, in order."""
    for recipe, stage in zip(level.recipes, level.stages, strict=True):
        made: Any = recipe
        first = True
        for block in stage.blocks if isinstance(stage, ConvNeXtStage) else stage.children():
            entry = stage.downsample if isinstance(stage, ConvNeXtStage) and first else None
            reads, stride = (made.in_channels, made.stride) if first else (made.out, 1)
            yield Target(block, entry, reads, made.width, made.out, stride)
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


_ACTS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.ReLU6: "relu6", nn.SiLU: "silu"}


def mbconv_sources(name: str, stage: nn.Module) -> Iterator[BackboneBlock]:
    """The inverted residuals of a backbone's stage. Raises TypeError where it has others than branches can have."""
    for number, block in enumerate(stage.children()):
        if type(block) is not TimmInvertedResidual:
            raise TypeError(f"{name} of the backbone is made of {type(block).__name__}, of which branches have none")
        parts: Any = block
        depthwise = parts.conv_dw
        if not isinstance(parts.se, nn.Identity):
            raise TypeError(f"{name} of the backbone has squeeze-and-excitation, of which branches have none")
        if parts.conv_s2d is not None or not isinstance(parts.aa, nn.Identity) or depthwise.dilation != (1, 1):
            raise TypeError(f"{name} of the backbone has other inverted residuals (space to depth, blurred or dilated)")
        inner = depthwise.out_channels
        plain = all(type(conv) is nn.Conv2d for conv in (parts.conv_pw, parts.conv_pwl))  # no mixture of kernels
        if not plain or depthwise.groups != inner or parts.conv_pw.kernel_size != (1, 1):
            raise TypeError(f"{name} of the backbone has other inverted residuals (grouped, or of other kernels)")
        if type(parts.bn1.act) not in _ACTS or not isinstance(parts.bn1, nn.BatchNorm2d):
            raise TypeError(f"{name} of the backbone has other norms or activations than branches can have")
        yield BackboneBlock(
            f"{name}.{number}",
            parts,
            None,
            parts.conv_pw.in_channels,
            inner,
            parts.conv_pwl.out_channels,
            depthwise.stride[0],
        )


def mbconv_mismatch(source: BackboneBlock, target: Target) -> str | None:
    """Why a branch's inverted residual cannot start as channels of this one; widths are checked elsewhere."""
    ours, theirs = target.block, source.block
    size, other = ours.conv_dw.weight.shape[2], theirs.conv_dw.kernel_size[0]
    if size != other:
        return f"its kernel is {size} px, {source.name}'s is {other}"
    act = _ACTS[type(theirs.bn1.act)]
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


_COPIES = {Bottleneck: _copy_bottleneck, ConvNeXtBlock: _copy_convnext, InvertedResidual: _copy_mbconv}
