"""Batch norm in training mode against torch's, branch by branch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from network_cases import randomized
from torch import Tensor, nn

from hiergen.nn.lowering import Run, Span, Stack
from hiergen.nn.norm import BatchNorm, ProcessGroup, batch_norm
from hiergen.nn.primitives import BranchBatchNorm2d, BranchConv2d, convolve_normed

N, C = 3, 5
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda x: x,
    "folded": lambda x: x.movedim(0, 3).contiguous().movedim(3, 0),  # (B, H, W, n, C)
    "planes": lambda x: x.permute(1, 0, 4, 2, 3).contiguous().permute(1, 0, 3, 4, 2),  # (B, n, C, H, W)
    "channels-first": lambda x: x.permute(0, 4, 1, 2, 3).contiguous().permute(0, 2, 3, 4, 1),
    "strided": lambda x: x.repeat_interleave(2, dim=-1)[..., ::2],
    "chunk": lambda x: torch.cat([x, x, x]).movedim(0, 3).contiguous().movedim(3, 0)[len(x) : 2 * len(x)],
    "expanded": lambda x: x[:1].expand_as(x),
}
SIZES = [(6, 4, 3), (1, 3, 4), (5, 1, 1), (1, 1, 7), (2, 1, 3), (4, 5, 1)]


def values(size: tuple[int, int, int], dtype: torch.dtype, branches: int = N) -> Tensor:
    x = torch.randn(branches, *size, C, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (2 * x + torch.arange(C) - 1).to(dtype)


def looped(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """One F.batch_norm per branch on a plain contiguous map."""
    done = []
    for i in range(len(x)):
        planes = x[i].permute(0, 3, 1, 2).flatten(2).permute(0, 2, 1).reshape(-1, x.shape[-1])
        y = F.batch_norm(planes, mean[i], var[i], weight[i], bias[i], True, 0.1, 1e-5)
        done.append(y.reshape(x[i].shape))
    return torch.stack(done)


def run_of(branches: int) -> Run:
    return Run("grouped", Span(0, branches, tuple(range(branches)), (1,) * branches), Stack(()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "float"])
@pytest.mark.parametrize("branches", [1, N])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_gradients_and_statistics(
    layout: str, size: tuple[int, int, int], branches: int, dtype: torch.dtype
) -> None:
    """With and without the skip and the ReLU; compared in float64."""
    norm = randomized(BranchBatchNorm2d(branches, C)).to(dtype)
    for skipped, relu in [(False, False), (True, True)]:
        x = LAYOUTS[layout](values(size, dtype, branches)).detach().requires_grad_()
        skip = values(size, dtype, branches).flip(1).requires_grad_() if skipped else None
        exact = [t.detach().double().clone() for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
        inputs = [x.detach().double(), *exact[:2], *([skip.detach().double()] if skip is not None else [])]
        inputs = [t.clone().requires_grad_() for t in inputs]
        want = looped(*inputs[:3], *exact[2:]) + (inputs[3] if skipped else 0)
        want = want.relu() if relu else want
        y = norm(x, run_of(branches), skip=skip, relu=relu)
        upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        found = torch.autograd.grad((y.double() * upstream).sum(), [x, norm.weight, norm.bias, *([skip] * skipped)])
        expected = torch.autograd.grad((want * upstream).sum(), inputs)
        near: dict[str, Any] = {"atol": 1e-9, "rtol": 1e-9}
        if dtype == torch.float32:
            near = {"atol": 2e-4, "rtol": 1e-4}
        torch.testing.assert_close(y.double(), want, **near)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one.double(), other, **near)
        torch.testing.assert_close(norm.running_mean.double(), exact[2], **near)
        torch.testing.assert_close(norm.running_var.double(), exact[3], **near)
    assert norm.num_batches_tracked.eq(norm.num_batches_tracked[0]).all()


@pytest.mark.parametrize("layout", ["rows", "folded", "planes"])
def test_a_large_mean_does_not_eat_the_variance(layout: str) -> None:
    """Mean 1000, deviation 1: E[x²] - E[x]² in float32 would be off by a tenth."""
    x = LAYOUTS[layout]((values((64, 8, 8), torch.float64) / 2 + 1000).float())
    norm = BranchBatchNorm2d(N, C, momentum=1.0)
    y = norm(x, run_of(N))
    exact = x.detach().double()
    var, mean = torch.var_mean(exact, (1, 2, 3), keepdim=True)
    torch.testing.assert_close(norm.running_var.double(), var.view(N, C), atol=0, rtol=2e-5)
    torch.testing.assert_close(norm.running_mean.double(), mean.view(N, C), atol=0, rtol=5e-6)  # torch's own sums
    assert (y.double() - (exact - mean) / (var * 4095 / 4096 + 1e-5).sqrt()).abs().max() < 5e-3


@pytest.mark.parametrize("layout", ["rows", "folded"])
@pytest.mark.parametrize("needed", range(1, 16))
def test_only_the_gradients_that_are_needed(layout: str, needed: int) -> None:
    inputs = [LAYOUTS[layout](values((4, 2, 2), torch.float64)), torch.ones(N, C).double(), torch.ones(N, C).double()]
    inputs.append(values((4, 2, 2), torch.float64).flip(1))

    def grads(flags: list[bool]) -> list[Tensor | None]:
        leaves = [t.detach().clone().requires_grad_(flag) for t, flag in zip(inputs, flags, strict=True)]
        BatchNorm.apply(*leaves, None, 0.1, 1e-5, (1, 2, 3), True, None, None).square().sum().backward()
        return [leaf.grad for leaf in leaves]

    flags = [bool(needed >> i & 1) for i in range(4)]
    for flag, found, full in zip(flags, grads(flags), grads([True] * 4), strict=True):
        assert (found is not None) == flag
        assert not flag or torch.allclose(found, full)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("layout", ["rows", "folded", "planes"])
def test_low_precision_maps_keep_float32_statistics(layout: str, dtype: torch.dtype) -> None:
    """As under autocast: weights in float32, maps of lower precision; gradients too."""
    x = LAYOUTS[layout](values((16, 4, 4), dtype)).detach().requires_grad_()
    norm = randomized(BranchBatchNorm2d(N, C))
    exact = x.detach().double().requires_grad_()
    mean, var = norm.running_mean.double(), norm.running_var.double()
    want = looped(exact, norm.weight.detach().double(), norm.bias.detach().double(), mean, var).relu()
    y = norm(x, run_of(N), relu=True)
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), want, atol=0.03, rtol=0.02)
    torch.testing.assert_close(norm.running_mean.double(), mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.running_var.double(), var, atol=1e-5, rtol=1e-5)
    y.double().square().sum().backward()
    want.square().sum().backward()
    assert x.grad.dtype == dtype
    assert norm.weight.grad.dtype == torch.float32
    assert (x.grad.double() - exact.grad).norm() < 0.03 * exact.grad.norm()


def test_chunks_keep_to_their_rows() -> None:
    norm, x = randomized(BranchBatchNorm2d(6, C)), values((4, 3, 3), torch.float32, 6)
    exact = {key: tensor.clone() for key, tensor in norm.state_dict().items()}
    want = looped(x, exact["weight"], exact["bias"], exact["running_mean"], exact["running_var"])
    spans = (Span(0, 2, (0, 1), (1, 1)), Span(2, 5, (0, 1, 2), (1, 1, 1)))
    stack = Stack(spans)
    for span in spans:
        y = norm(x[span.lo : span.hi], Run("grouped", span, stack))
        torch.testing.assert_close(y, want[span.lo : span.hi], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.running_var[:5], exact["running_var"][:5])
    assert not torch.allclose(norm.running_var[5], exact["running_var"][5])  # the last branch did not run
    assert norm.num_batches_tracked.tolist()[:5] == (exact["num_batches_tracked"][:5] + 1).tolist()


@pytest.mark.parametrize("branches", [1, N])
def test_one_value_per_channel_is_refused(branches: int) -> None:
    with pytest.raises(ValueError, match="expected more than one value per channel when training"):
        BranchBatchNorm2d(branches, C)(torch.zeros(branches, 1, 1, 1, C), run_of(branches))


class Two(ProcessGroup):
    """Two processes, of which the other one's values are known beforehand."""

    size = 2

    def __init__(self, other: Tensor) -> None:
        super().__init__()
        self.other = other

    def gathered(self, values: Tensor) -> Tensor:
        assert values.dtype == torch.float64  # counts of more than 2 ** 24 values, and differences of large means
        count = len(self.other)
        theirs = [values.new_tensor([count]), self.other.mean(0), self.other.var(0, correction=0) * count]
        return torch.stack([values, torch.cat(theirs)])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_value_is_enough_where_another_process_has_more(dtype: torch.dtype) -> None:
    x = torch.randn(4, 3, dtype=dtype)
    norms = [torch.ones(3, dtype=dtype), torch.zeros(3, dtype=dtype)]
    options = {"momentum": 0.1, "eps": 1e-5, "dims": (0,)}
    running = [[torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype)] for _ in range(2)]
    whole = batch_norm(x, *norms, tuple(running[0]), **options)
    part = batch_norm(x[:1], *norms, tuple(running[1]), group=Two(x[1:]), **options)
    torch.testing.assert_close(part, whole[:1])
    torch.testing.assert_close(running[1], running[0])
    with pytest.raises(ValueError, match="expected more than one value per channel"):
        batch_norm(x[:1], *norms, tuple(running[0]), **options)


def test_a_second_derivative_is_refused() -> None:
    x = values((4, 2, 2), torch.float64).requires_grad_()
    y = BranchBatchNorm2d(N, C).double()(x, run_of(N))
    (grad,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("kind", ["grouped", "matmul", "loop"])
def test_a_convolution_with_norm_skip_and_relu(kind: Any) -> None:
    """In eval and training mode, and without gradients, the parts in sequence."""
    n = 1 if kind == "loop" else N
    conv, norm = randomized(BranchConv2d(n, C, C, 3, padding=1)), randomized(BranchBatchNorm2d(n, C))
    x, skip = values((4, 5, 5), torch.float32, n), values((4, 5, 5), torch.float32, n).flip(1)
    run = Run(kind, Span(0, n, tuple(range(n)), (1,) * n), Stack(()))
    for training in (False, True):
        norm.train(training)
        one = nn.Conv2d(C, C, 3, padding=1, bias=False)
        state = {key: tensor.clone() for key, tensor in norm.state_dict().items()}
        y = convolve_normed(conv, norm, x, run, skip=skip, relu=True)
        for i in range(n):
            one.weight.data = conv.weight[i].permute(0, 3, 1, 2)
            maps = one(x[i].permute(0, 3, 1, 2))
            mean, var = state["running_mean"][i], state["running_var"][i]
            maps = F.batch_norm(maps, mean, var, state["weight"][i], state["bias"][i], training)
            want = (maps.permute(0, 2, 3, 1) + skip[i]).relu()
            torch.testing.assert_close(y[i], want, atol=1e-4, rtol=1e-4)


def ones_of(norm: BranchBatchNorm2d) -> list[nn.BatchNorm2d]:
    """torch's own norm of each branch."""
    ones = [nn.BatchNorm2d(C, momentum=norm.momentum, dtype=norm.weight.dtype) for _ in range(len(norm.weight))]
    for i, one in enumerate(ones):
        one.load_state_dict({name: tensor[i] for name, tensor in norm.state_dict().items()})
    return ones


def assert_alike(norm: BranchBatchNorm2d, ones: list[nn.BatchNorm2d]) -> None:
    for i, one in enumerate(ones):
        torch.testing.assert_close({n: t[i] for n, t in norm.state_dict().items()}, dict(one.state_dict()))


@pytest.mark.parametrize("traced", [False, True])
def test_a_cumulative_average_counts_each_branchs_batches(traced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiergen.nn.primitives.is_traced", lambda: traced)
    norm = randomized(BranchBatchNorm2d(N, C, momentum=None)).double()
    norm.reset_running_stats()
    ones, x = ones_of(norm), values((4, 3, 3), torch.float64)
    for scale, (lo, hi) in enumerate([(0, 3), (1, 3), (2, 3), (0, 2)], start=1):  # as `active` classes would
        run = Run("grouped", Span(lo, hi, tuple(range(hi - lo)), (1,) * (hi - lo)), Stack(()))
        run.stack.spans = (run.span,)
        y = norm(x[lo:hi] * scale, run)
        for i in range(lo, hi):
            want = ones[i](x[i].permute(0, 3, 1, 2) * scale).permute(0, 2, 3, 1)
            torch.testing.assert_close(y[i - lo], want)
    assert norm.num_batches_tracked.tolist() == [2, 3, 3]
    assert_alike(norm, ones)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gone", [True, False])
def test_statistics_that_are_not_tracked(
    gone: bool, training: bool, traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As test-time adaptation leaves norms: without running statistics, or with some that do not move."""
    monkeypatch.setattr("hiergen.nn.primitives.is_traced", lambda: traced)
    conv, norm = randomized(BranchConv2d(N, C, C, 1)).double(), randomized(BranchBatchNorm2d(N, C)).double()
    ones, x = ones_of(norm), values((4, 3, 3), torch.float64)
    for one in (norm, *ones):
        one.train(training)
        one.track_running_stats = False
        if gone:
            one.running_mean = one.running_var = None
    y = convolve_normed(conv, norm, x, run_of(N))
    for i, one in enumerate(ones):
        maps = F.conv2d(x[i].permute(0, 3, 1, 2), conv.weight[i].permute(0, 3, 1, 2))
        torch.testing.assert_close(y[i], one(maps).permute(0, 2, 3, 1))
    assert_alike(norm, ones)
