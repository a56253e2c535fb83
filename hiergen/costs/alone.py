"""A process of its own that builds one subject and watches its resident set: `python -m hiergen.costs.alone < request`.

Peaks are the growth from after the imports, and a small warm-up of the libraries, to the highest point of the passes.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hiergen.costs.memory import RUNS, Memory, weight_bytes
from hiergen.costs.rivals import Flat
from hiergen.nn.plain_form import plain_form
from hiergen.planning.network import network_of
from hiergen.planning.plan import Plan


def peaks(
    build: Callable[[], nn.Module],
    size: Sequence[int],
    batches: Sequence[int],
    dtype: torch.dtype = torch.float32,
    form: Callable[[nn.Module], nn.Module] = lambda module: module,
) -> list[Memory]:
    """Peaks of forward passes on `(batch, *size)` of what is built and then put into another form.

    Call it first thing in a fresh process.
    """
    warm = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 30 * 30, 8))
    with torch.device("meta"):
        build()  # what is imported or kept on a first use is not the module's
    with torch.inference_mode():
        warm(torch.rand(1, 3, 32, 32))
    before = _status("VmRSS") or _highest()
    module = form(build().eval()).to(dtype)
    weights, highest = weight_bytes(module), []
    for batch in batches:
        x = torch.rand(batch, *size, dtype=dtype)
        _forget_peak()
        with torch.inference_mode():
            for _ in range(RUNS):
                module(x)
        highest.append(Memory(batch, weights, _highest() - before))
    return highest


def _highest() -> int:
    """Bytes of the highest resident set so far."""
    if value := _status("VmHWM"):
        return value
    import resource  # no Windows has it

    # On Linux it would start at the size of the process that started this one.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(field: str) -> int:
    """Bytes, from Linux; 0 elsewhere."""
    with suppress(OSError):
        text = Path("/proc/self/status").read_text("utf-8")
        if match := re.search(rf"^{field}:\s*(\d+) kB", text, flags=re.M):
            return int(match[1]) * 1024
    return 0


def _forget_peak() -> None:
    """Count the highest point anew (Linux; elsewhere that of building the module stays)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what building freed, glibc may keep
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def _main(request: dict[str, Any]) -> list[Memory]:
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    dtype: torch.dtype = getattr(torch, request["dtype"])
    if "flat" in request:
        flat = Flat(*request["flat"])
        build, size = flat.build, flat.input_size
    else:
        plan = Plan.model_validate(request["plan"])
        build, size = partial(network_of, plan), plan.trunk.input_size
    return peaks(build, size, request["batches"], dtype, form=lambda module: plain_form(module, size))


if __name__ == "__main__":
    print(json.dumps([asdict(memory) for memory in _main(json.load(sys.stdin))]))
