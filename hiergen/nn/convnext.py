"""ConvNeXt blocks, V1 and V2, for N branches (arXiv 2201.03545, 2301.00808)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.nn.lowering import Run
from hiergen.nn.plain_kernels import Fan, after_norm, after_shift, fill, fold_norm, made, set_response
from hiergen.nn.plain_layers import ChannelNorm, PerChild, branch_conv, convnext_block
from hiergen.nn.primitives import BranchConv2d, BranchLayerNorm, BranchLinear, per_branch
from hiergen.nn.stage import Block, BranchStage, positive


class Downsample(nn.ModuleList):
    """Layer norm, then a convolution whose kernel is its stride: rows `(m, B, H, W, C)` to `(n, B, H', W', C')`."""

    def __init__(self, branches: int, in_channels: int, out: int, stride: int) -> None:
        norm = BranchLayerNorm(branches, in_channels)
        conv = BranchConv2d(branches, in_channels, out, stride, stride=stride, bias=True)
        super().__init__([norm, conv])

    def forward(self, x: Tensor, run: Run) -> Tensor:
        norm, conv = self[0], self[1]
        assert isinstance(norm, BranchLayerNorm)
        assert isinstance(conv, BranchConv2d)
        assert conv.bias is not None
        if x.shape[0] == run.branches:
            y: Tensor = conv(norm(x, run), run)
            return y
        # A shared map is standardized once; each branch's scale and shift go into its convolution. That is exact, as
        # nothing is padded, and spares n copies of the map.
        kernels, scale, shift = run.pick(conv.weight), run.pick(norm.weight), run.pick(norm.bias)
        bias = run.pick(conv.bias) + torch.einsum("noklc,nc->no", kernels, shift)
        kernels = kernels * scale[:, None, None, None]
        return run.convolve(norm.standardize(x), kernels, bias, conv.stride, 0)


class GlobalResponseNorm(nn.Module):
    """ConvNeXt V2's GRN on rows `(n, B, H, W, C)` (arXiv 2301.00808, Eqs. 1–3); starts as the identity."""

    def __init__(self, branches: int, channels: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(branches, channels))
        self.bias = nn.Parameter(torch.zeros(branches, channels))

    def forward(self, x: Tensor, run: Run) -> Tensor:
        energy = x.norm(p=2, dim=(2, 3), keepdim=True)
        relative = energy / (energy.mean(-1, keepdim=True) + self.eps)
        # x + bias + weight · x · relative, with the factors joined before they meet the map
        factor = torch.addcmul(torch.ones_like(relative), per_branch(run.pick(self.weight)), relative)
        return torch.addcmul(per_branch(run.pick(self.bias)), x, factor)


class Mlp(nn.Module):
    """Linear, GELU, GRN (V2 only), linear, on rows `(n, B, H, W, C)`."""

    def __init__(self, branches: int, channels: int, width: int, *, grn: bool) -> None:
        super().__init__()
        self.fc1 = BranchLinear(branches, channels, width)
        self.grn = GlobalResponseNorm(branches, width) if grn else None
        self.fc2 = BranchLinear(branches, width, channels)

    def forward(self, x: Tensor, run: Run) -> Tensor:
        y: Tensor = F.gelu(self.fc1(x, run))
        if self.grn is not None:
            y = self.grn(y, run)
        return self.fc2(y, run)  # type: ignore[no-any-return]


class ConvNeXtBlock(nn.Module):
    """Depthwise 7×7, layer norm, MLP, layer scale (V1 only), plus skip: rows `(m, B, H, W, C)` to `(n, …)`."""

    def __init__(self, branches: int, channels: int, width: int, *, grn: bool) -> None:
        super().__init__()
        self.conv_dw = BranchConv2d(branches, channels, channels, 7, padding=3, bias=True, depthwise=True)
        self.norm = BranchLayerNorm(branches, channels)
        self.mlp = Mlp(branches, channels, width, grn=grn)
        self.gamma = None if grn else nn.Parameter(torch.full((branches, channels), 1e-6))

    def forward(self, x: Tensor, run: Run) -> Tensor:
        x = run.expand(x)
        y: Tensor = self.mlp(self.norm(self.conv_dw(x, run), run), run)
        if self.gamma is None:
            return x + y
        return torch.addcmul(x, y, per_branch(run.pick(self.gamma)))

    def plain(self, fan: Fan) -> nn.Module:
        """The plain form: layer scale, and scale and shift of the norms, are in the kernels."""
        norm, mlp = self.norm, self.mlp
        width = mlp.fc1.weight.shape[1]
        sizes = {"branches": len(fan.order), "response": None if mlp.grn is None else width}
        block = made(convnext_block, fan.channels, fan.aligned(width), eps=norm.eps, **sizes)
        (w1, b1), (w2, b2) = (
            (fan.pick(layer.weight)[:, :, :, None, None], fan.pick(layer.bias)) for layer in (mlp.fc1, mlp.fc2)
        )
        if mlp.grn is not None:
            set_response(block, fan.pick(mlp.grn.weight), mlp.grn.eps)
            b2 = after_shift(w2, b2, fan.pick(mlp.grn.bias))
        if self.gamma is not None:
            gamma = fan.pick(self.gamma)
            w2, b2 = fold_norm(w2, gamma, torch.zeros_like(gamma), b2)
        first = after_norm(w1, b1, fan.pick(norm.weight), fan.pick(norm.bias))
        return fill(block, [self.conv_dw.plain(fan), first, (w2, b2)], self.conv_dw.weight.dtype)


class ConvNeXtStage(BranchStage):
    """Names and init of `timm.models.convnext.ConvNeXtStage`: row i of every tensor is one timm stage's (kernels
    permuted to channels-last)."""

    def __init__(
        self, branches: int, in_channels: int, width: int, out: int, *, depth: int, stride: int, grn: bool
    ) -> None:
        super().__init__()
        change = stride > 1 or in_channels != out
        self.downsample = Downsample(branches, in_channels, out, stride) if change else None
        self.blocks = nn.ModuleList(ConvNeXtBlock(branches, out, width, grn=grn) for _ in range(depth))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """timm's ConvNeXt init: truncated normal of 0.02; the biases are 0 from birth."""
        for module in self.modules():
            if isinstance(module, BranchConv2d | BranchLinear):
                nn.init.trunc_normal_(module.weight, std=0.02)

    def steps(self) -> Sequence[Block]:
        return [self._first, *self.blocks[1:]]

    def plain(self, fan: Fan) -> tuple[list[nn.Module], Fan]:
        first: list[nn.Module] = []
        size, channels = fan.size, fan.channels
        if self.downsample is not None:
            norm, conv = self.downsample
            assert isinstance(conv, BranchConv2d)
            down = made(branch_conv, channels, conv.out, fan.families, kernel=conv.stride, stride=conv.stride)
            assert isinstance(norm, BranchLayerNorm)
            affine = fan.pick(norm.weight), fan.pick(norm.bias)
            fill(down, [after_norm(*conv.plain(fan), *affine)], conv.weight.dtype)
            first = [ChannelNorm(channels, len(fan.families), norm.eps), down]
            channels, size = conv.out, size and (size[0] // conv.stride, size[1] // conv.stride)
        elif set(fan.families) != {1}:
            first = [PerChild(channels, fan.families)]
        fan = fan.after(channels, size)
        blocks = [block.plain(fan) for block in self.blocks]  # type: ignore[operator]
        return [nn.Sequential(*first, blocks[0]) if first else blocks[0], *blocks[1:]], fan

    def _first(self, x: Tensor, run: Run) -> Tensor:
        if self.downsample is not None:
            x = self.downsample(x, run)
        return self.blocks[0](x, run)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class ConvNeXts:
    """Recipe of a stage of `depth` ConvNeXt blocks of `out` channels, their MLP `width` wide; `grn` makes them V2.

    The stride, or a change of channels, is a layer norm and a convolution before the blocks.
    Raises ValueError for a number that is not a positive int.

    >>> stage = ConvNeXts(384, 768, 192, depth=2, stride=2).build(10)  # (B, 384, 14, 14) -> (B, 1920, 7, 7)
    """

    in_channels: int
    width: int
    out: int
    _: KW_ONLY
    depth: int = 1
    stride: int = 1
    grn: bool = False

    def __post_init__(self) -> None:
        positive("ConvNeXts", **{name: size for name, size in vars(self).items() if name != "grn"})

    @property
    def widest(self) -> int:
        """Channels of the widest map, per output pixel."""
        return max(self.width, self.out)

    @property
    def patch(self) -> int:
        """Values of the largest patch that a convolution reads, per output pixel; depthwise ones read none."""
        return self.in_channels * self.stride**2

    def build(self, branches: int) -> BranchStage:
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
