"""The 1×1 convolution that ends mobile backbones, for N branches."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.nn.lowering import Run
from hiergen.nn.mbconv import ACTS, PLAIN_ACTS, Act
from hiergen.nn.plain_kernels import Fan, fill, made
from hiergen.nn.plain_layers import pointwise
from hiergen.nn.primitives import BranchBatchNorm2d, BranchConv2d, convolve_normed, kaiming_normal_
from hiergen.nn.stage import BlockStack, positive


class PointwiseConv(nn.Module):
    """1×1 convolution, batch norm and activation: rows `(m, B, H, W, C)` to `(n, B, H, W, out)`.

    It is `conv_head` and `bn2` of timm's EfficientNets; norms have an eps of 1e-3 with `tf`.
    """

    def __init__(self, branches: int, in_channels: int, out: int, *, act: Act = "relu6", tf: bool = False) -> None:
        super().__init__()
        self.act = act
        self.conv = BranchConv2d(branches, in_channels, out, 1)
        self.bn = BranchBatchNorm2d(branches, out, eps=1e-3 if tf else 1e-5)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """timm's EfficientNet init: He's normal."""
        kaiming_normal_(self.conv.weight)

    def forward(self, x: Tensor, run: Run) -> Tensor:
        if self.act == "silu":
            return F.silu(convolve_normed(self.conv, self.bn, x, run), inplace=not torch.is_grad_enabled())
        return convolve_normed(self.conv, self.bn, x, run, relu=True, cap=6.0 if self.act == "relu6" else None)

    def plain(self, fan: Fan) -> tuple[nn.Module, Fan]:
        """The plain form, and where the next block stands."""
        out = fan.aligned(self.conv.out)
        block = made(pointwise, fan.channels, out, act=PLAIN_ACTS[self.act], families=fan.families)
        return fill(block, [self.conv.plain(fan, self.bn)], self.conv.weight.dtype), fan.after(out, fan.size)


@dataclass(frozen=True)
class PointwiseConvs:
    """Recipe of one 1×1 convolution with its norm and activation, "relu", "relu6" or "silu"; `tf` as in timm's `tf_`
    models.

    Raises ValueError for a number that is not a positive int, and another activation.

    >>> stage = PointwiseConvs(320, 1280).build(10)  # (B, 320, 7, 7) -> (B, 10, 1280, 7, 7)
    """

    in_channels: int
    out: int
    _: KW_ONLY
    act: Act = "relu6"
    tf: bool = False

    def __post_init__(self) -> None:
        positive("PointwiseConvs", in_channels=self.in_channels, out=self.out)
        if self.act not in ACTS:
            raise ValueError(f"PointwiseConvs: act expected one of {', '.join(ACTS)}, got {self.act!r}")

    @property
    def width(self) -> int:
        """Channels inside: those of its answer."""
        return self.out

    @property
    def depth(self) -> int:
        """One block."""
        return 1

    @property
    def stride(self) -> int:
        """Maps keep their size."""
        return 1

    @property
    def widest(self) -> int:
        """Channels of the widest map, per output pixel."""
        return max(self.in_channels, self.out)

    @property
    def patch(self) -> int:
        """Values of the largest patch that a convolution reads, per output pixel."""
        return self.in_channels

    def build(self, branches: int) -> BlockStack:
        """The stage for so many branches."""
        return BlockStack(PointwiseConv(branches, self.in_channels, self.out, act=self.act, tf=self.tf))

    def shrink(self, size: int) -> int:
        """Height or width of the map after the stage, px."""
        return size
