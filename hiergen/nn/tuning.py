"""Which lowering runs a level: recorded defaults, and measured choices that are saved and reused.

`network.tune(batch)` measures, saves to `lowerings.json` in hiergen's cache folder, and "auto" finds it there again: by
device, threads, torch, blocks, branches, map, batch, precision and mode. Everything else runs by the recorded defaults.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from hiergen.nn.lowering import Lowering
from hiergen.nn.stage import StageRecipe

# Measured on CPUs (benchmarks/siblings.py). A chunk's widest map stays in the cache, its patches may be larger; up to
# some rows (batch x px of the last map) batched products beat convolutions; in training a branch with maps of a MiB
# keeps the CPU busy alone.
_CHUNK_BYTES = 8 << 20
_PATCH_BYTES = 32 << 20
_MATMUL_ROWS = 64
_LOOP_BYTES = 1 << 20
# On GPUs only a bound on memory.
_GPU_BYTES = 1 << 30
_TURNS = 7


def choose(
    recipes: tuple[StageRecipe, ...],
    branches: int,
    shape: tuple[int, int, int],
    device: torch.device,
    dtype: torch.dtype,
    *,
    training: bool,
) -> Lowering:
    """The lowering for `branches` branches on input maps of `shape` (batch, height, width)."""
    return _choose(recipes, branches, shape, device, dtype, training, torch.get_num_threads())


@lru_cache(maxsize=4096)
def _choose(
    recipes: tuple[StageRecipe, ...],
    branches: int,
    shape: tuple[int, int, int],
    device: torch.device,
    dtype: torch.dtype,
    training: bool,
    threads: int,
) -> Lowering:
    saved = _saved(cache_file()).get(_key(recipes, branches, shape, device, dtype, training, threads))
    return saved or default(recipes, branches, shape, device, training=training)


def default(
    recipes: Sequence[StageRecipe],
    branches: int,
    shape: tuple[int, int, int],
    device: torch.device,
    *,
    training: bool = False,
) -> Lowering:
    """The recorded choice, by size and device alone (docs/results.md has the measurements)."""
    batch, height, width = shape
    widest = patch = 1  # bytes of one branch; 1 where there are no samples
    for recipe in recipes:
        height, width = recipe.shrink(height), recipe.shrink(width)
        widest = max(widest, 4 * batch * height * width * recipe.widest)
        patch = max(patch, 4 * batch * height * width * recipe.patch)
    if branches == 1:
        return Lowering("loop")
    if device.type != "cpu":
        return Lowering("matmul", max(1, _GPU_BYTES // max(widest, patch)))
    if batch * height * width <= _MATMUL_ROWS:
        return Lowering("matmul", max(1, _PATCH_BYTES // max(widest, patch)))
    if training and widest >= _LOOP_BYTES:
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


def remember(
    recipes: tuple[StageRecipe, ...],
    branches: int,
    shape: tuple[int, int, int],
    device: torch.device,
    dtype: torch.dtype,
    *,
    training: bool,
    lowering: Lowering,
) -> None:
    """Save a measured choice; "auto" takes it from now on. Raises OSError where the file cannot be written."""
    path = cache_file()
    key = _key(recipes, branches, shape, device, dtype, training, torch.get_num_threads())
    entries = {**_saved(path), key: lowering}
    text = json.dumps({k: [v.kind, v.chunk] for k, v in sorted(entries.items())}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
    _saved.cache_clear()
    _choose.cache_clear()


def cache_file() -> Path:
    """Where measured choices are kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "hiergen" / "lowerings.json"


@lru_cache(maxsize=8)
def _saved(path: Path) -> dict[str, Lowering]:
    """All saved choices; a file that is damaged is reported and then ignored."""
    try:
        return {key: Lowering(*value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        warnings.warn(f"{path} is damaged and ignored ({error}); tune again to replace it", stacklevel=2)
        return {}


def _key(
    recipes: tuple[StageRecipe, ...],
    branches: int,
    shape: tuple[int, int, int],
    device: torch.device,
    dtype: torch.dtype,
    training: bool,
    threads: int,
) -> str:
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{_processor()} x {threads}"
    mode = "train" if training else "eval"
    version = torch.__version__.partition("+")[0]
    return f"{machine} | torch {version} | {recipes} | {branches} | {shape} | {dtype} | {mode}"


@lru_cache(maxsize=1)
def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
