"""Convolution, linear layer and norms with stacked weights of N branches.

Every parameter and buffer has the branches first, so that a cutout is an `index_select(0, keep)` of each. Maps are rows
`(n, B, H, W, C)`; a layer computes the branches of its `Run`, which may share their input maps (`(m, …)`, m < n).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hiergen.errors import HiergenError
from hiergen.nn.lowering import Run, is_traced
from hiergen.nn.norm import ProcessGroup, batch_norm, is_recomputing
from hiergen.nn.plain_kernels import Fan, Kernel, fold_norm


class BranchConv2d(nn.Module):
    """N convolutions: `(m, B, H, W, in)` to `(n, B, H', W', out)`.

    Kernels lie channels-last, `(N, out, k, k, in)`: row i, permuted to `(out, in, k, k)`, is one `nn.Conv2d`'s weight.
    `depthwise` gives every channel its own kernel `(N, C, k, k, 1)` (then `out` must equal `in_channels`).
    """

    def __init__(
        self,
        branches: int,
        in_channels: int,
        out: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        assert not depthwise or in_channels == out
        self.in_channels, self.out = in_channels, out
        self.stride, self.padding, self.depthwise = stride, padding, depthwise
        self.weight = nn.Parameter(torch.empty(branches, out, kernel, kernel, 1 if depthwise else in_channels))
        self.bias = nn.Parameter(torch.zeros(branches, out)) if bias else None

    def forward(self, x: Tensor, run: Run, affine: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The convolution; with `affine` (scale and shift, `(n, out)`) its outputs scaled and shifted, by way of the
        weights. That is for layers without a bias."""
        weight = run.pick(self.weight)
        bias = None if self.bias is None else run.pick(self.bias)
        if affine is not None:
            assert bias is None
            scale, bias = affine
            weight = weight * scale[:, :, None, None, None]
        return run.convolve(x, weight, bias, self.stride, self.padding, depthwise=self.depthwise)

    def plain(self, fan: Fan, norm: BranchBatchNorm2d | None = None) -> Kernel:
        """Kernels and biases of the fan's branches, with the norm's scale and shift in them."""
        kernel = fan.pick(self.weight).permute(0, 1, 4, 2, 3)
        bias = None if self.bias is None else fan.pick(self.bias)
        if norm is None:
            return kernel, torch.zeros(kernel.shape[:2]) if bias is None else bias
        if norm.running_mean is None or norm.running_var is None:
            raise HiergenError("a norm without running statistics has no plain form")
        scale = fan.pick(norm.weight) * torch.rsqrt(fan.pick(norm.running_var) + norm.eps)
        return fold_norm(kernel, scale, fan.pick(norm.bias) - fan.pick(norm.running_mean) * scale, bias)

    def extra_repr(self) -> str:
        branches, out, kernel = self.weight.shape[:3]
        return f"{branches} x ({self.in_channels} -> {out}), kernel={kernel}, stride={self.stride}"


class BranchLinear(nn.Module):
    """N linear layers with bias: `(n, ..., in)` to `(n, ..., out)`."""

    def __init__(self, branches: int, in_features: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(branches, out, in_features))
        self.bias = nn.Parameter(torch.zeros(branches, out))

    def forward(self, x: Tensor, run: Run) -> Tensor:
        y = run.product(x.flatten(1, -2), run.pick(self.weight), run.pick(self.bias))
        return y.reshape(y.shape[0], *x.shape[1:-1], y.shape[-1])

    def extra_repr(self) -> str:
        branches, out, in_features = self.weight.shape
        return f"{branches} x ({in_features} -> {out})"


class BranchBatchNorm2d(nn.BatchNorm2d):
    """N batch norms over rows `(n, B, H, W, C)`: channels and branches never mix, so this equals a loop.

    It is torch's, with stacked tensors: what torch, timm and others do to batch norms holds for it. They may put
    classes of their own in its place, which `normed` runs.
    """

    def __init__(self, branches: int, channels: int, *, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        nn.Module.__init__(self)  # torch's own makes tensors of one branch
        self.num_features, self.eps, self.momentum = channels, eps, momentum
        self.affine = self.track_running_stats = True
        self.group: ProcessGroup | None = None  # processes that share their statistics in training
        self.weight = nn.Parameter(torch.ones(branches, channels))
        self.bias = nn.Parameter(torch.zeros(branches, channels))
        self.register_buffer("running_mean", torch.zeros(branches, channels))
        self.register_buffer("running_var", torch.ones(branches, channels))
        # one per branch, not a scalar: a cutout selects rows of every tensor
        self.register_buffer("num_batches_tracked", torch.zeros(branches, dtype=torch.long))

    def forward(  # type: ignore[override]
        self, x: Tensor, run: Run, *, skip: Tensor | None = None, relu: bool = False, cap: float | None = None
    ) -> Tensor:
        """The normed rows, plus `skip`, through a `relu` that ends at `cap`."""
        return normed(self, x, run, skip=skip, relu=relu, cap=cap)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]} x {self.weight.shape[1]}, eps={self.eps}, momentum={self.momentum}"


class BranchLayerNorm(nn.Module):
    """N layer norms over the last dimension of `(n, B, H, W, C)`."""

    def __init__(self, branches: int, channels: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(branches, channels))
        self.bias = nn.Parameter(torch.zeros(branches, channels))

    def standardize(self, x: Tensor) -> Tensor:
        """Zero mean and unit variance over the last dimension, without the branches' own scale and shift."""
        return F.layer_norm(x, x.shape[-1:], eps=self.eps)

    def forward(self, x: Tensor, run: Run) -> Tensor:
        weight, bias = run.pick(self.weight), run.pick(self.bias)
        return torch.addcmul(per_branch(bias), self.standardize(x), per_branch(weight))

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]} x {self.weight.shape[1]}, eps={self.eps}"


def convolve_normed(
    conv: BranchConv2d,
    norm: nn.Module,
    x: Tensor,
    run: Run,
    *,
    skip: Tensor | None = None,
    relu: bool = False,
    cap: float | None = None,
) -> Tensor:
    """A convolution and its batch norm, plus `skip`, through a `relu` that ends at `cap`. In eval mode the backend's
    convolutions get the norm folded into their kernels, where those are not much larger than the map that would be
    scaled instead."""
    fan_in = conv.weight[0, 0].numel()
    px = x.shape[1] * x.shape[2] * x.shape[3] // conv.stride**2
    if run.kind != "matmul" and not has_batch_statistics(norm) and (is_traced() or fan_in <= 2 * px):
        return finished(conv(x, run, scale_and_shift(norm, run)), skip, relu, cap)
    if type(norm) is nn.BatchNorm2d:
        restore_(norm)
    if not isinstance(norm, BranchBatchNorm2d):
        return normed(norm, conv(x, run), run, skip=skip, relu=relu, cap=cap)
    return norm(conv(x, run), run, skip=skip, relu=relu, cap=cap)  # type: ignore[no-any-return]


def normed(
    norm: Any, x: Tensor, run: Run, *, skip: Tensor | None = None, relu: bool = False, cap: float | None = None
) -> Tensor:
    """What a `BranchBatchNorm2d` computes, of the tensors of any batch norm that has taken its place: torchvision's
    frozen one, torch's SyncBatchNorm."""
    if not has_batch_statistics(norm):
        scale, shift = scale_and_shift(norm, run)
        return finished(torch.addcmul(per_branch(shift), x, per_branch(scale)).to(x.dtype), skip, relu, cap)
    weight, bias, group = run.pick(norm.weight), run.pick(norm.bias), _group(norm)
    running: tuple[Tensor, Tensor] | None = None
    factor: Tensor | None = None
    tracks = norm.training and norm.track_running_stats and norm.running_mean is not None
    if tracks and (is_traced() or not is_recomputing()):
        count = run.pick(norm.num_batches_tracked).add_(1)
        running = run.pick(norm.running_mean), run.pick(norm.running_var)
        factor = None if norm.momentum is not None else count.reciprocal().to(norm.running_mean.dtype)[:, None]
    if is_traced() and group is None:
        momentum = norm.momentum if factor is None else factor
        return finished(_traced(x, running, weight, bias, norm.eps, momentum), skip, relu, cap)
    momentum = norm.momentum or 0.0
    moved = running
    if running is not None and factor is not None:  # an average of all batches, which branches may have had more of
        moved, momentum = (torch.zeros_like(running[0]), torch.zeros_like(running[1])), 1.0
    options = {"momentum": momentum, "eps": norm.eps, "dims": (1, 2, 3), "group": group}
    y: Tensor = batch_norm(x, weight, bias, moved, skip=skip, relu=relu, cap=cap, **options)
    if running is not None and factor is not None and moved is not None:
        for old, new in zip(running, moved, strict=True):
            old.lerp_(new, factor)
    return y


def has_batch_statistics(norm: Any) -> bool:
    """Whether a norm's statistics are those of the batch, as in training."""
    return isinstance(norm, _BatchNorm) and (norm.training or norm.running_mean is None)


def scale_and_shift(norm: Any, run: Run) -> tuple[Tensor, Tensor]:
    """What a norm with running statistics amounts to, `(n, C)` each."""

    def compute() -> tuple[Tensor, Tensor]:
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return scale, torch.addcmul(norm.bias, norm.running_mean, scale, value=-1)

    scale, shift = run.memo(norm, compute)
    return scale, shift


def restore_(norm: nn.BatchNorm2d) -> None:
    """Make of torch's norm, which timm's `unfreeze` puts in a branch norm's place, a branch norm again."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.data = norm.num_batches_tracked.repeat(norm.weight.shape[0])
    norm.group = None  # type: ignore[assignment]
    norm.__class__ = BranchBatchNorm2d


def _group(norm: Any) -> ProcessGroup | None:
    """The processes that a norm shares its statistics with."""
    if not isinstance(norm, nn.SyncBatchNorm):
        return norm.group  # type: ignore[no-any-return]
    alone = not (norm.training and torch.distributed.is_available() and torch.distributed.is_initialized())
    return None if alone else ProcessGroup(norm.process_group)


def _traced(
    x: Tensor, running: tuple[Tensor, Tensor] | None, weight: Tensor, bias: Tensor, eps: float, momentum: Any
) -> Tensor:
    """A norm by operations that compilers see through."""
    count = x.shape[1] * x.shape[2] * x.shape[3]
    if count == 1:
        raise ValueError(f"expected more than one value per channel when training, got {tuple(x.shape)}")
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    batch_var, batch_mean = torch.var_mean(exact, (1, 2, 3), correction=0)
    if running is not None:
        mean, var = running
        with torch.no_grad():
            mean.lerp_(batch_mean.to(mean.dtype), momentum)
            var.lerp_((batch_var * (count / (count - 1))).to(var.dtype), momentum)
    scale = weight * torch.rsqrt(batch_var + eps)
    shift = bias - batch_mean * scale
    return torch.addcmul(per_branch(shift), x, per_branch(scale)).to(x.dtype)


def finished(y: Tensor, skip: Tensor | None, relu: bool, cap: float | None = None) -> Tensor:
    """`y`, plus `skip`, through a `relu` that ends at `cap`, all in place."""
    if skip is not None:
        y = y.add_(skip)
    if cap is not None:
        return F.hardtanh_(y, 0.0, cap)  # clamp_ fails on its way to ONNX (torch 2.15)
    return y.relu_() if relu else y


def per_branch(vector: Tensor) -> Tensor:
    """`(n, C)` as `(n, 1, 1, 1, C)`, to meet rows `(n, B, H, W, C)`."""
    return vector[:, None, None, None]


def kaiming_normal_(weight: Tensor) -> None:
    """He's normal init of stacked kernels `(N, out, k, k, in)`, fan_out of ONE branch, gain of a ReLU."""
    fan_out = weight.shape[1] * weight.shape[2] * weight.shape[3]
    nn.init.normal_(weight, std=math.sqrt(2.0 / fan_out))
