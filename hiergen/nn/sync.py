"""Batch norms that share their statistics over the processes of a distributed training, on CPUs too."""

from __future__ import annotations

from typing import Any

import torch.distributed
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hiergen.errors import HiergenError
from hiergen.nn.norm import ProcessGroup, batch_norm
from hiergen.nn.primitives import BranchBatchNorm2d


def sync_norms(network: nn.Module, group: Any = None) -> None:
    """From now on, in training, all batch norms of `network` have the statistics of the whole batch of all processes.

    `group` is a process group of torch.distributed (default: all processes). Running statistics, and the gradients by
    input and (averaged by DistributedDataParallel) by weight, are then those of one process with all samples. Weights,
    state dict, hooks and optimizers stay as they are. It holds for the branches' norms, and the trunk's
    `nn.BatchNorm1d`, `2d`, `3d` and timm's `BatchNormAct2d`; torch's and timm's conversion to SyncBatchNorm does the
    same on GPUs only. Every process must run the same norms in the same order.
    Raises HiergenError without a running process group, or for a batch norm of another class.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise HiergenError(
            "there are no processes to share statistics with",
            place="sync_norms",
            hint="call torch.distributed.init_process_group first, or run under torchrun or accelerate launch",
        )
    synced = (BranchBatchNorm2d, nn.SyncBatchNorm, *_SYNCED, *_SYNCED.values())
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and type(module) not in synced:
            raise HiergenError(
                "a batch norm of this class cannot share its statistics",
                place=name or "sync_norms",
                expected="BatchNorm1d, BatchNorm2d, BatchNorm3d or timm's BatchNormAct2d",
                got=type(module).__name__,
            )
    for module in network.modules():
        if type(module) in _SYNCED:
            module.__class__ = _SYNCED[type(module)]
        if isinstance(module, BranchBatchNorm2d | _Synced):
            module.group = ProcessGroup(group)


class _Synced(_BatchNorm):
    """A batch norm over `(B, C, ...)` with the statistics of a group; a module becomes one by its class, as in
    `torch.nn.utils.parametrize`."""

    group: ProcessGroup

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        momentum = 0.0 if self.momentum is None else self.momentum
        running = None
        if self.running_mean is not None and self.running_var is not None:
            running = self.running_mean, self.running_var
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
                momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else momentum
        weight = x.new_ones(x.shape[1]) if self.weight is None else self.weight
        bias = x.new_zeros(x.shape[1]) if self.bias is None else self.bias
        dims = (0, *range(2, x.ndim))
        y: Tensor = batch_norm(x, weight, bias, running, momentum=momentum, eps=self.eps, dims=dims, group=self.group)
        return y


class SyncedBatchNorm1d(_Synced, nn.BatchNorm1d):
    """`nn.BatchNorm1d` of all processes."""


class SyncedBatchNorm2d(_Synced, nn.BatchNorm2d):
    """`nn.BatchNorm2d` of all processes."""


class SyncedBatchNorm3d(_Synced, nn.BatchNorm3d):
    """`nn.BatchNorm3d` of all processes."""


class SyncedBatchNormAct2d(_Synced, BatchNormAct2d):  # type: ignore[misc]
    """timm's norm and activation of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super(_Synced, self).forward(x)
        return self.act(self.drop(super().forward(x)))  # type: ignore[no-any-return, operator]


_SYNCED: dict[type[nn.Module], type[_Synced]] = {
    nn.BatchNorm1d: SyncedBatchNorm1d,
    nn.BatchNorm2d: SyncedBatchNorm2d,
    nn.BatchNorm3d: SyncedBatchNorm3d,
    BatchNormAct2d: SyncedBatchNormAct2d,
}
