"""Do two checkouts compute the same? Takes a snapshot of each and lists what differs; exits 1 if anything does.

    python benchmarks/same.py OLD NEW [--only WORD …]

Each checkout runs in a process of its own, on one thread, with empty caches. A snapshot holds:
- of every file of taxonomies/ the merged tree (children in order, synsets, who says so), and of every model the groups
  of its nesting with their classes, its plan with widths, params and MACs, and how many nestings of its size there are;
- of every model in generated/ its nest, params, MACs, and the logits of two seeded images, bit for bit; params and
  logits of the cutout of its first three classes too. Weights and statistics are drawn by name and shape, none is zero;
- what `hiergen suggest` writes for tiny-imagenet-100.
It goes by the public API; what may get another form is asked for by its newest names first.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs=2, type=Path, metavar="CHECKOUT")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="files with one of these in their name")
    args = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        targets = [Path(scratch) / "old.json", Path(scratch) / "new.json"]
        runs = [begin(*pair, args.only) for pair in zip(args.checkouts, targets, strict=True)]
        if sum(run.wait() for run in runs):
            sys.exit("a snapshot could not be taken")
        old, new = (dict(flat(json.loads(target.read_text("utf-8")))) for target in targets)
    keys = sorted({*old, *new})
    pairs = [(key, old.get(key, "nothing"), new.get(key, "nothing")) for key in keys]
    lines = [f"{key}: {a!s:.60} -> {b!s:.60}" for key, a, b in pairs if a != b]
    print("\n".join([*lines[:40], f"{len(lines):,} of {len(keys):,} values differ"]), end="")
    print(f" ({time.perf_counter() - start:.0f} s)")
    sys.exit(bool(lines))


def begin(checkout: Path, target: Path, only: list[str]) -> subprocess.Popen[bytes]:
    """Start the process that writes the snapshot of a checkout."""
    # -P: nothing is imported from beside this file
    command = [sys.executable, "-P", str(Path(__file__).absolute()), "--snapshot", str(target), *only]
    changed = {"PYTHONPATH": str(checkout.absolute()), "XDG_CACHE_HOME": f"{target}.caches", "PYTHONHASHSEED": "0"}
    return subprocess.Popen(command, cwd=checkout, env={**os.environ, **changed})


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All leaves, by their path."""
    if not value or not isinstance(value, dict | list):
        yield path, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from flat(inner, f"{path} / {key}" if path else str(key))


def snapshot(only: list[str]) -> dict[str, Any]:
    """All figures of the checkout that is the working folder."""
    import torch

    import hiergen

    assert Path(hiergen.__file__).is_relative_to(Path.cwd()), hiergen.__file__
    torch.set_num_threads(1)
    sys.path.append("generated")
    paths = [path for path in sorted(Path().glob("*/*")) if any(word in path.name for word in only)]
    taxonomies = [path for path in paths if path.match("taxonomies/*.yaml")]
    modules = [path for path in paths if path.match("generated/*.py")]
    figures: dict[str, Any] = {str(path): taxonomy_figures(path) for path in taxonomies}
    figures |= {str(path): module_figures(path.stem) for path in modules}
    suggested = [path for path in taxonomies if path.stem == "tiny-imagenet-100"]
    return figures | {f"suggest {path}": groups_suggested(path) for path in suggested}


def first_of(thing: Any, *names: str) -> Any:
    """The attribute of the first of these names that the thing has."""
    for name in names:
        if hasattr(thing, name):
            return getattr(thing, name)
    raise AttributeError(f"{type(thing).__name__} has none of {', '.join(names)}: add its new name here")


# taxonomies


def taxonomy_figures(path: Path) -> dict[str, Any]:
    import hiergen

    taxonomy = hiergen.load_taxonomy(path)
    models = {}
    for plan in hiergen.plan_models(taxonomy):
        groups = groups_of(taxonomy.nesting(plan.model))
        sizes = hiergen.Constraints(groups=tuple((len(level), len(level)) for level in groups))
        models[plan.model] = {
            "nesting": groups,
            "plan": plan_figures(plan),
            "nestings": [nestings(len(plan.classes), len(groups) + 1, *given) for given in ((), (sizes,))],
        }
    return {"tree": tree_figures(taxonomy.tree), "conflicts": len(taxonomy.conflicts), "models": models}


def tree_figures(tree: Any) -> dict[str, Any]:
    """Of each node of the networkx tree: what it is, its children in order, and who put it there."""
    return {
        key: {
            "node": [getattr(data["info"], field) for field in ("kind", "id", "name", "synset")],
            "children": list(tree.successors(key)),
            "why": [str(why) for _, _, why in tree.in_edges(key, data="why")],
        }
        for key, data in tree.nodes(data=True)
    }


def groups_of(nesting: Any) -> list[list[list[Any]]]:
    """Of each level but the classes its groups in order: name, and indices of the classes."""
    if hasattr(nesting, "groups"):
        return [[[group.name, sorted(group.classes)] for group in level] for level in nesting.groups]
    members, last = first_of(nesting, "members", "classes"), first_of(nesting, "depth", "levels")
    return [[[name, sorted(members(j, i))] for i, name in enumerate(nesting.names(j))] for j in range(1, last)]


def plan_figures(plan: Any) -> dict[str, Any]:
    trunk = plan.trunk
    labels = plan.nesting.labels if hasattr(plan, "nesting") else plan.class_names
    return {
        "classes": [list(pair) for pair in zip(plan.classes, labels, strict=True)],
        "cost": [plan.params, plan.macs, plan.head_params, plan.head_macs, *plan.cutout_cost(frozenset({0, 1, 2}))],
        "heads": list(plan.head_parents),
        "trunk": [trunk.backbone, trunk.until, trunk.params, trunk.macs, trunk.flat_params, trunk.flat_macs],
        "levels": [
            {
                "names": list(level.names),
                "parents": list(level.parents),
                "stages": [[s.block, s.in_channels, s.width, s.out, s.depth, s.stride] for s in level.stages],
                "branch": [level.channels, level.height, level.width, level.branch_params, level.branch_macs],
            }
            for level in plan.levels
        ],
    }


def nestings(*question: Any) -> str:
    import hiergen

    try:
        return str(hiergen.count_nestings(*question))
    except hiergen.HiergenError:
        return "refused"


def groups_suggested(path: Path) -> Any:
    import yaml

    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "suggested.yaml"
        command = [sys.executable, "-m", "hiergen", "suggest", str(path), "--out", str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return yaml.safe_load(target.read_text("utf-8"))["sources"]


# networks


def module_figures(module: str) -> dict[str, Any]:
    """Of each model that a generated module registers with timm."""
    import timm

    before = {*timm.list_models()}
    importlib.import_module(module)
    return {name: network_figures(name) for name in sorted({*timm.list_models()} - before)}


def network_figures(name: str) -> dict[str, Any]:
    import timm
    import torch

    network = timm.create_model(name).eval()
    fill(network)
    with torch.device("meta"):
        empty = timm.create_model(name).eval()
    part, nest = network.cutout([0, 1, 2]), first_of(network, "nesting", "nest")
    levels = range(1, first_of(nest, "depth", "levels") + 1)
    return {
        "class": type(network).__name__,
        "nest": [[list(nest.names(j)), list(nest.parents(j))] for j in levels],
        "params": [sum(p.numel() for p in one.parameters()) for one in (network, part)],
        "macs": macs(empty),
        "logits": [logits(one) for one in (network, part)],
    }


def fill(network: Any) -> None:
    """Draw each weight and statistic by its name and shape; norms' weights and variances lie between 0.5 and 1.5."""
    import torch

    for name, value in (*network.named_parameters(), *network.named_buffers()):
        key = hashlib.sha256(f"{name} {tuple(value.shape)}".encode()).digest()
        draw = torch.Generator().manual_seed(int.from_bytes(key[:6], "big"))
        small = value.ndim <= 2 and not any(word in name for word in ("bias", "mean", "fc", "head"))
        if not value.is_floating_point():  # indices of the nest, counters
            continue
        if small or name.endswith("var"):
            new = torch.rand(value.shape, generator=draw) + 0.5
        else:  # siblings' weights are (branches, out, height, width, in) or (branches, out, in)
            fan_in = math.prod(value.shape[2 if value.ndim in (3, 5) else 1 :]) if value.ndim > 1 else 100
            new = torch.randn(value.shape, generator=draw) / math.sqrt(fan_in)
        new[new == 0] = 1
        value.data.copy_(new)


def macs(network: Any) -> int:
    """Count all products: what a second image adds, as work on weights alone is not done for each image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network.set_lowering("grouped").requires_grad_(False)
    flops = 0
    for batch in (1, 2):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(batch, *network.input_size, device="meta"))
        flops = counter.get_total_flops() - flops
    return flops // 2


def logits(network: Any) -> dict[str, Any]:
    """A hash of all bits, and the first five of each image."""
    import torch

    images = torch.randn(2, *network.input_size, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        answer = network(images).contiguous()
    assert answer.isfinite().all()
    return {"sha256": hashlib.sha256(answer.numpy().tobytes()).hexdigest()[:16], "first": answer[:, :5].tolist()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--snapshot"]:
        Path(sys.argv[2]).write_text(json.dumps(snapshot(sys.argv[3:])), "utf-8")
    else:
        main()
