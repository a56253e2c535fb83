"""Blocks of timm's ResNets, ConvNeXts and mobile networks, and a branch's blocks that start as channels of them.

A convolution that reads n of N channels sums n/N of the terms. With terms that vary independently its variance shrinks
by n/N, so that its kernel is multiplied by √(N/n): the pre-activation keeps the variance that the statistics and the
next layers, taken along, expect. Its mean depends on which channels are read, so that in eval mode the norms' running
means fit narrow branches only roughly until training has updated them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import timm.models.convnext
import timm.models.resnet
import torch
from timm.models._efficientnet_blocks import InvertedResidual as TimmInvertedResidual
from torch import nn

from hiergen.nn.bottleneck import Bottleneck
from hiergen.nn.convnext import ConvNeXtBlock, ConvNeXtStage
from hiergen.nn.mbconv import InvertedResidual
from hiergen.nn.siblings import Siblings
from hiergen.training.blockparts import BackboneBlock, Channels, Target, batch_norm, gain, kernel, rows, same
from hiergen.training.mbconvcopy import copy_mbconv, mbconv_mismatch, mbconv_sources

_Any = Any  # timm's modules have no types
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
        parts: _Any = block
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


def _convnext_sources(name: str, stage: _Any) -> Iterator[BackboneBlock]:
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
        made: _Any = recipe
        first = True
        for block in stage.blocks if isinstance(stage, ConvNeXtStage) else stage.children():
            entry = stage.downsample if isinstance(stage, ConvNeXtStage) and first else None
            reads, stride = (made.in_channels, made.stride) if first else (made.out, 1)
            yield Target(cast(Any, block), entry, reads, made.width, made.out, stride)
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
    if isinstance(target.block, Bottleneck):
        _copy_bottleneck(source, target.block, branch, channels)
    elif isinstance(target.block, InvertedResidual):
        copy_mbconv(source, target.block, branch, channels)
    else:
        _copy_convnext(source, target, branch, channels)


def _copy_bottleneck(source: BackboneBlock, ours: Bottleneck, branch: int, channels: Channels) -> None:
    theirs: _Any = source.block
    copy: _Any = ours
    kernel(copy.conv1, theirs.conv1.weight, branch, channels.first, channels.reads)
    batch_norm(copy.bn1, theirs.bn1, branch, channels.first)
    kernel(copy.conv2, theirs.conv2.weight, branch, channels.second, channels.first)
    batch_norm(copy.bn2, theirs.bn2, branch, channels.second)
    kernel(copy.conv3, theirs.conv3.weight, branch, channels.gives, channels.second)
    batch_norm(copy.bn3, theirs.bn3, branch, channels.gives)
    if copy.downsample is None:
        return
    conv, norm = copy.downsample
    if theirs.downsample is not None:
        kernel(conv, theirs.downsample[0].weight, branch, channels.gives, channels.reads)
        batch_norm(norm, theirs.downsample[1], branch, channels.gives)
        return
    # the backbone's skip is the identity: hand on the channels that go on
    conv.weight[branch, :, 0, 0].copy_(same(channels.gives, channels.reads))
    for tensor, value in ((norm.weight, 1), (norm.bias, 0), (norm.running_mean, 0), (norm.running_var, 1 - norm.eps)):
        tensor[branch].fill_(value)


def _copy_convnext(source: BackboneBlock, target: Target, branch: int, channels: Channels) -> None:
    theirs: _Any = source.block
    copy: _Any = target.block
    gives = channels.gives
    if target.entry is not None:
        entry: _Any = target.entry
        norm, conv = entry[0], entry[1]
        if source.entry is not None:
            rows(norm, source.entry[0], branch, channels.reads)
            kernel(conv, source.entry[1].weight, branch, gives, channels.reads)
            conv.bias[branch].copy_(source.entry[1].bias[gives])
        else:  # hand on the channels that go on; the norm before stays
            norm.weight[branch].fill_(1)
            norm.bias[branch].fill_(0)
            conv.weight[branch, :, 0, 0].copy_(same(gives, channels.reads))
            conv.bias[branch].fill_(0)
    copy.conv_dw.weight[branch].copy_(theirs.conv_dw.weight[gives].permute(0, 2, 3, 1))
    copy.conv_dw.bias[branch].copy_(theirs.conv_dw.bias[gives])
    rows(copy.norm, theirs.norm, branch, gives)
    for ours, layer, out, into in (
        (copy.mlp.fc1, theirs.mlp.fc1, channels.first, gives),
        (copy.mlp.fc2, theirs.mlp.fc2, gives, channels.first),
    ):
        weight = layer.weight.flatten(1)  # a linear layer's, or a 1×1 convolution's
        ours.weight[branch].copy_(weight[out][:, into] * gain(weight.shape[1], into))
        ours.bias[branch].copy_(layer.bias[out])
    if copy.mlp.grn is not None:
        rows(copy.mlp.grn, theirs.mlp.grn, branch, channels.first)
    if copy.gamma is not None:
        copy.gamma[branch].copy_(theirs.gamma[gives])
