"""Every command and the Python API on small inputs: exit codes, warnings, and values to compare between environments.

    python [-O] benchmarks/smoke.py [--flags "-W error"] [--out values.json] [--against values.json]

Runs with the interpreter that runs it and with whatever hiergen that one has installed, in a fresh folder outside any
source tree; `--flags` are passed on to the interpreter of each command. `--against` compares with the values of another
run: texts must be equal, numbers to a relative 1e-3 (float32 on other kernels). Exits 1 if a command fails, or
writes a word to stderr that looks like a warning, or a value differs. Needs no pytest and no assert.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PETS = """\
name: pets
classes: [n02123045, n02123394, n02123597, n02085620, n02088364, n02110958, n01443537, n01491361]
sources:
  - groups: {cat: [cat.n.01], dog: [dog.n.01], fish: [n01443537, n01491361]}
  - wordnet
models:
  N2HL:
    trunk: {backbone: test_resnet, until: layer1}
    input_size: 32
    branches: [[{width: 8, out: 16, stride: 2}], [{block: convnext, width: 16, out: 8}]]
"""
DIGITS = """\
name: digits
classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
names: {"0": zero, "1": one, "2": two, "3": three, "4": four, "5": five, "6": six, "7": seven, "8": eight, "9": nine}
sources:
  - groups:
      even: {looped: ["0", "6", "8"], loopless: ["2", "4"]}
      odd: {angular: ["1", "7"], round: ["3", "5", "9"]}
nesting: {closeness: 0}
models:
  N2HL:
    trunk: {backbone: test_resnet, until: layer1}
    input_size: 32
    block: bottleneck
    depth: 1
    budget: {params: 150k}
"""
COLOURS = """\
name: colours
classes: [sky, moss, rust, sand]
sources:
  - groups: {cold: [sky, moss], warm: [rust, sand]}
nesting: {closeness: 0}
models:
  N2HL:
    trunk: {backbone: test_resnet, until: layer1}
    input_size: 32
    budget: {params: 600k}
    generalist: both
"""
PAINT = {
    "sky": (30, 60, 230),
    "moss": (40, 170, 40),
    "rust": (210, 50, 20),
    "sand": (230, 210, 130),
    "plum": (110, 20, 110),
}
N2HL = "generated/digits.py:N2HL"
COLOUR = "generated/colours.py:N2HL"
QUICK = "--set epochs=1 --set batch_size=8 --set hold_out=0.25"
RUNTIME = "--cutout 2 --runtime torch"
WEIGHTS = "--weights run/best.safetensors"
# Name of the value: command. A value is what --json prints, or the text; None: the exit code is all.
COMMANDS = {
    "help": "--help",
    "version": "--version",
    "validate": "validate pets.yaml --json",
    "show": "show pets.yaml --json",
    "show digits": "show digits.yaml",
    "merged": "show pets.yaml --merged",
    "conflicts": "show pets.yaml --conflicts",
    "build": "build pets.yaml digits.yaml",
    "check": "build pets.yaml digits.yaml --check",
    "standalone": "build pets.yaml --standalone",
    "schema": "schema",
    "recipes": "train --recipes",
    "train": f"train {N2HL} --data digits --recipe digits --epochs 1 --workers 0 -o run -q",
    "eval": f"eval {N2HL} {WEIGHTS} --data digits --json",
    "attend": f"attend {N2HL} {WEIGHTS} --data digits --gain even=1.2 --json",
    "coarse": f"coarse-first {N2HL} {WEIGHTS} --data digits --thresholds 0.5,1 --json",
    "cutout": f"cutout {N2HL} {WEIGHTS} --classes even -o even --standalone",
    "cutout again": "cutout even --classes 0,6 -o looped",
    "cost": f"cost {N2HL} --classes even --no-time --no-memory --json",
    "measured": f"cost {N2HL} --batch 1 --repeats 2 --threads 1",
    "tune": f"tune {N2HL} --batch 1 --json",
    "explore": f"explore {N2HL} -o page.html",
    "suggest": "suggest pets.yaml --by wordnet -o suggested.yaml",
    "search": "search pets.yaml --steps 1000 -o searched.yaml",
    "count": "count-partitions -n 100 -k 3 --groups 5-10,20 --digits",
    "sample": "count-partitions digits.yaml --sample --json",
    "compare": "count-partitions pets.yaml suggested.yaml --json",
    "cue": "cue meow pets.yaml --json",
    "safetensors": f"export {N2HL} {WEIGHTS} -o exported.safetensors",
    "newick": "export pets.yaml --format newick -o -",
    "import": "import tree.nwk -o imported.yaml",
    "draw": "draw pets.yaml -o tree.svg",
    "draw model": f"draw {N2HL} -o network.svg",
    "convert": "convert flat.pth -o flat.safetensors",
    "senses": "senses crane heron",
    "init": "init photos -o photos.yaml",
    "ask": "ask pets.yaml --groups 2 --dry-run prompts.jsonl -o asked.yaml",
    "build colours": "build colours.yaml",
    "train photos": f"train {COLOUR} --data photos --only-known --set form=each {QUICK} -o trained -q --workers 0",
    "predict": "predict trained photos/sky/1.png --json",
    "embed": "embed trained --data photos --workers 0 -o embedded.npz",
    "specialise": f"specialise trained --data photos --only-known --groups cold {QUICK} --workers 0 -o special",
    "grow": f"grow trained --data photos --class plum --group cold --solver ridge {QUICK} --workers 0 -o grown",
    "shrink": "shrink grown --classes sky -o shrunk",
    "cutout cold": "cutout trained --classes cold -o cold",
    "cutout warm": "cutout trained --classes warm -o warm",
    "graft": "graft cold warm -o grafted",
    "reject": "reject trained --data photos --split train --workers 0",
    "adapt": f"adapt whole.pth --backbone test_resnet --data photos --input-size 32 {QUICK} {RUNTIME} -o adapted",
}
PRINTED = {"validate", "show", "merged", "conflicts", "schema", "cost", "count", "sample", "cue", "newick"}
TIMED = {"cost"}  # of these only the counts: the rest is the machine's
FILES = ("generated/pets.py", "generated/digits.py", "standalone/pets.py", "suggested.yaml", "imported.yaml")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flags", default="", help='of the interpreter of each command, as "-W error"')
    parser.add_argument("--out", type=Path, help="a JSON file for the values")
    parser.add_argument("--against", type=Path, help="another run's values")
    parser.add_argument("--fork", action="store_true", help="import once, fork for each command: faster, no --flags")
    parser.add_argument("--values", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.values:
        print(json.dumps(_api()))
        return
    values, problems = run(asked.flags.split(), fork=asked.fork)
    if asked.out:
        asked.out.write_text(json.dumps(values, indent=1, sort_keys=True), "utf-8")
    if asked.against:
        problems += differences(values, json.loads(asked.against.read_text("utf-8")))
    for problem in problems:
        print(problem)
    counts = f"{len(COMMANDS)} commands, {len(values)} values, {len(problems)} problems"
    print(f"smoke: {counts}; Python {sys.version.split()[0]}")
    raise SystemExit(1 if problems else 0)


def run(flags: list[str], *, fork: bool = False) -> tuple[dict[str, object], list[str]]:
    """Values by name, and what went wrong."""
    values: dict[str, object] = {}
    problems: list[str] = []
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HIERGEN"))}
    kept |= {
        k: v for k, v in os.environ.items() if k in ("PYTHONSAFEPATH", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE")
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        env = {**kept, "HOME": folder, "XDG_CACHE_HOME": f"{folder}/.cache", "NO_COLOR": "1", "COLUMNS": "120"}
        env |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        _inputs(work)
        if fork:
            _preload()
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            if fork and name == "measured":
                command += " --no-memory"  # three fresh processes
            if fork:
                code, out, err = _forked(shlex.split(command), work, env)
            else:
                code, out, err = _ran([*flags, "-m", "hiergen", *shlex.split(command)], work, env)
            words = f"{name}: hiergen {command}"
            if code:
                problems.append(f"{words}\n  exit code {code}: {err[-2500:] or out[-500:]}")
            elif re.search(r"\b\w*warning\b|Traceback", err, re.I):
                problems.append(f"{words}\n  on stderr: {err[-1500:]}")
            if name in PRINTED and not code:
                values[name] = _printed(name, out)
            if os.environ.get("SMOKE_TIMES"):
                print(f"{time.perf_counter() - start:6.1f} s  {words}", file=sys.stderr)
        values |= {name: _digest(work / name) for name in FILES if (work / name).is_file()}
        code, out, err = _ran([*flags, str(Path(__file__).resolve()), "--values"], work, env)
        if code or re.search(r"\b\w*warning\b", err, re.I):
            problems.append(f"the Python API: exit code {code}: {err[-2500:]}")
        if not code:
            values |= json.loads(out.splitlines()[-1])
    return values, problems


def _ran(argv: list[str], work: Path, env: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, *argv], cwd=work, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def _preload() -> None:
    """What is slow to import; one thread, as a pool of threads does not survive a fork."""
    for name in ("sklearn.datasets", "sklearn.metrics", "timm", "torch", "hiergen.cli", "hiergen.models.load"):
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)


def _forked(argv: list[str], work: Path, env: dict[str, str]) -> tuple[int, str, str]:
    """One command in a child that has the imports already."""
    out, err = work / ".stdout", work / ".stderr"
    child = os.fork()
    if not child:
        code = 1
        try:
            for number, path in ((1, out), (2, err)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.chdir(work)
            os.environ.clear()
            os.environ.update(env)
            sys.argv = ["hiergen", *argv]
            sys.path.insert(0, os.getcwd())
            from hiergen.cli import main as command

            try:
                command()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            sys.stdout.flush()
        except BaseException:  # noqa: BLE001 -- the parent shows it
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, out.read_text("utf-8", "replace"), err.read_text("utf-8", "replace")


def _inputs(work: Path) -> None:
    (work / "pets.yaml").write_text(PETS, "utf-8")
    (work / "digits.yaml").write_text(DIGITS, "utf-8")
    (work / "tree.nwk").write_text("((a,b)ab,(c,(d,e)de)cde)all;", "utf-8")
    (work / "colours.yaml").write_text(COLOURS, "utf-8")
    import timm
    import torch
    from PIL import Image

    for number in range(8):
        for name, colour in PAINT.items():
            shade = tuple(min(max(part + 3 * number - 10, 0), 255) for part in colour)
            (work / "photos" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), shade).save(work / "photos" / name / f"{number}.png")
    torch.save(timm.create_model("test_resnet", num_classes=len(PAINT)).state_dict(), work / "whole.pth")
    torch.save({"state_dict": {"fc.weight": torch.arange(6.0).view(2, 3)}}, work / "flat.pth")


def _printed(name: str, text: str) -> object:
    if name in TIMED:
        rows = json.loads(text)["rows"]
        return [[row["kind"], row["params"], row["macs"]] for row in rows]
    try:
        return json.loads(text)
    except ValueError:
        return [" ".join(line.split()) for line in text.splitlines()]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _api() -> dict[str, object]:
    """Values through `import hiergen` and the generated files of the current folder."""
    sys.path.insert(0, os.getcwd())
    import torch

    import hiergen
    from hiergen.nn.cutout import cut, difference

    torch.set_num_threads(1)
    found: dict[str, object] = {"version": hiergen.__version__}
    for name in hiergen.__all__:
        getattr(hiergen, name)
    network = hiergen.load_network("generated/pets.py:N2HL")
    filled(network)
    images = torch.linspace(-2, 2, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32).sin()
    with torch.no_grad():
        found["logits"] = network.eval()(images).flatten().tolist()
        with network.attend({"cat": 1.5}):
            found["steered"] = network(images).flatten().tolist()
        network.active = ["dog"]
        found["active"] = network(images).flatten().tolist()
        network.active = None
    part = cut(network, network.selector.classes(["cat", "n01443537"]))
    found["cutout"] = part(images).flatten().tolist()
    found["exact"] = difference(network, part, images) == 0.0
    network.train()
    loss = torch.nn.functional.cross_entropy(network(images), torch.tensor([1, 5]))
    loss.backward()
    found["loss"] = loss.item()
    found["gradient"] = sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None)
    found["running"] = sum(float(b.double().abs().sum()) for n, b in network.named_buffers() if "running" in n)
    hiergen.save_weights(network.eval(), "saved.safetensors")
    again = hiergen.load_network("generated/pets.py:N2HL", "saved.safetensors").eval()
    with torch.no_grad():
        found["loaded"] = bool(torch.equal(again(images), network(images)))
    try:
        hiergen.load_taxonomy("missing.yaml")
    except hiergen.HiergenError as error:
        found["error"] = str(error)
    try:
        network.selector.classes("catt")
    except hiergen.HiergenError as error:
        found["nearest"] = str(error)
    found["count"] = str(hiergen.count_nestings(12, 2))
    import timm

    found["timm"] = timm.create_model("pets_n2hl").num_classes
    metrics = json.loads(Path("run/metrics.json").read_text("utf-8"))
    found["trained"] = sorted(metrics)
    return found


def filled(network: object) -> None:
    """Weights that are the same with every torch: no generator is asked."""
    import torch

    with torch.no_grad():
        for i, (name, tensor) in enumerate(network.state_dict().items()):  # type: ignore[attr-defined]
            if tensor.is_floating_point():
                wave = torch.arange(tensor.numel(), dtype=torch.float64).mul(0.7).add(i).sin()
                fresh = wave.abs() + 0.5 if "var" in name else wave / max(tensor[0].numel(), 4) ** 0.5
                tensor.copy_(fresh.reshape(tensor.shape))


def differences(ours: dict[str, object], theirs: dict[str, object]) -> list[str]:
    """What differs, one line each."""
    found = [f"{name}: only in one of the two runs" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        if not same(ours[name], theirs[name]):
            found.append(f"{name}: {str(ours[name])[:200]} was {str(theirs[name])[:200]}")
    return found


def same(a: object, b: object) -> bool:
    """Equal, numbers to a relative 1e-3."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))  # noqa: B905
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-3 * max(abs(a), abs(b)) + 1e-5
    return a == b


if __name__ == "__main__":
    main()
