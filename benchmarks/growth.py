"""Four groups of Tiny ImageNet's 100 classes added one by one to a network of the other 70, against other ways.

python benchmarks/growth.py DATA WEIGHTS [--seeds 0,1,2] [--out DIR] [--train FILE] [--device cuda] [--epochs 8]
                            [--size 128] [--at-once 12] [--with-flat generalist]

Rows: all at once (the same network and the flat one, trained on all 100), `hiergen grow` (branches and rows; by ridge
regression alone; without old images; rows of a branch for all classes), the flat network fine-tuned on the new images,
with and without a sample of the old, RanPAC's recipe (random projection, ridge) on the frozen features, and ridge
regression on them. Figures are of the validation file, which nothing is chosen by. DIR keeps what was found.
"""

from __future__ import annotations

import argparse
import json
import os
import tarfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from hiergen.codegen.build import build
from hiergen.data.augment import eval_transform
from hiergen.data.batches import MapFeed
from hiergen.data.features import cached_features
from hiergen.data.sources import open_data
from hiergen.models.convert import read_state
from hiergen.models.load import find_model, load_network
from hiergen.models.weights import load_weights, save_weights
from hiergen.nn.flat import FlatTail, load_flat
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import finest_homes
from hiergen.training.branches import Pool, logits_of
from hiergen.training.flatnetwork import FLAT
from hiergen.training.grow import grow
from hiergen.training.loop import BEST
from hiergen.training.run import train

HELD = 0.05
VAL = "tiny-imagenet-100-val.tar"
WORKERS = max((os.cpu_count() or 2) // 4, 1)
NEW = ("conveyance", "invertebrate", "device", "geological formation")
TREE = """\
name: growth-{name}
classes: {classes}
sources: [imagenet-superclass, wordnet]
nesting: {{single_child: 3}}
models:
  S:
    levels: 2
    trunk: {{backbone: tf_efficientnet_lite0, until: blocks.3}}
    input_size: {size}
    generalist: both
    aim: {{cutout: 0.57}}
"""


class Study:
    def __init__(self, options: argparse.Namespace) -> None:
        self.data, self.weights, self.out = options.data, options.weights, options.out
        out, self.file, self.size = self.out, self.data / options.train, options.size
        self.device, self.epochs, self.at_once_epochs = torch.device(options.device), options.epochs, options.at_once
        self.with_flat: str = options.with_flat
        out.mkdir(parents=True, exist_ok=True)
        self._build("all", "tiny-imagenet-100")
        whole = find_model(f"{out}/all.py:S").cls()
        names, homes = whole.nesting.names(whole.nesting.depth - 1), finest_homes(whole)
        self.new = {n: [whole.classes[c] for c in range(100) if names[homes[c]] == n] for n in NEW}
        added = {c for members in self.new.values() for c in members}
        self.old = [c for c in whole.classes if c not in added]
        self._build("old", json.dumps(self.old))
        self.order = [*self.old, *(c for members in self.new.values() for c in members)]

    def _build(self, name: str, classes: str) -> None:
        file = self.out / f"{name}.yaml"
        if not file.with_suffix(".py").exists():
            file.write_text(TREE.format(name=name, classes=classes, size=self.size), "utf-8")
            build(file, file.with_suffix(".py"))

    def trained(self, tree: str, form: str, seed: int) -> Path:
        """The folder of a network of all or of the old classes, or of the flat one ("flat")."""
        folder = self.out / f"{tree}-{form}-{seed}"
        if not (folder / "seconds").exists():
            start, flat = time.perf_counter(), form == "flat"
            first = self.weights if flat else self.trained(tree, "flat", seed) / FLAT
            settings = ["epochs=4"] if flat else [f"form={form}", f"epochs={self.at_once_epochs}"]
            train(
                f"{self.out}/{tree}.py:S",
                self.file,
                recipe="fine-tune" if flat else "tails",
                settings=[*settings, f"seed={seed}", f"hold_out={HELD}", "flat_epochs=0"],
                out=folder,
                force=True,
                pretrained=first,
                console=Console(stderr=True),
                device=str(self.device),
                workers=WORKERS,
                only_known=tree == "old",
                **({"flat": True} if flat else {"teacher": first}),
            )
            (folder / "seconds").write_text(str(time.perf_counter() - start))
        return folder

    def network(self, tree: str, form: str, seed: int) -> HierarchicalNetwork:
        network = find_model(f"{self.out}/{tree}.py:S").cls().eval()
        load_weights(network, self.trained(tree, form, seed) / BEST)
        network.form = form  # type: ignore[assignment]
        return network

    def flat(self, tree: str, seed: int | None) -> tuple[HierarchicalNetwork, FlatTail]:
        """A network's trunk and the flat network's tail: fine-tuned, or (no seed) as the weights have it."""
        network = find_model(f"{self.out}/{tree}.py:S").cls().eval()
        file = self.weights if seed is None else self.trained(tree, "flat", seed) / FLAT
        classes = 1000 if seed is None else network.num_classes
        tail = FlatTail(network.trunk.backbone, network.trunk.until, classes, input_size=network.input_size)
        load_flat(network.trunk, tail, read_state(file), str(file))
        return network, tail.to(self.device).eval()

    # maps: the trunk is the same in all of them

    @cached_property
    def pools(self) -> dict[str, Pool]:
        """Maps of training, held-out and validation images; targets in the order old, then new groups."""
        network, _ = self.flat("all", None)
        network.to(self.device)
        split = open_data(self.file, network).split(HELD, seed=0)
        parts = {"train": split[0], "held": split[1], "final": open_data(self.data / VAL, network)}
        place = torch.tensor([self.order.index(c) for c in network.classes])
        found = {}
        for name, images in parts.items():
            feed = MapFeed(cached_features(network, images, eval_transform(network), workers=WORKERS), seed=0)
            found[name] = Pool([feed], [place[feed.targets]], self.device)
        return found

    @torch.no_grad()
    def answers(self, model: Callable[[Tensor], Tensor], part: str) -> Tensor:
        return torch.cat([model(x) for _, x in self.pools[part].in_order(256)])

    def scores(self, logits: Tensor, part: str = "final") -> dict[str, float]:
        """Top-1 of all images, of old classes' and of new ones', among the classes that the logits are of."""
        targets = self.pools[part].targets
        right = (logits.argmax(1) == targets).double()
        old = targets < len(self.old)
        return {"all": float(right.mean()), "old": float(right[old].mean()), "new": float(right[~old].mean())}

    def ordered(self, network: HierarchicalNetwork, logits: Tensor) -> Tensor:
        """Logits with classes in the order old, then new."""
        return logits[:, [network.classes.index(c) for c in self.order if c in network.classes]]

    def jobs(self, seed: int) -> dict[str, Callable[[], dict[str, Any]]]:
        return {
            "all at once, branches": lambda: self.at_once("specialists", seed),
            "all at once, a branch for all": lambda: self.at_once("generalist", seed),
            "all at once, flat": lambda: self.at_once("flat", seed),
            "grow, branches": lambda: self.grown("specialists", seed, "train", True),
            "grow, branches by ridge regression": lambda: self.grown("specialists", seed, "ridge", True),
            "grow, branches without old images": lambda: self.grown("specialists", seed, "train", False),
            "grow, rows of a shallow branch for all": lambda: self.grown("generalist", seed, "train", True),
            "grow, rows of the flat network": lambda: self.grown("flat", seed, "train", True),
            "flat, fine-tuned on new images": lambda: self.forgotten(seed, sample=False),
            "flat, fine-tuned on new and a sample of old": lambda: self.forgotten(seed, sample=True),
            "RanPAC on features of the weights": lambda: self.ridge(None, 5000),
            "RanPAC on features of the old classes' flat network": lambda: self.ridge(seed, 5000),
            "ridge regression on the same": lambda: self.ridge(seed, 0),
        }

    def found(self, name: str, seed: int, *, new: bool = True) -> dict[str, Any] | None:
        """Shares of a job, now (`new`) or before."""
        file = self.out / f"{name.replace(' ', '-').replace(',', '')}-{seed}.json"
        if not file.exists():
            if not new:
                return None
            start = time.perf_counter()
            shares = self.jobs(seed)[name]()
            file.write_text(json.dumps({"s": time.perf_counter() - start, **shares}))
            print(name, seed, shares, flush=True)
        return dict(json.loads(file.read_text()))

    def at_once(self, form: str, seed: int) -> dict[str, Any]:
        """Of all 100 classes, trained together."""
        if form == "flat":
            network, tail = self.flat("all", seed)
            return self.scores(self.ordered(network, self.answers(tail, "final")))
        network = self.network("all", form, seed).to(self.device)
        return self.scores(self.ordered(network, self.answers(lambda x: logits_of(network, x, form), "final")))

    def grown(self, form: str, seed: int, solver: str, sample: bool) -> dict[str, float]:
        """Of `hiergen grow`, group by group; `same`: whether old logits are what they were, to the bit, on the CPU."""
        trained = self.with_flat if form == "flat" else form  # the flat branch grows beside the others
        folder: Path | str = self.trained("old", trained, seed)
        first = self.network("old", trained, seed)
        first.form = form  # type: ignore[assignment]
        seconds = 0.0
        only = self.only_new() if not sample else self.file
        for number, (group, classes) in enumerate(self.new.items()):
            target = self.out / f"grown-{trained}-{solver}-{'old' if sample else 'new'}-{seed}-{number}"
            start = time.perf_counter()
            if form == "flat":
                folder = target
                continue
            # the folder of a training answers as held-out images said; a grown one as it was asked to
            model = f"{self.out}/old.py:S" if not number else str(folder)
            weights = self.plain(first, form, seed) if not number else None
            grow(
                model,
                only,
                target,
                weights=weights,
                new_group=group,
                classes=classes,
                solver=solver,
                settings=[f"epochs={self.epochs}", f"seed={seed}", f"hold_out={HELD}"],
                device=str(self.device),
                force=True,
                workers=WORKERS,
            )
            seconds += time.perf_counter() - start
            folder = target
        network = load_network(find_model(str(folder)), None).eval()
        network.form = form  # type: ignore[assignment]
        maps = self.pools["final"].maps(torch.arange(0, 5000, 20)).cpu()[:250]
        with torch.no_grad():
            same = torch.equal(logits_of(first, maps, form), logits_of(network, maps, form)[:, : len(self.old)])
        network.to(self.device)
        logits = self.answers(lambda x: logits_of(network, x, form), "final")
        alone = self.answers(lambda x: logits_of(first.to(self.device), x, form), "final")
        old = self.pools["final"].targets < len(self.old)
        before = (self.ordered(first, alone)[old].argmax(1) == self.pools["final"].targets[old]).double().mean()
        return {**self.scores(self.ordered(network, logits)), "alone": float(before), "same": same, "growing": seconds}

    def plain(self, network: HierarchicalNetwork, form: str, seed: int) -> Path:
        """Weights of the network that answers in this form."""
        file = self.out / f"old-{form}-{seed}" / "form.safetensors"
        network.choice = dict.fromkeys(network.choice, form)
        save_weights(network, file, model="S")
        return file

    def only_new(self) -> Path:
        """A tar of the new classes' images."""
        file = self.out / f"new-{self.file.name}"
        if not file.exists():
            added = {c for members in self.new.values() for c in members}
            part = file.with_suffix(f".{time.time_ns()}")
            with tarfile.open(self.file) as whole, tarfile.open(part, "w") as some:
                for member in whole:
                    if member.isfile() and member.name.removeprefix("./").split("/")[0] in added:
                        some.addfile(member, whole.extractfile(member))
            part.rename(file)
        return file

    def forgotten(self, seed: int, *, sample: bool) -> dict[str, float]:
        """The old classes' flat network, fine-tuned as it was, on each new group's images in turn."""
        network, tail = self.flat("old", seed)
        place = torch.tensor([network.classes.index(c) for c in self.old])
        pool, torch_seed = self.pools["train"], torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for values in (tail.classifier.weight, tail.classifier.bias):
                values.copy_(values[place])
        known = len(self.old)
        for classes in self.new.values():
            wider = nn.Linear(tail.classifier.in_features, known + len(classes)).to(self.device)
            with torch.no_grad():
                wider.weight.zero_(), wider.bias.zero_()
                wider.weight[:known], wider.bias[:known] = tail.classifier.weight, tail.classifier.bias
            tail.classifier = wider
            rows = ((pool.targets >= known) & (pool.targets < known + len(classes))).nonzero()[:, 0].cpu()
            if sample:  # of an old class as many as of a new one
                rows = (pool.targets < known + len(classes)).nonzero()[:, 0].cpu()
            self._tune(tail, pool, rows, 4, torch_seed)
            known += len(classes)
        return self.scores(self.answers(tail, "final"))

    def _tune(self, tail: nn.Module, pool: Pool, rows: Tensor, epochs: int, generator: torch.Generator) -> None:
        """Nearly as the recipe fine-tune: SGD, cosine, norms frozen; batches, not images, are mirrored."""
        tail.requires_grad_(True).eval()
        optimizer = torch.optim.SGD(tail.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
        steps = epochs * (len(rows) // 128)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
        for _ in range(epochs):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for some in torch.split(order, 128):
                if len(some) < 128:
                    continue
                x = pool.maps(some)
                x = x.flip(-1) if torch.rand((), generator=generator) < 0.5 else x
                loss = F.cross_entropy(tail(x), pool.targets[some], label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(tail.parameters(), 5.0)
                optimizer.step()
                schedule.step()

    def ridge(self, seed: int | None, units: int) -> dict[str, float]:
        """Rows of all classes in closed form, on pooled features, through `units` random ones where any."""
        _, tail = self.flat("all" if seed is None else "old", seed)
        tail.classifier = nn.Identity()
        features = {part: self.answers(tail, part) for part in ("train", "held", "final")}
        mean, std = features["train"].mean(0), features["train"].std(0) + 1e-6
        features = {part: (x - mean) / std if not units else x for part, x in features.items()}
        if units:
            generator = torch.Generator().manual_seed(seed or 0)
            matrix = torch.randn(features["train"].shape[1], units, generator=generator).to(self.device)
            features = {part: (x @ matrix).relu() for part, x in features.items()}
        x = features["train"].double()
        wanted = F.one_hot(self.pools["train"].targets, 100).double()
        shift = 0 if units else wanted.mean(0)
        gram, cross = x.T @ x, x.T @ (wanted - shift)
        size = gram.diagonal().mean()
        best: tuple[float, Tensor] | None = None
        for penalty in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0):
            solved = torch.linalg.solve(gram + penalty * size * torch.eye(len(gram), device=gram.device), cross)
            right = self.scores(features["held"].double() @ solved + shift, "held")["all"]
            if best is None or right > best[0]:
                best = right, solved
        assert best is not None
        return self.scores(features["final"].double() @ best[1] + shift)


def table(study: Study, seeds: list[int]) -> None:
    """A row for each job that was done, of the seeds that there are."""
    print("| | top-1 of 100 | old classes | new classes | old classes before | old logits | s |")
    print("|---|---|---|---|---|---|---|")
    for name in study.jobs(0):
        some = [found for seed in seeds if (found := study.found(name, seed, new=False))]
        if some:
            cells = [spread([100 * f[k] for f in some]) if k in some[0] else "" for k in ("all", "old", "new", "alone")]
            same = "" if "same" not in some[0] else "the same" if all(f["same"] for f in some) else "others"
            seconds = np.mean([f.get("growing", f["s"]) for f in some])
            print(f"| {name} | {' | '.join(cells)} | {same} | {seconds:.0f} |")


def spread(values: list[Any]) -> str:
    """Mean, and ± standard deviation over seeds."""
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path, default=Path("runs/growth"))
    parser.add_argument("--train", default="tiny-imagenet-100-train.tar")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--size", type=int, default=128, help="px of an image's side")
    parser.add_argument("--at-once", type=int, default=12, help="epochs of the networks that grow")
    parser.add_argument("--with-flat", default="generalist", help="form of the network whose flat branch grows")
    parser.add_argument("--only", action="append", help="a row's name")
    parser.add_argument("--prepare", default="", help="trainings: old-flat, old-specialists, …")
    options = parser.parse_args()
    study = Study(options)
    seeds = list(map(int, options.seeds.split(",")))
    for seed in seeds:
        for form in filter(None, options.prepare.split(",")):
            study.trained(*form.split("-"), seed)  # type: ignore[call-arg]
        for name in study.jobs(seed):
            if not options.prepare and (options.only is None or name in options.only):
                study.found(name, seed)
    table(study, seeds)


if __name__ == "__main__":
    main()
