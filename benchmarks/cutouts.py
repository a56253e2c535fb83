"""Cutouts: is the share of milliseconds saved as large as the share of MACs? And the paper's cutouts beside ours.

python benchmarks/cutouts.py [--paper-only] [--models imagenet100:N3HL …] [--batch 1 16] [--repeats 11] [--threads 2]

Classes are drawn by seed ("drawn"), or are the cheapest n neighbours in the tree ("near"); of ImageNet-1k they are the
domestic cats. Random weights cost the same; float32, eval; the full network and all its cutouts run in turns.
"""

from __future__ import annotations

import argparse
import importlib
import random
import statistics
import sys
from functools import partial
from pathlib import Path

import timm
import torch

from hiergen.costs import Timing, in_turns, machine, network_parts
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.cutout import cut
from hiergen.planning.from_network import plan_of
from hiergen.planning.from_taxonomy import plan_models
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import load_taxonomy

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
MODELS = ["imagenet100:PHLlateSP", "imagenet100:N2HL", "imagenet100:N3HL", "imagenet1k:N2HL", "imagenet1k:N3HL"]
TARGET = 0.85  # of the share of MACs saved
DRAWS = 1000
CATS = {"n02123045", "n02123159", "n02123394", "n02123597", "n02124075"}
# PAPER.md, Table 2: taxonomy, network there and here, classes kept; full and cutout as params and GMACs (None: lost),
# and the reductions in % as printed
Figures = tuple[int | None, float | None]
PAPER: list[tuple[str, str, list[str], int, Figures, Figures, tuple[float, float]]] = [
    ("imagenette", "PHLlateSP", ["PHLlateSP"], 5, (19_986_506, 3.99), (14_264_901, 3.66), (28.63, 8.40)),
    ("imagewoof", "NHLgpt", ["N2HL"], 5, (11_929_930, 3.91), (10_781_253, 3.73), (9.63, 4.90)),
    ("imagenet100", "NHLgpt", ["N2HL", "N3HL", "N4HL"], 20, (None, None), (13_840_469, None), (44.53, 27.99)),
    (
        "imagenet1k",
        "ConvNeXtV2-tiny NHL",
        ["N2HL", "N3HL", "N4HL"],
        5,
        (None, 14.55),
        (13_488_133, 3.87),
        (88.74, 73.40),
    ),
]


def near(plan: Plan, count: int) -> list[int]:
    """The `count` classes side by side in the tree whose cutout has the fewest MACs; the first of equals."""
    order = sorted(range(len(plan.classes)), key=lambda c: plan.head_parents[c] if plan.head_parents else c)
    windows = [order[i : i + count] for i in range(len(order) - count + 1)]
    return sorted(min(windows, key=lambda kept: plan.cutout_cost(frozenset(kept))[1]))


def drawn(plan: Plan, count: int, seed: int = 0) -> list[int]:
    return sorted(random.Random(seed).sample(range(len(plan.classes)), count))


def choices(plan: Plan) -> dict[str, list[int]]:
    """What is cut out, by name."""
    if len(plan.classes) == 1000:
        return {"meow (5)": [i for i, c in enumerate(plan.classes) if c in CATS]}
    return {f"{n} {how.__name__}": how(plan, n) for n in (5, 20, 50) for how in (drawn, near)}


def total(network: HierarchicalNetwork) -> tuple[int, int]:
    parts = network_parts(network)
    return sum(part.params for part in parts), sum(part.macs for part in parts)


def latency(name: str, batches: list[int], repeats: int) -> list[float]:
    """Print one model's rows; answers their ratios of shares."""
    taxonomy, model = name.split(":")
    torch.manual_seed(0)
    full = getattr(importlib.import_module(f"generated.{taxonomy}"), model)().eval()
    plan = plan_of(full, taxonomy=taxonomy, model=model)
    networks = {"full": full, **{key: cut(full, kept) for key, kept in choices(plan).items()}}
    costs = {key: total(network) for key, network in networks.items()}
    found = []
    for batch in batches:
        x = torch.rand(batch, *full.input_size)
        times = in_turns({key: partial(network, x) for key, network in networks.items()}, CPU, repeats=repeats)
        ms = {key: Timing.of(batch, values) for key, values in times.items()}
        for key, timing in ms.items():
            macs, share = 1 - costs[key][1] / costs["full"][1], 1 - timing.ms / ms["full"].ms
            row = f"| {name} | {key} | {batch} | {costs[key][0]:,} | {costs[key][1] / 1e9:.3f} "
            row += f"| {timing.ms:.1f} ({timing.low:.1f}–{timing.high:.1f}) "
            if key == "full":
                print(f"{row}| | | |")
                continue
            found.append(share / macs)
            print(f"{row}| {100 * macs:.1f} % | {100 * share:.1f} % | {share / macs:.2f} |", flush=True)
    return found


def paper() -> None:
    """The paper's four cutouts and ours. Which classes the paper kept is not known, so ours are many draws."""
    print("| cutout | | full params | GMACs | cutout params | GMACs | less params | less GMACs |")
    print("|---|---|---|---|---|---|---|---|")
    for taxonomy, theirs, models, count, full, part, less in PAPER:
        plans = {plan.model: plan for plan in plan_models(load_taxonomy(ROOT / "taxonomies" / f"{taxonomy}.yaml"))}
        what = f"{taxonomy}, {count} of {len(plans[models[0]].classes)}"
        print(f"| {what} | paper: {theirs} | {_row(*full)} | {_row(*part)} | {less[0]:.2f} % | {less[1]:.2f} % |")
        for model in models:
            ours(plans[model], count)


def ours(plan: Plan, count: int) -> None:
    """One model's rows beside a cutout of the paper's."""
    if len(plan.classes) == 1000:
        kinds = {"domestic cats": [plan.cutout_cost(frozenset(choices(plan)["meow (5)"]))]}
    else:
        draws = [plan.cutout_cost(frozenset(drawn(plan, count, seed))) for seed in range(DRAWS)]
        kinds = {f"mean of {DRAWS} draws": draws, "near": [plan.cutout_cost(frozenset(near(plan, count)))]}
    for kind, costs in kinds.items():
        params, macs = (round(statistics.mean(values)) for values in zip(*costs, strict=True))
        reductions = f"{_less(plan.params, params)} | {_less(plan.macs, macs)}"
        spread = f" ({min(costs)[0]:,}–{max(costs)[0]:,})" if min(costs) != max(costs) else ""
        figures = f"{_row(plan.params, plan.macs / 1e9)} | {_row(params, macs / 1e9)}"
        print(f"| | {plan.model}, {kind}{spread} | {figures} | {reductions} |")


def _row(params: int | None, gmacs: float | None) -> str:
    return f"{'lost' if params is None else f'{params:,}'} | {'lost' if gmacs is None else f'{gmacs:.2f}'}"


def _less(before: float, after: float) -> str:
    return f"{100 * (1 - after / before):.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper-only", action="store_true", help="no timing")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # for the folder generated
    paper()
    if arguments.paper_only:
        return
    torch.set_num_threads(arguments.threads)
    versions = f"torch {torch.__version__}, timm {timm.__version__}"
    print(f"\n{machine(CPU)}, {torch.get_num_threads()} threads, {versions}, {arguments.repeats} turns, quartiles\n")
    print("| model | classes | batch | params | GMACs | ms | MACs saved | ms saved | ms share / MACs share |")
    print("|---|---|---|---|---|---|---|---|---|")
    ratios = [r for name in arguments.models for r in latency(name, arguments.batch, arguments.repeats)]
    reached = sum(ratio >= TARGET for ratio in ratios)
    print(f"\nat least {TARGET} × the share of MACs: {reached} of {len(ratios)}; lowest {min(ratios):.2f}")


if __name__ == "__main__":
    main()
