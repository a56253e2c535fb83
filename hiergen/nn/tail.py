"""The blocks that a backbone has after a cut, as far as branches have blocks of their kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import timm.models.convnext
import timm.models.resnet
from timm.models._efficientnet_blocks import InvertedResidual as TimmInvertedResidual
from torch import nn

from hiergen.errors import HiergenError, quoted
from hiergen.nn.mbconv import Act
from hiergen.nn.pointwise import PointwiseConv
from hiergen.nn.trunk import stages

CONV_HEAD = "conv_head"  # of mobile backbones, with the norm "bn2"


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
    def stage(self) -> str:
        """The module that it is the first, second, … block of."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def projects(self) -> bool:
        """Whether its answer's channels are others than those that it reads."""
        return projects(self.block, self.entry)


def projects(block: Any, entry: Any | None) -> bool:
    """Whether a block's answer, of ours or of timm's, has other channels than those that it reads."""
    if isinstance(block, nn.Sequential | PointwiseConv):  # a 1×1 convolution
        return True
    if hasattr(block, "has_skip"):
        return not block.has_skip
    return entry is not None or getattr(block, "downsample", None) is not None


def stages_after(backbone: str, until: str) -> list[str]:
    """Modules of the backbone after a stage, in order. timm lists stages where the resolution changes: of mobile
    networks blocks.4 and blocks.6, say; what is between belongs to the next one."""
    after = [stage.name for stage in stages(backbone)]
    at = after.index(until)
    names: list[str] = []
    for before, name in pairwise(after[at:]):
        (parent, _, last), (other, _, first) = name.rpartition("."), before.rpartition(".")
        numbered = parent == other and last.isdecimal() and first.isdecimal()
        names += [f"{parent}.{i}" for i in range(int(first) + 1, int(last))] if numbered else []
        names.append(name)
    return names


def blocks_of(model: nn.Module | None, names: list[str], backbone: str) -> tuple[list[BackboneBlock], str | None]:
    """The blocks of these stages, and why they end where they do, if not with the backbone."""
    blocks: list[BackboneBlock] = []
    for name in names:
        assert model is not None
        try:
            stage = model.get_submodule(name)
        except AttributeError:
            raise HiergenError(
                f"the model given is not the backbone {quoted(backbone)}", expected=f"a stage {quoted(name)}"
            ) from None
        try:
            blocks += sources(name, stage)
        except TypeError as error:
            return blocks, str(error)
    blocks += conv_head(model)
    return blocks, None


def conv_head(model: Any) -> Iterator[BackboneBlock]:
    """The 1×1 convolution after the last stage, where the model pools after it."""
    conv: Any = getattr(model, CONV_HEAD, None)
    norm: Any = getattr(model, "bn2", None)
    plain = type(conv) is nn.Conv2d and conv.kernel_size == (1, 1) and isinstance(norm, nn.BatchNorm2d)
    if plain and type(getattr(norm, "act", None)) in ACTS:
        yield BackboneBlock(
            *(CONV_HEAD, nn.Sequential(conv, norm), None),
            *(conv.in_channels, conv.out_channels, conv.out_channels, 1),
        )


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


ACTS: dict[type[nn.Module], Act] = {nn.ReLU: "relu", nn.ReLU6: "relu6", nn.SiLU: "silu"}


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
        if type(parts.bn1.act) not in ACTS or not isinstance(parts.bn1, nn.BatchNorm2d):
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
