"""Batch norm in training mode with a gradient in closed form (Ioffe and Szegedy, arXiv 1502.03167), in one process or
with the statistics of several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.autograd.function import once_differentiable

_RECOMPUTING: ContextVar[bool] = ContextVar("recomputing", default=False)


@contextmanager
def recomputing() -> Iterator[None]:
    """While gradient checkpointing computes maps once more: batch norms leave their running statistics alone."""
    token = _RECOMPUTING.set(True)
    try:
        yield
    finally:
        _RECOMPUTING.reset(token)


def is_recomputing() -> bool:
    """Whether this batch has been counted already."""
    return _RECOMPUTING.get()


class ProcessGroup:
    """The processes that share their statistics (None: all). Copies of a module share it; it is not saved."""

    def __init__(self, processes: Any = None) -> None:
        self.processes = processes

    def __deepcopy__(self, memo: dict[int, Any]) -> ProcessGroup:
        return self

    def __reduce__(self) -> tuple[type[ProcessGroup], tuple[()]]:
        return ProcessGroup, ()  # another program has its own processes

    @property
    def size(self) -> int:
        """How many they are."""
        return torch.distributed.get_world_size(self.processes)

    def gathered(self, values: Tensor) -> Tensor:
        """`values` of every process, `(processes, *values.shape)`."""
        parts = [torch.empty_like(values) for _ in range(self.size)]
        torch.distributed.all_gather(parts, values, group=self.processes)
        return torch.stack(parts)

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        torch.distributed.all_reduce(values, group=self.processes)
        return values


class BatchNorm(torch.autograd.Function):
    """`relu(norm(x) + skip)` of a map `x`, normed over `dims`, at most `cap`; moves the running statistics.

    Weight, bias and running statistics have the other dimensions' sizes. Without a `group` torch's kernels do it where
    they take the layout. Else sums over whole maps do: those run over neighbouring channels at the speed of the memory,
    which `torch.var_mean` does not. The variance is that of centred values, as E[x²] - E[x]² would cancel.
    Raises ValueError for one value per channel.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        skip: Tensor | None,
        running: tuple[Tensor, Tensor] | None,
        momentum: float,
        eps: float,
        dims: tuple[int, ...],
        relu: bool,
        cap: float | None,
        group: ProcessGroup | None,
    ) -> Tensor:
        maps = None if group is not None else _as_one(x, weight)
        count = None
        if maps is not None:
            old_mean, old_var = (None, None) if running is None else (t.view(-1) for t in running)
            weights = weight.reshape(-1), bias.reshape(-1)
            y, mean, var = torch.native_batch_norm(maps, *weights, old_mean, old_var, True, momentum, eps)
            y = _unfolded(y, weight) if x.ndim == 5 else y
        else:
            shape = [1 if d in dims else size for d, size in enumerate(x.shape)]
            mean, var, count, centred = _statistics(x, dims, group)
            if running is not None:
                unbiased = var * (count / (count - 1))
                for old, new in zip(running, (mean, unbiased), strict=True):
                    old.lerp_(new.view_as(old).to(old.dtype), momentum)
            scale = torch.rsqrt(var + eps) * weight.view(shape)
            torch.addcmul(bias.view(shape).to(scale.dtype), centred, scale, out=centred)
            y = centred.to(x.dtype)
        if skip is not None:
            y.add_(skip)
        if relu:
            y.relu_() if cap is None else y.clamp_(0.0, cap)
        ctx.save_for_backward(x, weight, mean, var, y if relu else None)
        ctx.eps, ctx.dims, ctx.cap, ctx.group, ctx.count = eps, dims, cap, group, count
        ctx.skip_dtype = None if skip is None else skip.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, y = ctx.saved_tensors
        if y is not None:
            inside = (y, 0) if ctx.cap is None else (y, 0, ctx.cap)
            op = torch.ops.aten.threshold_backward if ctx.cap is None else torch.ops.aten.hardtanh_backward
            grad = op(grad, *inside)
        skip = grad.to(ctx.skip_dtype) if ctx.skip_dtype is not None and ctx.needs_input_grad[3] else None
        needed = list(ctx.needs_input_grad[:3])
        if ctx.count is None:
            maps, upstream = _folded(x), _folded(grad)
            dx, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
                upstream, maps, weight.reshape(-1), None, None, mean, var, True, ctx.eps, needed
            )
            if dx is not None and x.ndim == 5:
                dx = _unfolded(dx, weight)
        else:
            dx, by_weight, by_bias = _gradients(grad, x, weight.view(mean.shape), mean, var, ctx)
        by_weight = by_weight.view_as(weight).to(weight.dtype) if needed[1] else None
        by_bias = by_bias.view_as(weight).to(weight.dtype) if needed[2] else None
        return dx if needed[0] else None, by_weight, by_bias, skip, *(None,) * 7


@torch.compiler.disable  # type: ignore[untyped-decorator]
def batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running: tuple[Tensor, Tensor] | None,
    *,
    skip: Tensor | None = None,
    momentum: float,
    eps: float,
    dims: tuple[int, ...],
    relu: bool = False,
    cap: float | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    """`BatchNorm`, outside of compiled graphs: those have no collectives, and see through plain operations only."""
    y: Tensor = BatchNorm.apply(x, weight, bias, skip, running, momentum, eps, dims, relu, cap, group)
    return y


def _statistics(
    x: Tensor, dims: tuple[int, ...], group: ProcessGroup | None
) -> tuple[Tensor, Tensor, Tensor | int, Tensor]:
    """Mean, biased variance and count of a channel's values, and `x` less its mean; in float32 or better.

    Processes join theirs by Chan, Golub and LeVeque's formula (Stanford STAN-CS-79-773, Eq. 2.1).
    """
    count_here = 1
    for d in dims:
        count_here *= x.shape[d]
    if count_here == 1 and (group is None or group.size == 1):
        raise ValueError(f"expected more than one value per channel when training, got {tuple(x.shape)}")
    mean = x.sum(dims, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32)) / max(count_here, 1)
    centred = x - mean
    squares = centred.square().sum(dims, keepdim=True)
    if group is None:
        return mean, squares / count_here, count_here, centred
    every = group.gathered(torch.cat([mean.new_tensor([count_here]), mean.flatten(), squares.flatten()]).double())
    counts, (means, parts) = every[:, :1], every[:, 1:].chunk(2, dim=1)
    count = counts.sum()
    joined = (counts * means).sum(0) / count
    var = (parts + counts * (means - joined).square()).sum(0) / count
    joined = joined.view_as(mean).to(mean.dtype)
    centred += mean - joined
    return joined, var.view_as(mean).to(mean.dtype), count.to(mean.dtype), centred


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, var: Tensor, ctx: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by map, weight and bias; those by weight and bias of this process's part."""
    rstd = torch.rsqrt(var + ctx.eps)
    centred = x - mean
    by_bias = grad.sum(ctx.dims, keepdim=True, dtype=mean.dtype)
    by_weight = (grad * centred).sum(ctx.dims, keepdim=True).mul_(rstd)
    means = torch.stack([by_bias, by_weight])
    if ctx.group is not None:
        means = ctx.group.summed(means)
    means /= ctx.count
    scale = rstd * weight
    # scale · (grad - its mean - normalized x · the mean of grad · normalized x)
    torch.addcmul(-scale * means[0], centred, -scale * rstd * means[1], out=centred)
    return centred.addcmul_(grad, scale).to(x.dtype), by_weight, by_bias


def _folded(x: Tensor) -> Tensor:
    """Rows `(n, B, H, W, C)` as one map `(B, n·C, H, W)`."""
    return x.permute(1, 0, 4, 2, 3).flatten(1, 2) if x.ndim == 5 else x


def _unfolded(maps: Tensor, weight: Tensor) -> Tensor:
    """And back: `(B, n·C, H, W)` as rows, with `weight` of `(n, C)`."""
    batch, _, height, width = maps.shape
    return maps.view(batch, *weight.shape, height, width).permute(1, 0, 3, 4, 2)


def _as_one(x: Tensor, weight: Tensor) -> Tensor | None:
    """Rows as one map without a copy, if torch's batch norm takes its layout.

    With a size of 1 torch's CPU kernel takes one memory layout for another, and its gradients are wrong without a word
    (torch 2.15; tests/nn/test_lowering.py). Else it fits one branch channels_last, and a grouped convolution's maps.
    """
    if x.ndim != 5 or weight.dtype not in (x.dtype, torch.float32):
        return None
    n, batch, height, width, channels = x.shape
    if min(batch, height, width) <= 1 or not (n == 1 or x.stride(0) == channels * x.stride(4)):
        return None
    maps = _folded(x)
    fits = maps.is_contiguous() or maps.is_contiguous(memory_format=torch.channels_last)
    return maps if n == 1 or fits else None
