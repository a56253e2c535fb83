"""Peak memory of a forward pass with a branch per class: hiergen's lowerings beside a Python loop over timm's blocks.

python benchmarks/memory.py [--classes 1000] [--batch 1 16] [--only NAME …] [--threads 2]

PHLlateSP's trunk (ResNet50 to layer3), branches and one linear layer per class; random weights, float32, eval. Each
row is a fresh process, one at a time: growth of its resident set from after the imports to the highest point of the
passes. 1000 branches weigh 4.6 GB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from hiergen.costs import machine
from hiergen.costs.alone import peaks
from hiergen.nn import ClassHeads, HierarchicalNetwork, Lowering, Siblings, Trunk

sys.path.insert(0, str(Path(__file__).parent))
from siblings import STAGES, timm_branch

LOWERINGS: dict[str, Lowering | str] = {
    "auto": "auto",
    "loop": Lowering("loop"),
    "matmul/1": Lowering("matmul", 1),
    "matmul/10": Lowering("matmul", 10),
    "matmul/100": Lowering("matmul", 100),
    "matmul/all": Lowering("matmul"),
    "grouped/10": Lowering("grouped", 10),
}
LOOP = "Python loop"
SIZE = (3, 224, 224)


class Loop(nn.Module):
    """As one would write it: a list of branches, each with its own linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trunk = Trunk("resnet50", until="layer3")
        self.branches = nn.ModuleList(timm_branch() for _ in range(classes))
        self.heads = nn.ModuleList(nn.Linear(512, 1) for _ in range(classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk(x)
        pairs = zip(self.branches, self.heads, strict=True)
        return torch.cat([head(branch(x).mean((2, 3))) for branch, head in pairs], 1)


def stacked(classes: int, lowering: Lowering | str) -> HierarchicalNetwork:
    """The same as hiergen builds it."""
    network = HierarchicalNetwork()
    network.trunk = Trunk("resnet50", until="layer3")
    network.add_module("level1", Siblings(classes, STAGES))
    network.head = ClassHeads(classes, 512)
    return network.set_lowering(lowering)


def alone(name: str, classes: int, batches: list[int]) -> None:
    """In the fresh process: print the peaks as JSON."""
    found = peaks(lambda: Loop(classes) if name == LOOP else stacked(classes, LOWERINGS[name]), SIZE, batches)
    print(json.dumps([asdict(memory) for memory in found]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--only", nargs="+", choices=[LOOP, *LOWERINGS], default=[LOOP, *LOWERINGS], metavar="NAME")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batches = sorted(arguments.batch)
    if arguments.alone:
        alone(arguments.only[0], arguments.classes, batches)
        return
    versions = f"torch {torch.__version__}, timm {timm.__version__}"
    print(f"{machine(torch.device('cpu'))}, {arguments.threads} threads, {versions}, {arguments.classes} classes\n")
    heads = " | ".join(f"peak, batch {b} | beyond weights" for b in batches)
    print(f"| | weights, MB | {heads} |\n|{'---|' * (2 + 2 * len(batches))}")
    given = ["--classes", str(arguments.classes), "--threads", str(arguments.threads), "--batch", *map(str, batches)]
    for name in arguments.only:
        command = [sys.executable, __file__, "--alone", *given, "--only", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"| {name} | failed: exit {done.returncode} |", flush=True)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        cells = [f"{m['peak'] / 1e6:,.0f} | {(m['peak'] - m['weights']) / 1e6:,.0f}" for m in found]
        print(f"| {name} | {found[0]['weights'] / 1e6:,.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
