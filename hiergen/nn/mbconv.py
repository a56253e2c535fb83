"""Inverted residuals, the blocks of mobile backbones, for N branches (Sandler et al., arXiv 1801.04381)."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.nn.lowering import Run
from hiergen.nn.plain_kernels import Fan, fill, made, same_padding, strided
from hiergen.nn.plain_layers import inverted_residual
from hiergen.nn.primitives import BranchBatchNorm2d, BranchConv2d, convolve_normed, kaiming_normal_
from hiergen.nn.stage import BlockStack, positive

Act: TypeAlias = Literal["relu", "relu6", "silu"]
ACTS: tuple[Act, ...] = ("relu", "relu6", "silu")
PLAIN_ACTS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU}


class InvertedResidual(nn.Module):
    """1×1 to `width` channels, depthwise k×k (with the stride), 1×1 to `out`, each with batch norm and the first two
    with an activation, plus skip where nothing changes: rows `(m, B, H, W, C)` to `(n, B, H', W', C')`.

    Names and init are those of `timm.models._efficientnet_blocks.InvertedResidual` without squeeze-and-excitation: row
    i of every tensor is one timm block's (kernels permuted to channels-last). `tf` is for timm's `tf_` models: padding
    as TensorFlow's SAME, which puts an odd px below and right of a strided map, and norms with an eps of 1e-3.
    """

    def __init__(
        self,
        branches: int,
        in_channels: int,
        width: int,
        out: int,
        *,
        stride: int = 1,
        kernel: int = 3,
        act: Act = "relu6",
        tf: bool = False,
    ) -> None:
        super().__init__()
        eps = 1e-3 if tf else 1e-5
        self.act, self.tf = act, tf
        self.has_skip = stride == 1 and in_channels == out
        padding = 0 if tf and stride > 1 else kernel // 2  # SAME depends on the map's size, and comes before
        self.conv_pw = BranchConv2d(branches, in_channels, width, 1)
        self.bn1 = BranchBatchNorm2d(branches, width, eps=eps)
        self.conv_dw = BranchConv2d(branches, width, width, kernel, stride=stride, padding=padding, depthwise=True)
        self.bn2 = BranchBatchNorm2d(branches, width, eps=eps)
        self.conv_pwl = BranchConv2d(branches, width, out, 1)
        self.bn3 = BranchBatchNorm2d(branches, out, eps=eps)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """timm's EfficientNet init: He's normal; a depthwise kernel's fan-out is that of its one channel."""
        kaiming_normal_(self.conv_pw.weight)
        nn.init.normal_(self.conv_dw.weight, std=math.sqrt(2.0) / self.conv_dw.weight.shape[2])
        kaiming_normal_(self.conv_pwl.weight)

    def forward(self, x: Tensor, run: Run) -> Tensor:
        skip = run.expand(x) if self.has_skip else None
        y = self._activated(self.conv_pw, self.bn1, x, run)
        if self.tf and self.conv_dw.stride > 1:
            y = pad_same(y, self.conv_dw.weight.shape[2], self.conv_dw.stride)
        y = self._activated(self.conv_dw, self.bn2, y, run)
        return convolve_normed(self.conv_pwl, self.bn3, y, run, skip=skip)

    def plain(self, fan: Fan) -> tuple[nn.Module, Fan]:
        """The plain form, and where the next block stands."""
        kernel, stride = self.conv_dw.weight.shape[2], self.conv_dw.stride
        out = fan.channels if self.has_skip else fan.aligned(self.conv_pwl.out)
        block = made(
            inverted_residual,
            fan.channels,
            fan.aligned(self.conv_pw.out),
            out,
            kernel=kernel,
            stride=stride,
            act=PLAIN_ACTS[self.act],
            families=fan.families,
            pad=same_padding(kernel, stride, fan.size)[0] if self.tf and stride > 1 else None,
            residual=self.has_skip,
        )
        pairs = ((self.conv_pw, self.bn1), (self.conv_dw, self.bn2), (self.conv_pwl, self.bn3))
        fill(block, [conv.plain(fan, norm) for conv, norm in pairs], self.conv_pw.weight.dtype)
        return block, fan.after(out, strided(fan.size, stride))

    def _activated(self, conv: BranchConv2d, norm: BranchBatchNorm2d, x: Tensor, run: Run) -> Tensor:
        if self.act != "silu":
            return convolve_normed(conv, norm, x, run, relu=True, cap=6.0 if self.act == "relu6" else None)
        return F.silu(convolve_normed(conv, norm, x, run), inplace=not torch.is_grad_enabled())


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Rows `(n, B, H, W, C)` with zeros around them as TensorFlow's padding SAME: of an odd number one less before."""
    sides: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, (0, 0, *sides))


@dataclass(frozen=True)
class InvertedResiduals:
    """Recipe of a stage of `depth` inverted residuals, `width` channels wide inside; the first one has the stride.

    `kernel` is the depthwise one's, in px, `act` "relu", "relu6" or "silu"; `tf` as in timm's `tf_` models.
    Raises ValueError for a number that is not a positive int, an even kernel, and another activation.

    >>> stage = InvertedResiduals(112, 672, 192, stride=2, kernel=5).build(10)  # (B, 112, 14, 14) -> (B, 1920, 7, 7)
    """

    in_channels: int
    width: int
    out: int
    _: KW_ONLY
    depth: int = 1
    stride: int = 1
    kernel: int = 3
    act: Act = "relu6"
    tf: bool = False

    def __post_init__(self) -> None:
        positive("InvertedResiduals", **{name: size for name, size in vars(self).items() if name not in ("act", "tf")})
        if self.kernel % 2 == 0:
            raise ValueError(f"InvertedResiduals: kernel expected an odd int, got {self.kernel}")
        if self.act not in ACTS:
            raise ValueError(f"InvertedResiduals: act expected one of {', '.join(ACTS)}, got {self.act!r}")

    @property
    def widest(self) -> int:
        """Channels of the widest map, per output pixel."""
        return max(self.out, self.width * self.stride**2)

    @property
    def patch(self) -> int:
        """Values of the largest patch that a convolution reads, per output pixel; depthwise ones read none."""
        return self.width * self.stride**2

    def build(self, branches: int) -> BlockStack:
        """The stage for so many branches."""
        more = {"kernel": self.kernel, "act": self.act, "tf": self.tf}
        blocks = [InvertedResidual(branches, self.in_channels, self.width, self.out, stride=self.stride, **more)]  # type: ignore[arg-type]
        blocks += [InvertedResidual(branches, self.out, self.width, self.out, **more) for _ in range(1, self.depth)]  # type: ignore[arg-type]
        return BlockStack(*blocks)

    def shrink(self, size: int) -> int:
        """Height or width of the map after the stage, px."""
        return (size - 1) // self.stride + 1
