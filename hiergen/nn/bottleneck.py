"""ResNet bottlenecks for N branches (He et al., arXiv 1512.03385; the block of Kelm et al., arXiv 2308.05128)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from torch import Tensor, nn

from hiergen.nn.lowering import Run
from hiergen.nn.plain_kernels import Fan, fill, made, strided
from hiergen.nn.plain_layers import bottleneck
from hiergen.nn.primitives import BranchBatchNorm2d, BranchConv2d, convolve_normed, kaiming_normal_
from hiergen.nn.stage import BlockStack, positive


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride), 1×1, each with batch norm, plus skip: rows `(m, B, H, W, C)` to `(n, B, H', W', C')`.

    Names and init are those of `timm.models.resnet.Bottleneck`: row i of every tensor is one timm block's (kernels
    permuted to channels-last).
    """

    def __init__(self, branches: int, in_channels: int, width: int, out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = BranchConv2d(branches, in_channels, width, 1)
        self.bn1 = BranchBatchNorm2d(branches, width)
        self.conv2 = BranchConv2d(branches, width, width, 3, stride=stride, padding=1)
        self.bn2 = BranchBatchNorm2d(branches, width)
        self.conv3 = BranchConv2d(branches, width, out, 1)
        self.bn3 = BranchBatchNorm2d(branches, out)
        self.downsample: nn.ModuleList | None = None
        if stride != 1 or in_channels != out:
            projection = BranchConv2d(branches, in_channels, out, 1, stride=stride)
            self.downsample = nn.ModuleList([projection, BranchBatchNorm2d(branches, out)])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """timm's ResNet init: He's normal, and a last gamma of 0 so that a block starts as its skip."""
        for module in self.modules():
            if isinstance(module, BranchConv2d):
                kaiming_normal_(module.weight)
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor, run: Run) -> Tensor:
        skip = run.expand(x) if self.downsample is None else self._projected(x, run)
        y = convolve_normed(self.conv1, self.bn1, x, run, relu=True)
        y = convolve_normed(self.conv2, self.bn2, y, run, relu=True)
        return convolve_normed(self.conv3, self.bn3, y, run, skip=skip, relu=True)

    def plain(self, fan: Fan) -> tuple[nn.Module, Fan]:
        """The plain form, and where the next block stands."""
        stride, project = self.conv2.stride, self.downsample is not None
        out = fan.aligned(self.conv3.out) if project else fan.channels
        sizes = fan.channels, fan.aligned(self.conv1.out), out
        block = made(bottleneck, *sizes, stride=stride, families=fan.families, project=project)
        pairs = [(self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)]
        pairs += [] if self.downsample is None else [tuple(self.downsample)]  # type: ignore[list-item]
        kernels = [conv.plain(fan, norm) for conv, norm in pairs]
        return fill(block, kernels, self.conv1.weight.dtype), fan.after(out, strided(fan.size, stride))

    def _projected(self, x: Tensor, run: Run) -> Tensor:
        assert self.downsample is not None
        conv, norm = self.downsample
        assert isinstance(conv, BranchConv2d)
        return convolve_normed(conv, norm, x, run)


@dataclass(frozen=True)
class Bottlenecks:
    """Recipe of a stage of `depth` bottlenecks; the first one has the stride, and a projection where it needs one.

    Raises ValueError for a number that is not a positive int.

    >>> stage = Bottlenecks(1024, 64, 96, depth=3, stride=2).build(10)  # (B, 1024, 14, 14) -> (B, 960, 7, 7)
    """

    in_channels: int
    width: int
    out: int
    _: KW_ONLY
    depth: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        positive("Bottlenecks", **vars(self))

    @property
    def widest(self) -> int:
        """Channels of the widest map, per output pixel."""
        return max(self.out, self.width * self.stride**2)

    @property
    def patch(self) -> int:
        """Values of the largest patch that a convolution reads, per output pixel."""
        return 9 * self.width

    def build(self, branches: int) -> BlockStack:
        """The stage for so many branches."""
        blocks = [Bottleneck(branches, self.in_channels, self.width, self.out, stride=self.stride)]
        blocks += [Bottleneck(branches, self.out, self.width, self.out) for _ in range(1, self.depth)]
        return BlockStack(*blocks)

    def shrink(self, size: int) -> int:
        """Height or width of the map after the stage, px."""
        return (size - 1) // self.stride + 1
