"""Peak memory and time of one whole training step (forward, backward, SGD with momentum) on a CPU, by batch size.

    python benchmarks/train_memory.py [generated/imagenet1k.py:N3HL] [--batch 2 8 16] [--threads 1]

Each batch size runs in a process of its own, with and without gradient checkpointing; random images and weights. "peak"
is the resident set's highest point with all weights, gradients, momentum and libraries.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=str(ROOT / "generated/imagenet1k.py:N3HL"))
    parser.add_argument("--batch", nargs="+", type=int, default=[2, 8, 16])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--inner", choices=["plain", "checkpointed"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        step(options.model, options.batch[0], options.threads, checkpointed=options.inner == "checkpointed")
        return
    for batch in options.batch:
        for kind in ("plain", "checkpointed"):
            command = [sys.executable, __file__, options.model, "--batch", str(batch), "--inner", kind]
            done = subprocess.run([*command, "--threads", str(options.threads)], check=False)
            if done.returncode:
                print(f"batch {batch:3} {kind:13} was stopped with {done.returncode}", flush=True)


def step(model: str, batch: int, threads: int, *, checkpointed: bool) -> None:
    """One step after building; the second step's time, as the first makes what libraries keep."""
    import torch

    from hiergen.costs.alone import _highest
    from hiergen.models.load import load_network

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = load_network(model).train()
    network.set_grad_checkpointing(checkpointed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = torch.rand(batch, *network.input_size)
    labels = torch.arange(batch) % network.num_classes
    for _ in range(2):
        start = time.process_time()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        took = time.process_time() - start
    kind = "checkpointed" if checkpointed else "plain"
    print(f"batch {batch:3} {kind:13} peak {_highest() / 1e9:6.2f} GB, {took:6.1f} s CPU, loss {loss:.5f}", flush=True)


if __name__ == "__main__":
    main()
