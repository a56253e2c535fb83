"""Nasty values of every option and argument of every command."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import given

from hiergen import cli
from tests.fuzz.bytes import SCALARS, seeds
from tests.fuzz.entry import command, folder
from tests.fuzz.profiles import examples
from tests.fuzz.specimens import KEPT, network, pickles, pictures
from tests.fuzz.test_fuzz_text_state import COUNTS, METRICS, TAXONOMY
from tests.fuzz.test_fuzz_text_trees import ISA

CLICK: Any = typer.main.get_command(cli.app)
# Arguments with which a command gets as far as reading its options.
USUAL: dict[str, list[str]] = {
    "adapt": ["five.safetensors", "--backbone", "resnet18", "--data", "images", "-o", "adapted"],
    "build": ["t.yaml", "-o", "o.py"],
    "validate": ["t.yaml"],
    "show": ["t.yaml"],
    "schema": [],
    "cue": ["cat", "t.yaml"],
    "explore": ["m.py", "--weights", "e.safetensors", "-o", "o.html"],
    "draw": ["t.yaml", "-o", "o.svg"],
    "init": ["t.txt", "-o", "o.yaml"],
    "import": ["t.txt", "-o", "o.yaml"],
    "senses": ["cat", "t.yaml"],
    "suggest": ["t.yaml", "--by", "random", "-o", "o.yaml"],
    "search": ["t.yaml", "--steps", "2", "-o", "o.yaml"],
    "ask": ["t.yaml", "--answers", "none.json", "-o", "o.yaml"],
    "count-partitions": ["t.yaml"],
    "cost": ["m.py", "--no-time", "--no-memory"],
    "cutout": ["m.py", "-o", "o", "--untrained", "--classes", "tabby"],
    "convert": ["c.pth", "-o", "o.safetensors"],
    "export": ["t.yaml", "-o", "o.json"],
    "train": ["m.py", "--data", "none"],
    "eval": ["m.py", "--data", "d", "--untrained"],
    "predict": ["m.py", "d", "--untrained"],
    "reject": ["m.py", "--data", "d", "--weights", "w.safetensors"],
    "embed": ["m.py", "--data", "d", "--untrained", "-o", "o.npz"],
    "grow": ["m.py", "--data", "d", "--weights", "w.safetensors", "--solver", "ridge", "-o", "o"],
    "specialise": ["m.py", "--data", "d", "--weights", "w.safetensors", "-o", "o"],
    "graft": ["m.py", "m.py", "--weights", "w.safetensors", "--weights", "w.safetensors", "-o", "o"],
    "shrink": ["m.py", "--classes", "tabby", "--weights", "w.safetensors", "-o", "o"],
    "attend": ["m.py", "--data", "d", "--untrained", "--gain", "tabby=2"],
    "coarse-first": ["m.py", "--data", "d", "--untrained", "--thresholds", "0.5"],
    "tune": ["none.py"],
}
PATHS = [
    *("folder", "/dev/null", "fifo", "t.yaml", "missing", "missing/x", "link", "/proc/self/nope/x", "empty.yaml"),
    "~no-such-user/x",
]
# They do real work for as long as they are asked to: their own tests bound it.
LONG_ANSWERS = {"--measure", "--steps", "--draws", "--sample", "--dry-run", "--base-url", "--help"}
BIG = {"--classes", "-n", "--levels", "-k"}  # of count-partitions: an exact count may take its time, which is announced


def _stage(here: Path) -> None:
    network(here)
    (here / "e.safetensors").write_bytes(KEPT["weights"])
    (here / "t.txt").write_bytes(ISA)
    (here / "t.yaml").write_text(TAXONOMY)
    (here / "empty.yaml").write_text("")
    (here / "c.pth").write_bytes(pickles()[0])
    (here / "m.json").write_text(json.dumps(METRICS))
    (here / "c.json").write_text(json.dumps(COUNTS))
    (here / "folder").mkdir()
    for name in ("tabby", "pug", "beagle", "minivan"):
        (here / "d" / name).mkdir(parents=True)
        for i in range(2):
            (here / "d" / name / f"{i}.png").write_bytes(pictures()[0])
    (here / "folder/x.yaml").write_text("")
    os.mkfifo(here / "fifo")
    os.symlink("link", here / "link")


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    with folder() as here:
        _stage(here)
        for name, words in USUAL.items():
            command(name, *words, seconds=60)
        command("explore", *USUAL["explore"], "--data", "d", allowed=(0,), seconds=60)


def test_every_command_is_attacked() -> None:
    assert set(USUAL) == set(CLICK.commands)


@examples(45, 0.12)
@given(seeds)
def test_any_value_of_any_option_is_taken_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice(list(USUAL))
    words = list(USUAL[name])
    parameters = [p for p in CLICK.commands[name].params if not LONG_ANSWERS & set(p.opts)]
    for _ in range(rng.choice((1, 1, 2))):
        chosen = rng.choice(parameters)
        value = rng.choice(PATHS) if rng.random() < 0.35 else rng.choice(SCALARS)
        value = value.replace('"\\0"', "x\ty\x1b[31m").replace("\0", "")
        if name == "count-partitions" and BIG & set(chosen.opts) and value.strip("+01_ ").isdigit():
            value = value[:3]
        if chosen.param_type_name == "argument":
            if words and not words[0].startswith("-"):
                words[0] = value if not value.startswith("-") else f"./{value}"
        elif chosen.is_flag:
            words.append(chosen.opts[0])
        else:
            words += [rng.choice(chosen.opts), value]
    with folder() as here:
        _stage(here)
        command(name, *words, allowed=(0, 1, 2) if name in {"build", "cue"} else (0, 2), seconds=4)
