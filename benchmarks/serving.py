"""Images per second of a server of mixed class sets: one nested network, one flat one, and one network for each set.

python benchmarks/serving.py generated/imagenette.py:N2HL [--sets 4] [--batch 8] [--server-batch 8] [--threads 1]

All requests wait when a round begins, so that batches are full. What is compared, in turns:

- server: `network.serve()`;
- flat: timm's backbone with one head, on whole batches; a request's logits are sliced;
- per set: a plain cutout of every set, each with a trunk of its own and batches of its own requests. It has the MACs
  that this set costs the server; it stands for N networks that were pruned for their sets;
- full: the plain nested network on whole batches, all branches; a request's logits are sliced.

Norms are folded and maps are channels last in all of them. Weights are random. The first round warms up.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from hiergen.models.load import load_network
from hiergen.nn.macs import network_macs
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.plain_trunk import fold_norms

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--flat", default="resnet50")
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--server-batch", type=int, help="default: --batch")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(ROOT))
    torch.manual_seed(0)
    network = load_network(ROOT / options.model).eval()
    most = options.server_batch or options.batch
    sets = class_sets(network, options.sets)
    asked = [sets[i % len(sets)] for i in range(options.images)]
    random.Random(0).shuffle(asked)
    images = torch.randn(options.images, *network.input_size).to(memory_format=torch.channels_last)
    flat = timm.create_model(options.flat, num_classes=network.num_classes)
    flat = fold_norms(flat, network.input_size).to(memory_format=torch.channels_last)
    whole = network.plain().to(memory_format=torch.channels_last)
    cut = {chosen: network.cutout(list(chosen)) for chosen in sets}
    cutouts = {chosen: part.plain().to(memory_format=torch.channels_last) for chosen, part in cut.items()}
    batches = [slice(i, i + options.batch) for i in range(0, options.images, options.batch)]

    def sliced(model: nn.Module) -> list[Tensor]:
        return [row[list(c)] for at in batches for row, c in zip(model(images[at]), asked[at], strict=True)]

    def per_set() -> list[Tensor]:
        answers: dict[int, Tensor] = {}
        for chosen, cutout in cutouts.items():
            own = [i for i, c in enumerate(asked) if c == chosen]
            for at in range(0, len(own), options.batch):
                some = own[at : at + options.batch]
                answers.update(zip(some, cutout(images[some]), strict=True))
        return [answers[i] for i in range(len(images))]

    with torch.inference_mode(), network.serve(max_batch=most, wait_ms=5) as server:

        def served() -> list[Tensor]:
            futures = [server.submit(image, list(c)) for image, c in zip(images, asked, strict=True)]
            return [future.result().logits for future in futures]

        ways: dict[str, Callable[[], list[Tensor]]] = {
            "server": served,
            "flat": lambda: sliced(flat),
            "per set": per_set,
            "full": lambda: sliced(whole),
        }
        check(served(), sliced(whole))
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds + 1):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                rates[name].append(len(images) / (time.perf_counter() - start))
    total = network_macs(network).total(network)
    shares = ", ".join(f"{len(c)} ({network_macs(part).total(part) / total:.0%})" for c, part in cut.items())
    print(
        f"{options.model}, {options.threads} threads, batches of {options.batch}, the server's of {most}; "
        f"classes of a set (MACs): {shares}"
    )
    weights = {
        "server": sum(p.numel() for p in network.parameters()),
        "flat": sum(p.numel() for p in flat.parameters()),
        "per set": sum(p.numel() for cutout in cutouts.values() for p in cutout.parameters()),
        "full": sum(p.numel() for p in whole.parameters()),
    }
    base = statistics.median(rates["flat"][1:])
    for name, seen in rates.items():
        kept = sorted(seen[1:])
        middle = statistics.median(kept)
        spread = f"{kept[0]:.2f} to {kept[-1]:.2f}"
        print(f"{name:8} {middle:7.2f} images/s ({spread})  {middle / base:5.2f} × flat  {weights[name] / 1e6:6.1f} M")


def class_sets(network: HierarchicalNetwork, count: int) -> list[tuple[int, ...]]:
    """The largest groups of level 1 one after the other, each a set; where there are too few, pairs of classes of two
    groups too."""
    nesting = network.nesting
    groups = sorted((nesting.members(1, i) for i in range(nesting.counts[0])), key=len, reverse=True)
    pairs = [(a[0], b[-1]) for a, b in pairwise(groups)]
    sets = [tuple(sorted(chosen)) for chosen in [*groups[:count], *pairs]]
    return list(dict.fromkeys(sets))[:count]


def check(got: list[Tensor], want: list[Tensor]) -> None:
    """The server answers as the network does."""
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
    main()
