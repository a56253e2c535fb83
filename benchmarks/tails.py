"""Second study: tails that start as the backbone's own against the flat network, Tiny ImageNet's 100 classes.

python benchmarks/tails.py DATA WEIGHTS [--rows flat-128,S,…] [--seeds 0,1,2] [--out DIR] [--train FILE]
                           [--device cuda] [--times] [--table] [--final]

DATA has tiny-imagenet-100-train.tar (or FILE) and -val.tar, WEIGHTS are tf_efficientnet_lite0's (hiergen convert
--like). Every row is one `hiergen.training.run.train`, those of "own" specialists what `hiergen specialise` trains; DIR
keeps weights and which images are recognised, so that a study goes on where it stopped: of images held out of the
training file, and of the validation file, which nothing is chosen by and which `--table --final` shows. `--times`
measures ms (ONNX Runtime, one image, one thread) and wants a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from hiergen.codegen.build import build
from hiergen.data.augment import eval_transform
from hiergen.data.batches import MapFeed
from hiergen.data.features import cached_features
from hiergen.data.sources import open_data
from hiergen.models.convert import read_state
from hiergen.models.load import find_model
from hiergen.models.weights import load_trunk, load_weights
from hiergen.nn.cutout import single
from hiergen.nn.flat import FlatTail, load_flat
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import finest_homes
from hiergen.planning.measure import flat_network
from hiergen.planning.network import Timer
from hiergen.training.branches import Pool, Setting, branch_recipe, logits_of
from hiergen.training.flatnetwork import FLAT, FlatNetwork
from hiergen.training.loop import BEST
from hiergen.training.parallel import Parallel
from hiergen.training.run import train
from hiergen.training.specialise import _Specialists
from hiergen.training.training_module import Learner, predict

HELD = 0.05
WORKERS = max((os.cpu_count() or 2) // 4, 1)
TREE = """\
name: tails-study
classes: tiny-imagenet-100
sources: [imagenet-superclass, wordnet]
nesting: {single_child: 3}
models:
  S:
    levels: 2
    trunk: {backbone: tf_efficientnet_lite0, until: blocks.3}
    input_size: 128
    generalist: both
    aim: {cutout: 0.57}
  T:
    levels: 2
    trunk: {backbone: tf_efficientnet_lite0, until: blocks.2}
    input_size: 128
    generalist: both
    aim: {cutout: 0.42}
  M:
    levels: 2
    trunk: {backbone: tf_efficientnet_lite0, until: blocks.3}
    input_size: 112
    generalist: both
    aim: {cutout: 0.74}  # of the flat network at 112 px, which takes 0.77 of that at 128 px
"""
SIZES = (128, 112, 96, 80, 64)
FLATS = """\
name: flat-study-{size}
classes: tiny-imagenet-100
sources: [imagenet-superclass, wordnet]
nesting: {{single_child: 3}}
models:
  F: {{levels: 2, trunk: {{backbone: tf_efficientnet_lite0, until: blocks.3}}, input_size: {size}}}
"""
VIEWS = ("trunk.views=4", "augment.crop=rrc", "augment.scale=[0.5,1]", "augment.hflip=0.5")
# row: model, recipe, settings
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "flat-128": ("flat128.py:F", "fine-tune", ("epochs=4",)),
    "flat-112": ("flat112.py:F", "fine-tune", ("epochs=4",)),
    **{f"flat-{size}": (f"flat{size}.py:F", "fine-tune", ("epochs=8",)) for size in SIZES[2:]},
    "S": ("study.py:S", "tails", ("form=generalist", "epochs=12")),
    "T": ("study.py:T", "tails", ("form=generalist", "epochs=18")),
    "S-own": ("study.py:S", "tails", ("epochs=5",)),  # as many images as 15 epochs of all
    "T-own": ("study.py:T", "tails", ("epochs=5",)),
    "S-long": ("study.py:S", "tails", ("form=generalist", "epochs=27")),
    "T-long": ("study.py:T", "tails", ("form=generalist", "epochs=33")),
    # of the flat network's tail those channels that tell a group's classes apart: pruned for the group, and fine-tuned
    "S-groups": ("study.py:S", "tails", ("form=specialists", "epochs=8", "negatives=1")),
    "T-groups": ("study.py:T", "tails", ("form=specialists", "epochs=18")),
    "M-whole": ("study.py:M", "tails", ("form=generalist", "epochs=12", "trunk.crop_maps=1")),
    "S-views": (
        "study.py:S",
        "tails",
        ("form=generalist", "epochs=12", "trunk.crop_maps=1", *VIEWS),
    ),
    "S-whole": ("study.py:S", "tails", ("form=generalist", "epochs=12", "trunk.crop_maps=1")),
    "flat-96-views": ("flat96.py:F", "fine-tune", ("epochs=8", "trunk.crop_maps=1", *VIEWS)),
    "flat-96-whole": ("flat96.py:F", "fine-tune", ("epochs=8", "trunk.crop_maps=1")),
    "probe": ("flat128.py:F", "", ()),
    # one for each group, of its images only
    "flat-subset": ("flat128.py:F", "fine-tune", ("epochs=4",)),
    "flat-subset-long": ("flat128.py:F", "fine-tune", ("epochs=12",)),
}
SUBSET = """\
name: flat-subset-{number}
classes: [{classes}]
sources: [wordnet]
models:
  F: {{levels: 1, trunk: {{backbone: tf_efficientnet_lite0, until: blocks.3}}, input_size: 128}}
"""
KEPT = {"S-kept": "S-own", "T-kept": "T-own"}  # of each group its own branch or the generalist, as held-out images say
UNIONS = 30


class Study:
    """Where data, networks and results lie."""

    trees: ClassVar[dict[str, str]] = {"study": TREE, **{f"flat{size}": FLATS.format(size=size) for size in SIZES}}
    reference = "S"  # the row whose groups are counted within
    final = "tiny-imagenet-100-val.tar"

    def __init__(self, data: Path, weights: Path, out: Path, *, file: str, device: str) -> None:
        self.data, self.weights, self.out, self.file, self.device = data, weights, out, data / file, device
        self.part = "held"
        out.mkdir(parents=True, exist_ok=True)
        for name, text in self.trees.items():
            if not (out / f"{name}.py").exists():
                (out / f"{name}.yaml").write_text(text, "utf-8")
                build(out / f"{name}.yaml", out / f"{name}.py")

    def network(self, row: str) -> HierarchicalNetwork:
        return find_model(f"{self.out}/{ROWS[row][0]}").cls().eval()

    def teacher_of(self, row: str) -> str:
        return "flat-112" if row[0] == "M" else "flat-128"

    def trained(self, row: str, seed: int) -> Path:
        """The folder of a row's training, now or before."""
        model, recipe, settings = ROWS[row]
        folder = self.out / f"{row}-{seed}"
        if not (folder / "seconds").exists():
            start, cpu = time.perf_counter(), time.process_time()
            flat = row.startswith("flat")
            teacher = None if flat else self.trained(self.teacher_of(row), seed) / FLAT
            train(
                f"{self.out}/{model}",
                self.file,
                recipe=recipe,
                settings=[*settings, f"seed={seed}", f"hold_out={HELD}", "flat_epochs=0"],
                out=folder,
                force=True,
                pretrained=self.weights if flat else teacher,
                console=Console(stderr=True),
                device=self.device,
                workers=WORKERS,
                **({"flat": True} if flat else {"teacher": teacher}),
            )
            spent = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
            (folder / "seconds").write_text(json.dumps(spent))
        return folder

    def found(self, row: str, seed: int) -> dict[str, np.ndarray[Any, Any]]:
        """What a row recognises of the images that figures are of, now or before."""
        part = "final" if row.startswith("flat-subset") else self.part
        file = self.out / f"{row}-{seed}-{part}.npz"
        if not file.exists():
            for part, answers in self._logits(row, seed).items():
                for name, (logits, targets) in answers.items():
                    np.savez_compressed(self.out / f"{name}-{seed}-{part}.npz", **self._summary(logits, targets))
        return dict(np.load(file))

    def _logits(self, row: str, seed: int) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
        """Part → row → logits and targets."""
        parallel, network = Parallel("float32", self.device), self.network(row).to(self.device)
        if row.endswith("own"):
            return self._own(row, seed, network)
        if row == "probe":
            return {part: {row: answer} for part, answer in self._probe(network).items()}
        if row.startswith("flat-subset"):
            return {"final": {row: self._subsets(row, seed)}}  # what it holds out is another part of the images
        folder = self.trained(row, seed)
        model: HierarchicalNetwork = network
        if row.startswith("flat"):
            model = FlatNetwork(network).to(self.device)
            load_flat(model.trunk, model.tail, read_state(folder / FLAT), row)
        else:
            load_weights(network, folder / BEST)
            network.form = "specialists" if row.endswith("groups") else "generalist"
        learner = Learner(model, form="specialists" if row.startswith("flat") else network.form).eval()
        return {p: {row: predict(learner, self.maps(network, p), 100, parallel)} for p in ("held", "final")}

    def _subsets(self, row: str, seed: int) -> tuple[Tensor, Tensor]:
        """Flat networks of each group's classes, trained on its images: logits of the validation images."""
        network, start = self.network("S"), time.perf_counter()
        load_trunk(network, self.weights)
        feed = self.maps(network, "final")
        logits = torch.full((len(feed), network.num_classes), -1e4)
        for number, (_, members) in enumerate(self.groups):
            file, folder = self.out / f"subset{number}.py", self.out / f"{row}-{seed}-{number}"
            text = SUBSET.format(number=number, classes=", ".join(network.classes[i] for i in members.tolist()))
            file.with_suffix(".yaml").write_text(text, "utf-8")
            build(file.with_suffix(".yaml"), file)
            if not (folder / FLAT).exists():
                train(
                    f"{file}:F",
                    self.file,
                    recipe=ROWS[row][1],
                    settings=[*ROWS[row][2], f"seed={seed}", f"hold_out={HELD}"],
                    out=folder,
                    force=True,
                    pretrained=self.weights,
                    flat=True,
                    only_known=True,
                    console=Console(stderr=True),
                    device=self.device,
                    workers=WORKERS,
                )
            model = FlatNetwork(find_model(f"{file}:F").cls()).eval()
            load_flat(model.trunk, model.tail, read_state(folder / FLAT), row)
            order = [network.classes.index(c) for c in model.classes]
            answers, targets = predict(
                Learner(model, form="specialists").eval(), feed, 100, Parallel("float32", self.device)
            )
            logits[:, order] = answers.float()
        folder = self.out / f"{row}-{seed}"
        folder.mkdir(exist_ok=True)
        (folder / "seconds").write_text(json.dumps({"wall": time.perf_counter() - start, "cpu": 0.0}))
        return logits, targets

    def _own(self, row: str, seed: int, network: HierarchicalNetwork) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
        """Specialists for all groups, and of each group what held-out images say is better."""
        load_weights(network, self.trained(row[0], seed) / BEST)
        network.form = "generalist"
        recipe = branch_recipe("tails", [*ROWS[row][2], f"seed={seed}"])
        setting = Setting(network, recipe, None, None, WORKERS, False, torch.device(self.device))
        feeds = {part: self.maps(network, part) for part in ("train", "held", "final")}
        job = _Specialists(setting, feeds["train"], feeds["held"])
        found: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
        with torch.no_grad():
            for part in ("held", "final"):
                pool = Pool([feeds[part]], [feeds[part].targets], setting.device)
                general = torch.cat([logits_of(network, x, "generalist") for _, x in pool.in_order()]).cpu()
                found[part] = {name: (general.clone(), pool.targets.cpu()) for name in (row, f"{row[0]}-kept")}
        spent = time.perf_counter()
        for name, members in self.groups:
            branch = job.trained(name)
            choice = job.compared(name, branch)
            for part in ("held", "final"):
                pool = Pool([feeds[part]], [feeds[part].targets], setting.device)
                with torch.no_grad():
                    own = torch.cat([logits_of(branch, x, "specialists") for _, x in pool.in_order()]).cpu()
                found[part][row][0][:, members] = own
                if choice.form == "specialists":
                    found[part][f"{row[0]}-kept"][0][:, members] = own
        folder = self.out / f"{row}-{seed}"
        folder.mkdir(exist_ok=True)
        (folder / "seconds").write_text(json.dumps({"wall": time.perf_counter() - spent, "cpu": 0.0}))
        return found

    def maps(self, network: HierarchicalNetwork, part: str) -> MapFeed:
        if part == "final":
            images = open_data(self.data / self.final, network)
        else:
            split = open_data(self.file, network).split(HELD, seed=0)
            images = split[0] if part == "train" else split[1]
        return MapFeed(cached_features(network, images, eval_transform(network), workers=WORKERS), seed=0)

    def _probe(self, network: HierarchicalNetwork) -> dict[str, tuple[Tensor, Tensor]]:
        """Logistic regression on the whole frozen backbone's pooled features; its penalty is chosen on a tenth of the
        training images."""
        tail = FlatTail(network.trunk.backbone, network.trunk.until, 1000, input_size=network.input_size)
        load_flat(network.trunk, tail, read_state(self.weights), "weights")
        tail.classifier = nn.Identity()
        tail.eval().to(self.device)

        def pooled(part: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            with torch.inference_mode():
                both = [(tail(x.to(self.device)).cpu(), y) for x, y in self.maps(network, part).mixed(100)]
            return torch.cat([x for x, _ in both]).numpy(), torch.cat([y for _, y in both]).numpy()

        x, y = pooled("train")
        mean, std, cut = x.mean(0), x.std(0) + 1e-6, len(x) // 10
        x = (x - mean) / std
        fits = [LogisticRegression(C=c, max_iter=100).fit(x[cut:], y[cut:]) for c in (1e-4, 1e-3, 1e-2)]
        best = max(fits, key=lambda fit: fit.score(x[:cut], y[:cut]))
        final = LogisticRegression(C=best.C, max_iter=100).fit(x, y)
        answers = {}
        for part in ("held", "final"):
            some, targets = pooled(part)
            logits = torch.tensor(final.decision_function((some - mean) / std)).float()
            answers[part] = (logits, torch.tensor(targets))
        return answers

    def _summary(self, logits: Tensor, targets: Tensor) -> dict[str, np.ndarray[Any, Any]]:
        """Whether each image is recognised of all classes (`right`), among its group's (`within`; the group's number in
        `group`, -1: a group of one class); AUROC of each group's images against all others by the largest of its
        logits; and the shares recognised among the classes of unions of two and three groups."""
        order = targets.argsort(stable=True)
        logits, targets = logits[order].float(), targets[order]
        homes = torch.full((logits.shape[1],), -1)
        for number, (_, members) in enumerate(self.groups):
            homes[members] = number
        group = homes[targets]
        apart = homes[None, :] != group[:, None]
        aurocs = [
            roc_auc_score((group == number).numpy(), logits[:, members].max(1).values.numpy())
            for number, (_, members) in enumerate(self.groups)
        ]
        draw, unions = np.random.default_rng(0), []
        for number in range(UNIONS):
            some = draw.choice(len(self.groups), 2 + number % 2, replace=False)
            members = torch.cat([self.groups[i][1] for i in some])
            rows = torch.isin(targets, members)
            unions.append(float((members[logits[rows][:, members].argmax(1)] == targets[rows]).double().mean()))
        return {
            "right": (logits.argmax(1) == targets).numpy(),
            "within": (logits.masked_fill(apart, -torch.inf).argmax(1) == targets).numpy(),
            "group": group.numpy(),
            "auroc": np.array(aurocs),
            "unions": np.array(unions),
        }

    @cached_property
    def groups(self) -> tuple[tuple[str, Tensor], ...]:
        """The finest groups of several classes, and their classes."""
        network = self.network(self.reference)
        homes = torch.tensor(finest_homes(network))
        names = network.nesting.names(network.nesting.depth - 1)
        found = ((name, (homes == i).nonzero()[:, 0]) for i, name in enumerate(names))
        return tuple((name, members) for name, members in found if len(members) > 1)

    def within(self, row: str, seeds: list[int]) -> list[np.ndarray[Any, Any]]:
        """By group, and image: the mean over the seeds."""
        found = [self.found(row, seed) for seed in seeds]
        right = np.mean([f["within"] for f in found], axis=0)
        return [right[found[0]["group"] == number] for number in range(len(self.groups))]

    def more(self, row: str, other: str, seeds: list[int], draws: int = 2000) -> tuple[float, float, float]:
        """Points that a row has more within groups, and the 95 % interval by a paired bootstrap over images."""
        both = zip(self.within(row, seeds), self.within(other, seeds), strict=True)
        differences = [ours - theirs for ours, theirs in both]
        draw = np.random.default_rng(0)
        means = [np.mean([d[draw.integers(0, len(d), len(d))].mean() for d in differences]) for _ in range(draws)]
        low, high = np.quantile(means, [0.025, 0.975])
        return 100 * float(np.mean([d.mean() for d in differences])), 100 * float(low), 100 * float(high)

    def times(self) -> dict[str, float]:
        """ms as parts of the flat network's at 128 px: of the whole network, and of the cutouts of groups."""
        timer, runs = Timer((3, 128, 128), "onnxruntime", 1), []
        runs.append(timer.add(flat_network("tf_efficientnet_lite0", 100, (3, 128, 128))))
        _, members = sorted(self.groups, key=lambda g: len(g[1]))[len(self.groups) // 2]
        for row in ("S", "T"):
            network = self.network(row)
            network.form = "generalist"
            runs.append(timer.add(single(network, members.tolist())))
            network.form = "specialists"
            runs.append(timer.add(network.cutout(members.tolist())))
        flat, *others = timer.measure(runs)
        found = dict(zip(("S", "S-own", "T", "T-own"), (ms / flat for ms in others), strict=True))
        for size in SIZES:
            smaller = Timer((3, size, size), "onnxruntime", 1)
            small = smaller.add(flat_network("tf_efficientnet_lite0", 100, (3, size, size)))
            whole, ms = timer.measure([runs[0], small])
            found[f"flat-{size}"] = ms / whole
        for name in ("S", "T"):
            found |= {f"{name}-long": found[name], f"{name}-groups": found[f"{name}-own"]}
        return found | {"probe": 1.0, "flat ms": flat}


AGAINST = {"own": "long", "kept": "long"}  # equal training; the others against the flat network


def table(study: Study, seeds: list[int]) -> None:
    """A row for each network, and what it has more than the flat network, or the generalist of equal training."""
    times = json.loads(file.read_text()) if (file := study.out / "times.json").exists() else {}
    print(
        "| network | seeds | × ms | top-1 of 100 | within its group | more than (95 %) | unions | AUROC, others | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for row in (*ROWS, *KEPT):
        done = [seed for seed in seeds if (study.out / f"{row}-{seed}-{study.part}.npz").exists()]
        if not done:
            continue
        found = [study.found(row, seed) for seed in done]
        groups = range(len(study.groups))
        full = [100 * f["right"].mean() for f in found]
        within = [100 * float(np.mean([f["within"][f["group"] == g].mean() for g in groups])) for f in found]
        seconds = [
            json.loads(file.read_text())["wall"]
            for seed in done
            if (file := study.out / f"{KEPT.get(row, row)}-{seed}" / "seconds").exists()
        ]
        other = f"{row[0]}-{AGAINST[row[2:]]}" if row[2:] in AGAINST else "flat-128"
        both = [seed for seed in done if (study.out / f"{other}-{seed}-{study.part}.npz").exists()]
        more = "{:+.1f} ({:+.1f} … {:+.1f}) {}".format(*study.more(row, other, both), other) if both else ""
        cells = [
            str(len(done)),
            f"{times.get(KEPT.get(row, row), 0):.2f}",
            spread(full) if row[2:] not in AGAINST else "",
            spread(within),
        ]
        cells += [more, spread([100 * f["unions"].mean() for f in found])]
        cells += [spread([100 * f["auroc"].mean() for f in found]), f"{np.mean(seconds or [0]):.0f}"]
        print(f"| {row} | {' | '.join(cells)} |")


def spread(values: list[float]) -> str:
    """Mean, and ± standard deviation over seeds."""
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path, default=Path("runs/tails"))
    parser.add_argument("--train", default="tiny-imagenet-100-train.tar")
    parser.add_argument("--device", default="cpu")
    for flag in ("final", "times", "table"):
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args()
    study = Study(options.data, options.weights, options.out, file=options.train, device=options.device)
    seeds = list(map(int, options.seeds.split(",")))
    if options.times:
        (study.out / "times.json").write_text(json.dumps(study.times(), indent=1))
    if not (options.table or options.times):
        for seed in seeds:
            for row in filter(None, options.rows.split(",")):
                print(f"{row} seed {seed}: {100 * study.found(row, seed)['right'].mean():.1f}", flush=True)
    study.part = "final" if options.final else "held"
    table(study, seeds)


if __name__ == "__main__":
    main()
