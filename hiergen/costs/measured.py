"""Milliseconds: several subjects in turns in one process, so that a slow minute of the machine hits all alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Literal, TypeVar

import torch

from hiergen.errors import HiergenError, OutputError
from hiergen.files import reason
from hiergen.hardware import processor
from hiergen.models.load import load_network
from hiergen.nn.lowering import Lowering
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.runtimes import without_denormals
from hiergen.nn.tuning import cache_file

WARM_UP = 3  # runs of each subject that are not counted
SECONDS = 3.0  # for each subject: what `repeats=None` aims at
FEWEST, MOST = 15, 100  # and its bounds
INTERVAL = 6  # turns from which on a median has an interval of 95 %
SAME_TIME = 1.05  # ratios nearer to 1 say nothing
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one batch: the median of `runs` runs, their quartiles, and what each `turn` took."""

    batch: int
    ms: float
    low: float
    high: float
    runs: int
    turns: tuple[float, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, batch: int, times: Sequence[float]) -> Timing:
        """From the ms of all runs, two or more."""
        low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
        return cls(batch, middle, low, high, len(times), tuple(times))


@dataclass(frozen=True)
class Ratio:
    """The median over the turns of one subject's ms divided by another's in the same turn, and its interval."""

    batch: int
    ratio: float
    low: float
    high: float
    turns: int

    @classmethod
    def of(cls, first: Timing, second: Timing) -> Ratio:
        """Of two timings of the same turns: what slows a whole turn is in neither figure."""
        ratios = [a / b for a, b in zip(first.turns, second.turns, strict=True)]
        return cls(first.batch, statistics.median(ratios), *median_interval(ratios), len(ratios))

    @property
    def outcome(self) -> Literal["faster", "slower", "equal", "noisy"]:
        """What the interval allows to say of the first. `equal`: within `SAME_TIME`, or surely different but by less.

        Whatever an interval does not decide is noisy, as are so few turns that there is no interval.
        """
        if self.turns < INTERVAL:
            return "noisy"
        if self.low >= 1 / SAME_TIME and self.high <= SAME_TIME:
            return "equal"
        if self.low <= 1 <= self.high:
            return "noisy"
        if 1 / SAME_TIME <= self.ratio <= SAME_TIME:
            return "equal"
        return "faster" if self.ratio < 1 else "slower"


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Of at least 95 % confidence for the median, whatever the distribution: two of the values by their ranks.

    The k lowest and k highest of n are left out, with the largest k so that at most k of n fair coins show heads in at
    most 2.5 % of all cases. Fewer than six values: the lowest and the highest, which cover less.
    """
    ranked, n = sorted(values), len(values)
    left, tail = 0, Fraction(1, 2**n)  # the chance of at most `left` heads
    while tail + Fraction(comb(n, left + 1), 2**n) <= Fraction(1, 40):
        left += 1
        tail += Fraction(comb(n, left), 2**n)
    return ranked[left], ranked[-1 - left]


def in_turns(
    runs: Mapping[Name, Callable[[], object]], device: torch.device, *, repeats: int | None = None
) -> dict[Name, list[float]]:
    """Milliseconds of each run of each subject. After a warm-up every turn runs each once, in an order drawn anew.

    Without `repeats` there are as many turns as fit into `SECONDS` for each subject, from `FEWEST` to `MOST`.
    """
    with torch.inference_mode(), without_denormals():
        warm = [sum(_timed(run, device) for run in runs.values()) for _ in range(WARM_UP)]
        if repeats is None:
            repeats = min(max(int(1000 * SECONDS * len(runs) / max(warm[-1], 1e-3)), FEWEST), MOST)
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
