"""Devices, precision and processes, by accelerate."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs, gather_object
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from hiergen.errors import HiergenError, quoted, unquoted

_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_WAIT = timedelta(minutes=30)  # a rank may read images alone for a while
# how torchrun and MPI's launchers say how many processes they started
_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
# what gloo and NCCL say when a process at the other end is gone
_GONE = ("connection closed by peer", "connection reset by peer", "broken pipe", "remote process exited", "nccl error")


class Parallel:
    """This process's place among those of one training: `rank` of `world`, `device`, and what they do together.

    `precision` is a recipe's: "auto" is what `accelerate launch` was told, else bfloat16 or float16 on a GPU and
    float32 on a CPU. Raises HiergenError for a device that is not there, and for processes that were started
    together but do not find each other.
    """

    def __init__(self, precision: str = "float32", device: str | None = None) -> None:
        # one process may train again, at another precision
        AcceleratorState._reset_state()
        launched = os.environ.get("ACCELERATE_MIXED_PRECISION")
        if precision == "auto":
            on_gpu = torch.cuda.is_available() and device != "cpu"
            better = "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "fp16"
            mixed = launched or (better if on_gpu else "no")
        else:
            mixed = _PRECISION[precision]
        self.accelerator = _accelerator(mixed, device)
        self.rank: int = self.accelerator.process_index
        self.world: int = self.accelerator.num_processes
        self.device: torch.device = self.accelerator.device
        self._check(device)
        self.precision = {value: key for key, value in _PRECISION.items()}.get(mixed, mixed)

    @property
    def main(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether no process holds all weights (FSDP)."""
        return self.accelerator.distributed_type == DistributedType.FSDP  # type: ignore[no-any-return]

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """Both as accelerate wraps them."""
        model, optimizer = self.accelerator.prepare(model, optimizer)
        return model, optimizer

    def allow_idle(self) -> None:
        """Parts of the model that is prepared next may not run on a batch."""
        self.accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)

    def part(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """One of several parts of an update: gradients are exchanged with the last."""
        return nullcontext() if last else self.accelerator.no_sync(model)

    def total(self, *values: float) -> list[float]:
        """Each value's sum over all processes."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        with peers():
            torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor]

    def gathered(self, tensor: Tensor) -> Tensor:
        """All processes' tensors, one after the other, on the CPU; lengths may differ."""
        if self.world == 1:
            return tensor.cpu()
        with peers():
            return torch.cat(gather_object([tensor.cpu()]))

    def united(self, names: set[str]) -> set[str]:
        """All processes' names together; every process must ask."""
        if self.world == 1:
            return names
        with peers():
            return set().union(*gather_object([names]))

    def agree(self, module: nn.Module) -> None:
        """Take the main process's buffers (running statistics)."""
        if self.world > 1:
            with peers():
                for buffer in module.buffers():
                    torch.distributed.broadcast(buffer, 0)

    def wait(self) -> None:
        """For all processes to come here."""
        with peers():
            self.accelerator.wait_for_everyone()

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The whole state dict, on the main process; every process must ask."""
        with peers():
            whole: Any = get_model_state_dict(model, options=_WHOLE) if self.sharded else None
            return dict(self.accelerator.get_state_dict(model) if whole is None else whole)

    def load_weights(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Into the model as it is wrapped, names as in `weights(model)`; every process has them all."""
        if self.sharded:
            # tensor by tensor in one order: safetensors has another one in every process
            set_model_state_dict(model, dict(sorted(weights.items())), options=_WHOLE)
        else:
            self.accelerator.unwrap_model(model).load_state_dict(weights)

    def optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The whole optimiser's state dict, on the main process; every process must ask.

        Parameters are called by number, or by name where the network is sharded.
        """
        if not self.sharded:
            return optimizer.state_dict()
        with peers():
            return get_optimizer_state_dict(model, _plain(optimizer), options=_WHOLE)

    def load_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """A state dict as `optimizer_state` gives it."""
        if self.sharded:
            set_optimizer_state_dict(model, _plain(optimizer), state, options=_WHOLE)
        else:
            optimizer.load_state_dict(state)

    def _check(self, device: str | None) -> None:
        if device not in (None, "cpu") and device != self.device.type:
            raise HiergenError(
                f"no device {quoted(device)}",
                expected=f"cpu or {self.device.type}" if self.device.type != "cpu" else "cpu",
                hint="CUDA_VISIBLE_DEVICES chooses among GPUs",
            )

    def close(self) -> None:
        """Leave the group of processes."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _accelerator(precision: str, device: str | None) -> Accelerator:
    started = max(int(text) for name in _SIZES if (text := os.environ.get(name, "1")).isdecimal())
    # without being told, accelerate takes each of several processes without a GPU for a training of its own
    cpu = device == "cpu" or (started > 1 and not _device_for_each())
    try:
        made = Accelerator(
            mixed_precision=precision,
            cpu=cpu,
            step_scheduler_with_optimizer=False,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_WAIT)],
        )
    except (ValueError, RuntimeError) as error:
        if started == 1:
            raise
        raise _apart(started, str(error)) from error
    if made.num_processes != started > 1:
        raise _apart(started, f"this one is alone: {made.num_processes} of {started}")
    return made


def _device_for_each() -> bool:
    """Whether torch's processes have accelerators that can talk to each other (Apple's cannot)."""
    device = torch.accelerator.current_accelerator()
    return torch.accelerator.is_available() and device is not None and device.type != "mps"


def _apart(started: int, why: str) -> HiergenError:
    return HiergenError(
        f"the {started} processes of this training do not find each other",
        got=unquoted(why.strip().splitlines()[0]) if why.strip() else None,
        hint="start them by 'torchrun --nproc-per-node N -m hiergen train …' or 'accelerate launch'",
    )


@contextmanager
def peers() -> Iterator[None]:
    """A collective call: a process that is gone becomes one sentence."""
    try:
        yield
    except RuntimeError as error:
        if any(words in str(error).lower() for words in _GONE):
            raise LostPeerError from error
        raise


def _plain(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Without accelerate's wrapper."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


class LostPeerError(HiergenError):
    """Another process of the same training died."""

    def __init__(self) -> None:
        super().__init__("another process of this training is gone")


# glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGE = 1 << 30


def keep_freed_memory() -> bool:
    """Tell glibc not to give large blocks back to the system, which would clear their pages anew for every update (a
    fifth of the time of small branches on a CPU). It holds for the whole process. False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another libc
        return False
    done = [mallopt(_MMAP_THRESHOLD, _LARGE), mallopt(_TRIM_THRESHOLD, _LARGE), mallopt(_TOP_PAD, 64 << 20)]
    return all(done)
