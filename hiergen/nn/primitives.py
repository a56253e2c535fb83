"""Convolution, linear layer and norms with stacked weights of N branches.

Every parameter and buffer has the branches first, so that a cutout is an `index_select(0, keep)` of each. Maps are rows
`(n, B, H, W, C)`; a layer computes the branches of its `Run`, which may share their input maps (`(m, …)`, m < n).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.nn.lowering import Run, is_traced
from hiergen.nn.norm import ProcessGroup, batch_norm, is_recomputing


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


class BranchBatchNorm2d(nn.Module):
    """N batch norms over rows `(n, B, H, W, C)`: channels and branches never mix, so this equals a loop."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, branches: int, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.group: ProcessGroup | None = None  # processes that share their statistics in training
        self.weight = nn.Parameter(torch.ones(branches, channels))
        self.bias = nn.Parameter(torch.zeros(branches, channels))
        self.register_buffer("running_mean", torch.zeros(branches, channels))
        self.register_buffer("running_var", torch.ones(branches, channels))
        # one per branch, not a scalar: a cutout selects rows of every tensor
        self.register_buffer("num_batches_tracked", torch.zeros(branches, dtype=torch.long))

    def affine(self, run: Run) -> tuple[Tensor, Tensor]:
        """Scale and shift `(n, C)` that this norm amounts to in eval mode."""
        scale, shift = run.memo(self, self._affine)
        return scale, shift

    def _affine(self) -> tuple[Tensor, Tensor]:
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, torch.addcmul(self.bias, self.running_mean, scale, value=-1)

    def forward(
        self, x: Tensor, run: Run, *, skip: Tensor | None = None, relu: bool = False, cap: float | None = None
    ) -> Tensor:
        """The normed rows, plus `skip`, through a `relu` that ends at `cap`."""
        if not self.training:
            scale, shift = self.affine(run)
            return finished(torch.addcmul(per_branch(shift), x, per_branch(scale)).to(x.dtype), skip, relu, cap)
        weight, bias = run.pick(self.weight), run.pick(self.bias)
        running = None
        if is_traced() or not is_recomputing():
            run.pick(self.num_batches_tracked).add_(1)
            running = run.pick(self.running_mean), run.pick(self.running_var)
            if is_traced() and self.group is None:
                return finished(self._traced(x, *running, weight, bias), skip, relu, cap)
        options = {"momentum": self.momentum, "eps": self.eps, "dims": (1, 2, 3), "group": self.group}
        y: Tensor = batch_norm(x, weight, bias, running, skip=skip, relu=relu, cap=cap, **options)
        return y

    def _traced(self, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Operations that compilers see through."""
        count = x.shape[1] * x.shape[2] * x.shape[3]
        if count == 1:
            raise ValueError(f"expected more than one value per channel when training, got {tuple(x.shape)}")
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        batch_var, batch_mean = torch.var_mean(exact, (1, 2, 3), correction=0)
        with torch.no_grad():
            mean.lerp_(batch_mean.to(mean.dtype), self.momentum)
            var.lerp_((batch_var * (count / (count - 1))).to(var.dtype), self.momentum)
        scale = weight * torch.rsqrt(batch_var + self.eps)
        shift = bias - batch_mean * scale
        return torch.addcmul(per_branch(shift), x, per_branch(scale)).to(x.dtype)

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
    norm: BranchBatchNorm2d,
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
    if run.kind != "matmul" and not norm.training and (is_traced() or fan_in <= 2 * px):
        return finished(conv(x, run, norm.affine(run)), skip, relu, cap)
    return norm(conv(x, run), run, skip=skip, relu=relu, cap=cap)  # type: ignore[no-any-return]


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
