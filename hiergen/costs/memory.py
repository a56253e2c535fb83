"""Peak memory of a forward pass: on a CPU what one fresh process grows by, on a GPU the allocator's highest point."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch
from torch import nn

from hiergen.costs.rivals import Flat
from hiergen.errors import HiergenError
from hiergen.planning.plan import Plan

RUNS = 2  # the first one also makes what libraries keep for the next
_TAIL = 2000  # characters of a failed process's last words


@dataclass(frozen=True)
class Memory:
    """Bytes: `weights` alone (parameters and buffers), and the `peak` of a forward pass of `batch` images with them."""

    batch: int
    weights: int
    peak: int


def weight_bytes(module: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def cpu_peaks(
    subject: Plan | Flat,
    batches: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    threads: int | None = None,
) -> tuple[Memory, ...]:
    """Peaks for each batch size, ascending, of a subject's plain form, made with random weights in a fresh process.

    Raises HiergenError if that process is killed, as for want of memory.
    """
    what = {"plan": subject.model_dump()} if isinstance(subject, Plan) else {"flat": astuple(subject)}
    number = str(dtype).removeprefix("torch.")
    request = {**what, "batches": sorted(batches), "dtype": number, "threads": threads}
    command = [sys.executable, "-W", "error", "-m", "hiergen.costs.alone"]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode < 0 or "can't allocate memory" in done.stderr:
        raise HiergenError(
            f"peak memory for batch {max(batches)} cannot be measured: the process was stopped",
            got=f"signal {-done.returncode}" if done.returncode < 0 else "no memory left",
            hint="choose a smaller batch, or leave memory out",
        )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-_TAIL:]}")
    return tuple(Memory(**values) for values in json.loads(done.stdout.splitlines()[-1]))


def cuda_peak(module: nn.Module, x: torch.Tensor) -> Memory:
    """The peak of a module that lies on the GPU, maybe beside others, which do not count."""
    weights = weight_bytes(module)
    torch.cuda.synchronize(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    with torch.inference_mode():
        for _ in range(RUNS):
            module(x)
    torch.cuda.synchronize(x.device)
    return Memory(len(x), weights, weights + torch.cuda.max_memory_allocated(x.device) - before)
