"""Layers of networks in plain form: ordinary convolutions on maps `(B, n·C, H, W)`, n branches side by side.

They hold no norms with statistics: those are in the kernels. `hiergen export --format plain` copies what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PerParent(nn.ModuleList):
    """A convolution per parent, dense over its children: `(B, P·C, H, W)` to `(B, N·out, H', W')`.

    Neighbours with equally many children are one convolution with a group each. `runs` says how many there are, and
    how many children each has.
    """

    def __init__(self, channels: int, out: int, runs: Sequence[tuple[int, int]], **options: int) -> None:
        convs = [nn.Conv2d(p * channels, p * n * out, groups=p, **options) for p, n in runs]  # type: ignore[arg-type]
        super().__init__(convs)
        self.sizes = [p * channels for p, _ in runs]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([conv(part) for conv, part in zip(self, torch.split(x, self.sizes, 1), strict=True)], 1)


def branch_conv(
    channels: int, out: int, families: Sequence[int], kernel: int = 1, stride: int = 1, padding: int = 0
) -> nn.Module:
    """`families[p]` convolutions of `channels` to `out` on the p-th parent's map; in one layer where that can be."""
    runs = [(len(list(same)), n) for n, same in groupby(families)]
    options = {"kernel_size": kernel, "stride": stride, "padding": padding}
    if len(runs) > 1:
        return PerParent(channels, out, runs, **options)
    parents, n = runs[0]
    return nn.Conv2d(parents * channels, parents * n * out, groups=parents, **options)  # type: ignore[arg-type]


def by_branch(x: Tensor, branches: int, channels: int) -> Tensor:
    """`(B, N·C, H, W)` as `(B, N, C, H, W)`."""
    return x.reshape(x.shape[0], branches, channels, *x.shape[2:])


class PerChild(nn.Module):
    """Every parent's map once for each of its children: `(B, P·C, H, W)` to `(B, N·C, H, W)`."""

    index: Tensor

    def __init__(self, channels: int, families: Sequence[int]) -> None:
        super().__init__()
        self.arguments = channels, tuple(families)
        index = [p * channels + c for p, n in enumerate(families) for _ in range(n) for c in range(channels)]
        self.register_buffer("index", torch.tensor(index), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.index)


class Residual(nn.Module):
    """`act(body(x) + skip(x))`; without a `skip` it is x, without an `act` nothing follows."""

    def __init__(self, body: nn.Module, skip: nn.Module | None = None, act: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.skip, self.act = body, skip, act

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        y += x if self.skip is None else self.skip(x)
        return y if self.act is None else self.act(y)


class ChannelNorm(nn.Module):
    """A layer norm over the channels of every branch; unless `affine`, its scale and shift are in the kernels that
    follow."""

    def __init__(self, channels: int, branches: int = 1, eps: float = 1e-6, affine: bool = False) -> None:
        super().__init__()
        self.channels, self.branches, self.eps = channels, branches, eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        if self.branches == 1:
            x = x.permute(0, 2, 3, 1)
            return F.layer_norm(x, (self.channels,), self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
        y = by_branch(x, self.branches, self.channels).permute(0, 1, 3, 4, 2)
        return F.layer_norm(y, (self.channels,), eps=self.eps).permute(0, 1, 4, 2, 3).flatten(1, 2)


class PadSame(nn.Module):
    """Zeros around a map of any size, as TensorFlow's padding SAME: of an odd number one less before."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            total = ((size + self.stride - 1) // self.stride - 1) * self.stride + self.kernel - size  # kernel >= stride
            sides += [total // 2, total - total // 2]
        return F.pad(x, sides)


class ResponseNorm(nn.Module):
    """ConvNeXt V2's global response norm of every branch (arXiv 2301.00808, Eqs. 1-3); its bias is in the kernels that
    follow. Of a branch's channels the mean counts `channels`, others are zero."""

    def __init__(self, channels: int, width: int, branches: int = 1, eps: float = 1e-6) -> None:
        super().__init__()
        self.channels, self.width, self.branches, self.eps = channels, width, branches, eps
        self.weight = nn.Parameter(torch.zeros(1, branches * width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        energy = by_branch((x * x).sum((2, 3), keepdim=True).sqrt(), self.branches, self.width)
        mean = energy.sum(2, keepdim=True) / self.channels
        return x * (1 + self.weight * (energy / (mean + self.eps)).flatten(1, 2))


class SqueezeExcite(nn.Module):
    """Channels scaled by what their means say (arXiv 1709.01507)."""

    def __init__(self, channels: int, width: int, act: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.reduce, self.act = nn.Conv2d(channels, width, 1), act
        self.expand, self.gate = nn.Conv2d(width, channels, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))))  # type: ignore[no-any-return]


class Gain(nn.Module):
    """Every branch's maps times its gain: those that it holds, times `columns` of those that it is given."""

    gains: Tensor
    columns: Tensor

    def __init__(self, channels: int, columns: Sequence[int]) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("gains", torch.ones(1, len(columns)))
        self.register_buffer("columns", torch.tensor(columns), persistent=False)

    def forward(self, x: Tensor, gains: Tensor | None = None) -> Tensor:
        """`(B, N·C, H, W)` and `(1 or B, all)` to `(B, N·C, H, W)`."""
        chosen = self.gains if gains is None else self.gains * gains.index_select(1, self.columns)
        return (by_branch(x, len(self.columns), self.channels) * chosen[:, :, None, None, None]).flatten(1, 2)


class Scores(nn.Module):
    """One score per class from the mean map of its branch: `(B, N·C, H, W)` to `(B, classes)`.

    `counts[i]` classes read branch i; class c has score `order[c]` of those in the branches' order.
    """

    order: Tensor

    def __init__(self, channels: int, counts: Sequence[int], order: Sequence[int]) -> None:
        super().__init__()
        self.arguments = channels, tuple(counts), tuple(order)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.score = branch_conv(channels, 1, counts)
        self.is_ordered = list(order) == list(range(len(order)))
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.score(self.pool(x)).flatten(1)
        return scores if self.is_ordered else scores.index_select(1, self.order)


class Copies(nn.ModuleList):
    """A module for every branch, on its parent's map: `(B, P·C, H, W)` to `(B, N·out, H', W')`.

    The modules read the first `reads` of the C channels as their `layout` has them: "nchw", "nhwc", or "nlc" for
    tokens. `writes`: they write into what they read.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        channels: int,
        families: Sequence[int],
        reads: int,
        out: int,
        layout: str,
        writes: bool = False,
    ) -> None:
        super().__init__(modules)
        self.channels, self.reads, self.out, self.layout, self.writes = channels, reads, out, layout, writes
        self.homes = [p for p, n in enumerate(families) for _ in range(n)]

    def forward(self, x: Tensor) -> Tensor:
        maps = [part[:, : self.reads] for part in torch.split(x, self.channels, 1)]
        return torch.cat([self.one(module, maps[p]) for module, p in zip(self, self.homes, strict=True)], 1)

    def one(self, module: nn.Module, x: Tensor) -> Tensor:
        """One branch's map."""
        y: Tensor
        if self.layout == "nlc":
            y = module(x.flatten(2).transpose(1, 2))
            if y.ndim == 3:
                y = y.transpose(1, 2)
                return y.reshape(*y.shape[:2], *x.shape[2:]) if y.shape[2] == x.shape[2] * x.shape[3] else y[:, :, None]
        elif self.layout == "nhwc":
            y = module(x.permute(0, 2, 3, 1).contiguous())
            y = y.permute(0, 3, 1, 2) if y.ndim == 4 else y
        else:
            y = module(x.clone() if self.writes else x)
        return y if y.ndim == 4 else y[:, :, None, None]


def bottleneck(
    channels: int, width: int, out: int, *, stride: int = 1, families: Sequence[int] = (1,), project: bool = False
) -> Residual:
    """ResNet's 1×1, 3×3, 1×1 (arXiv 1512.03385), for all branches; `families` as in `branch_conv`."""
    n = sum(families)
    body = nn.Sequential(
        branch_conv(channels, width, families),
        nn.ReLU(inplace=True),
        nn.Conv2d(n * width, n * width, 3, stride, 1, groups=n),
        nn.ReLU(inplace=True),
        nn.Conv2d(n * width, n * out, 1, groups=n),
    )
    skip = branch_conv(channels, out, families, stride=stride) if project else _shared(channels, families)
    return Residual(body, skip, nn.ReLU(inplace=True))


def inverted_residual(
    channels: int,
    width: int,
    out: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    act: Callable[..., nn.Module] = nn.ReLU6,
    families: Sequence[int] = (1,),
    pad: nn.Module | None = None,
    excite: nn.Module | None = None,
    residual: bool = False,
) -> nn.Module:
    """MobileNetV2's 1×1, depthwise, 1×1 (arXiv 1801.04381), for all branches; `pad` is what pads the
    map, in place of `kernel // 2` zeros around it."""
    n = sum(families)
    padding = kernel // 2 if pad is None else 0
    layers = [branch_conv(channels, width, families), act(inplace=True)]
    layers += [] if pad is None else [pad]
    layers += [nn.Conv2d(n * width, n * width, kernel, stride, padding, groups=n * width), act(inplace=True)]
    layers += [] if excite is None else [excite]
    body = nn.Sequential(*layers, nn.Conv2d(n * width, n * out, 1, groups=n))
    return Residual(body, _shared(channels, families)) if residual else body


def pointwise(
    channels: int, out: int, *, act: Callable[..., nn.Module] = nn.ReLU6, families: Sequence[int] = (1,)
) -> nn.Sequential:
    """A 1×1 convolution and an activation, for all branches."""
    return nn.Sequential(branch_conv(channels, out, families), act(inplace=True))


def convnext_block(
    channels: int,
    width: int,
    *,
    kernel: int = 7,
    branches: int = 1,
    eps: float = 1e-6,
    act: nn.Module | None = None,
    response: int | None = None,
) -> Residual:
    """ConvNeXt's depthwise convolution and MLP (arXiv 2201.03545), for all branches; V2's with a `response` norm over
    so many channels."""
    n = branches
    norm = [] if response is None else [ResponseNorm(response, width, n)]
    return Residual(
        nn.Sequential(
            nn.Conv2d(n * channels, n * channels, kernel, 1, kernel // 2, groups=n * channels),
            ChannelNorm(channels, n, eps),
            nn.Conv2d(n * channels, n * width, 1, groups=n),
            nn.GELU() if act is None else act,
            *norm,
            nn.Conv2d(n * width, n * channels, 1, groups=n),
        )
    )


def _shared(channels: int, families: Sequence[int]) -> nn.Module | None:
    """What hands children the map of their parent, if they share one."""
    return None if set(families) == {1} else PerChild(channels, families)
