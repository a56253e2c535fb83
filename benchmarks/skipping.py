"""What skipping subtrees is worth in ms where branches are heavy: imagenet1k's N3HL, random weights, forced groups.

python benchmarks/skipping.py [--batch 1] [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

from hiergen.models.load import load_network
from hiergen.nn.coarse import CoarseFirst

ROOT = Path(__file__).parent.parent
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(ROOT))
    torch.manual_seed(0)
    network = load_network(ROOT / "generated/imagenet1k.py:N3HL")
    coarse = CoarseFirst(network)
    coarse.fitted = True  # the scores do not matter: the groups are forced
    count, full = len(coarse.groups), coarse.costs.total(network)
    images = torch.rand(options.batch, *network.input_size)
    times: dict[int, list[float]] = {many: [] for many in (0, 1, 2, 4, 7, count)}
    shares = {0: 1.0}
    for _ in range(ROUNDS):
        for many, took in times.items():
            groups = torch.zeros(options.batch, count, dtype=torch.bool)
            groups[:, [(3 * i + 5) % count for i in range(many)]] = True
            coarse.choose = lambda *args, groups=groups, **rest: groups  # type: ignore[method-assign, misc]
            start = time.perf_counter()
            with torch.inference_mode():
                if many:
                    shares[many] = float(coarse(images, threshold=0.5).macs.double().mean()) / full
                else:
                    network(images)
            took.append(1e3 * (time.perf_counter() - start))
    whole = statistics.median(times[0][1:])
    for many, took in times.items():
        ms = statistics.median(took[1:])  # the first round warms up
        name = f"{many} of {count} groups" if many else "full network"
        print(f"{name:16} {shares[many]:6.1%} of MACs  {ms:7.0f} ms  {ms / whole:5.0%}")


if __name__ == "__main__":
    main()
