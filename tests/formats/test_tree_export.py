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
from hiergen.errors import HiergenError
from hiergen.models.export.run import EXPORTERS, Exporter
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


def test_a_model_after_a_colon_is_its_nesting(write: Callable[..., Path], hiergen: Any) -> None:
    file = write(PETS, "pets.yaml")
    for words, target in (((f"{file}:N3HL",), "a.nwk"), ((file, "--model", "N3HL"), "b.nwk")):
        ran = hiergen("export", *words, "-o", file.with_name(target))
        assert ran.out == f"→ {file.with_name(target)}: nesting of N3HL, 4 classes, 2 groups\n"
    assert file.with_name("a.nwk").read_bytes() == file.with_name("b.nwk").read_bytes()
    ran = hiergen("export", f"{file}:N3HL", "--merged", "-o", file.with_name("c.nwk"))
    assert ran.code == 2
    assert not file.with_name("c.nwk").exists()


def test_what_is_no_format_of_trees_is_one_of_networks(
    write: Callable[..., Path], hiergen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command asks the table of exporters, so that a new row is enough."""
    file, asked = write(PETS, "pets.yaml"), []

    def exported(model: str, *_: Any, **options: Any) -> None:
        asked.append((model, options["format"]))
        raise HiergenError("enough")

    monkeypatch.setitem(EXPORTERS, "mine", Exporter(exported))
    monkeypatch.setattr("hiergen.models.export.export", exported)
    assert hiergen("export", f"{file}:N3HL", "--format", "mine").err == "error: enough\n"
    assert asked == [(f"{file}:N3HL", "mine")]
    assert "no format 'none'; expected one of nbdt" in hiergen("export", file, "--format", "none").err


@pytest.mark.parametrize("format", formats.WRITE)
def test_a_file_name_that_is_no_text_is_no_obstacle(write: Callable[..., Path], tmp_path: Path, format: str) -> None:
    """A tree's JSON says which file each edge is from."""
    source = tmp_path / "t\udcff.yaml"
    write(PETS, "t.yaml").rename(source)
    path, _ = formats.export_tree(source, tmp_path / "tree", format=format)
    assert path.read_text("utf-8")
    if format == "json":
        whys = [node["why"] for node in json.loads(path.read_text("utf-8"))["nodes"] if "why" in node]
        assert any("t\udcff.yaml" in str(why) for why in whys)


def test_only_a_file_that_was_named_is_replaced(
    write: Callable[..., Path], hiergen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(PETS, "pets.yaml")
    monkeypatch.chdir(file.parent)
    Path("pets.txt").write_text("mine")
    for words in ((), ("-o", file.parent)):
        ran = hiergen("export", file, "--format", "isa", *words)
        assert ran.code == 2
        named = file.parent / "pets.txt" if words else "pets.txt"
        assert ran.err == f"error: {named}: is there already; -o {named} writes over it\n"
        assert Path("pets.txt").read_text() == "mine"
    assert hiergen("export", file, "--format", "isa", "-o", "pets.txt").code == 0
    assert Path("pets.txt").read_text().startswith("root\tanimal\n")


def test_what_a_format_cannot_hold_is_said_of_the_file(write: Callable[..., Path]) -> None:
    tree = formats.read(write("((a,b),c)r;", "t.nwk"))
    with pytest.raises(HiergenError) as caught:
        formats.files.written(tree, "paths")
    assert str(caught.value).endswith(
        "t.nwk: a group without a name cannot be written to label paths; expected a name for each node, without blanks "
        "around it"
    )
    with pytest.raises(
        HiergenError, match=r"t\.nwk: '' cannot be written to an edge list; expected an id for each node"
    ):
        formats.files.written(tree, "isa")
    twice = formats.read(write("((a,b)x,(c,d)x)r;", "u.nwk"))
    with pytest.raises(HiergenError, match=r"u\.nwk: 'x' cannot be written to an edge list; expected ids that differ"):
        formats.files.written(twice, "isa")


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
        wanted = {(group.name, frozenset(group.classes)) for group in nesting.levels[level - 1].groups}
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
        (["t.yaml"], "no format given; expected --format nbdt|isa|paths"),
        (["t.yaml", "--format", "onx"], "no format 'onx'; expected one of nbdt, isa, paths"),
        (["t.yaml", "--format", "json", "--model", "N4HL"], "t.yaml: no model 'N4HL'; expected one of PHL, N2HL, N3HL"),
        (["t.yaml", "--format", "json", "--model", "PHL", "--merged"], "--merged and --model are two trees"),
        (["t.yaml", "--format", "json", "--batch", "2"], "--batch is of networks"),
        (["t.yaml", "-o", "t.yaml", "--format", "json"], "t.yaml: is the taxonomy itself"),
        (["none.yaml", "--format", "json"], "none.yaml: no such file"),
        (
            ["hash.yaml", "--format", "isa"],
            "hash.yaml: '# hash' cannot be written to an edge list; expected no tab, line break, blank or # around",
        ),
        (["t.py:N3HL", "--merged"], "--merged and --model are of taxonomy files; expected FILE.yaml"),
    ],
)
def test_bad_exports_are_one_sentence(
    write: Callable[..., Path], hiergen: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    monkeypatch.chdir(write(PETS, "t.yaml").parent)
    write("name: h\nclasses: ['# hash', a, b]\nunplaced: root\nmodels: {PHL: {}}\n", "hash.yaml")
    ran = hiergen("export", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {problem}"), ran.err
    assert ran.err.count("\n") == 1
