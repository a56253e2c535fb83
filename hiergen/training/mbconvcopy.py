"""Inverted residuals of timm's mobile networks, and a branch's block that starts as channels of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from timm.layers.conv2d_same import Conv2dSame
from timm.models._efficientnet_blocks import InvertedResidual as TimmInvertedResidual
from torch import nn

from hiergen.nn.mbconv import InvertedResidual
from hiergen.training.blockparts import BackboneBlock, Channels, Target, batch_norm, kernel

_Any = Any  # timm's modules have no types
_ACTS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.ReLU6: "relu6", nn.SiLU: "silu"}


def mbconv_sources(name: str, stage: nn.Module) -> Iterator[BackboneBlock]:
    """The inverted residuals of a backbone's stage. Raises TypeError where it has others than branches can have."""
    for number, block in enumerate(stage.children()):
        if type(block) is not TimmInvertedResidual:
            raise TypeError(f"{name} of the backbone is made of {type(block).__name__}, of which branches have none")
        parts: _Any = block
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
    ours: _Any = target.block
    theirs: _Any = source.block
    kernel, other = ours.conv_dw.weight.shape[2], theirs.conv_dw.kernel_size[0]
    if kernel != other:
        return f"its kernel is {kernel} px, {source.name}'s is {other}"
    act = _ACTS[type(theirs.bn1.act)]
    if ours.act != act:
        return f"its activation is {ours.act}, {source.name}'s is {act}"
    same = isinstance(theirs.conv_dw, Conv2dSame)
    if target.stride == source.stride > 1 and ours.tf != same:
        return f"{source.name} pads {'as TensorFlow does (tf=True)' if same else 'alike on both sides (tf=False)'}"
    if target.projects and not source.projects:
        return f"{source.name} adds what it reads to its answer, and the branch's block has new channels"
    return None


def copy_mbconv(source: BackboneBlock, ours: InvertedResidual, branch: int, channels: Channels) -> None:
    """Kernels, norms and statistics of these channels; `channels.first` are those between the 1×1 convolutions."""
    theirs: _Any = source.block
    inner = channels.first
    kernel(ours.conv_pw, theirs.conv_pw.weight, branch, inner, channels.reads)
    batch_norm(ours.bn1, theirs.bn1, branch, inner)
    ours.conv_dw.weight[branch].copy_(theirs.conv_dw.weight[inner].permute(0, 2, 3, 1))
    batch_norm(ours.bn2, theirs.bn2, branch, inner)
    kernel(ours.conv_pwl, theirs.conv_pwl.weight, branch, channels.gives, inner)
    batch_norm(ours.bn3, theirs.bn3, branch, channels.gives)
