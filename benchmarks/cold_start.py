"""Cold times and peak memory of whole processes, interleaved in one run: commands beside `import torch, timm`.

python benchmarks/cold_start.py [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

HIERGEN = (sys.executable, "-m", "hiergen")


def commands(out: str) -> dict[str, tuple[str, ...]]:
    return {
        "import torch, timm": (sys.executable, "-c", "import torch, timm"),
        "hiergen --help": (*HIERGEN, "--help"),
        "hiergen validate imagenet100": (*HIERGEN, "validate", "taxonomies/imagenet100.yaml"),
        "hiergen show imagenet100": (*HIERGEN, "show", "taxonomies/imagenet100.yaml"),
        "hiergen show imagenet1k": (*HIERGEN, "show", "taxonomies/imagenet1k.yaml"),
        "hiergen build imagenet100": (*HIERGEN, "build", "taxonomies/imagenet100.yaml", "--out", out),
        "hiergen build (all)": (*HIERGEN, "build", "--out", out),
    }


def run(command: tuple[str, ...]) -> tuple[float, float]:
    """(seconds, peak MB) of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as out:
        table = commands(out)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in table}
        for _ in range(runs):
            for name, command in table.items():
                found[name].append(run(command))
    base = statistics.median(seconds for seconds, _ in found["import torch, timm"])
    print(f"{runs} runs each, interleaved; median (min - max)")
    print(f"{'process':30} {'seconds':>20} {'/ import':>9} {'peak MB':>8}")
    for name, results in found.items():
        seconds = [s for s, _ in results]
        median = statistics.median(seconds)
        spread = f"{median:.2f} ({min(seconds):.2f} - {max(seconds):.2f})"
        print(f"{name:30} {spread:>20} {median / base:9.2f} {max(mb for _, mb in results):8.0f}")


if __name__ == "__main__":
    main()
