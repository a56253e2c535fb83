"""Second study: tails that start as the backbone's own against the flat network, Tiny ImageNet's 100 classes.

python benchmarks/tails.py DATA WEIGHTS [--rows flat-128,S,…] [--seeds 0,1,2] [--out DIR] [--final] [--times] [--table]

DATA has tiny-imagenet-100-train.tar and -val.tar, WEIGHTS are tf_efficientnet_lite0's (hiergen convert --like). Every
row is one `hiergen.training.run.train`; DIR keeps weights and logits, so that a study goes on where it stopped. Logits
are of images held out of the training file; with `--final` of the validation file, which nothing was chosen by.
`--times` measures ms (ONNX Runtime, one image, one thread) and wants a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

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
from hiergen.models.weights import load_weights
from hiergen.nn.cutout import single
from hiergen.nn.flat import FlatTail, load_flat
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import finest_homes
from hiergen.planning.measure import flat_network
from hiergen.planning.network import Timer
from hiergen.training.flatnetwork import FLAT, FlatNetwork
from hiergen.training.loop import BEST
from hiergen.training.parallel import Parallel
from hiergen.training.run import train
from hiergen.training.training_module import Learner, predict

HELD = 0.05
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
    generalist: shallow
    aim: {cutout: 0.57}
  T:
    levels: 2
    trunk: {backbone: tf_efficientnet_lite0, until: blocks.2}
    input_size: 128
    generalist: shallow
    aim: {cutout: 0.42}
"""
SIZES = (128, 96, 80, 64)
FLATS = """\
name: flat-study-{size}
classes: tiny-imagenet-100
sources: [imagenet-superclass, wordnet]
nesting: {{single_child: 3}}
models:
  F: {{levels: 2, trunk: {{backbone: tf_efficientnet_lite0, until: blocks.3}}, input_size: {size}}}
"""
# row: model, recipe, settings; "{epochs}" can be set on the command line
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    **{f"flat-{size}": (f"flat{size}.py:F", "fine-tune", ("epochs=4",)) for size in SIZES},
    "S": ("study.py:S", "tails", ("form=generalist", "epochs=12")),
    "T": ("study.py:T", "tails", ("form=generalist", "epochs=18")),
    "S-groups": ("study.py:S", "tails", ("form=specialists", "epochs=12")),
    "T-groups": ("study.py:T", "tails", ("form=specialists", "epochs=18")),
    "probe": ("flat128.py:F", "", ()),
}


class Study:
    """Where data, networks and results lie."""

    def __init__(self, data: Path, weights: Path, out: Path, *, final: bool) -> None:
        self.data, self.weights, self.out, self.part = data, weights, out, "final" if final else "held"
        out.mkdir(parents=True, exist_ok=True)
        for name, text in (("study", TREE), *((f"flat{size}", FLATS.format(size=size)) for size in SIZES)):
            if not (out / f"{name}.py").exists():
                (out / f"{name}.yaml").write_text(text, "utf-8")
                build(out / f"{name}.yaml", out / f"{name}.py")

    def network(self, row: str) -> HierarchicalNetwork:
        return find_model(f"{self.out}/{ROWS[row][0]}").cls().eval()

    def trained(self, row: str, seed: int) -> Path:
        """The folder of a row's training, now or before."""
        model, recipe, settings = ROWS[row]
        folder = self.out / f"{row}-{seed}"
        if not (folder / "seconds").exists():
            start, cpu = time.perf_counter(), time.process_time()
            flat = row.startswith("flat")
            teacher = None if flat else self.trained("flat-128", seed) / FLAT
            train(
                f"{self.out}/{model}",
                self.data / "tiny-imagenet-100-train.tar",
                recipe=recipe,
                settings=[*settings, f"seed={seed}", f"hold_out={HELD}", "flat_epochs=0"],
                out=folder,
                force=True,
                pretrained=self.weights if flat else teacher,
                console=Console(stderr=True),
                device="cpu",
                workers=1,
                **({"flat": True} if flat else {"teacher": teacher}),
            )
            spent = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
            (folder / "seconds").write_text(json.dumps(spent))
        return folder

    def logits(self, row: str, seed: int) -> tuple[Tensor, Tensor]:
        """Of the images that figures are of, now or before."""
        file = self.out / f"{row}-{seed}-{self.part}.npz"
        if not file.exists():
            logits, targets = self._logits(row, seed)
            np.savez_compressed(file, logits=logits.numpy(), targets=targets.numpy())
        kept = np.load(file)
        return torch.tensor(kept["logits"]), torch.tensor(kept["targets"])

    def _logits(self, row: str, seed: int) -> tuple[Tensor, Tensor]:
        parallel, network = Parallel("float32", "cpu"), self.network(row)
        if row == "probe":
            return self._probe(network, seed)
        folder = self.trained(row, seed)
        if row.startswith("flat"):
            flat = FlatNetwork(network)
            load_flat(flat.trunk, flat.tail, read_state(folder / FLAT), row)
            return predict(Learner(flat).eval(), self.maps(network), 100, parallel)
        load_weights(network, folder / BEST)
        network.form = "specialists" if row.endswith("groups") else "generalist"
        return predict(Learner(network, form=network.form).eval(), self.maps(network), 100, parallel)

    def maps(self, network: HierarchicalNetwork, part: str | None = None) -> MapFeed:
        part = part or self.part
        if part == "final":
            images = open_data(self.data / "tiny-imagenet-100-val.tar", network)
        else:
            split = open_data(self.data / "tiny-imagenet-100-train.tar", network).split(HELD, seed=0)
            images = split[0] if part == "train" else split[1]
        return MapFeed(cached_features(network, images, eval_transform(network), workers=1), seed=0)

    def _probe(self, network: HierarchicalNetwork, seed: int) -> tuple[Tensor, Tensor]:
        """Logistic regression on the whole frozen backbone's pooled features; its penalty is chosen on a tenth of the
        training images."""
        tail = FlatTail(network.trunk.backbone, network.trunk.until, 1000, input_size=network.input_size)
        load_flat(network.trunk, tail, read_state(self.weights), "weights")
        tail.classifier = nn.Identity()
        tail.eval()

        def pooled(part: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            with torch.inference_mode():
                both = [(tail(x), y) for x, y in self.maps(network, part).mixed(100)]
            return torch.cat([x for x, _ in both]).numpy(), torch.cat([y for _, y in both]).numpy()

        (x, y), (held, targets) = pooled("train"), pooled(self.part)
        mean, std = x.mean(0), x.std(0) + 1e-6
        x, held, cut = (x - mean) / std, (held - mean) / std, len(x) // 10
        fits = [LogisticRegression(C=c, max_iter=200).fit(x[cut:], y[cut:]) for c in (1e-4, 1e-3, 1e-2)]
        best = max(fits, key=lambda fit: fit.score(x[:cut], y[:cut]))
        final = LogisticRegression(C=best.C, max_iter=200).fit(x, y)
        return torch.tensor(final.decision_function(held)).float(), torch.tensor(targets)

    @cached_property
    def groups(self) -> tuple[tuple[str, Tensor], ...]:
        """The finest groups of several classes, and their classes."""
        network = self.network("S")
        homes = torch.tensor(finest_homes(network))
        names = network.nesting.names(network.nesting.depth - 1)
        found = ((name, (homes == i).nonzero()[:, 0]) for i, name in enumerate(names))
        return tuple((name, members) for name, members in found if len(members) > 1)

    def right(self, row: str, seed: int) -> tuple[Tensor, list[Tensor]]:
        """Whether each image is recognised of all classes, and of each group's images among the group's classes."""
        logits, targets = self.logits(row, seed)
        order = targets.argsort(stable=True)
        logits, targets = logits[order], targets[order]
        within = []
        for _, members in self.groups:
            rows = torch.isin(targets, members)
            within.append((members[logits[rows][:, members].argmax(1)] == targets[rows]).double())
        return (logits.argmax(1) == targets).double(), within

    def outsiders(self, row: str, seed: int) -> float:
        """AUROC of a group's images against all others, by the largest of its logits; the mean over groups."""
        logits, targets = self.logits(row, seed)
        found = []
        for _, members in self.groups:
            inside = torch.isin(targets, members)
            found.append(roc_auc_score(inside.numpy(), logits[:, members].max(1).values.numpy()))
        return float(np.mean(found))

    def more(self, row: str, other: str, seeds: list[int], draws: int = 2000) -> tuple[float, float, float]:
        """Points that a row has more within groups, and the 95 % interval by a paired bootstrap over images."""
        differences = []
        for pair in zip(*(self._within(name, seeds) for name in (row, other)), strict=True):
            differences.append((pair[0] - pair[1]).numpy())
        draw = np.random.default_rng(0)
        means = [np.mean([d[draw.integers(0, len(d), len(d))].mean() for d in differences]) for _ in range(draws)]
        low, high = np.quantile(means, [0.025, 0.975])
        return 100 * float(np.mean([d.mean() for d in differences])), 100 * float(low), 100 * float(high)

    def _within(self, row: str, seeds: list[int]) -> Iterator[Tensor]:
        """By group, and image: the mean over the seeds."""
        for some in zip(*(self.right(row, seed)[1] for seed in seeds), strict=True):
            yield torch.stack(some).mean(0)

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
        found = dict(zip(("S", "S-groups", "T", "T-groups"), (ms / flat for ms in others), strict=True))
        for size in SIZES:
            timer = Timer((3, size, size), "onnxruntime", 1)
            small = timer.add(flat_network("tf_efficientnet_lite0", 100, (3, size, size)))
            found[f"flat-{size}"] = timer.measure([small])[0] / flat
        return found | {"probe": 1.0, "flat ms": flat}


def table(study: Study, seeds: list[int]) -> None:
    """A row for each network, and what it has more than the flat network and than the generalist of equal ms."""
    times = json.loads(file.read_text()) if (file := study.out / "times.json").exists() else {}
    print("| network | × ms | top-1 of 100 | within its group | more than flat-128 (95 %) | AUROC, others | CPU min |")
    print("|---|---|---|---|---|---|---|")
    for row in ROWS:
        done = [seed for seed in seeds if (study.out / f"{row}-{seed}-{study.part}.npz").exists()]
        if not done:
            continue
        both = [study.right(row, seed) for seed in done]
        full = [100 * float(full.mean()) for full, _ in both]
        within = [100 * float(np.mean([float(g.mean()) for g in groups])) for _, groups in both]
        aurocs = [100 * study.outsiders(row, seed) for seed in done]
        seconds = [
            json.loads((study.out / f"{row}-{s}" / "seconds").read_text())["cpu"] for s in done if row != "probe"
        ]
        cells = [f"{times.get(row, 0):.2f}", *(spread(values) for values in (full, within))]
        mean, low, high = study.more(row, "flat-128", done)
        cells += [f"{mean:+.1f} ({low:+.1f} … {high:+.1f})", spread(aurocs)]
        print(f"| {row} | {' | '.join(cells)} | {np.mean(seconds or [0]) / 60:.0f} |")


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
    for flag in ("final", "times", "table"):
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args()
    study, seeds = (
        Study(options.data, options.weights, options.out, final=options.final),
        list(map(int, options.seeds.split(","))),
    )
    if options.times:
        (study.out / "times.json").write_text(json.dumps(study.times(), indent=1))
    if not (options.table or options.times):
        for seed in seeds:
            for row in filter(None, options.rows.split(",")):
                study.logits(row, seed)
                print(f"{row} seed {seed}: {100 * float(study.right(row, seed)[0].mean()):.1f}", flush=True)
    table(study, seeds)


if __name__ == "__main__":
    main()
