"""A device that looks for one group now and another one later: parts, cutouts, pruned and whole networks of each group.

python benchmarks/switching.py TAXONOMY.yaml MODEL [--form specialists] [--rounds 20] [--out DIR]

As ONNX files: `hiergen export --parts` (one trunk, a file for each group), a cutout for each group, for each group a
flat network that is narrower in all layers, as pruning leaves it, and as fast as a cutout, and the whole flat network
for each. Shown: MB of all files, MB of memory that a fresh process needs for all of them, ms of one image, and ms until
another group's first answer where its file is read from the disk. ONNX Runtime, one image, one thread; weights are
random.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from timm.models.efficientnet import _gen_efficientnet_lite
from torch import nn

from hiergen.codegen.build import build
from hiergen.models.export import to_onnx, to_parts
from hiergen.models.load import find_model
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.plain_form import plain_form
from hiergen.nn.routing import finest_homes
from hiergen.nn.runtimes import quiet


def session(file: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def memory(folder: Path) -> float:
    """MB that a process which has loaded all files, and run each once, has more than one which has loaded none."""

    def resident() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    before = resident()
    trunk = folder / "trunk.onnx"
    image = np.load(folder / "image.npy")
    first = session(trunk) if trunk.exists() else None
    x = first.run(None, {"images": image})[0] if first else image
    loaded = [session(file) for file in sorted(folder.glob("*.onnx")) if file != trunk]
    for some in loaded:
        some.run(None, {"maps" if first else "images": x})
    return resident() - before


def flat(network: HierarchicalNetwork, width: float, classes: int) -> nn.Module:
    name = network.trunk.backbone
    whole = _gen_efficientnet_lite(name, width, 1.0, pretrained=False, num_classes=classes)
    return plain_form(whole.eval(), network.input_size)


def write(module: nn.Module, image: torch.Tensor, file: Path) -> None:
    with quiet(), torch.no_grad():
        written = torch.onnx.export(
            module, (image,), input_names=["images"], output_names=["logits"], dynamo=True, verbose=False
        )
    assert written is not None
    written.save(str(file))


def ms(files: dict[str, list[Any]], image: np.ndarray[Any, Any], rounds: int) -> dict[str, float]:
    """Of each way the median of one image through its sessions, one after the other; the ways take turns."""
    seen: dict[str, list[float]] = {name: [] for name in files}
    for turn in range(10 * rounds):
        for name, chain in files.items():
            start, x = time.perf_counter(), image
            for part in chain:
                x = part.run(None, {part.get_inputs()[0].name: x})[0]
            if turn >= 2 * rounds:
                seen[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in seen.items()}


def switched(folder: Path, image: np.ndarray[Any, Any], rounds: int) -> float:
    """ms from the decision for another group, whose file is read, to its first answer; the trunk is loaded."""
    trunk = folder / "trunk.onnx"
    first = session(trunk) if trunk.exists() else None
    files = [file for file in sorted(folder.glob("*.onnx")) if file != trunk]
    times = []
    for turn in range(rounds):
        start = time.perf_counter()
        some = session(files[turn % len(files)])
        x = first.run(None, {"images": image})[0] if first else image
        some.run(None, {"maps" if first else "images": x})
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    if sys.argv[1] == "--memory":
        print(memory(Path(sys.argv[2])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("taxonomy", type=Path)
    parser.add_argument("model")
    parser.add_argument("--form", default="specialists")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    source = out / "network.py"
    build(options.taxonomy, source)
    torch.manual_seed(0)
    network = find_model(f"{source}:{options.model}").cls().eval()
    network.form = options.form
    homes, names = finest_homes(network), network.nesting.names(max(network.nesting.depth - 1, 1))
    groups = [[c for c, home in enumerate(homes) if home == i] for i in range(len(names))]
    image = torch.randn(1, *network.input_size)
    for way in ("parts", "cutouts", "pruned", "whole"):
        (out / way).mkdir(exist_ok=True)
        np.save(out / way / "image.npy", image.numpy())
    to_parts(network, out / "parts", batch=1)
    for number, members in enumerate(groups):
        if not (out / "cutouts" / f"{number}.onnx").exists():
            to_onnx(network.cutout(members), out / "cutouts" / f"{number}.onnx", batch=1)
            write(flat(network, 1.0, len(members)), image, out / "whole" / f"{number}.onnx")
    part = next(file for file in sorted((out / "parts").glob("*.onnx")) if file.name != "trunk.onnx")
    chains = {
        "parts": [session(out / "parts" / "trunk.onnx"), session(part)],
        "cutouts": [session(out / "cutouts" / "0.onnx")],
        "whole": [session(out / "whole" / "0.onnx")],
    }
    low, high = 0.2, 1.0
    while high - low > 0.02:  # the widest that is no slower than a cutout
        width = (low + high) / 2
        write(flat(network, width, len(groups[0])), image, out / "pruned.onnx")
        found = ms(
            {"cutout": chains["cutouts"], "pruned": [session(out / "pruned.onnx")]}, image.numpy(), options.rounds
        )
        low, high = (width, high) if found["pruned"] <= found["cutout"] else (low, width)
    for number, members in enumerate(groups):
        write(flat(network, low, len(members)), image, out / "pruned" / f"{number}.onnx")
    chains["pruned"] = [session(out / "pruned" / "0.onnx")]
    times = ms(chains, image.numpy(), options.rounds)
    rows = {}
    for way in times:
        files = list((out / way).glob("*.onnx"))
        command = [sys.executable, __file__, "--memory", str(out / way)]
        held = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows[way] = {
            "MB": sum(file.stat().st_size for file in files) / 1e6,
            "memory": held,
            "ms": times[way],
            "from disk": switched(out / way, image.numpy(), options.rounds),
        }
    print(f"{options.model} ({options.form}), {len(groups)} groups; pruned: {low:.2f} of the channels")
    print("| | MB | MB in memory | ms | ms to another group's first answer, from disk |\n|---|---|---|---|---|")
    for way, row in rows.items():
        cells = f"{row['MB']:.1f} | {row['memory']:.0f} | {row['ms']:.2f} | {row['from disk']:.1f}"
        print(f"| {way} | {cells} |")
    (out / "switching.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
