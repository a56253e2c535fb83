"""Predicted params and MACs beside what torch counts, for every shipped model and for many backbone families.

python benchmarks/costs.py
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hiergen.nn.macs import count_params
from hiergen.planning.backbones import facts
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.measure import BACKBONES, measure_backbone
from hiergen.taxonomy.load import load_taxonomy

ROOT = Path(__file__).parent.parent


def macs_per_image(module: nn.Module, size: tuple[int, int, int]) -> int:
    """What a second image adds, so that work on weights alone does not count."""
    counts = []
    for batch in (1, 2):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.empty(batch, *size, device="meta"))
        counts.append(counter.get_total_flops() // 2)
    return counts[1] - counts[0]


def main() -> None:
    sys.path.insert(0, str(ROOT))  # for the folder generated
    head = f"{'taxonomy':18} {'model':11} {'groups per level':18} {'params':>12} {'GMACs':>7}"
    print(f"{head} {'flat params':>12} {'flat GMACs':>10}  predicted = counted")
    for file in sorted((ROOT / "taxonomies").glob("*.yaml")):
        module = importlib.import_module(f"generated.{file.stem.replace('-', '_')}")
        for plan in plan_models(load_taxonomy(file)):
            with torch.device("meta"):
                model = getattr(module, plan.model)().eval()
            same = (count_params(model), macs_per_image(model, plan.trunk.input_size)) == (plan.params, plan.macs)
            groups = " → ".join(str(level.branches) for level in plan.levels)
            row = f"{plan.taxonomy:18} {plan.model:11} {groups:18} {plan.params:12,} {plan.macs / 1e9:7.3f}"
            print(f"{row} {plan.trunk.flat_params:12,} {plan.trunk.flat_macs / 1e9:10.3f}  {same}")
    same = [facts(name, measure=False) == measure_backbone(name) for name in BACKBONES]
    print(f"trunks: {sum(same)} of {len(same)} backbones, all stages, recorded = counted now")
    odd = [name for name, fine in zip(BACKBONES, same, strict=True) if not fine]
    if odd:
        print("different:", ", ".join(odd))


if __name__ == "__main__":
    main()
