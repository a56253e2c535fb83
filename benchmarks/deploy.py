"""Milliseconds where networks run: each network's plain form beside the flat backbone, in the same runtime, in turns.

    python benchmarks/deploy.py [--runtimes onnxruntime,onnxruntime-int8,openvino,torch,compiled] [--threads 1,2]
        [--networks imagenet100,tiny,imagenet1k] [--turns 30]

A share is the network's ms divided by the flat network's in the same turn (median, 95 % interval); beside it the same
share of MACs, and the quotient of both: 1.0 says that a MAC of a branch takes as long as one of the backbone's.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch

from hiergen.costs.measured import Ratio, Timing, in_turns
from hiergen.costs.runtimes import prepare
from hiergen.hardware import processor
from hiergen.lookup.choose import choose
from hiergen.models.load import load_network
from hiergen.nn.macs import count_macs, network_macs
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.runtimes import threads_set
from hiergen.planning.measure import flat_network

ROOT = Path(__file__).parent.parent / "generated"
FIVE = ["n01531178", "n01537544", "n01560419", "n01582220", "n01592084"]  # songbirds
NETWORKS = {
    "imagenet100": ("imagenet100.py:N3HL", {"full": None, "birds": ["bird"], "five": FIVE}),
    "tiny": ("tiny_imagenet_100.py:N2HL", {"full": None}),
    "imagenet1k": ("imagenet1k.py:N3HL", {"full": None}),
}


def filled(network: HierarchicalNetwork) -> HierarchicalNetwork:
    """No gamma is zero: runtimes would skip what a fresh network multiplies with 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if p.ndim <= 2 and not name.startswith("head"):
                p.uniform_(0.4, 1.0) if name.endswith(("weight", "gamma")) else p.normal_(0, 0.1)
    return network.eval()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--runtimes", default="onnxruntime,onnxruntime-int8,openvino,torch,compiled")
    options.add_argument("--networks", default="imagenet100,tiny,imagenet1k")
    options.add_argument("--threads", default="1,2")
    options.add_argument("--turns", type=int, default=30)
    given = options.parse_args()
    warnings.simplefilter("ignore")
    print(f"{processor()}, torch {torch.__version__}, batch 1, {given.turns} turns")
    heads = f"{'flat ms':>8} {'share of ms':>18} {'of MACs':>8} {'quotient':>8}"
    print(f"{'runtime':18} {'threads':>7} {'network':18} {heads}")
    for name in given.networks.split(","):
        reference, parts = NETWORKS[name]
        network = filled(load_network(ROOT / reference))
        size = tuple(network.trunk.input_size)
        flat = flat_network(network.trunk.backbone, network.num_classes, size)
        flat_macs = count_macs(flat, torch.empty(1, *size))
        subjects = {"flat": flat}
        for part, terms in parts.items():
            subjects[part] = network if terms is None else network.cutout(choose(network.selector, terms, ()))
        macs = {part: network_macs(subjects[part]).total(subjects[part]) / flat_macs for part in parts}
        image = torch.randn(1, *size)
        for runtime in given.runtimes.split(","):
            for threads in map(int, given.threads.split(",")):
                base, _, kind = runtime.partition("-")
                with threads_set(threads):
                    runs = {
                        part: prepare(subject, image, runtime=base, threads=threads, int8=kind == "int8")
                        for part, subject in subjects.items()
                    }
                    times = in_turns(runs, torch.device("cpu"), repeats=given.turns)
                for part in parts:
                    share = Ratio.of(Timing.of(1, times[part]), Timing.of(1, times["flat"]))
                    flat_ms = Timing.of(1, times["flat"]).ms
                    print(
                        f"{runtime:18} {threads:7} {name + ' ' + part:18} {flat_ms:8.1f} "
                        f"{share.ratio:6.2f} ({share.low:.2f}–{share.high:.2f}) {macs[part]:8.2f} "
                        f"{share.ratio / macs[part]:8.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
