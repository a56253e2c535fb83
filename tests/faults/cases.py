"""The commands that write files: each with the folder that it starts from, and what of its files may differ.

`CASES` by name. `prepare` fills ROOT/work once; a run gets a copy of it.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from injector import ROOT

sys.path.insert(0, str(ROOT))

Prepare = Callable[[Path], None]
TREE = "((a,b)ab,(c,(d,e)de)cde)root;\n"
SPEC = """\
name: faulty
classes: [sky, rust, moss, sand, plum]
sources:
  - groups: {{cold: [sky, moss, plum], warm: [rust, sand]}}
nesting: {{closeness: 0}}
models:
  {model}:
    trunk: {{backbone: test_resnet, until: layer1}}
    input_size: 32
    branches: {branches}
"""
_BRANCHES = {"PHL": "[[{width: 8, out: 16}]]", "N2HL": "[[{width: 8, out: 16}], [{width: 8, out: 16}]]"}


def spec(model: str) -> str:
    """A taxonomy file with one model."""
    return SPEC.format(model=model, branches=_BRANCHES[model])


@dataclass(frozen=True)
class Case:
    """A command. `again` is what a user types after it was interrupted (default: the same); `code` is run in place of
    the command line; `extra` files may be missing or differ without harm (caches, logs); `slow` ones are sampled;
    `stops`: Ctrl-C ends it with what it has, well;
    `cold` ones begin without what hiergen keeps in the user's cache folder."""

    argv: tuple[object, ...]
    prepare: Prepare
    again: tuple[object, ...] | None = None
    code: str | None = None
    extra: str = r"(?!)"
    slow: bool = False
    cold: bool = False
    stops: bool = False
    facts: dict[str, Callable[[bytes], object]] = field(default_factory=dict)

    def fact(self, path: str, content: bytes | None) -> object:
        """What of a file must be the same: all its bytes, but for the figures of clocks."""
        for pattern, known in (*self.facts.items(), *_FACTS.items()):
            if content is not None and re.search(pattern, path):
                return known(content)
        return content


def _checkpoint(content: bytes) -> object:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    if "training" in metadata:
        state = json.loads(metadata["training"])
        for row in state["progress"]["history"]:
            row.pop("images_per_s")
        metadata["training"] = json.dumps(state)
        metadata.pop("content_sha256")
    return json.dumps(header, sort_keys=True), content[8 + length :]


def _history(content: bytes) -> object:
    return [
        {k: v for k, v in row.items() if k != "images_per_s"} for row in csv.DictReader(io.StringIO(content.decode()))
    ]


def _state(content: bytes) -> object:
    found = json.loads(content)
    return {key: value for key, value in found.items() if key not in ("seconds", "sha256")}


_FACTS: dict[str, Callable[[bytes], object]] = {
    r"checkpoint\.safetensors$": _checkpoint,
    r"history\.csv$": _history,
    r"state\.json$": _state,
    r"lowerings\.json$": lambda content: sorted(json.loads(content)),
    r"card\.md$": lambda content: re.sub(rb"[\d.,]+", b"#", content),
}


def taxonomy(model: str = "N2HL") -> Prepare:
    def prepare(work: Path) -> None:
        (work / "t.yaml").write_text(spec(model), "utf-8")

    return prepare


def built(work: Path) -> None:
    """A taxonomy, its source and weights."""
    import torch

    from hiergen.codegen.build import build
    from hiergen.models.load import find_model
    from hiergen.models.weights import save_weights

    taxonomy()(work)
    build(work / "t.yaml", work / "t.py")
    torch.manual_seed(0)
    save_weights(find_model(f"{work / 't.py'}:N2HL").cls(), work / "w.safetensors")


def with_images(work: Path) -> None:
    from tests.training.own_images import COLOURS, FOLDERS, folders

    built(work)
    folders(work / "images", 4)
    for name in COLOURS:
        if FOLDERS[name] != name:
            (work / "images" / FOLDERS[name]).rename(work / "images" / name)


def _then(*steps: Prepare) -> Prepare:
    def prepare(work: Path) -> None:
        for step in steps:
            step(work)

    return prepare


def _old(path: str, text: str) -> Prepare:
    def prepare(work: Path) -> None:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(text, "utf-8")

    return prepare


def _built_as(path: str, model: str) -> Prepare:
    """Another model's source lies there already."""

    def prepare(work: Path) -> None:
        from hiergen.codegen.build import build

        taxonomy(model)(work)
        build(work / "t.yaml", work / path)

    return prepare


def _pickle(work: Path) -> None:
    import torch

    torch.manual_seed(0)
    torch.save({"state_dict": {"a": torch.randn(40, 40), "b": torch.ones(3)}}, work / "c.pth")


def _cutout(work: Path) -> None:
    from hiergen.models.cutout import cutout

    built(work)
    cutout(f"{work / 't.py'}:N2HL", work / "cut", classes=["sky", "rust"], weights=work / "w.safetensors")


# a training without the report's pictures and measured costs, which take seconds; they have a case of their own
_LEAN = """
import hiergen.training.report as report
report.draw_pictures = lambda *_: ()
report._cost = lambda *_: None
from hiergen.cli import main
main()
"""
_REPORT = """
import json, random, torch
from pathlib import Path
from hiergen.models.load import load_network
from hiergen.training.hierarchy import Hierarchy
from hiergen.training.metrics import evaluate
from hiergen.training.recipe import load_recipe
from hiergen.training import report
from hiergen.training.runfolder import Request
report._cost = lambda *_: None
network = load_network("t.py:N2HL", "w.safetensors")
logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
targets = torch.arange(20) % 5
metrics = evaluate(logits, targets, Hierarchy.of(network), labels=network.nesting.labels)
row = {"epoch": 1.0, "step": 1.0, "lr": 0.1, "train_loss": 1.0, "images_per_s": 5.0, **metrics.summary()}
facts = {"training": "x", "validation": "x", "training_images": 1, "validation_images": 1, "broken": [], "left_out": [],
         "fingerprint": "0"}
import typer.main
from hiergen.cli import app, main
typer.main.get_command.cache_clear()  # of the server's
app.registered_commands.clear()
@app.command()
def command(word: str) -> None:
    report.write_report(Path("run"), network, metrics, history=[row], recipe=load_recipe("digits"),
        request=Request(model="t.py:N2HL", data="x"), data=facts, console=None)
main()
"""
_ANSWERS = """
from pathlib import Path
import typer.main
from hiergen.cli import app, main
from hiergen.nestings.ask.cache import CacheEntry, read_cache
typer.main.get_command.cache_clear()  # of the server's
app.registered_commands.clear()
@app.command()
def command(word: str) -> None:
    cache = read_cache(Path("answers.json"))
    for number in range(3):
        question = f"{number:016x}"
        cache._entries.setdefault(question, CacheEntry(item=f"i{number}", question=question, answer="yes", by="m"))
        cache._dirty = True
        cache.save()
main()
"""
_TUNE = """
import hiergen.nn.tuning as tuning
tuning._TURNS = 1
from hiergen.cli import main
main()
"""
_TRAIN = (
    "train",
    "t.py:N2HL",
    "--data",
    "images",
    "--recipe",
    "digits",
    "--epochs",
    2,
    "--workers",
    0,
    "--device",
    "cpu",
)
_TRAIN = (*_TRAIN, "--set", "hold_out=0.25", "--set", "augment.crop=none", "--batch-size", 8)
_RESUME = ("train", "--resume", "run")
_FROZEN = (*_TRAIN, "--set", "trunk.mode=frozen", "--set", "trunk.views=2")
_EVENTS = r"/tensorboard(/|$)"


CASES: dict[str, Case] = {
    "build": Case(("build", "t.yaml", "-o", "new/t.py"), taxonomy()),
    "build, over another": Case(("build", "t.yaml", "-o", "t.py"), _then(_built_as("t.py", "PHL"), taxonomy())),
    "build --standalone": Case(("build", "t.yaml", "--standalone", "-o", "t.py"), taxonomy()),
    "build, backbone measured": Case(
        ("build", "t.yaml", "-o", "t.py"),
        _old("t.yaml", spec("N2HL").replace("input_size: 32", "input_size: 48")),
        extra=r"^/home/\.cache",
        cold=True,
    ),
    "suggest --out": Case(
        ("suggest", "t.yaml", "--by", "random", "--groups", "2", "-o", "s.yaml", "--force"), taxonomy()
    ),
    "ask, answers kept": Case(
        ("command", "x"),
        _old("answers.json", '{"version": 1, "answers": []}\n'),
        code=_ANSWERS,
    ),
    "import": Case(("import", "tree.nwk", "-o", "new.yaml", "--force"), _old("tree.nwk", TREE)),
    "export tree.json": Case(("export", "t.yaml", "-o", "tree.json"), _then(taxonomy(), _old("tree.json", "old"))),
    "export safetensors": Case(("export", "t.py:N2HL", "--weights", "w.safetensors", "-o", "out/n.safetensors"), built),
    "export pt2": Case(
        ("export", "t.py:N2HL", "--weights", "w.safetensors", "-o", "n.pt2"),
        _then(built, _old("n.pt2", "old")),
        slow=True,
        facts={r"\.pt2$": len},
    ),
    "export onnx": Case(
        ("export", "t.py:N2HL", "--weights", "w.safetensors", "-o", "n.onnx"),
        _then(built, _old("n.onnx", "old")),
        slow=True,
    ),
    "draw .svg": Case(("draw", "t.yaml", "-o", "d.svg"), taxonomy()),
    "draw .png": Case(("draw", "t.yaml", "-o", "d.png"), _then(taxonomy(), _old("d.png", "old"))),
    "explore": Case(("explore", "t.yaml", "-o", "page.html"), taxonomy()),
    "cutout": Case(
        ("cutout", "t.py:N2HL", "--weights", "w.safetensors", "--classes", "cold", "-o", "cut", "--standalone"), built
    ),
    "cutout --force": Case(
        ("cutout", "t.py:N2HL", "--weights", "w.safetensors", "--classes", "cold", "-o", "cut", "--force"), _cutout
    ),
    "predict": Case(
        ("predict", "t.py:N2HL", "images", "--weights", "w.safetensors", "-o", "p.csv", "--workers", "1"),
        _then(with_images, _old("p.csv", "old")),
    ),
    "convert": Case(("convert", "c.pth", "-o", "c.safetensors"), _pickle),
    "schema": Case(("schema", "--out", "s.json"), lambda work: None),
    "tune": Case(("tune", "t.py:N2HL"), built, code=_TUNE, cold=True, extra=r"^/home/\.cache/hiergen/timm"),
    "train": Case((*_TRAIN, "-o", "run"), with_images, again=_RESUME, code=_LEAN, extra=_EVENTS, slow=True),
    "train, frozen, features kept": Case(
        (*_FROZEN, "-o", "run"),
        with_images,
        again=_RESUME,
        code=_LEAN,
        extra=rf"{_EVENTS}|^/home/\.cache/hiergen/timm",
        slow=True,
        cold=True,
    ),
    "train, its report": Case(
        ("command", "x"), _then(built, lambda work: (work / "run").mkdir()), code=_REPORT, slow=True
    ),
}
