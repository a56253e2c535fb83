"""Taxonomy files that are almost right, through every command that reads one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given

from tests.fuzz.bytes import almost, seeds
from tests.fuzz.entry import command, folder
from tests.fuzz.profiles import examples

HOME = Path(__file__).parents[2]
SMALL = b"""\
name: t
classes: [tabby.n.01, tiger_cat.n.02, beagle.n.01, n02110341, toucan.n.01, crane, "a b", class 8]
synsets: {crane: crane.n.05, a b: pug.n.01}
names: {class 8: eighth}
unplaced: root
sources:
  - groups:
      pet: {cat: [domestic_cat.n.01], dog: [dog.n.01]}
      bird: [bird.n.01, class 8]
  - imagenet-superclass
  - wordnet
hypernyms: {rule: most-classes, choose: {dog.n.01: domestic_animal.n.01}}
nesting: {min_children: 2, max_children: 4, closeness: 0.5, balance: 2, single_child: 0.5, refine: true}
models:
  PHL: {trunk: {backbone: resnet18, until: layer2}, input_size: 32}
  N2HL:
    trunk: {backbone: resnet18, until: layer1}
    branches: [[{width: 8, out: 16, stride: 2, depth: 2}], [{block: convnext, width: 24, out: 8}]]
  N3HL: {block: mbconv, kernel: 5, depth: 1, budget: {params: 5M, macs: 4G}, trunk: {backbone: resnet18}}
  One: {single_branch: true, branches: [[{block: mbconv, width: 8, out: 8, kernel: 3, act: silu}]]}
"""
TINY = b"name: t\nclasses: [a, b, c]\nunplaced: root\nsources: [groups: {g: [a, b]}]\nmodels: {PHL: {}}\n"
TOY = (HOME / "tests/golden/toy.yaml").read_bytes()
COMMANDS = [
    *(
        ["validate"],
        ["validate", "--json"],
        ["show"],
        ["show", "--merged"],
        ["show", "--conflicts"],
        ["show", "--json"],
    ),
    *(["show", "--levels", "2"], ["export", "-o", "o.nwk"], ["export", "-o", "o.json"], ["export", "-o", "o.graphml"]),
    *(
        ["draw", "-o", "o.svg"],
        ["draw", "--merged", "-o", "o.svg"],
        ["count-partitions"],
        ["count-partitions", "--json"],
    ),
    *(["count-partitions", "-n", "8", "--consistent"], ["cue", "cat"], ["cue", "--json", "dog"]),
]
HEAVY = [
    *(["build", "-o", "o.py"], ["build", "--standalone", "-o", "o.py"], ["explore", "-o", "o.html"]),
    *(["draw", "--architecture", "-o", "o.svg"], ["suggest", "--by", "random", "--groups", "2", "-o", "s.yaml"]),
    *(
        ["suggest", "--groups", "2", "--min-size", "1", "-o", "s.yaml"],
        ["ask", "--groups", "2", "--dry-run", "p.jsonl"],
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Imports and WordNet are no cost of a hostile file."""
    with folder() as here:
        (here / "t.yaml").write_bytes(TINY)
        for words in (*COMMANDS, *HEAVY):
            command(
                words[0],
                "t.yaml" if words[0] != "cue" else "a",
                *words[1:],
                *(["t.yaml"] if words[0] == "cue" else []),
                seconds=60,
            )


def _attack(words: list[str], raw: bytes, allowed: tuple[int, ...] = (0, 2)) -> None:
    with folder() as here:
        (here / "t.yaml").write_bytes(raw)
        command(*words, "t.yaml", allowed=allowed)


@examples(25, 0.22)
@given(seeds)
def test_a_mutated_taxonomy_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    _attack(rng.choice(COMMANDS), almost(rng, SMALL, SMALL, TINY, TOY))


@examples(10, 0.08)
@given(seeds)
def test_a_mutated_taxonomy_is_compiled_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    _attack(rng.choice(HEAVY), almost(rng, SMALL, TINY, TINY, TOY))
