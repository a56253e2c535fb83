"""How time and memory grow with the number of classes, stage by stage, up to the 21,841 of ImageNet-21k.

    python benchmarks/scale.py [100 1000 10000 20000 21841] [--of imagenet|nouns] [--stages load nest-3 …] [--svg FILE]

Classes: the first N of a seeded shuffle of ImageNet-21k's wnids, which timm ships (one in five of them is an ancestor
of others), or with `--of nouns` of all of WordNet's nouns. Each size and stage runs in a process of its own: "alone" is
the CPU time of the stage alone; wall and CPU time and peak resident memory are of its whole process, with Python's
start, the imports and the stages before it. One run each; OMP_NUM_THREADS=1 is set. The table and the plot have CPU
seconds (alone, where there is such a figure), which a machine at work on something else lengthens less.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
SIZES = [100, 1000, 10_000, 20_000, 21_841]
SEED = 0
MODELS = {"PHL": "500M, macs: 60G", "N2HL": "120M, macs: 8G", "N3HL": "120M, macs: 8G", "N4HL": "120M, macs: 8G"}
INNER = ("load", "nest-2", "nest-3", "nest-4", "plan", "codegen", "standalone")
COMMANDS = {
    "validate": ["validate", "FILE"],
    "show": ["show", "FILE"],
    "build": ["build", "FILE", "--out", "OUT"],
    "build --standalone": ["build", "FILE", "--standalone", "--out", "ALONE"],
    "cost N3HL": ["cost", "OUT:N3HL", "--no-time", "--no-memory"],
    "draw": ["draw", "FILE", "-o", "FOLDER/tree.svg"],
    "explore": ["explore", "FILE", "-o", "FOLDER/page.html"],
    "export newick": ["export", "FILE", "--format", "newick", "-o", "FOLDER/tree.nwk"],
    "suggest wordnet": ["suggest", "FILE", "--by", "wordnet", "--groups", "40", "-o", "FOLDER/suggested.yaml"],
}
IMPORTS = {
    "import": "import OUT_MODULE",
    "import, torch there": "import timm, hiergen.nn, hiergen.nn.trunk",
    "import standalone": "import ALONE_MODULE",
}
STAGES = [*INNER, *COMMANDS, *IMPORTS]
DRAWN = ["load", "nest-2", "nest-3", "validate", "build", "cost N3HL", "explore", "suggest wordnet", "import"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--of", choices=["imagenet", "nouns"], default="imagenet")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--svg", type=Path, help="where the plot goes")
    parser.add_argument("--json", type=Path, help="keep the figures, with those of an earlier run that are there")
    parser.add_argument("--inner", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        print(json.dumps(inner(options.inner, options.file)))
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    found: dict[str, dict[int, dict[str, float]]] = {}
    if options.json and options.json.is_file():
        kept = json.loads(options.json.read_text("utf-8"))
        found = {stage: {int(size): figures for size, figures in of.items()} for stage, of in kept.items()}
    with tempfile.TemporaryDirectory() as name:
        for size in options.sizes:
            folder = Path(name) / str(size)
            file = taxonomy(folder, wnids(options.of), size)
            for stage in options.stages:
                figures = run(stage, file)
                found.setdefault(stage, {})[size] = figures
                print(f"{size:6} {stage:20} {_said(figures)}", flush=True)
            if "build" in options.stages:
                sizes = [(folder / f).stat().st_size / 1e6 for f in ("scale.py", "alone.py") if (folder / f).is_file()]
                print(f"{size:6} source               {' and standalone '.join(f'{mb:.2f} MB' for mb in sizes)}")
    print(table(found, sorted({size for of in found.values() for size in of})))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.svg:
        plot(found, options.svg)


# what is measured -----------------------------------------------------------------------------------------------------


def wnids(of: str) -> list[str]:
    """All of them, shuffled by SEED."""
    if of == "imagenet":
        package = find_spec("timm")  # not imported: a child's peak memory starts at that of the process it forks off
        assert package is not None
        assert package.origin is not None
        found = (Path(package.origin).parent / "data/_info/imagenet22k_synsets.txt").read_text("utf-8").split()
    else:
        from hiergen.taxonomy.wordnet.nouns import default

        index = default().reader.lemma_index
        found = sorted({f"n{offset:08d}" for senses in index.values() for offset in senses.get("n", [])})
    random.Random(SEED).shuffle(found)
    return found


def taxonomy(folder: Path, ids: list[str], size: int) -> Path:
    """A file of the first `size` classes with four models, whose budgets grow with their branches."""
    folder.mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"{wnid}\n" for wnid in ids[:size]), "utf-8")
    file = folder / "scale.yaml"
    models = "".join(f"  {name}: {{budget: {{params: {budget}}}}}\n" for name, budget in MODELS.items())
    file.write_text(f"name: scale\nclasses: classes.txt\nmodels:\n{models}", "utf-8")
    return file


def run(stage: str, file: Path) -> dict[str, float]:
    """Seconds and MB of one stage in a process of its own; `rc` where it failed."""
    folder = file.parent
    places = {"FILE": str(file), "OUT:N3HL": f"{folder / 'scale.py'}:N3HL", "OUT": str(folder / "scale.py")}
    places |= {"ALONE": str(folder / "alone.py")}
    if stage in INNER:
        command = [sys.executable, str(Path(__file__).resolve()), "--inner", stage, "--file", str(file)]
    elif stage in COMMANDS:
        words = [places.get(word, word.replace("FOLDER", str(folder))) for word in COMMANDS[stage]]
        command = [sys.executable, "-m", "hiergen", *words]
    else:
        code = IMPORTS[stage].replace("OUT_MODULE", "scale").replace("ALONE_MODULE", "alone")
        command = [sys.executable, "-B", "-c", code]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    figures = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "mb": usage.ru_maxrss / 1024}
    if stage in INNER and process.returncode == 0:
        figures["alone"] = json.loads(text.splitlines()[-1])
    if process.returncode:
        figures["rc"] = process.returncode
    return figures


def inner(stage: str, file: Path) -> float:
    """CPU seconds of one stage in this process, after those that it needs."""
    from hiergen.codegen.build import render
    from hiergen.codegen.standalone import standalone
    from hiergen.planning.from_taxonomy import plan_models
    from hiergen.taxonomy.load import load_taxonomy

    def timed(job: Callable[[], object]) -> float:
        start = time.process_time()
        job()
        return time.process_time() - start

    if stage == "load":
        return timed(lambda: load_taxonomy(file))
    loaded = load_taxonomy(file)
    if stage.startswith("nest"):
        return timed(lambda: loaded.nesting_of(int(stage[-1])))
    for name in loaded.spec.models:
        loaded.nesting(name)
    if stage == "plan":
        return timed(lambda: plan_models(loaded))
    plans = plan_models(loaded)
    if stage == "codegen":
        return timed(lambda: render(plans, file.name))
    source = render(plans, file.name)
    return timed(lambda: standalone(source))


# what is shown --------------------------------------------------------------------------------------------------------


def _said(figures: dict[str, float]) -> str:
    if "rc" in figures:
        return f"failed with exit code {figures['rc']:.0f} after {figures['wall']:.1f} s"
    alone = f"alone {figures['alone']:7.2f} s, " if "alone" in figures else " " * 17
    return f"{alone}wall {figures['wall']:6.2f} s, CPU {figures['cpu']:6.2f} s, peak {figures['mb']:6.0f} MB"


def table(found: dict[str, dict[int, dict[str, float]]], sizes: list[int]) -> str:
    """Markdown: CPU seconds (of the stage alone, or of the whole process) and peak MB."""
    lines = ["| stage | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|---|" + "---:|" * len(sizes)]
    for stage, by_size in found.items():
        cells = []
        for size in sizes:
            figures = by_size.get(size)
            if figures is None:
                cells.append("")
                continue
            seconds = figures.get("alone", figures["cpu"])
            cells.append(f"exit {figures['rc']}" if "rc" in figures else f"{seconds:.2f} s, {figures['mb']:.0f} MB")
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(found: dict[str, dict[int, dict[str, float]]], target: Path) -> None:
    """CPU seconds and peak MB of DRAWN against classes, both axes logarithmic; the dotted line is linear growth."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "hiergen", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.8), layout="constrained")
    colours = plt.get_cmap("tab10")
    for i, (stage, by_size) in enumerate((stage, found[stage]) for stage in DRAWN if stage in found):
        good = {n: f for n, f in sorted(by_size.items()) if "rc" not in f}
        style = {"marker": "o", "markersize": 2.5, "linewidth": 1, "color": colours(i % 10), "label": stage}
        axes[0].plot(list(good), [f.get("alone", f["cpu"]) for f in good.values()], **style)
        axes[1].plot(list(good), [f["mb"] for f in good.values()], **style)
    sizes = sorted({n for by_size in found.values() for n in by_size})
    axes[0].plot(sizes, [10 * n / sizes[-1] for n in sizes], ":", color="grey", label="linear")
    for axis, what in zip(axes, ("CPU seconds", "peak resident MB"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="classes", ylabel=what)
        axis.grid(visible=True, linewidth=0.3)
    target.parent.mkdir(parents=True, exist_ok=True)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=8, loc="outside right center", frameon=False)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
