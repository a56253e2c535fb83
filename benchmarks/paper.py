"""The paper's studies from scratch, as far as two cores go: CIFAR-10, a small ResNet, nothing pretrained.

python benchmarks/paper.py DATA [--rows "flat;N2HL;…"] [--seeds 0,1,2] [--images 1000] [--epochs 12] [--out DIR]
                           [--table]

DATA has cifar10-train.tar and cifar10-test.tar. All rows are `hiergen.training.run.train` of one backbone (timm's
test_resnet, images shown at 48 px) with one recipe; `--images` of each class are taken, 5 % of them held out to choose
the best epoch. DIR keeps weights and which test images are recognised, so that a study goes on where it stopped.
Columns of `--table`: top-1 of all ten classes; among the animals or the vehicles (a cutout of 6 or 4); among the two of
a similar pair; with a gain of 1.5 on the true class's features (the paper's cue, which knows the answer).
"""

from __future__ import annotations

import argparse
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from hiergen.codegen.build import build
from hiergen.data.sources import open_data
from hiergen.models.convert import read_state
from hiergen.models.load import find_model
from hiergen.models.weights import load_weights
from hiergen.nn.flat import load_flat
from hiergen.nn.macs import count_macs, count_params
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.flatnetwork import FLAT, FlatNetwork
from hiergen.training.loop import BEST
from hiergen.training.run import train

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIMILAR = (("airplane", "ship"), ("automobile", "truck"), ("bird", "frog"), ("cat", "dog"), ("deer", "horse"))
SIZE, STEM, LATE = 48, "layer1", "layer2"
MACS, PARAMS = "9.69M", "374k"  # the flat network's
RECIPE = (  # over "quick", for all rows alike
    "batch_size=64",
    "hold_out=0.05",
    "loss.smoothing=0.1",
    "augment.scale=[0.6,1]",
    "optimizer.lr=3e-3",
    "schedule.warmup_epochs=1",
)


def nesting(kind: str, seed: int) -> dict[str, Any]:
    """Groups of two: alike, drawn at random, or one animal with one vehicle as far as there are any."""
    if kind == "similar":
        pairs = SIMILAR
    elif kind == "random":
        order = np.random.default_rng(seed).permutation(len(CLASSES))
        pairs = tuple((CLASSES[a], CLASSES[b]) for a, b in order.reshape(-1, 2))
    else:
        pairs = (("airplane", "cat"), ("automobile", "deer"), ("ship", "dog"), ("truck", "bird"), ("frog", "horse"))
    return {f"pair {i}": list(pair) for i, pair in enumerate(pairs)}


# row: nesting, levels, where branches begin, budget
ROWS: dict[str, tuple[str, int, str, str]] = {
    "flat": ("similar", 1, STEM, f"macs: {MACS}"),
    "flat, 42 px": ("similar", 1, STEM, f"macs: {MACS}"),  # the nearest to the MACs of cutouts of pairs
    "PHL": ("similar", 1, STEM, f"macs: {MACS}"),
    "PHL1branch": ("similar", 0, STEM, f"macs: {MACS}"),
    "PHLlateSP": ("similar", 1, LATE, f"macs: {MACS}"),
    "N2HL": ("similar", 2, STEM, f"macs: {MACS}"),
    "N2HL, random": ("random", 2, STEM, f"macs: {MACS}"),
    "N2HL, dissimilar": ("dissimilar", 2, STEM, f"macs: {MACS}"),
    "N3HL": ("similar", 3, STEM, f"macs: {MACS}"),
    "PHL1branch, pair": ("similar", 0, STEM, "macs: {pair}"),
    "PHL, params": ("similar", 1, STEM, f"params: {PARAMS}"),
    "PHL1branch, params": ("similar", 0, STEM, f"params: {PARAMS}"),
    "N2HL, params": ("similar", 2, STEM, f"params: {PARAMS}"),
}


def text(row: str, seed: int, name: str, pair: str) -> str:
    kind, levels, until, budget = ROWS[row]
    pairs = nesting(kind, seed)
    if levels == 3:
        tree: dict[str, Any] = {"vehicle": {}, "animal": {}}
        for group, members in pairs.items():
            tree["animal" if members[0] in ("bird", "cat", "deer") else "vehicle"][group] = members
    else:
        tree = pairs
    single = "single_branch: true, " if levels == 0 else ""
    return (
        f"name: {name}\nclasses: [{', '.join(CLASSES)}]\nsources:\n  - groups: {json.dumps(tree)}\n"
        f"nesting: {{closeness: 0}}\nmodels:\n  Net: {{levels: {max(levels, 1)}, {single}depth: 1, block: bottleneck, "
        f"trunk: {{backbone: test_resnet, until: {until}}}, input_size: {42 if row.endswith(' px') else SIZE}, "
        f"budget: {{{budget.format(pair=pair)}, grid: 8}}}}\n"
    )


def pair_of(network: HierarchicalNetwork) -> HierarchicalNetwork:
    return network.cutout([network.classes.index(c) for c in SIMILAR[0]])


class Study:
    def __init__(self, data: Path, out: Path, images: int, epochs: int) -> None:
        self.data, self.out, self.images, self.epochs = data, out / f"{images}x{epochs}", images, epochs
        self.out.mkdir(parents=True, exist_ok=True)
        self.file = self.out / "train.tar"
        if not self.file.exists():
            with tarfile.open(data / "cifar10-train.tar") as whole, tarfile.open(self.file, "w") as some:
                for member in whole:
                    if member.isfile() and int(Path(member.name).stem) < images:
                        some.addfile(member, whole.extractfile(member))

    def file_of(self, row: str, seed: int) -> Path:
        """The row's generated file: of a random nesting another for every seed."""
        name = "".join(c for c in row if c.isalnum()) + (str(seed) if ROWS[row][0] == "random" else "")
        file = self.out / f"{name}.py"
        if not file.exists():
            pair = ""
            if "{pair}" in ROWS[row][3]:
                network = self.network("N2HL", seed)
                pair = str(count_macs(pair_of(network), torch.zeros(1, *network.input_size)))
            file.with_suffix(".yaml").write_text(text(row, seed, name.lower(), pair), "utf-8")
            build(file.with_suffix(".yaml"), file)
        return file

    def network(self, row: str, seed: int) -> HierarchicalNetwork:
        return find_model(f"{self.file_of(row, seed)}:Net").cls().eval()

    def trained(self, row: str, seed: int) -> Path:
        folder = self.out / f"{self.file_of(row, 0).stem}-{seed}"
        if not (folder / "seconds").exists():
            start = time.perf_counter()
            train(
                f"{self.file_of(row, seed)}:Net",
                self.file,
                recipe="quick",
                settings=[*RECIPE, f"epochs={self.epochs}", f"seed={seed}"],
                out=folder,
                force=True,
                console=Console(stderr=True),
                workers=0,
                flat=row.startswith("flat"),
            )
            (folder / "seconds").write_text(str(time.perf_counter() - start))
        return folder

    def found(self, row: str, seed: int) -> dict[str, np.ndarray[Any, Any]]:
        file = self.out / f"{self.file_of(row, 0).stem}-{seed}.npz"
        if not file.exists():
            folder, network = self.trained(row, seed), self.network(row, seed)
            model: Any = network
            if row.startswith("flat"):
                model = FlatNetwork(network).eval()
                load_flat(model.trunk, model.tail, read_state(folder / FLAT), row)
            else:
                load_weights(network, folder / BEST)
            np.savez_compressed(file, **self.summary(model, network))
        return dict(np.load(file))

    def summary(self, model: Any, network: HierarchicalNetwork) -> dict[str, np.ndarray[Any, Any]]:
        images = open_data(self.data / "cifar10-test.tar", network)
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        with torch.inference_mode():
            for start in range(0, len(images), 200):
                some = [images[i] for i in range(start, min(start + 200, len(images)))]
                x, y = torch.stack([image for image, _ in some]), torch.tensor([label for _, label in some])
                logits = cued = model(x)
                if model is network and network.levels[-1].branches == network.num_classes:
                    cued = self.cued(network, x, y, logits)
                parts.append((logits, cued, y))
        logits, cued, y = (torch.cat(part) for part in zip(*parts, strict=True))

        def among(groups: list[tuple[str, ...]]) -> np.ndarray[Any, Any]:
            homes = torch.zeros(len(CLASSES), dtype=torch.long)
            for number, members in enumerate(groups):
                homes[[network.classes.index(c) for c in members]] = number
            return (logits.masked_fill(homes[None] != homes[y][:, None], -torch.inf).argmax(1) == y).numpy()

        vehicles = (*SIMILAR[0], *SIMILAR[1])
        return {
            "top-1": (logits.argmax(1) == y).numpy(),
            "animals or vehicles": among([vehicles, tuple(c for c in CLASSES if c not in vehicles)]),
            "pairs": among(list(SIMILAR)),
            "cue": (cued.argmax(1) == y).numpy(),
        }

    @staticmethod
    def cued(network: HierarchicalNetwork, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
        """Logits with a gain of 1.5 on the features of each image's true class."""
        found = logits.clone()
        for number in y.unique().tolist():
            with network.attend({network.classes[number]: 1.5}):
                found[y == number] = network(x[y == number])
        return found

    def costs(self, row: str) -> tuple[int, int, float]:
        """Parameters and MACs, and the share of the MACs that a cutout of a pair keeps (of a flat network all)."""
        network = self.network(row, 0)
        x = torch.zeros(1, *network.input_size)
        if row.startswith("flat"):
            flat = FlatNetwork(network).eval()
            return count_params(flat), count_macs(flat, x), 1.0
        whole = count_macs(network, x)
        return count_params(network), whole, count_macs(pair_of(network), x) / whole


def table(study: Study, seeds: list[int]) -> None:
    print(
        "| network | seeds | params | MACs | of a pair | "
        + " | ".join(["top-1", "of 4 or 6", "of 2", "cue"])
        + " | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in ROWS:
        stem = study.file_of(row, 0).stem
        done = [seed for seed in seeds if (study.out / f"{stem}-{seed}.npz").exists()]
        if not done:
            continue
        found = [study.found(row, seed) for seed in done]
        params, macs, part = study.costs(row)
        cells = [row, str(len(done)), f"{params:,}", f"{macs / 1e6:.2f} M", f"{part:.2f} ×"]
        for column in ("top-1", "animals or vehicles", "pairs", "cue"):
            values = [100 * f[column].mean() for f in found]
            cells.append(f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""))
        seconds = [float((study.out / f"{stem}-{seed}" / "seconds").read_text()) for seed in done]
        print("| " + " | ".join([*cells, f"{np.mean(seconds):.0f}"]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", default=";".join(ROWS), help="separated by semicolons")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("runs/paper"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    study = Study(options.data, options.out, options.images, options.epochs)
    seeds = list(map(int, options.seeds.split(",")))
    if not options.table:
        for seed in seeds:
            for row in options.rows.split(";"):
                print(f"{row} seed {seed}: {100 * study.found(row, seed)['top-1'].mean():.1f}", flush=True)
    table(study, seeds)


if __name__ == "__main__":
    main()
