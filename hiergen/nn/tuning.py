"""Which lowering runs a level: recorded defaults, and measured choices that are saved and reused.

`network.tune(batch)` measures, saves to `lowerings.json` in hiergen's cache folder, and "auto" finds it there again: by
device, threads, torch, blocks, branches, map, batch, precision and mode. Everything else runs by the recorded defaults.
"""

from __future__ import annotations

import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import torch

from hiergen.hardware import processor
from hiergen.nn.lowering import Lowering
from hiergen.nn.stage import StageRecipe

# Measured on CPUs (benchmarks/siblings.py). A chunk's widest map stays in the cache, its patches may be larger; up to
# some rows (batch x px of the last map) batched products beat convolutions; in training a branch with maps of 4 MiB
# keeps the CPU busy alone.
_CHUNK_BYTES = 8 << 20
_PATCH_BYTES = 32 << 20
_MATMUL_ROWS = 64
_LOOP_BYTES = 4 << 20
# On GPUs only a bound on memory.
_GPU_BYTES = 1 << 30
_TURNS = 7


@dataclass(frozen=True)
class Case:
    """What decides how a level runs: `branches` branches on input maps of `shape` (batch, height, width), and where."""

    recipes: tuple[StageRecipe, ...]
    branches: int
    shape: tuple[int, int, int]
    device: torch.device
    dtype: torch.dtype
    training: bool
    threads: int

    def __str__(self) -> str:
        cuda = self.device.type == "cuda"
        machine = torch.cuda.get_device_name(self.device) if cuda else f"{processor()} x {self.threads}"
        mode = "train" if self.training else "eval"
        version = torch.__version__.partition("+")[0]
        return f"{machine} | torch {version} | {self.recipes} | {self.branches} | {self.shape} | {self.dtype} | {mode}"


@lru_cache(maxsize=4096)
def choose(case: Case) -> Lowering:
    """The lowering that was measured for this case, or the recorded default."""
    return _recorded(case) or default(case)


def default(case: Case) -> Lowering:
    """The recorded choice, by size and device alone (docs/results.md has the measurements)."""
    batch, height, width = case.shape
    widest = patch = 1  # bytes of one branch
    for recipe in case.recipes:
        height, width = recipe.shrink(height), recipe.shrink(width)
        widest = max(widest, 4 * batch * height * width * recipe.widest)
        patch = max(patch, 4 * batch * height * width * recipe.patch)
    if case.branches == 1:
        return Lowering("loop")
    if case.device.type != "cpu":
        return Lowering("matmul", max(1, _GPU_BYTES // max(widest, patch)))
    if batch * height * width <= _MATMUL_ROWS:
        return Lowering("matmul", max(1, _PATCH_BYTES // max(widest, patch)))
    if case.training and widest >= _LOOP_BYTES:
        return Lowering("loop")
    return Lowering("grouped", max(1, _CHUNK_BYTES // widest))


def candidates(usual: Lowering, branches: int) -> list[Lowering]:
    """What is tried: every kind, and chunks around the usual one."""
    chunk = usual.chunk or 4
    chunks = {min(branches, max(1, c)) for c in (chunk // 4, chunk // 2, chunk, 2 * chunk, 4 * chunk, branches)}
    return [Lowering("loop"), *(Lowering(kind, c) for kind in ("matmul", "grouped") for c in sorted(chunks))]


def fastest(runs: dict[Lowering, Callable[[], object]], device: torch.device) -> tuple[Lowering, dict[Lowering, float]]:
    """The lowering with the smallest median, and the median milliseconds of all; measured in turns.

    One that is 3 times slower than the best in its second run is not run again.
    """
    times: dict[Lowering, list[float]] = {lowering: [] for lowering in runs}
    for turn in range(_TURNS + 1):
        best = min((values[-1] for values in times.values() if values), default=0.0)
        for lowering, run in runs.items():
            if turn < 2 or times[lowering][-1] <= 3 * best:
                times[lowering].append(_timed(run, device))
    middle = {lowering: statistics.median(values[1:]) for lowering, values in times.items()}
    return min(middle, key=lambda lowering: middle[lowering]), middle


def _timed(run: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) * 1e3


def remember(case: Case, lowering: Lowering) -> None:
    """Save a measured choice; "auto" takes it from now on. Raises OSError where the file cannot be written."""
    path = cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent) as sure:
        _saved.cache_clear()  # another process may have saved meanwhile
        entries = {**_saved(path), str(case): lowering}
        text = json.dumps({k: [v.kind, v.chunk] for k, v in sorted(entries.items())}, indent=1)
        # one name for all who take turns: what a killed process left is written over
        beside = path.with_name(f".{path.name}.{'' if sure else f'{os.getpid()}.'}part")
        try:
            with beside.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            with suppress(OSError):  # the error before it says more
                beside.unlink()
            raise
    _saved.cache_clear()
    choose.cache_clear()


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """One process at a time, if there are locks; whether there are."""
    handle = os.open(folder, os.O_RDONLY)
    sure = True
    try:
        try:
            locks = import_module("fcntl")
            locks.flock(handle, locks.LOCK_EX)
        except (ImportError, OSError):
            sure = False
        yield sure
    finally:
        os.close(handle)


def cache_file() -> Path:
    """Where measured choices are kept. Raises OSError for a user without a home."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise OSError("there is no home folder: set HOME or XDG_CACHE_HOME") from None
    return base / "hiergen" / "lowerings.json"


def _recorded(case: Case) -> Lowering | None:
    try:
        path = cache_file()
    except OSError:
        return None
    return _saved(path).get(str(case))


@lru_cache(maxsize=8)
def _saved(path: Path) -> dict[str, Lowering]:
    """All saved choices; a file that is damaged is reported and then ignored."""
    try:
        return {key: Lowering(*value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        warnings.warn(f"{path} is damaged and ignored ({error}); tune again to replace it", stacklevel=2)
        return {}
