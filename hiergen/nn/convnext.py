"""ConvNeXt blocks, V1 and V2, for N branches (arXiv 2201.03545, 2301.00808)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.nn.arguments import positive
from hiergen.nn.primitives import (
    BranchConv2d,
    BranchLayerNorm,
    BranchLinear,
    channels_last,
    folded,
    per_branch,
    unshared,
)


class Downsample(nn.Sequential):
    """Layer norm, then a convolution whose kernel is its stride: shared or folded map to folded map."""

    def __init__(self, branches: int, in_channels: int, out: int, stride: int) -> None:
        norm = BranchLayerNorm(branches, in_channels)
        conv = BranchConv2d(branches, in_channels, out, stride, stride=stride, bias=True)
        super().__init__(norm, conv)
        self.branches = branches

    def forward(self, x: Tensor) -> Tensor:
        norm, conv = self[0], self[1]
        assert isinstance(norm, BranchLayerNorm)
        assert isinstance(conv, BranchConv2d)
        assert conv.bias is not None
        if x.shape[1] != conv.in_channels or self.branches == 1:
            y: Tensor = conv(folded(norm(channels_last(x, self.branches))))
            return y
        # A shared map is standardized once; each branch's scale and shift go into its convolution. That is exact, as
        # nothing is padded, and spares N copies of the map.
        standard = folded(norm.standardize(channels_last(x, 1)))
        weight = conv.weight * norm.weight[:, None, :, None, None]
        bias = conv.bias + torch.einsum("noikl,ni->no", conv.weight, norm.bias)
        return F.conv2d(standard, weight.flatten(0, 1), bias.flatten(), conv.stride)


class GlobalResponseNorm(nn.Module):
    """ConvNeXt V2's GRN on `(N, B, H, W, C)` (arXiv 2301.00808, Eqs. 1–3); starts as the identity."""

    def __init__(self, branches: int, channels: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(branches, channels))
        self.bias = nn.Parameter(torch.zeros(branches, channels))

    def forward(self, x: Tensor) -> Tensor:
        energy = x.norm(p=2, dim=(2, 3), keepdim=True)
        relative = energy / (energy.mean(-1, keepdim=True) + self.eps)
        return x + torch.addcmul(per_branch(self.bias), per_branch(self.weight), x * relative)


class Mlp(nn.Module):
    """Linear, GELU, GRN (V2 only), linear, on `(N, B, H, W, C)`."""

    def __init__(self, branches: int, channels: int, width: int, *, grn: bool) -> None:
        super().__init__()
        self.fc1 = BranchLinear(branches, channels, width)
        self.grn = GlobalResponseNorm(branches, width) if grn else nn.Identity()
        self.fc2 = BranchLinear(branches, width, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(self.grn(F.gelu(self.fc1(x))))
        return y


class ConvNeXtBlock(nn.Module):
    """Depthwise 7×7, layer norm, MLP, layer scale (V1 only), plus skip: shared or folded map to folded map."""

    def __init__(self, branches: int, channels: int, width: int, *, grn: bool) -> None:
        super().__init__()
        self.branches, self.channels = branches, channels
        self.conv_dw = BranchConv2d(branches, channels, channels, 7, padding=3, bias=True, depthwise=True)
        self.norm = BranchLayerNorm(branches, channels)
        self.mlp = Mlp(branches, channels, width, grn=grn)
        self.gamma = None if grn else nn.Parameter(torch.full((branches, channels), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        x = unshared(x, self.branches, self.channels)
        y = self.mlp(self.norm(channels_last(self.conv_dw(x), self.branches)))
        if self.gamma is not None:
            y = y * per_branch(self.gamma)
        return x + folded(y)


class ConvNeXtStage(nn.Module):
    """Names, shapes and init of `timm.models.convnext.ConvNeXtStage`: row i of every tensor is one timm stage."""

    def __init__(
        self, branches: int, in_channels: int, width: int, out: int, *, depth: int, stride: int, grn: bool
    ) -> None:
        super().__init__()
        change = stride > 1 or in_channels != out
        self.downsample = Downsample(branches, in_channels, out, stride) if change else nn.Identity()
        self.blocks = nn.Sequential(*(ConvNeXtBlock(branches, out, width, grn=grn) for _ in range(depth)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """timm's ConvNeXt init: truncated normal of 0.02; the biases are 0 from birth."""
        for module in self.modules():
            if isinstance(module, BranchConv2d | BranchLinear):
                nn.init.trunc_normal_(module.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.downsample(x))
        return y


@dataclass(frozen=True)
class ConvNeXts:
    """Recipe of a stage of `depth` ConvNeXt blocks of `out` channels, their MLP `width` wide; `grn` makes them V2.

    The stride, or a change of channels, is a layer norm and a convolution before the blocks.
    Raises ValueError for a number that is not a positive int.

    >>> ConvNeXts(384, 768, 192, depth=2, stride=2).build(10)  # 10 branches: (B, 384, 14, 14) -> (B, 1920, 7, 7)
    """

    in_channels: int
    width: int
    out: int
    _: KW_ONLY
    depth: int = 1
    stride: int = 1
    grn: bool = False

    def __post_init__(self) -> None:
        positive(
            "ConvNeXts",
            in_channels=self.in_channels,
            width=self.width,
            out=self.out,
            depth=self.depth,
            stride=self.stride,
        )

    def build(self, branches: int) -> nn.Module:
        """The stage for so many branches."""
        return ConvNeXtStage(
            branches,
            self.in_channels,
            self.width,
            self.out,
            depth=self.depth,
            stride=self.stride,
            grn=self.grn,
        )

    def shrink(self, size: int) -> int:
        """Height or width of the map after the stage, px."""
        return size // self.stride
