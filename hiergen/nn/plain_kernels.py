"""Kernels of the plain form: norms folded in, and laid out as ordinary convolutions have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.nn.plain_layers import PadSame, PerParent, ResponseNorm

# of N branches: (N, out, in, k, k) and (N, out)
Kernel: TypeAlias = tuple[Tensor, Tensor]
MapSize: TypeAlias = tuple[int, int] | None  # height and width, px; None: any


@dataclass(frozen=True)
class Fan:
    """Where a block stands: rows of stacked tensors in the order of the plain form, how many of them read each of the
    maps above, and the channels and the size of one of those. Channels are filled up with zeros to multiples of `grid`,
    which the kernels of CPUs are made for."""

    order: tuple[int, ...]
    families: tuple[int, ...]
    channels: int
    size: MapSize = None
    grid: int = 1

    def pick(self, stacked: Tensor) -> Tensor:
        """The branches' rows, in order, in float64: kernels are rounded once."""
        return stacked.detach()[list(self.order)].double()

    def aligned(self, channels: int) -> int:
        """The next multiple of the grid, unless that is more than a third more: then the zeros cost what they gain."""
        more = -(-channels // self.grid) * self.grid
        return more if 3 * more <= 4 * channels else channels

    def after(self, channels: int, size: MapSize) -> Fan:
        """The next block: every branch reads its own map."""
        return replace(self, families=(1,) * len(self.order), channels=channels, size=size)


def fold_norm(kernel: Tensor, scale: Tensor, shift: Tensor, bias: Tensor | None = None) -> Kernel:
    """The convolution `(N, out, in, k, k)`, then `· scale + shift` of `(N, out)`."""
    folded = kernel * scale[:, :, None, None, None]
    return folded, shift if bias is None else shift + bias * scale


def fill(module: nn.Module, kernels: Sequence[Kernel], dtype: torch.dtype) -> nn.Module:
    """The module with these kernels in its layers of convolutions, in their order; zeros for channels that it has
    besides."""
    for convs, (weight, bias) in zip(_layers(module), kernels, strict=True):
        rows = sum(conv.out_channels for conv in convs) // len(weight)
        more_rows, more_inputs = rows - weight.shape[1], convs[0].weight.shape[1] - weight.shape[2]
        weight = F.pad(weight, (0, 0, 0, 0, 0, more_inputs, 0, more_rows)).flatten(0, 1).to(dtype)
        bias = F.pad(bias, (0, more_rows)).flatten().to(dtype)
        sizes = [conv.out_channels for conv in convs]
        for conv, w, b in zip(convs, torch.split(weight, sizes), torch.split(bias, sizes), strict=True):
            assert w.shape == conv.weight.shape
            conv.weight = nn.Parameter(w.clone(memory_format=torch.contiguous_format))
            conv.bias = nn.Parameter(b.clone())
    return module


def _layers(module: nn.Module) -> list[list[nn.Conv2d]]:
    """The convolutions of a module; those that make up one layer together."""
    if isinstance(module, nn.Conv2d):
        return [[module]]
    if isinstance(module, PerParent):
        return [list(module)]  # type: ignore[arg-type]
    return [layer for child in module.children() for layer in _layers(child)]


def made(function: Callable[..., nn.Module], *args: Any, **options: Any) -> nn.Module:
    """What the function makes; its attribute `call` says how, for those who write it as source."""
    module = function(*args, **options)
    module.call = (function, args, options)  # type: ignore[assignment]
    return module


def same_padding(kernel: int, stride: int, size: MapSize) -> tuple[nn.Module | None, int, MapSize]:
    """What pads as TensorFlow's SAME before a convolution, what is left for itself to pad, and the size after it."""
    if stride == 1 and kernel % 2:
        return None, kernel // 2, size
    if size is None:
        return PadSame(kernel, stride), 0, None
    totals = [max((-(-s // stride) - 1) * stride + kernel - s, 0) for s in size]
    after = (-(-size[0] // stride), -(-size[1] // stride))
    if totals[0] == totals[1] and totals[0] % 2 == 0:
        return None, totals[0] // 2, after
    (above, below), (left, right) = ((t // 2, t - t // 2) for t in totals)
    return nn.ZeroPad2d((left, right, above, below)), 0, after


def after_shift(weight: Tensor, bias: Tensor, shift: Tensor) -> Tensor:
    """The bias `(N, out)` of a convolution without padding that takes in the shift `(N, in)` before it."""
    return bias + torch.einsum("noikl,ni->no", weight, shift)


def after_norm(weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Kernel:
    """A convolution without padding `(N, out, in, k, k)` that takes in the scale and shift `(N, in)` before it."""
    return weight * scale[:, None, :, None, None], after_shift(weight, bias, shift)


def set_response(block: nn.Module, weight: Tensor, eps: float) -> None:
    """Give a block's response norm this weight, `(N, C)`; its bias is in the kernels that follow."""
    (norm,) = (m for m in block.modules() if isinstance(m, ResponseNorm))
    more = norm.weight.numel() // len(weight) - weight.shape[1]
    norm.eps = eps
    norm.weight = nn.Parameter(F.pad(weight, (0, more)).reshape(1, -1, 1, 1).to(norm.weight.dtype))


def strided(size: MapSize, stride: int) -> MapSize:
    """The size of a map after a convolution that pads half its kernel."""
    return size and ((size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1)
