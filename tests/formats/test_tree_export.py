"""`hiergen export FILE.yaml`: the merged tree and nestings, against what the taxonomy says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from random_trees import shape

from hiergen import formats
from hiergen.taxonomy import tree as merged
from hiergen.taxonomy.load import load_taxonomy

IMAGENET100 = Path(__file__).parents[2] / "taxonomies" / "imagenet100.yaml"
PETS = """
name: pets
classes: [cow, cat, dog, saw]
names: {cow: Cow}
sources:
  - groups: {animal: {pet: [dog, cat], farm animal: [cow]}}
unplaced: root
models: {PHL: {}, N2HL: {}, N3HL: {levels: 2}}
"""


def test_a_merged_tree_in_each_format(write: Callable[..., Path], hiergen: Any) -> None:
    file = write(PETS, "pets.yaml")
    out = file.parent
    ran = hiergen("export", file, "--format", "newick", "--merged", "-o", out)
    assert ran.out == f"→ {out / 'pets.nwk'}: merged tree, 4 classes, 2 groups\n"
    assert (out / "pets.nwk").read_text() == "((cow,(cat,dog)pet)animal,saw)root;\n"
    assert hiergen("export", file, "-o", out / "pets.csv").code == 0
    assert (out / "pets.csv").read_text() == "animal,cow,\nanimal,pet,cat\nanimal,pet,dog\nsaw,,\n"
    assert hiergen("export", file, "-o", out / "tree.json").code == 0
    nodes = json.loads((out / "tree.json").read_text())["nodes"]
    assert [(n["id"], n["kind"], n.get("index")) for n in nodes] == [
        ("root", "root", None),
        ("animal", "group", None),
        ("cow", "class", 0),
        ("pet", "group", None),
        ("cat", "class", 1),
        ("dog", "class", 2),
        ("saw", "class", 3),
    ]
    assert nodes[2]["name"] == "Cow"
    assert nodes[5]["synset"] == "n02084071"
    assert nodes[3]["why"].startswith("groups (")


def test_a_nesting_has_its_groups_level_by_level(tmp_path: Path, hiergen: Any) -> None:
    ran = hiergen("export", IMAGENET100, "--model", "N3HL", "--format", "graphml", "-o", tmp_path)
    assert ran.code == 0, ran.err
    found = nx.read_graphml(tmp_path / "imagenet100-N3HL.graphml")
    nesting = load_taxonomy(IMAGENET100).nesting("N3HL")
    by_depth: dict[int, list[str]] = {}
    for key in found:
        by_depth.setdefault(found.nodes[key]["depth"], []).append(key)
    assert [len(by_depth[d]) for d in sorted(by_depth)] == [1, 12, 32, 100]
    for level in (1, 2):
        wanted = {(group.name, frozenset(group.classes)) for group in nesting.groups[level - 1]}
        got = set()
        for key in by_depth[level]:
            below = [k for k in nx.descendants(found, key) if found.nodes[k]["kind"] == "class"]
            got.add((found.nodes[key]["name"], frozenset(found.nodes[k]["index"] for k in below)))
        assert got == wanted


def test_the_merged_tree_of_imagenet100_comes_back(tmp_path: Path, hiergen: Any) -> None:
    taxonomy = load_taxonomy(IMAGENET100)
    for format in ("json", "newick"):
        file = tmp_path / f"t.{format}"
        assert hiergen("export", IMAGENET100, "--format", format, "-o", file).code == 0
        again = formats.read(file, format)
        names = {merged.info(taxonomy.tree, key) for key in taxonomy.tree}
        assert len(again) == len(names)
        edges = {(again.nodes[a]["name"] or again.nodes[a]["id"], again.nodes[b]["id"]) for a, b in again.edges}
        classes = {b for _, b in edges if b in {c.id for c in taxonomy.classes}}
        assert classes == {c.id for c in taxonomy.classes}
        if format == "json":
            order = [again.nodes[k]["id"] for k in formats.tree.leaves(again)]
            assert order == [c.id for c in taxonomy.classes]
    assert shape(formats.read(tmp_path / "t.json"))[0] == "root"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["t.yaml"], "no format given; expected --format newick|graphml|json"),
        (["t.yaml", "--format", "onnx"], "no format 'onnx'; expected one of newick, graphml, json"),
        (["t.yaml", "--format", "json", "--model", "N4HL"], "t.yaml: no model 'N4HL'; expected one of PHL, N2HL, N3HL"),
        (["t.yaml", "--format", "json", "--model", "PHL", "--merged"], "--merged and --model are two trees"),
        (["t.yaml", "--format", "json", "--batch", "2"], "--batch is of networks"),
        (["t.yaml", "-o", "t.yaml", "--format", "json"], "t.yaml: is the taxonomy itself"),
        (["none.yaml", "--format", "json"], "none.yaml: no such file"),
        (["t.py:N3HL", "--merged"], "--merged and --model are of taxonomy files; expected FILE.yaml"),
    ],
)
def test_bad_exports_are_one_sentence(
    write: Callable[..., Path], hiergen: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    monkeypatch.chdir(write(PETS, "t.yaml").parent)
    ran = hiergen("export", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {problem}"), ran.err
    assert ran.err.count("\n") == 1
