"""Where specialists pay: images of a class × size of the tail, CIFAR-10 or Tiny ImageNet's 100 classes at 64 px.

python benchmarks/specialists.py DATA WEIGHTS [--set cifar|tiny] [--images 200,500,2000] [--tails W,N] [--seeds 0,1,2]
                                 [--out DIR] [--table]

WEIGHTS are tf_efficientnet_lite0's (hiergen convert --like). For each number of images: the flat network is fine-tuned
on them and teaches; a generalist of each tail learns for 8 epochs; specialists of all groups start from it and learn
for 3 epochs, from their own images and twice as many of others, which is as much as the other 9 epochs of a second
generalist (twice as many epochs of all with fewer than 1,000 images of a class, three times with fewer than 300). DIR
keeps what was found, so that a study goes on where it stopped. Figures are of the validation or test
file, which nothing is chosen by.
"""

from __future__ import annotations

import argparse
import tarfile
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
from tails import ROWS, Study, spread

from hiergen.codegen.build import build

FILES = {
    "tiny": ("tiny-imagenet-100-train.tar", "tiny-imagenet-100-train-more.tar"),
    "cifar": ("cifar10-train.tar",),
}
FINAL = {"tiny": "tiny-imagenet-100-val.tar", "cifar": "cifar10-test.tar"}
TREES = {
    "tiny": "classes: tiny-imagenet-100\nsources: [imagenet-superclass, wordnet]\nnesting: {single_child: 3}\n",
    "cifar": "classes: [airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck]\n"
    "sources:\n  - groups:\n"
    "      air and sea: [airplane, ship]\n      road: [automobile, truck]\n      small: [bird, frog]\n"
    "      pets: [cat, dog]\n      hoofed: [deer, horse]\n"
    "nesting: {closeness: 0}\n",
}
AIMS = {"W": 0.45, "N": 0.36}  # of the flat network's ms at 64 px; the trunk takes 0.3
EPOCHS = {"flat": 4, "": 8, "-own": 3, "-long": 17}


def set_rows(times: int) -> None:
    """All rows' epochs, times so many: few images of a class give few updates in an epoch."""
    ROWS["flat"] = ("network.py:F", "fine-tune", (f"epochs={times * EPOCHS['flat']}",))
    for name in AIMS:
        for row in ("", "-own", "-long"):
            form = ("distillation.l1=1",) if row == "-own" else ("form=generalist",)
            ROWS[f"{name}{row}"] = (f"network.py:{name}", "tails", (*form, f"epochs={times * EPOCHS[row]}"))


def model(more: str = "") -> str:
    return f"{{levels: 2, trunk: {{backbone: tf_efficientnet_lite0, until: blocks.2}}, input_size: 64{more}}}\n"


class Cell(Study):
    """The study of so many images of a class."""

    trees: ClassVar[dict[str, str]] = {}  # all cells have one network
    reference = "W"

    def teacher_of(self, row: str) -> str:
        return "flat"


def images_of(data: Path, names: tuple[str, ...], number: int, out: Path) -> Path:
    """A tar of the first so many images of each class."""
    file = out / f"train-{number}.tar"
    if not file.exists():
        counts: Counter[str] = Counter()
        part = file.with_suffix(".part")
        with tarfile.open(part, "w") as some:
            for name in names:
                with tarfile.open(data / name) as whole:
                    for member in whole:
                        label = member.name.removeprefix("./").split("/")[0]
                        if member.isfile() and counts[label] < number:
                            counts[label] += 1
                            some.addfile(member, whole.extractfile(member))
        part.rename(file)
    return file


def table(cells: dict[int, Cell], tails: list[str], seeds: list[int]) -> None:
    """A row for each number of images and tail: within groups, means over them."""
    head = ["images", "tail", "seeds", "flat", "generalist, 8 epochs", "17 epochs", "specialists", "kept"]
    head += ["specialists more than 17 epochs", "kept more", "unions: 17 epochs", "specialists"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for number, cell in cells.items():
        cell.part = "final"
        for tail in tails:
            rows = ("flat", tail, f"{tail}-long", f"{tail}-own", f"{tail}-kept")
            done = [s for s in seeds if all((cell.out / f"{row}-{s}-final.npz").exists() for row in rows)]
            if not done:
                continue
            line = [str(number), tail, str(len(done))]
            for row in rows:
                found = [[part.mean() for part in cell.within(row, [s])] for s in done]
                line.append(spread([100 * float(np.mean(f)) for f in found]))
            for row in ("own", "kept"):
                line.append("{:+.1f} ({:+.1f} … {:+.1f})".format(*cell.more(f"{tail}-{row}", f"{tail}-long", done)))
            for row in ("long", "own"):
                line.append(spread([100 * float(cell.found(f"{tail}-{row}", s)["unions"].mean()) for s in done]))
            print(f"| {' | '.join(line)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--set", choices=tuple(FILES), default="cifar")
    parser.add_argument("--images", default="200,500,2000")
    parser.add_argument("--tails", default="W,N")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path, default=Path("runs/specialists"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    tails, seeds, out = options.tails.split(","), list(map(int, options.seeds.split(","))), options.out / options.set
    out.mkdir(parents=True, exist_ok=True)
    plan = out / "network.py"
    if not plan.exists():
        models = {name: model(f", generalist: both, aim: {{cutout: {aim}}}") for name, aim in AIMS.items()}
        lines = "".join(f"  {name}: {text}" for name, text in (models | {"F": model()}).items())
        plan.with_suffix(".yaml").write_text(f"name: specialists\n{TREES[options.set]}models:\n{lines}", "utf-8")
        build(plan.with_suffix(".yaml"), plan)
    cells: dict[int, Cell] = {}
    set_rows(1)
    for number in map(int, options.images.split(",")):
        folder = out / str(number)
        folder.mkdir(exist_ok=True)
        for file in (plan, plan.with_suffix(".yaml")):
            (folder / file.name).write_text(file.read_text("utf-8"), "utf-8")
        images = plan if options.table else images_of(options.data, FILES[options.set], number, out)
        cell = Cell(options.data, options.weights, folder, file=str(images.resolve()), device=options.device)
        cell.final = FINAL[options.set]
        cells[number] = cell
    for seed in [] if options.table else seeds:
        for number, cell in cells.items():
            set_rows(1 if number >= 1000 else 2 if number >= 300 else 3)
            for row in ("flat", *(f"{tail}{more}" for tail in tails for more in ("", "-long", "-own"))):
                print(f"{number} {row} seed {seed}: {100 * cell.found(row, seed)['right'].mean():.1f}", flush=True)
    table(cells, tails, seeds)


if __name__ == "__main__":
    main()
