"""ResNet bottlenecks for N branches (He et al., arXiv 1512.03385; the block of Kelm et al., arXiv 2308.05128)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.nn.arguments import positive
from hiergen.nn.primitives import BranchBatchNorm2d, BranchConv2d, add_skip, kaiming_normal_


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride), 1×1, each with batch norm, plus skip: folded or shared map to folded map.

    Names and init are those of `timm.models.resnet.Bottleneck`: row i of every tensor is one timm block.
    """

    def __init__(self, branches: int, in_channels: int, width: int, out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.branches = branches
        self.conv1 = BranchConv2d(branches, in_channels, width, 1)
        self.bn1 = BranchBatchNorm2d(branches, width)
        self.conv2 = BranchConv2d(branches, width, width, 3, stride=stride, padding=1)
        self.bn2 = BranchBatchNorm2d(branches, width)
        self.conv3 = BranchConv2d(branches, width, out, 1)
        self.bn3 = BranchBatchNorm2d(branches, out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out:
            projection = BranchConv2d(branches, in_channels, out, 1, stride=stride)
            self.downsample = nn.Sequential(projection, BranchBatchNorm2d(branches, out))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """timm's ResNet init: He's normal, and a last gamma of 0 so that a block starts as its skip."""
        for module in self.modules():
            if isinstance(module, BranchConv2d):
                kaiming_normal_(module.weight)
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(add_skip(self.bn3(self.conv3(y)), skip, self.branches))


@dataclass(frozen=True)
class Bottlenecks:
    """Recipe of a stage of `depth` bottlenecks; the first one has the stride, and a projection where it needs one.

    Raises ValueError for a number that is not a positive int.

    >>> Bottlenecks(1024, 64, 96, depth=3, stride=2).build(10)  # 10 branches: (B, 1024, 14, 14) -> (B, 960, 7, 7)
    """

    in_channels: int
    width: int
    out: int
    _: KW_ONLY
    depth: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        positive(
            "Bottlenecks",
            in_channels=self.in_channels,
            width=self.width,
            out=self.out,
            depth=self.depth,
            stride=self.stride,
        )

    def build(self, branches: int) -> nn.Module:
        """The stage for so many branches."""
        blocks = [Bottleneck(branches, self.in_channels, self.width, self.out, stride=self.stride)]
        blocks += [Bottleneck(branches, self.out, self.width, self.out) for _ in range(1, self.depth)]
        return nn.Sequential(*blocks)

    def shrink(self, size: int) -> int:
        """Height or width of the map after the stage, px."""
        return (size - 1) // self.stride + 1
