"""The cost cards of five cutouts, one of which loses against a flat network with a sliced classifier.

python benchmarks/cost_cards.py [--batch 1 16] [--repeats N] [--threads 1] [--runtime R] [--memory] [--only 0 4]

Random weights cost the same; float32, plain form; a card's rows run in turns, memory in one process for each.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from hiergen.costs import CostCard, cost
from hiergen.models.load import load_network

ROOT = Path(__file__).parent.parent
# (model, what is kept, indices or terms)
CARDS: list[tuple[str, str, list[int | str]]] = [
    ("imagenette:PHLlateSP", "5 of 10: the first", list(range(5))),
    ("imagewoof:N2HL", "5 of 10: the first", list(range(5))),
    ("imagenet100:N3HL", "its birds", ["bird"]),
    ("imagenet1k:N3HL", "domestic cats", ["domestic cat"]),
    ("imagenet100:PHLlateSP", "50 of 100: every other", list(range(0, 100, 2))),  # more than the flat network has
]


def show(card: CostCard, title: str) -> None:
    """One card as markdown."""
    heads = card.heads()
    print(f"\n### {title}\n\n| | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
    for row in card.rows:
        print(f"| {' | '.join([row.label, *row.cells()])} |")
    print(f"\n{card.verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=None, help="default: three seconds for each row, 15 to 100")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runtime", default=None, help="default: onnxruntime where it is installed, else torch")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", type=int, nargs="+", default=range(len(CARDS)), help="numbers of cards, from 0")
    arguments = parser.parse_args()
    for number in arguments.only:
        model, kept, classes = CARDS[number]
        taxonomy, name = model.split(":")
        torch.manual_seed(0)
        network = load_network(f"{ROOT / 'generated' / taxonomy}.py:{name}")
        start = time.perf_counter()
        card = cost(
            network,
            classes,
            device=arguments.device,
            batches=arguments.batch,
            repeats=arguments.repeats,
            threads=arguments.threads,
            runtime=arguments.runtime,
            memory=arguments.memory,
            progress=lambda text: print(f"  {text}", file=sys.stderr),
        )
        if number == arguments.only[0]:
            print(f"{card.machine}, {card.how}, torch {card.torch}, timm {card.timm}")
        runs = ", ".join(str(t.runs) for t in card.rows[0].times)
        show(card, f"{model}, {kept} ({runs} runs, {time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
