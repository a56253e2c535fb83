"""Milliseconds: several subjects in turns in one process, so that a slow minute of the machine hits all alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from hiergen.errors import HiergenError, OutputError
from hiergen.files import reason
from hiergen.models.load import load_network
from hiergen.nn.lowering import Lowering
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.tuning import cache_file, processor

WARM_UP = 3  # runs of each subject that are not counted
SECONDS = 10.0  # what `repeats=None` aims at
FEWEST, MOST = 7, 50  # and its bounds
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one batch: the median of `runs` runs, and their quartiles."""

    batch: int
    ms: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, batch: int, times: list[float]) -> Timing:
        """From the ms of all runs, two or more."""
        low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
        return cls(batch, middle, low, high, len(times))


def in_turns(
    runs: Mapping[Name, Callable[[], object]], device: torch.device, *, repeats: int | None = None
) -> dict[Name, list[float]]:
    """Milliseconds of each run of each subject. After a warm-up every turn runs each once, in an order drawn anew.

    Without `repeats` there are as many turns as fit into `SECONDS`, from `FEWEST` to `MOST`.
    """
    with torch.inference_mode():
        warm = [sum(_timed(run, device) for run in runs.values()) for _ in range(WARM_UP)]
        if repeats is None:
            repeats = min(max(int(1000 * SECONDS / max(warm[-1], 1e-3)), FEWEST), MOST)
        times: dict[Name, list[float]] = {name: [] for name in runs}
        shuffle = random.Random(0).shuffle
        order = list(runs)
        for _ in range(repeats):
            shuffle(order)
            for name in order:
                times[name].append(_timed(runs[name], device))
    return times


def _timed(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """torch's number of CPU threads, while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine(device: torch.device) -> str:
    """What the figures were measured on: the GPU's or the CPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def tune(
    model: str | Path | HierarchicalNetwork,
    batches: Sequence[int] = (1,),
    *,
    train: bool = False,
    device: str = "cpu",
) -> dict[int, list[dict[Lowering, float]]]:
    """Batch size → for each level the median ms by lowering; the fastest is kept in the user's cache and used.

    `train` tunes training steps. Raises HiergenError for a model or batch size that cannot be, OutputError where the
    choice cannot be saved.
    """
    try:
        saved = cache_file()
    except OSError as error:
        raise OutputError(f"cannot save the choice: {error}") from None
    if min(batches, default=0) < 1:
        raise HiergenError("a batch holds images", expected="--batch 1 or more", got=str(min(batches, default=0)))
    network = model if isinstance(model, HierarchicalNetwork) else load_network(model)
    network = network.to(device).train(train)
    try:
        return {batch: network.tune(batch) for batch in batches}
    except OSError as error:
        raise OutputError(f"cannot save the choice: {reason(error)}", place=str(saved)) from error
