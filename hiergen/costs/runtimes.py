"""Any module, as it is deployed, in one of the runtimes of `hiergen.nn.runtimes`."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor, nn

from hiergen.nn.plain_form import plain_form
from hiergen.nn.runtimes import EXTRA, Run, checked, quiet


def prepare(module: nn.Module, example: Tensor, *, runtime: str = "torch", threads: int = 1, int8: bool = False) -> Run:
    """A function of nothing that runs the module's plain form on `example` `(B, C, H, W)` and answers its logits.

    A network is put into plain form, norms of any other module are folded; then the runtime of that name takes it for
    this batch size, with so many CPU threads. `int8`: quantized, calibrated on noise, which is good for costs only.
    Raises HiergenError for a runtime that is not there, and for modules that it cannot take.

    >>> run = prepare(network, images, runtime="torch", threads=1)
    >>> run().shape == (len(images), network.num_classes)
    True
    """
    row = checked(runtime, example.device, example.dtype, int8)
    row.package()
    with quiet():
        return row.start(plain_form(module, tuple(example.shape[1:])), example, threads, int8)


def default_runtime(device: torch.device, dtype: torch.dtype = torch.float32) -> str:
    """onnxruntime for float32 on a CPU, where what it takes is installed; else torch."""
    able = device.type == "cpu" and dtype == torch.float32 and all(find_spec(name) for name in EXTRA)
    return "onnxruntime" if able else "torch"
